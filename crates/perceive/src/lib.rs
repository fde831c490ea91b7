//! Which tokens of a response come from the picture: scores under the picture as it is and under
//! perturbed ones, and the perception tokens that follow (CPPO, section 3.2).
//!
//! Nothing blocks on the device, so this runs in a browser as well.

mod agreement;
mod scorer;

use std::ops::ControlFlow;

use burn::tensor::ExecutionError;
use cppo::perturbation::{Seed, View};
use cppo::{CplConfig, perception};
use image::RgbImage;
use processor::{Processor, ProcessorError};
use qwen2_5_vl::{Prompt, PromptError, Qwen2_5_VL};

pub use agreement::{Agreement, agreement};
use scorer::Scorer;

/// What to look at and how.
#[derive(Clone, Debug)]
pub struct PerceiveOptions {
    /// Selection of tokens, and the perturbations that are drawn from.
    pub config: CplConfig,
    /// Perturbed pictures of each kind whose scores are averaged; at least 1.
    pub draws: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// Divides the logits.
    pub temperature: f64,
    /// Likeliest tokens reported at each place.
    pub top: usize,
    /// Pictures without information in place of drawn ones.
    pub removed: Option<Vec<RgbImage>>,
    /// Pictures with the same information in place of drawn ones.
    pub preserved: Option<Vec<RgbImage>>,
}

impl Default for PerceiveOptions {
    fn default() -> Self {
        Self {
            config: CplConfig::default(),
            draws: 1,
            seed: 0,
            temperature: 1.0,
            top: 0,
            removed: None,
            preserved: None,
        }
    }
}

/// How many passes over the response are done, one for each set of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Passes {
    pub done: usize,
    pub total: usize,
}

impl PerceiveOptions {
    /// The passes that they ask for, before the first.
    pub fn passes(&self) -> Passes {
        let drawn = |given: &Option<_>| if given.is_some() { 1 } else { self.draws.max(1) };
        Passes { done: 0, total: 1 + drawn(&self.preserved) + drawn(&self.removed) }
    }

    /// Sets of perturbed pictures: those given by the caller, or else drawn ones.
    fn pictures(&self, view: View, pictures: &[RgbImage]) -> Vec<Vec<RgbImage>> {
        let given = match view {
            View::Preserving => &self.preserved,
            View::Removing => &self.removed,
        };
        if let Some(pictures) = given {
            return vec![pictures.clone()];
        }
        let perturbations = self.config.perturbations();
        let seed = |draw| Seed { run: self.seed, step: draw, prompt: 0 };
        (0..self.draws.max(1) as u64)
            .map(|draw| perturbations.perturb(view, pictures, seed(draw)))
            .collect()
    }
}

/// A token's scores under one kind of picture, averaged over the draws.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TokenScore {
    /// ln p of the token.
    pub logprob: f32,
    /// Entropy in nats of the distribution it would be drawn from.
    pub entropy: f32,
}

/// One token of the response.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PerceivedToken {
    /// Its id.
    pub id: u32,
    /// Under the pictures as they are.
    pub original: TokenScore,
    /// Under preserving perturbations.
    pub preserved: TokenScore,
    /// Under removing perturbations.
    pub removed: TokenScore,
    /// `removed.entropy - original.entropy`
    pub shift: f32,
    /// `max(shift, 0) / (removed.entropy + score_eps)`
    pub score: f32,
    /// Whether it is a perception token.
    pub perception: bool,
    /// The likeliest ids and their ln p under the pictures as they are.
    pub top: Vec<(u32, f32)>,
    /// The same under the first draw of removing perturbations.
    pub top_removed: Vec<(u32, f32)>,
}

/// A response under several kinds of pictures.
#[derive(Clone, Debug)]
pub struct Perceived {
    /// Its tokens.
    pub tokens: Vec<PerceivedToken>,
    /// The first draw of preserving perturbations.
    pub preserved: Vec<RgbImage>,
    /// The first draw of removing perturbations.
    pub removed: Vec<RgbImage>,
}

/// Why nothing could be said.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum PerceiveError {
    #[error(transparent)]
    Processor(#[from] ProcessorError),
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error("the device failed: {0:?}")]
    Device(ExecutionError),
    #[error("{0}")]
    Options(String),
    #[error("stopped on request")]
    Cancelled,
}

impl From<ExecutionError> for PerceiveError {
    fn from(error: ExecutionError) -> Self {
        Self::Device(error)
    }
}

/// Scores a response to a prompt about `pictures` with and without the pictures' information.
///
/// `on_pass` is asked before each pass, and may stop everything. It may also wait, to let a
/// browser's event loop turn; nothing blocks on the device.
///
/// # Errors
///
/// When the perturbations are not valid, pictures given by the caller differ in number or size,
/// prompt and response do not fit the model, or `on_pass` stops.
pub async fn perceive(
    model: &Qwen2_5_VL,
    processor: &Processor,
    original: &Prompt,
    pictures: &[RgbImage],
    response: &[u32],
    options: &PerceiveOptions,
    on_pass: impl AsyncFnMut(Passes) -> ControlFlow<()>,
) -> Result<Perceived, PerceiveError> {
    options.config.perturbations().validate().map_err(PerceiveError::Options)?;
    let preserved = options.pictures(View::Preserving, pictures);
    let removed = options.pictures(View::Removing, pictures);
    let passes = options.passes();
    let mut scorer = Scorer { model, processor, original, response, options, on_pass, passes };
    let whole = scorer.prompt(original, options.top).await?;
    let kept = scorer.pictures(&preserved).await?;
    let lost = scorer.pictures(&removed).await?;

    let entropies =
        |scores: &[TokenScore]| -> Vec<f32> { scores.iter().map(|score| score.entropy).collect() };
    let found = perception(&entropies(&whole.scores), &entropies(&lost.scores), &options.config);
    let tokens = response.iter().enumerate().map(|(place, &id)| PerceivedToken {
        id,
        original: whole.scores[place],
        preserved: kept.scores[place],
        removed: lost.scores[place],
        shift: found.shift[place],
        score: found.score[place],
        perception: found.selected[place],
        top: whole.top.get(place).cloned().unwrap_or_default(),
        top_removed: lost.top.get(place).cloned().unwrap_or_default(),
    });
    let tokens = tokens.collect();
    let first = |mut draws: Vec<Vec<RgbImage>>| draws.swap_remove(0);
    Ok(Perceived { tokens, preserved: first(preserved), removed: first(removed) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_are_counted_before_the_first() {
        let given = || Some(vec![RgbImage::new(1, 1)]);
        let cases = [
            (PerceiveOptions::default(), 3),
            (PerceiveOptions { draws: 4, ..Default::default() }, 9),
            (PerceiveOptions { draws: 0, ..Default::default() }, 3),
            (PerceiveOptions { draws: 4, removed: given(), ..Default::default() }, 6),
            (
                PerceiveOptions {
                    draws: 4,
                    removed: given(),
                    preserved: given(),
                    ..Default::default()
                },
                3,
            ),
        ];
        for (options, total) in cases {
            assert_eq!(options.passes(), Passes { done: 0, total });
        }
    }
}
