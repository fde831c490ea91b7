//! A fixed case whose values one device computes and others are compared with.

use generation::{GenerateError, generate, top_scores};
use gym::{Gym, Split};
use processor::Message;
use qwen2_5_vl::Prompt;
use serde::{Deserialize, Serialize};

use crate::{Pretrained, Request, SessionError};

/// A generated picture and the greedy response to its question, as `cppo export` writes it into
/// the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelfTest {
    gym: Gym,
    index: u64,
    tokens: Vec<Expected>,
}

/// A token of the response.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Expected {
    id: u32,
    logprob: f32,
}

/// How far a device is from the one that made the case.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Agreement {
    pub tokens: usize,
    /// Places whose likeliest token is the expected one.
    pub agree: usize,
    /// In nats; NaN if any is.
    pub max_logprob_difference: f32,
    pub passed: bool,
}

/// Largest difference of log-probabilities that passes, in nats.
const TOLERANCE: f32 = 1e-2;

/// Longest response, in tokens.
const LENGTH: usize = 32;

impl SelfTest {
    /// Computes the case's values.
    ///
    /// # Errors
    ///
    /// When the model has no room for the case, or the device fails.
    pub async fn new(pretrained: &Pretrained, read_step: usize) -> Result<Self, SessionError> {
        let mut case = Self { gym: Gym::default(), index: 0, tokens: Vec::new() };
        let prompt = case.prompt(pretrained)?;
        let request = Request {
            max_new_tokens: Some(LENGTH),
            temperature: Some(0.0),
            details: true,
            ..Default::default()
        };
        let options = request.options(pretrained, &prompt, read_step)?;
        let go_on = async |_: usize, _: &_| std::ops::ControlFlow::Continue(());
        let completions = generate(&pretrained.model, &[prompt], &options, go_on).await?;
        let expected =
            |token: &generation::Token| Expected { id: token.id, logprob: token.logprob };
        case.tokens = completions[0].tokens.iter().map(expected).collect();
        Ok(case)
    }

    /// Scores the expected tokens, so that one that differs does not change those after it.
    ///
    /// # Errors
    ///
    /// When the case is not of this model, or the device fails.
    pub async fn run(&self, pretrained: &Pretrained) -> Result<Agreement, SessionError> {
        let prompt = self.prompt(pretrained)?;
        let response: Vec<u32> = self.tokens.iter().map(|token| token.id).collect();
        let (scores, top) = top_scores(&pretrained.model, &[prompt], &[response], 1.0, 1)
            .map_err(GenerateError::from)?;
        let logprobs = scores.logprobs.into_data_async().await.map_err(GenerateError::from)?;
        let differences = logprobs
            .iter::<f32>()
            .zip(&self.tokens)
            .map(|(found, expected)| (found - expected.logprob).abs());
        let max_logprob_difference = differences.fold(0.0, larger);
        let mut agree = 0;
        if let Some((ids, _)) = top {
            let ids = ids.into_data_async().await.map_err(GenerateError::from)?;
            let pairs = ids.iter::<u32>().zip(&self.tokens);
            agree = pairs.filter(|(id, expected)| *id == expected.id).count();
        }
        let tokens = self.tokens.len();
        let passed = agree == tokens && max_logprob_difference <= TOLERANCE;
        Ok(Agreement { tokens, agree, max_logprob_difference, passed })
    }

    fn prompt(&self, pretrained: &Pretrained) -> Result<Prompt, SessionError> {
        let item = self.gym.item(Split::Test, self.index);
        Ok(pretrained.prompt(&[Message::user(1, item.question)], &[item.picture])?)
    }
}

/// Unlike `f32::max`, keeps a NaN.
fn larger(one: f32, other: f32) -> f32 {
    if one.is_nan() || one >= other { one } else { other }
}
