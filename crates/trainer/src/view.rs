//! One view of the pictures: its scores now, its gradient once the cotangents are known.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;
use cppo::{Cotangent, ViewScores};
use generation::{Activations, Divergence, RecordOptions, Recording, ScoreCotangents};
use qwen2_5_vl::{Prompt, PromptError, Qwen2_5_VL};

use crate::config::{ModelConfig, TrainerConfig};
use crate::pieces::{Piece, pieces};

/// The responses of a mini-batch, by row.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// Token ids of each response.
    pub ids: &'a [&'a [u32]],
    /// Padded length.
    pub tokens: usize,
}

/// How views are run.
#[derive(Clone, Copy)]
pub struct ViewOptions {
    /// Temperature, activations and frozen parts.
    pub record: RecordOptions,
    /// Most responses in one forward.
    pub limit: usize,
    /// Keep each forward until its backward; else only one is in memory at a time, and run twice.
    pub keep: bool,
}

/// A forward of some responses under one view.
pub struct View<'a> {
    prompts: &'a [Prompt],
    rows: Rows<'a>,
    options: ViewOptions,
    pieces: Vec<Piece>,
    recordings: Vec<Option<Recording>>,
    /// Hidden states that predict each piece's tokens.
    predicting: Vec<Tensor<2>>,
    /// `[responses, tokens]`; places that were not asked for hold 0.
    pub scores: ViewScores,
}

impl<'a> View<'a> {
    /// Scores the wanted rows of each prompt.
    ///
    /// # Errors
    ///
    /// When a prompt does not fit the model.
    pub fn score(
        model: &Qwen2_5_VL,
        prompts: &'a [Prompt],
        rows: Rows<'a>,
        wanted: &[Vec<usize>],
        options: ViewOptions,
    ) -> Result<Self, PromptError> {
        let size = rows.ids.len() * rows.tokens;
        let scores = ViewScores {
            logprobs: vec![0.0; size],
            entropies: vec![0.0; size],
            kl: vec![0.0; size],
        };
        let pieces = pieces(wanted, options.limit);
        let mut view = Self {
            prompts,
            rows,
            options,
            pieces,
            recordings: Vec::new(),
            predicting: Vec::new(),
            scores,
        };
        for piece in view.pieces.clone() {
            let recording = view.record(model, &piece)?;
            let scores = recording.scores(model);
            scatter(&piece, rows, scores.logprobs, &mut view.scores.logprobs);
            scatter(&piece, rows, scores.entropies, &mut view.scores.entropies);
            view.predicting.push(recording.predicting().clone());
            view.recordings.push(options.keep.then_some(recording));
        }
        Ok(view)
    }

    fn record(&self, model: &Qwen2_5_VL, piece: &Piece) -> Result<Recording, PromptError> {
        let prompts: Vec<Prompt> =
            piece.prompts.iter().map(|&prompt| self.prompts[prompt].clone()).collect();
        let responses: Vec<Vec<u32>> =
            piece.rows.iter().map(|&row| self.rows.ids[row].to_vec()).collect();
        Recording::new(model, &prompts, &responses, self.options.record)
    }

    /// Fills in `KL(original ‖ this view)`; `original` must have scored the same rows.
    pub fn compare(&mut self, model: &Qwen2_5_VL, original: &View) {
        let plain = model.valid();
        for (index, piece) in self.pieces.iter().enumerate() {
            let (p, q) = (&original.predicting[index], &self.predicting[index]);
            let temperature = self.options.record.temperature;
            let tokens = p.dims()[0] / piece.rows.len();
            let kl = generation::divergence(&plain, p.clone(), q.clone(), temperature);
            scatter(piece, self.rows, kl.reshape([piece.rows.len(), tokens]), &mut self.scores.kl);
        }
    }

    /// Adds the gradient of `Σ score · cotangent` over this view's rows.
    ///
    /// `divergences` are other views of the same rows, whether this one is the `q` of
    /// `KL(p ‖ q)`, and the cotangents of that divergence.
    ///
    /// # Errors
    ///
    /// When a prompt does not fit the model.
    pub fn backward(
        &mut self,
        model: &Qwen2_5_VL,
        cotangent: &Cotangent,
        divergences: &[(&[Tensor<2>], bool, &[f32])],
        gradients: &mut GradientsAccumulator<Qwen2_5_VL>,
    ) -> Result<(), PromptError> {
        for index in 0..self.pieces.len() {
            let piece = self.pieces[index].clone();
            let places = |row: usize| row * self.rows.tokens..(row + 1) * self.rows.tokens;
            let flows = piece.rows.iter().any(|&row| {
                !cotangent.is_zero(places(row))
                    || divergences.iter().any(|(.., kl)| kl[places(row)].iter().any(|&c| c != 0.0))
            });
            let kept = self.recordings[index].take();
            if !flows {
                continue;
            }
            let recording = kept.map_or_else(|| self.record(model, &piece), Ok)?;
            let gather = |values: &[f32]| gather(&piece, self.rows, values);
            let kl: Vec<Vec<f32>> = divergences.iter().map(|(.., kl)| gather(kl)).collect();
            let divergences: Vec<Divergence> = divergences
                .iter()
                .zip(&kl)
                .map(|((other, reverse, _), cotangents)| Divergence {
                    other: &other[index],
                    reverse: *reverse,
                    cotangents,
                })
                .collect();
            let (logprobs, entropies) = (gather(&cotangent.logprobs), gather(&cotangent.entropies));
            let cotangents = ScoreCotangents {
                logprobs: &logprobs,
                entropies: &entropies,
                divergences: &divergences,
            };
            let pulled: GradientsParams = recording.backward(model, &cotangents);
            gradients.accumulate(model, pulled);
        }
        Ok(())
    }

    /// What predicts each piece's tokens, for another view's divergence.
    pub fn predicting(&self) -> &[Tensor<2>] {
        &self.predicting
    }
}

impl ViewOptions {
    /// The options of a run for a mini-batch of `rows` responses.
    pub fn new(
        trainer: &TrainerConfig,
        model: &ModelConfig,
        temperature: f64,
        rows: usize,
    ) -> Self {
        let activations = match trainer.recompute {
            true => Activations::Recomputed,
            false => Activations::Stored,
        };
        let train_vision = !model.freeze_vision;
        Self {
            record: RecordOptions { temperature, activations, train_vision },
            limit: trainer.micro_batch_responses,
            keep: !trainer.recompute || rows <= trainer.micro_batch_responses,
        }
    }
}

/// Tokens of a piece's longest response.
fn longest(piece: &Piece, rows: Rows) -> usize {
    piece.rows.iter().map(|&row| rows.ids[row].len()).max().unwrap_or(0)
}

/// A piece's values to their places among all rows; padding is left as it was.
fn scatter(piece: &Piece, rows: Rows, values: Tensor<2>, all: &mut [f32]) {
    let [_, tokens] = values.dims();
    let values: Vec<f32> = values.into_data().iter::<f32>().collect();
    for (part, &row) in values.chunks(tokens).zip(&piece.rows) {
        let length = rows.ids[row].len();
        let start = row * rows.tokens;
        all[start..start + length].copy_from_slice(&part[..length]);
    }
}

/// The inverse of [`scatter`]; padding is 0.
fn gather(piece: &Piece, rows: Rows, all: &[f32]) -> Vec<f32> {
    let tokens = longest(piece, rows);
    let mut values = vec![0.0; piece.rows.len() * tokens];
    for (part, &row) in values.chunks_mut(tokens).zip(&piece.rows) {
        let length = rows.ids[row].len();
        let start = row * rows.tokens;
        part[..length].copy_from_slice(&all[start..start + length]);
    }
    values
}
