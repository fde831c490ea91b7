//! From judged responses to the numbers that are reported.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::benchmark::Benchmark;
use crate::judge::Judgement;
use crate::question::Question;
use crate::statistics::{Clusters, Estimate, majority, mean, pass_at, std};

/// A number that a benchmark itself reports: mean and deviation over the `n` runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// Its official name.
    pub name: String,
    /// Mean over the runs.
    pub mean: f64,
    /// Unbiased standard deviation over the runs; None for one run.
    pub std: Option<f64>,
}

/// avg@n of the questions under one name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// What is grouped by, such as `subject`.
    pub dimension: String,
    /// The group's name.
    pub name: String,
    /// Its questions.
    pub questions: usize,
    /// Share of right responses.
    pub avg: Estimate,
    /// Standard deviation over the runs.
    pub std: Option<f64>,
}

/// All numbers of one evaluation: `n` responses to each of some questions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Questions answered.
    pub questions: usize,
    /// Responses to each.
    pub n: usize,
    /// avg@n: the share of right responses.
    pub avg: Estimate,
    /// Standard deviation of the accuracies of the `n` runs; None for one run.
    pub std: Option<f64>,
    /// pass@k by k: 1, 2, 4, … and n.
    pub pass: BTreeMap<usize, Estimate>,
    /// maj@n.
    pub maj: Estimate,
    /// The benchmark's own aggregates.
    pub official: Vec<Measure>,
    /// By dimension and name, in their order.
    pub groups: Vec<Group>,
}

impl Report {
    /// The numbers of `questions` with as many judged `samples` each, seeded by `seed`.
    pub fn new(
        benchmark: &Benchmark,
        questions: &[Question],
        samples: &[Vec<Judgement>],
        seed: u64,
    ) -> Self {
        let clusters = Clusters::new(questions.iter().map(|question| question.family.as_deref()));
        let n = samples.first().map_or(0, Vec::len);
        let estimate = |value: &dyn Fn(&[Judgement]) -> f64| {
            let values: Vec<f64> = samples.iter().map(|samples| value(samples)).collect();
            clusters.estimate(&values, seed)
        };
        let ks = (0..usize::BITS).map(|power| 1 << power).take_while(|&k| k < n).chain([n]);
        let pass = |k| (k, estimate(&|samples| pass_at(samples.len(), right(samples), k)));
        let groups = groups(questions).into_iter().map(|((dimension, name), members)| {
            let families = members.iter().map(|&index| questions[index].family.as_deref());
            let samples: Vec<&[Judgement]> =
                members.iter().map(|&index| samples[index].as_slice()).collect();
            let scores: Vec<f64> = samples.iter().map(|samples| accuracy(samples)).collect();
            let run = |run: usize| {
                let right = samples.iter().filter(|samples| samples[run].correct).count();
                right as f64 / samples.len() as f64
            };
            Group {
                dimension: dimension.into(),
                name: name.into(),
                questions: members.len(),
                avg: Clusters::new(families).estimate(&scores, seed),
                std: std(&(0..n).map(run).collect::<Vec<_>>()),
            }
        });
        Self {
            questions: samples.len(),
            n,
            avg: estimate(&accuracy),
            std: std(&runs(samples).map(|run| share(&run)).collect::<Vec<_>>()),
            pass: ks.map(pass).collect(),
            maj: estimate(&|samples| f64::from(u8::from(majority(samples)))),
            official: measures(benchmark, questions, samples),
            groups: groups.collect(),
        }
    }
}

/// The benchmark's aggregates of each run, by name, over all runs.
fn measures(
    benchmark: &Benchmark,
    questions: &[Question],
    samples: &[Vec<Judgement>],
) -> Vec<Measure> {
    let runs: Vec<_> = runs(samples).map(|run| (benchmark.aggregate)(questions, &run)).collect();
    let Some(first) = runs.first() else { return Vec::new() };
    let measure = |(place, (name, _)): (usize, &(String, f64))| {
        let values: Vec<f64> = runs.iter().map(|run| run[place].1).collect();
        Measure { name: name.clone(), mean: mean(&values), std: std(&values) }
    };
    first.iter().enumerate().map(measure).collect()
}

/// Questions of each dimension and name.
fn groups(questions: &[Question]) -> BTreeMap<(&str, &str), Vec<usize>> {
    let mut groups: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (index, question) in questions.iter().enumerate() {
        for (dimension, name) in &question.groups {
            let members = groups.entry((dimension, name)).or_default();
            if members.last() != Some(&index) {
                members.push(index);
            }
        }
    }
    groups
}

/// Which questions each run answered right.
fn runs(samples: &[Vec<Judgement>]) -> impl Iterator<Item = Vec<bool>> {
    let n = samples.first().map_or(0, Vec::len);
    (0..n).map(|run| samples.iter().map(|samples| samples[run].correct).collect())
}

fn right(samples: &[Judgement]) -> usize {
    samples.iter().filter(|sample| sample.correct).count()
}

fn accuracy(samples: &[Judgement]) -> f64 {
    right(samples) as f64 / samples.len() as f64
}

/// Share of what is true.
pub(crate) fn share(right: &[bool]) -> f64 {
    right.iter().filter(|right| **right).count() as f64 / right.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmark::GENERAL;
    use crate::question::Rule;

    fn question(id: usize, subject: &str) -> Question {
        Question {
            id: id.to_string(),
            truth: "1".into(),
            rule: Rule::Free,
            family: None,
            part: None,
            groups: vec![("subject".into(), subject.into())],
        }
    }

    fn samples(right: [bool; 4]) -> Vec<Judgement> {
        let sample = |correct: bool| Judgement {
            vote: Some(if correct { "1" } else { "2" }.into()),
            correct,
            ..Default::default()
        };
        right.map(sample).to_vec()
    }

    #[test]
    fn all_numbers_of_a_small_table_are_as_by_hand() {
        let (o, x) = (true, false);
        let table = [[o, o, x, o], [x, x, x, o], [x, x, x, x], [o, x, o, x]].map(samples);
        let questions = ["a", "a", "b", "b"].iter().enumerate();
        let questions: Vec<Question> =
            questions.map(|(id, subject)| question(id, subject)).collect();
        let report = Report::new(&GENERAL, &questions, &table, 0);
        // 3 + 1 + 0 + 2 of 16; the runs are right 2, 1, 1 and 2 times of 4.
        assert_eq!((report.questions, report.n, report.avg.value), (4, 4, 6.0 / 16.0));
        assert!((report.std.unwrap() - (0.0625f64 / 3.0).sqrt()).abs() < 1e-12);
        // pass@2: 1 - 0, 1 - 3/6, 0 and 1 - 1/6.
        let pass: Vec<f64> = report.pass.values().map(|pass| pass.value).collect();
        let expected = [0.375, (1.0 + 0.5 + 5.0 / 6.0) / 4.0, 0.75];
        assert_eq!(report.pass.keys().copied().collect::<Vec<_>>(), [1, 2, 4]);
        assert!(pass.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{pass:?}");
        // The last question is split evenly, and its first answer is right.
        assert_eq!(report.maj.value, 0.5);
        let groups: Vec<_> =
            report.groups.iter().map(|group| (group.name.as_str(), group.avg.value)).collect();
        assert_eq!(groups, [("a", 0.5), ("b", 0.25)]);
        assert_eq!(report.official[0].name, "Overall");
        assert_eq!((report.official[0].mean, report.official[0].std), (0.375, report.std));
    }

    #[test]
    fn one_response_has_no_deviation_and_no_questions_no_report() {
        let table: Vec<_> =
            [true, false, true].map(|right| samples([right; 4])[..1].to_vec()).into();
        let questions: Vec<_> = (0..3).map(|id| question(id, "a")).collect();
        let report = Report::new(&GENERAL, &questions, &table, 0);
        assert_eq!((report.n, report.std), (1, None));
        assert_eq!(report.pass.len(), 1);
        assert_eq!(report.maj, report.avg);
        assert!(Report::new(&GENERAL, &[], &[], 0).official.is_empty());
    }
}
