//! `results.json`: the numbers, and which question was answered how.

use std::path::Path;

use evaluation::benchmark::Benchmark;
use evaluation::statistics::{Clusters, Comparison};
use evaluation::{Judgement, Question, Report};
use serde::{Deserialize, Serialize};

use super::settings::write;
use super::{EvaluateError, ProgramReport, Responses, Settings};

/// An evaluation as a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// What it depends on.
    pub settings: Settings,
    /// Its numbers.
    pub report: Report,
    /// How long it took.
    pub timing: Timing,
    /// What a reward program says, where one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward_program: Option<ProgramReport>,
    /// Rows that were left out, the most frequent reason first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Its questions, in order.
    pub items: Vec<Scored>,
}

/// Rows that cannot be used for one reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    /// What is wrong with them.
    pub reason: String,
    /// How many there are.
    pub count: u64,
    /// The place of the first.
    pub first: String,
}

/// Wall-clock time of the last run, which may have gone on with an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Timing {
    pub seconds: f64,
    pub questions_per_second: f64,
}

/// A question and which of its responses were right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Scored {
    pub id: String,
    pub question: String,
    pub truth: String,
    pub family: Option<String>,
    pub correct: Vec<bool>,
}

impl Results {
    /// The numbers of complete `responses` to `questions`, whose texts are `texts`.
    pub fn new(
        settings: Settings,
        benchmark: &Benchmark,
        questions: &[Question],
        texts: &[String],
        responses: &Responses,
        timing: Timing,
    ) -> Self {
        let judged = |index| responses.of(index).map(|record| record.judgement.clone()).collect();
        let samples: Vec<Vec<Judgement>> = (0..questions.len()).map(judged).collect();
        let items =
            questions.iter().zip(texts).zip(&samples).map(|((question, text), samples)| Scored {
                id: question.id.clone(),
                question: text.clone(),
                truth: question.truth.clone(),
                family: question.family.clone(),
                correct: samples.iter().map(|sample| sample.correct).collect(),
            });
        let items = items.collect();
        let report = Report::new(benchmark, questions, &samples, settings.seed);
        Self { settings, report, timing, reward_program: None, left_out: Vec::new(), items }
    }

    /// Writes `results.json` to `folder`.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), EvaluateError> {
        let mut json = serde_json::to_vec_pretty(self).expect("results are plain values");
        json.push(b'\n');
        write(&folder.join("results.json"), &json)
    }

    /// Reads `results.json` of `folder`.
    ///
    /// # Errors
    ///
    /// When there is none, or it is damaged.
    pub fn load(folder: &Path) -> Result<Self, EvaluateError> {
        let path = folder.join("results.json");
        let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => EvaluateError::damaged(
                &path,
                "there is none; finish the evaluation with `cppo eval --out` first",
            ),
            _ => EvaluateError::io(&path)(error),
        })?;
        serde_json::from_slice(&bytes).map_err(|error| {
            EvaluateError::damaged(&path, format!("damaged: {error}; run the evaluation again"))
        })
    }
}

/// Two models side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// The first's model.
    pub first_model: String,
    /// The second's.
    pub second_model: String,
    /// avg@n of both, and how they differ.
    #[serde(flatten)]
    pub comparison: Comparison,
}

/// Compares two evaluations of the same questions.
///
/// # Errors
///
/// When their questions differ, or how they were asked or judged; names the first that does.
pub fn compare(first: &Results, second: &Results) -> Result<Compared, EvaluateError> {
    let (a, b) = (&first.items, &second.items);
    if a.len() != b.len() {
        let message = format!(
            "{} questions and {} are not the same; use the same data and --limit",
            a.len(),
            b.len()
        );
        return Err(EvaluateError::Different(message));
    }
    let same = |(a, b): &(&Scored, &Scored)| {
        (&a.id, &a.question, &a.truth) == (&b.id, &b.question, &b.truth)
    };
    if let Some(place) = a.iter().zip(b).position(|pair| !same(&pair)) {
        return Err(EvaluateError::Different(format!(
            "question {place} (from 0) is not the same in both: {} and {}; use the same data",
            a[place].id, b[place].id
        )));
    }
    let told = |results: &Results| {
        let Settings { grader, instruction, max_new_tokens, .. } = results.settings;
        [
            ("grader", serde_json::json!(grader)),
            ("instruction", instruction.into()),
            ("max_new_tokens", max_new_tokens.into()),
        ]
    };
    if let Some(((key, first), (_, second))) =
        told(first).into_iter().zip(told(second)).find(|(first, second)| first != second)
    {
        return Err(EvaluateError::Different(format!(
            "{key} is {first} in the first and {second} in the second; evaluate both alike"
        )));
    }
    let scores = |items: &[Scored]| -> Vec<f64> {
        let share = |correct: &[bool]| {
            correct.iter().filter(|correct| **correct).count() as f64 / correct.len().max(1) as f64
        };
        items.iter().map(|item| share(&item.correct)).collect()
    };
    let clusters = Clusters::new(a.iter().map(|item| item.family.as_deref()));
    let comparison = evaluation::statistics::compare(&scores(a), &scores(b), &clusters, 0);
    let (first_model, second_model) = (first.settings.title(), second.settings.title());
    Ok(Compared { first_model, second_model, comparison })
}
