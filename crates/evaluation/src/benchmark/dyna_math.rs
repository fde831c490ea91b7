//! DynaMath: ten variants of each question; the worst case counts questions right in all of them.

use std::collections::BTreeMap;

use super::{Fields, Numbers, free, letter_choice};
use crate::question::{Question, Rule};
use crate::report::share;

pub(super) fn rule(fields: &Fields) -> Result<(String, Rule), String> {
    let rule = match fields.answer_type.as_str() {
        "float" => Rule::Within(1e-3),
        "multiple choice" => return letter_choice(fields, 8),
        "text" => Rule::Contained,
        _ => return free(fields),
    };
    Ok((fields.answer.trim().into(), rule))
}

pub(super) fn aggregate(questions: &[Question], right: &[bool]) -> Numbers {
    let mut families: BTreeMap<&str, bool> = BTreeMap::new();
    for (question, right) in questions.iter().zip(right) {
        let family = question.family.as_deref().unwrap_or(&question.id);
        *families.entry(family).or_insert(true) &= right;
    }
    let worst: Vec<bool> = families.into_values().collect();
    vec![("Overall (Average)".into(), share(right)), ("Overall (Worst Case)".into(), share(&worst))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_case_needs_every_variant_right() {
        let question = |family: &str| Question {
            id: "0".into(),
            truth: "1".into(),
            rule: Rule::Free,
            family: Some(family.into()),
            part: None,
            groups: Vec::new(),
        };
        let questions = ["1", "1", "2", "2", "3", "3"].map(question);
        let found = aggregate(&questions, &[true, true, true, false, false, false]);
        let values: Vec<f64> = found.iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [0.5, 1.0 / 3.0]);
    }

    #[test]
    fn the_type_of_the_answer_decides() {
        let asked = |kind: &str, answer: &str| {
            let fields =
                Fields { answer_type: kind.into(), answer: answer.into(), ..Default::default() };
            rule(&fields).unwrap()
        };
        assert_eq!(asked("float", "1.5"), ("1.5".into(), Rule::Within(1e-3)));
        assert_eq!(asked("text", " even"), ("even".into(), Rule::Contained));
        assert_eq!(asked("multiple choice", "B").0, "B");
        assert_eq!(asked("", "x").1, Rule::Free);
    }
}
