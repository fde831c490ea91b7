//! One pass over the response after another, each under other pictures.

use std::ops::ControlFlow;

use burn::tensor::TensorData;
use generation::{Scores, top_scores};
use image::RgbImage;
use processor::Processor;
use qwen2_5_vl::{Prompt, Qwen2_5_VL};

use crate::{Passes, PerceiveError, PerceiveOptions, TokenScore};

/// The response and what it is scored with.
pub(crate) struct Scorer<'a, F> {
    pub model: &'a Qwen2_5_VL,
    pub processor: &'a Processor,
    pub original: &'a Prompt,
    pub response: &'a [u32],
    pub options: &'a PerceiveOptions,
    pub on_pass: F,
    pub passes: Passes,
}

/// The response's tokens under some pictures.
#[derive(Default)]
pub(crate) struct Scored {
    pub scores: Vec<TokenScore>,
    /// The likeliest ids at each place with their ln p; empty where none are asked for.
    pub top: Vec<Vec<(u32, f32)>>,
}

impl<F: AsyncFnMut(Passes) -> ControlFlow<()>> Scorer<'_, F> {
    /// Mean scores over several sets of pictures; likeliest tokens under the first.
    pub async fn pictures(&mut self, draws: &[Vec<RgbImage>]) -> Result<Scored, PerceiveError> {
        let mut mean = Scored::default();
        for pictures in draws {
            let prompt = self.with_pictures(pictures)?;
            let top = if mean.scores.is_empty() { self.options.top } else { 0 };
            let scored = self.prompt(&prompt, top).await?;
            if mean.scores.is_empty() {
                mean = scored;
                continue;
            }
            for (sum, score) in mean.scores.iter_mut().zip(scored.scores) {
                sum.logprob += score.logprob;
                sum.entropy += score.entropy;
            }
        }
        for sum in &mut mean.scores {
            sum.logprob /= draws.len() as f32;
            sum.entropy /= draws.len() as f32;
        }
        Ok(mean)
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

    /// One pass, with the `top` likeliest tokens at each place.
    pub async fn prompt(&mut self, prompt: &Prompt, top: usize) -> Result<Scored, PerceiveError> {
        if (self.on_pass)(self.passes).await.is_break() {
            return Err(PerceiveError::Cancelled);
        }
        let (prompts, responses) = (std::slice::from_ref(prompt), [self.response.to_vec()]);
        let (Scores { logprobs, entropies }, top) =
            top_scores(self.model, prompts, &responses, self.options.temperature, top)?;
        let read = |data: TensorData| -> Vec<f32> { data.iter::<f32>().collect() };
        let logprobs = read(logprobs.into_data_async().await?);
        let entropies = read(entropies.into_data_async().await?);
        let score = |(logprob, entropy)| TokenScore { logprob, entropy };
        let scores = logprobs.into_iter().zip(entropies).map(score).collect();
        let mut likeliest = Vec::new();
        if let Some((ids, logprobs)) = top {
            let count = ids.dims()[1];
            let ids: Vec<u32> = ids.into_data_async().await?.iter::<u32>().collect();
            let logprobs = read(logprobs.into_data_async().await?);
            let rows = ids.chunks(count).zip(logprobs.chunks(count));
            let pairs = |(ids, logprobs): (&[u32], &[f32])| {
                ids.iter().copied().zip(logprobs.iter().copied()).collect()
            };
            likeliest = rows.map(pairs).collect();
        }
        self.passes.done += 1;
        Ok(Scored { scores, top: likeliest })
    }
}
