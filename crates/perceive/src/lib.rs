//! Which tokens of a response come from the picture: scores under the picture as it is and under
//! perturbed ones, and the perception tokens that follow (CPPO, section 3.2).
//!
//! Nothing blocks on the device, so this runs in a browser as well.

mod agreement;

use burn::tensor::ExecutionError;
use cppo::perturbation::{Perturbations, Seed, View};
use cppo::{CplConfig, perception};
use generation::{Scores, top_scores};
use image::RgbImage;
use processor::{Processor, ProcessorError};
use qwen2_5_vl::{Prompt, PromptError, Qwen2_5_VL};

pub use agreement::{Agreement, agreement};

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
}

impl From<ExecutionError> for PerceiveError {
    fn from(error: ExecutionError) -> Self {
        Self::Device(error)
    }
}

/// Scores a response to a prompt about `pictures` with and without the pictures' information.
///
/// # Errors
///
/// When the perturbations are not valid, pictures given by the caller differ in number or size, or
/// prompt and response do not fit the model.
pub async fn perceive(
    model: &Qwen2_5_VL,
    processor: &Processor,
    original: &Prompt,
    pictures: &[RgbImage],
    response: &[u32],
    options: &PerceiveOptions,
) -> Result<Perceived, PerceiveError> {
    options.config.perturbations().validate().map_err(PerceiveError::Options)?;
    let perturbations = options.config.perturbations();
    let draw = |view: View, given: &Option<Vec<RgbImage>>| match given {
        Some(pictures) => vec![pictures.clone()],
        None => drawn(&perturbations, view, pictures, options),
    };
    let preserved = draw(View::Preserving, &options.preserved);
    let removed = draw(View::Removing, &options.removed);
    let whole = Scorer { model, processor, original, response, options };
    let (first, top) = whole.score(std::slice::from_ref(original)).await?;
    let (kept, _) = whole.average(&preserved).await?;
    let (lost, top_removed) = whole.average(&removed).await?;

    let entropies =
        |scores: &[TokenScore]| -> Vec<f32> { scores.iter().map(|score| score.entropy).collect() };
    let found = perception(&entropies(&first), &entropies(&lost), &options.config);
    let tokens = response.iter().enumerate().map(|(place, &id)| PerceivedToken {
        id,
        original: first[place],
        preserved: kept[place],
        removed: lost[place],
        shift: found.shift[place],
        score: found.score[place],
        perception: found.selected[place],
        top: top.get(place).cloned().unwrap_or_default(),
        top_removed: top_removed.get(place).cloned().unwrap_or_default(),
    });
    let tokens = tokens.collect();
    let first = |mut draws: Vec<Vec<RgbImage>>| draws.swap_remove(0);
    Ok(Perceived { tokens, preserved: first(preserved), removed: first(removed) })
}

fn drawn(
    perturbations: &Perturbations,
    view: View,
    pictures: &[RgbImage],
    options: &PerceiveOptions,
) -> Vec<Vec<RgbImage>> {
    let seed = |draw| Seed { run: options.seed, step: draw, prompt: 0 };
    (0..options.draws.max(1) as u64)
        .map(|draw| perturbations.perturb(view, pictures, seed(draw)))
        .collect()
}

type Tops = Vec<Vec<(u32, f32)>>;

/// The response and what it is scored with.
struct Scorer<'a> {
    model: &'a Qwen2_5_VL,
    processor: &'a Processor,
    original: &'a Prompt,
    response: &'a [u32],
    options: &'a PerceiveOptions,
}

impl Scorer<'_> {
    /// Mean scores over several draws of the pictures; likeliest tokens under the first.
    async fn average(
        &self,
        draws: &[Vec<RgbImage>],
    ) -> Result<(Vec<TokenScore>, Tops), PerceiveError> {
        let prompts = draws
            .iter()
            .map(|pictures| self.with_pictures(pictures))
            .collect::<Result<Vec<Prompt>, PerceiveError>>()?;
        self.score(&prompts).await
    }

    fn with_pictures(&self, pictures: &[RgbImage]) -> Result<Prompt, PerceiveError> {
        let mut prompt =
            Prompt { input_ids: self.original.input_ids.clone(), ..Default::default() };
        for picture in pictures {
            let patches = self.processor.image_processor.preprocess(picture)?;
            prompt.pixel_values.extend(patches.values);
            prompt.image_grid_thw.push(patches.grid_thw);
        }
        if prompt.image_grid_thw != self.original.image_grid_thw {
            return Err(PerceiveError::Options(format!(
                "the perturbed pictures make grids {:?} but the originals {:?}; give as many, of \
                 the same sizes",
                prompt.image_grid_thw, self.original.image_grid_thw
            )));
        }
        Ok(prompt)
    }

    /// Mean scores of the response over prompts; likeliest tokens under the first.
    async fn score(&self, prompts: &[Prompt]) -> Result<(Vec<TokenScore>, Tops), PerceiveError> {
        let responses = vec![self.response.to_vec(); prompts.len()];
        let temperature = self.options.temperature;
        let (Scores { logprobs, entropies }, top) =
            top_scores(self.model, prompts, &responses, temperature, self.options.top)?;
        let read = |data: burn::tensor::TensorData| -> Vec<f32> { data.iter::<f32>().collect() };
        let logprobs = read(logprobs.into_data_async().await?);
        let entropies = read(entropies.into_data_async().await?);
        let length = self.response.len();
        let mean = |values: &[f32], place: usize| {
            let draws = values.iter().skip(place).step_by(length);
            draws.sum::<f32>() / prompts.len() as f32
        };
        let scores = (0..length).map(|place| TokenScore {
            logprob: mean(&logprobs, place),
            entropy: mean(&entropies, place),
        });
        let scores = scores.collect();
        let mut likeliest = Tops::new();
        if let Some((ids, logprobs)) = top {
            let count = ids.dims()[1];
            let ids: Vec<u32> = ids.into_data_async().await?.iter::<u32>().collect();
            let logprobs = read(logprobs.into_data_async().await?);
            let rows = ids.chunks(count).zip(logprobs.chunks(count)).take(length);
            let pairs = |(ids, logprobs): (&[u32], &[f32])| {
                ids.iter().copied().zip(logprobs.iter().copied()).collect()
            };
            likeliest = rows.map(pairs).collect();
        }
        Ok((scores, likeliest))
    }
}
