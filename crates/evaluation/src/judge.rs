//! From a response to a verdict, by rules alone.

use cppo::reward::Grader;
use serde::{Deserialize, Serialize};

use crate::options::{infer_option, letters};
use crate::question::{Question, Rule};

/// The verdict on one response.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The answer as it was found in the response.
    pub answer: Option<String>,
    /// Its normal form: answers of the same normal form vote together.
    pub vote: Option<String>,
    /// Whether it is right.
    pub correct: bool,
}

/// Judges a response, decoded without special tokens.
///
/// [`Grader::Mathruler`] looks into the last box only, as training does; [`Grader::Exact`] also
/// finds answers in prose, and an option that the response names without concluding: but not
/// beside a box, which says what the answer is.
pub fn judge(response: &str, question: &Question, grader: Grader) -> Judgement {
    let answer = grader.extract(response).filter(|answer| !answer.is_empty());
    if let Rule::Choice(options) = &question.rule {
        let conclusion = response.rsplit_once("</think>").map_or(response, |(_, rest)| rest);
        let boxed = ["\\boxed", "\\fbox"].iter().any(|name| conclusion.contains(name));
        let whole = (grader == Grader::Exact && !boxed).then_some(conclusion);
        let named = [answer, whole].into_iter().flatten();
        let letter = named.filter_map(|text| infer_option(text, options)).next();
        let vote = letter.map(|letter| letter.to_string());
        let correct = vote.as_ref().is_some_and(|vote| *vote == question.truth);
        let answer = answer.map(String::from).or_else(|| vote.clone());
        return Judgement { answer, vote, correct };
    }
    let Some(answer) = answer else { return Judgement::default() };
    let truth = question.truth.as_str();
    let (vote, correct) = match &question.rule {
        Rule::Letters => {
            let found = letters(answer);
            let correct = !found.is_empty() && found == letters(truth);
            (Some(found).filter(|found| !found.is_empty()), correct)
        }
        rule => {
            let verdict = grader.grade(answer, truth);
            let correct = verdict.correct || agrees(rule, answer, truth);
            (Some(verdict.answer), correct)
        }
    };
    Judgement { answer: Some(answer.into()), vote, correct }
}

/// What a rule lets pass beside the grader.
fn agrees(rule: &Rule, answer: &str, truth: &str) -> bool {
    let numbers = || Some((number(answer)?, number(truth)?));
    match rule {
        Rule::Rounded(decimals) => numbers().is_some_and(|(answer, truth)| {
            format!("{answer:.decimals$}") == format!("{truth:.decimals$}")
        }),
        Rule::Within(distance) => {
            numbers().is_some_and(|(answer, truth)| (answer - truth).abs() <= *distance)
        }
        Rule::Contained => {
            let (answer, truth) = (words(answer), words(truth));
            !answer.is_empty() && truth.windows(answer.len()).any(|part| part == answer)
        }
        Rule::Free | Rule::Choice(_) | Rule::Letters => false,
    }
}

/// The words of a text, in lower case.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// The number a text begins with: a decimal or a quotient, with π as a factor behind it.
fn number(text: &str) -> Option<f64> {
    let text = text.replace("\\pi", "π").replace(['$', ','], "");
    let word = text.split_whitespace().next()?;
    let (word, factor) = match word.strip_suffix('π') {
        Some("") => return Some(std::f64::consts::PI),
        Some(rest) => (rest, std::f64::consts::PI),
        None => (word.trim_end_matches(['%', '°']), 1.0),
    };
    let value = match word.split_once('/') {
        Some((above, below)) => above.parse::<f64>().ok()? / below.parse::<f64>().ok()?,
        None => word.parse::<f64>().ok()?,
    };
    (value.is_finite()).then_some(value * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(truth: &str, rule: Rule) -> Question {
        Question {
            id: "1".into(),
            truth: truth.into(),
            rule,
            family: None,
            part: None,
            groups: Vec::new(),
        }
    }

    fn choice() -> Rule {
        Rule::Choice(["3", "4", "5", "6"].map(String::from).to_vec())
    }

    #[test]
    fn every_rule_judges_by_its_own_measure() {
        let cases = [
            (r"\boxed{0.5}", "1/2", Rule::Free, true),
            (r"\boxed{2}", "1/2", Rule::Free, false),
            ("no number at all, just words that go on and on", "1", Rule::Free, false),
            (r"\boxed{1.449}", "1.4", Rule::Rounded(1), true),
            (r"\boxed{1.46}", "1.4", Rule::Rounded(1), false),
            (r"\boxed{7.0}", "7", Rule::Free, true),
            (r"\boxed{6.6}", "7", Rule::Free, false),
            (r"\boxed{3.0}", "3", Rule::Rounded(0), true),
            (r"\boxed{3.1409}", "3.14", Rule::Within(1e-3), true),
            (r"\boxed{3.142}", "3.14", Rule::Within(1e-3), false),
            (r"\boxed{0.5π}", "1.5708", Rule::Within(1e-3), true),
            (r"\boxed{\pi}", "3.1416", Rule::Within(1e-3), true),
            (r"\boxed{nan}", "3.14", Rule::Within(1e-3), false),
            (r"\boxed{1/3}", "0.3333", Rule::Within(1e-3), true),
            (r"\boxed{even}", "Even function", Rule::Contained, true),
            (r"\boxed{}", "even", Rule::Contained, false),
            (r"\boxed{odd}", "even", Rule::Contained, false),
            (r"\boxed{E}", "Even function", Rule::Contained, false),
            (r"\boxed{...}", "Even function", Rule::Contained, false),
            (r"\boxed{C, A}", "A, C", Rule::Letters, true),
            (r"\boxed{A}", "A, C", Rule::Letters, false),
            (r"<think>5 it is</think>\boxed{B}", "B", choice(), true),
            (r"\boxed{4}", "B", choice(), true),
            (r"\boxed{A}", "B", choice(), false),
            ("After some thought I choose B", "B", choice(), true),
            (r"Therefore angle C is \boxed{60^\circ}", "C", choice(), false),
            (r"Therefore angle C is \fbox{60^\circ}", "C", choice(), false),
            (r"\boxed{} so C", "C", choice(), false),
            (r"<think>\boxed{60}</think> I choose C", "C", choice(), true),
        ];
        for (response, truth, rule, expected) in cases {
            let found = judge(response, &question(truth, rule.clone()), Grader::Exact);
            assert_eq!(found.correct, expected, "{response} for {truth} by {rule:?}: {found:?}");
        }
    }

    #[test]
    fn equal_answers_vote_alike() {
        let votes = |answers: [&str; 2], truth: &str, rule: Rule| {
            let question = question(truth, rule);
            answers
                .map(|answer| judge(&format!("\\boxed{{{answer}}}"), &question, Grader::Exact).vote)
        };
        for (answers, truth, rule) in [
            (["B", "(B) 4"], "A", choice()),
            (["4", "B"], "A", choice()),
            (["C, A", "AC"], "B", Rule::Letters),
            (["1/2", "2/4"], "7", Rule::Free),
            (["4", " 4.0 "], "7", Rule::Free),
        ] {
            let [first, second] = votes(answers, truth, rule);
            assert!(first.is_some() && first == second, "{answers:?}: {first:?} {second:?}");
        }
        assert_eq!(judge("", &question("1", Rule::Free), Grader::Exact), Judgement::default());
    }

    #[test]
    fn mathruler_sees_boxes_only() {
        let question = question("B", choice());
        assert!(!judge("The answer is B", &question, Grader::Mathruler).correct);
        assert!(judge(r"\boxed{B}", &question, Grader::Mathruler).correct);
    }
}
