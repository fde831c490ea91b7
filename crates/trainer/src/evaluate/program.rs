//! What a reward program says of an evaluation's responses, beside their verdicts.

use std::collections::BTreeMap;

use evaluation::Question;
use evaluation::statistics::{Clusters, Estimate, mean, std};
use serde::{Deserialize, Serialize};

use super::{EvaluateError, Responses, Settings};
use crate::reward::{Asked, Program};

/// Means over the responses of what a program says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgramReport {
    /// Its score.
    pub score: Estimate,
    /// Standard deviation of the scores of the `n` runs; None for one run.
    pub std: Option<f64>,
    /// Its further numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
}

impl ProgramReport {
    /// Asks about complete `responses` to `questions`, whose texts and data sets are given.
    ///
    /// # Errors
    ///
    /// When the program fails again and again.
    pub fn new(
        program: &mut Program,
        questions: &[Question],
        (texts, sources): (&[String], &[String]),
        responses: &Responses,
        settings: &Settings,
    ) -> Result<Self, EvaluateError> {
        let mut asked = Vec::new();
        for (index, question) in questions.iter().enumerate() {
            asked.extend(responses.of(index).map(|record| Asked {
                prompt: &texts[index],
                response: &record.response,
                answer: &question.truth,
                data_source: &sources[index],
            }));
        }
        let said = program.judge(&asked)?;
        let scores: Vec<f64> = said.iter().map(|said| f64::from(said.score)).collect();
        let by_question: Vec<f64> = scores.chunks(settings.n).map(mean).collect();
        let run =
            |run| mean(&scores.iter().skip(run).step_by(settings.n).copied().collect::<Vec<_>>());
        let mut metrics: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for (name, value) in said.into_iter().flat_map(|said| said.metrics) {
            metrics.entry(name).or_default().push(value);
        }
        let families = questions.iter().map(|question| question.family.as_deref());
        Ok(Self {
            score: Clusters::new(families).estimate(&by_question, settings.seed),
            std: std(&(0..settings.n).map(run).collect::<Vec<_>>()),
            metrics: metrics.into_iter().map(|(name, values)| (name, mean(&values))).collect(),
        })
    }
}
