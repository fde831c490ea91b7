//! We-Math: what a model makes of a problem, and of each of its steps alone.
//!
//! A problem that is right although steps are wrong was learnt by rote. *Loosely*, one right step
//! is enough to count it as mastered; *strictly*, all steps must be right.

use std::collections::BTreeMap;

use super::Numbers;
use crate::question::Question;

/// What a run made of a problem.
#[derive(Default)]
struct Problem {
    steps: Vec<bool>,
    whole: Option<bool>,
}

/// How many problems are of which kind.
#[derive(Default)]
struct Counts {
    insufficient: usize,
    inadequate: usize,
    complete_strict: usize,
    rote_strict: usize,
    complete_loose: usize,
    rote_loose: usize,
}

/// The names of VLMEvalKit's table; shares of the problems, of rote memorization those of the
/// problems that are right. Problems of which a part is missing are left out.
pub(super) fn aggregate(questions: &[Question], right: &[bool]) -> Numbers {
    // Problems of two and of three steps are numbered apart.
    let mut problems: BTreeMap<(&str, &str), Problem> = BTreeMap::new();
    for (question, &right) in questions.iter().zip(right) {
        let (Some(family), Some(part)) = (question.family.as_deref(), question.part.as_deref())
        else {
            continue;
        };
        let Some((kind, step)) = part.split_once('_') else { continue };
        let problem = problems.entry((kind, family)).or_default();
        match step {
            "multi" => problem.whole = Some(right),
            _ => problem.steps.push(right),
        }
    }
    let mut counts = Counts::default();
    let mut total = 0;
    for ((kind, _), Problem { steps, whole }) in problems {
        let complete = !steps.is_empty() && kind == format!("{}steps", steps.len());
        let Some(whole) = whole.filter(|_| complete) else { continue };
        total += 1;
        let (all, any) = (!steps.contains(&false), steps.contains(&true));
        let add = |count: &mut usize, holds: bool| *count += usize::from(holds);
        add(&mut counts.insufficient, !all && !whole);
        add(&mut counts.inadequate, all && !whole);
        add(&mut counts.complete_strict, all && whole);
        add(&mut counts.rote_strict, !all && whole);
        add(&mut counts.complete_loose, any && whole);
        add(&mut counts.rote_loose, !any && whole);
    }
    let share = |count: usize, of: usize| if of == 0 { 0.0 } else { count as f64 / of as f64 };
    let mut measures = Vec::new();
    for (mode, complete, rote) in [
        ("Strict", counts.complete_strict, counts.rote_strict),
        ("Loose", counts.complete_loose, counts.rote_loose),
    ] {
        // (total - 0.5 · inadequate - rote - insufficient) / total
        let score = share(2 * complete + counts.inadequate, 2 * total);
        let values = [
            ("Score", score),
            ("InsufficientKnowledge", share(counts.insufficient, total)),
            ("InadequateGeneralization", share(counts.inadequate, total)),
            ("CompleteMastery", share(complete, total)),
            ("RoteMemorization", share(rote, complete + rote)),
        ];
        measures.extend(values.map(|(name, value)| (format!("{name} ({mode})"), value)));
    }
    measures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::Rule;

    #[test]
    fn problems_are_sorted_by_their_steps_and_their_whole() {
        // Steps of each problem, then the whole.
        let problems: [&[bool]; 7] = [
            &[true, true, true],          // complete
            &[true, false, true],         // strictly rote, loosely complete
            &[false, false, true],        // rote
            &[true, true, false],         // inadequate
            &[false, true, false],        // insufficient
            &[true, true, true, true],    // complete, three steps
            &[false, false, false, true], // rote, three steps
        ];
        let (mut questions, mut right) = (Vec::new(), Vec::new());
        for (family, problem) in problems.iter().enumerate() {
            let steps = problem.len() - 1;
            for (place, &correct) in problem.iter().enumerate() {
                let step = if place == steps { "multi".into() } else { (place + 1).to_string() };
                questions.push(Question {
                    id: questions.len().to_string(),
                    truth: "A".into(),
                    rule: Rule::Free,
                    // Numbers begin anew for three steps.
                    family: Some((family % 5).to_string()),
                    part: Some(format!("{steps}steps_{step}")),
                    groups: Vec::new(),
                });
                right.push(correct);
            }
        }
        let found = aggregate(&questions, &right);
        let expected = [
            ("Score (Strict)", 2.5 / 7.0),
            ("InsufficientKnowledge (Strict)", 1.0 / 7.0),
            ("InadequateGeneralization (Strict)", 1.0 / 7.0),
            ("CompleteMastery (Strict)", 2.0 / 7.0),
            ("RoteMemorization (Strict)", 3.0 / 5.0),
            ("Score (Loose)", 3.5 / 7.0),
            ("InsufficientKnowledge (Loose)", 1.0 / 7.0),
            ("InadequateGeneralization (Loose)", 1.0 / 7.0),
            ("CompleteMastery (Loose)", 3.0 / 7.0),
            ("RoteMemorization (Loose)", 2.0 / 5.0),
        ];
        assert_eq!(found.len(), expected.len());
        for ((name, value), (expected_name, expected)) in found.iter().zip(expected) {
            assert_eq!(name, expected_name);
            assert!((value - expected).abs() < 1e-12, "{name}: {value}");
        }
        // Without its last part the last problem is not counted.
        let fewer = aggregate(&questions[..questions.len() - 1], &right[..right.len() - 1]);
        assert!((fewer[0].1 - 2.5 / 6.0).abs() < 1e-12);
        assert_eq!(aggregate(&[], &[])[0].1, 0.0);
    }
}
