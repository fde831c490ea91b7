//! A fixed case against the values that the native program computed for it.

use generation::top_scores;
use gym::{Gym, Split};
use processor::Message;
use serde::{Deserialize, Serialize};
use session::Pretrained;

use crate::error::Failure;

/// The case, as `cppo export` writes it into the manifest.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    gym: Gym,
    index: u64,
    /// The greedy response.
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, Deserialize)]
struct Token {
    id: u32,
    logprob: f32,
}

/// How far this device is from the native program.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    tokens: usize,
    /// Places whose likeliest token is the native program's.
    agree: usize,
    max_logprob_difference: f32,
    passed: bool,
}

/// Largest difference in nats that passes.
const TOLERANCE: f32 = 1e-2;

impl Case {
    /// Scores the expected tokens, so that one that differs does not change those after it.
    pub async fn run(&self, loaded: &Pretrained) -> Result<Report, Failure> {
        let item = self.gym.item(Split::Test, self.index);
        let prompt = loaded.prompt(&[Message::user(1, item.question)], &[item.picture])?;
        let response: Vec<u32> = self.tokens.iter().map(|token| token.id).collect();
        let (scores, top) =
            top_scores(&loaded.model, &[prompt], &[response], 1.0, 1).map_err(Failure::request)?;
        let lost = |error| Failure::new("device-lost", format!("{error:?}"));
        let logprobs = scores.logprobs.into_data_async().await.map_err(lost)?;
        let differences = logprobs
            .iter::<f32>()
            .zip(&self.tokens)
            .map(|(found, expected)| (found - expected.logprob).abs());
        // Unlike f32::max, this keeps a NaN.
        let max_logprob_difference = differences
            .fold(0.0, |max: f32, next| if next > max || next.is_nan() { next } else { max });
        let mut agree = 0;
        if let Some((ids, _)) = top {
            let ids = ids.into_data_async().await.map_err(lost)?;
            agree =
                ids.iter::<u32>().zip(&self.tokens).filter(|(id, token)| *id == token.id).count();
        }
        let tokens = self.tokens.len();
        let passed = agree == tokens && max_logprob_difference <= TOLERANCE;
        Ok(Report { tokens, agree, max_logprob_difference, passed })
    }
}
