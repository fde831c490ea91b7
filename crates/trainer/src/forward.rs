//! Responses under one or several views of the pictures: their scores now, their gradient once the
//! cotangents are known.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{DType, Int, Tensor, TensorData};
use cppo::{Cotangent, ViewScores};
use generation::{
    Activations, Divergence, RecordOptions, Recording, ScoreCotangents, Scores, divergence,
};
use qwen2_5_vl::{Prompt, PromptError, Qwen2_5_VL, map_on_cores, workers};

use crate::config::{ModelConfig, TrainerConfig};
use crate::pieces::{Piece, pieces};

/// Prompts, and responses to them by row.
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    /// The prompts.
    pub prompts: &'a [Prompt],
    /// Token ids of each response.
    pub ids: Vec<&'a [u32]>,
    /// Padded length of the responses.
    pub tokens: usize,
    /// The rows to run of each prompt.
    pub wanted: &'a [Vec<usize>],
}

impl Rows<'_> {
    fn places(&self, row: usize) -> std::ops::Range<usize> {
        row * self.tokens..(row + 1) * self.tokens
    }
}

/// How a forward is run.
#[derive(Clone, Copy, Debug)]
pub struct ForwardOptions {
    /// Temperature, activations and frozen parts.
    pub record: RecordOptions,
    /// Most responses in one piece.
    pub limit: usize,
    /// Keep each piece until its backward where all take no more responses than this; else only
    /// one is in memory at a time, and run twice.
    pub keep_up_to: usize,
    /// Whether rows will be compared over the whole vocabulary.
    pub compares: bool,
}

impl ForwardOptions {
    /// The options of a run.
    pub fn new(trainer: &TrainerConfig, model: &ModelConfig, temperature: f64) -> Self {
        let limit = trainer.micro_batch_responses;
        let (activations, keep_up_to) = match trainer.recompute {
            true => (Activations::Recomputed, limit),
            false => (Activations::Stored, usize::MAX),
        };
        let train_vision = model.trains_vision();
        let record = RecordOptions { temperature, activations, train_vision };
        Self { record, limit, keep_up_to, compares: false }
    }
}

/// A forward of the wanted rows; on a CPU each core runs pieces of its own.
pub struct Forward<'a> {
    rows: Rows<'a>,
    options: ForwardOptions,
    pieces: Vec<Piece>,
    recordings: Vec<Option<Recording>>,
    /// Hidden states that predict the tokens, piece after piece; where rows are compared.
    predicting: Option<Tensor<2>>,
    /// `[responses, tokens]`; places that were not asked for hold 0.
    pub scores: ViewScores,
}

impl<'a> Forward<'a> {
    /// Scores the wanted rows.
    ///
    /// # Errors
    ///
    /// When a prompt does not fit the model.
    pub fn new(
        model: &Qwen2_5_VL,
        rows: Rows<'a>,
        options: ForwardOptions,
    ) -> Result<Self, PromptError> {
        let zeros = vec![0.0; rows.ids.len() * rows.tokens];
        let scores = ViewScores { logprobs: zeros.clone(), entropies: zeros.clone(), kl: zeros };
        let device = model.device();
        let cost = |prompt: usize, wanted: &[usize]| {
            let responses = wanted.iter().map(|&row| rows.ids[row].len()).sum::<usize>();
            rows.prompts[prompt].input_ids.len() + responses
        };
        let pieces = pieces(rows.wanted, options.limit, workers(&device), cost);
        let keep = pieces.iter().map(|piece| piece.rows.len()).sum::<usize>() <= options.keep_up_to;
        let recorded = map_on_cores(pieces.iter().collect(), &device, |piece| {
            let recording = record(model, &rows, piece, options.record)?;
            let Scores { logprobs, entropies } = recording.scores();
            let predicting = options.compares.then(|| recording.predicting().clone());
            let scores = [numbers(logprobs), numbers(entropies)];
            Ok((scores, predicting, keep.then_some(recording)))
        });
        let (mut recordings, mut predicting) = (Vec::new(), Vec::new());
        let mut forward =
            Self { rows, options, pieces, recordings: Vec::new(), predicting: None, scores };
        for (piece, recorded) in forward.pieces.iter().zip(recorded) {
            let ([logprobs, entropies], hidden, recording) = recorded?;
            scatter(piece, &forward.rows, &logprobs, &mut forward.scores.logprobs);
            scatter(piece, &forward.rows, &entropies, &mut forward.scores.entropies);
            predicting.extend(hidden);
            recordings.push(recording);
        }
        forward.recordings = recordings;
        forward.predicting = (!predicting.is_empty()).then(|| Tensor::cat(predicting, 0));
        Ok(forward)
    }

    /// Fills in `KL(p ‖ q)` over the vocabulary at the place of row q, for pairs of rows (p, q)
    /// that hold the same response.
    ///
    /// # Panics
    ///
    /// When the options say that no rows are compared.
    pub fn compare(&mut self, model: &Qwen2_5_VL, pairs: &[(usize, usize)]) {
        if pairs.is_empty() {
            return;
        }
        let (p, q): (Vec<usize>, Vec<usize>) = pairs.iter().copied().unzip();
        let tokens = self.rows.tokens;
        let [p, q] = [p, q].map(|rows| self.hidden(&rows, tokens));
        let kl = divergence(&model.valid(), p, q, self.options.record.temperature);
        let kl: Vec<f32> = kl.into_data().iter::<f32>().collect();
        for (&(_, row), values) in pairs.iter().zip(kl.chunks(tokens)) {
            let length = self.rows.ids[row].len();
            self.scores.kl[row * tokens..][..length].copy_from_slice(&values[..length]);
        }
    }

    /// What predicts the tokens of some rows, which are repeated up to `tokens`.
    fn hidden(&self, rows: &[usize], tokens: usize) -> Tensor<2> {
        let mut first = vec![0; self.rows.ids.len()];
        let mut next = 0;
        for piece in &self.pieces {
            for &row in &piece.rows {
                first[row] = next;
                next += longest(piece, &self.rows);
            }
        }
        let places = rows.iter().flat_map(|&row| {
            let last = self.rows.ids[row].len().max(1) - 1;
            let first = first[row];
            (0..tokens).map(move |token| (first + token.min(last)) as i32)
        });
        let places: Vec<i32> = places.collect();
        let all = self.predicting.clone().expect("the options say that rows are compared");
        let data = TensorData::new(places, [rows.len() * tokens]);
        let places = Tensor::<1, Int>::from_data(data, (&all.device(), DType::I32));
        all.select(0, places)
    }

    /// Adds the gradient of `Σ score · cotangent`; `compared` are the pairs of each
    /// [`Self::compare`] whose divergences have cotangents, and no row is twice p or q in one.
    ///
    /// # Errors
    ///
    /// When a prompt does not fit the model.
    pub fn backward(
        mut self,
        model: &Qwen2_5_VL,
        cotangent: &Cotangent,
        compared: &[Vec<(usize, usize)>],
        gradients: &mut GradientsAccumulator<Qwen2_5_VL>,
    ) -> Result<(), PromptError> {
        let device = model.device();
        let flows = |values: &[f32]| values.iter().any(|&value| value != 0.0);
        let compared: Vec<Vec<(usize, usize)>> = compared
            .iter()
            .map(|pairs| {
                let takes = |(_, q): &(usize, usize)| flows(&cotangent.kl[self.rows.places(*q)]);
                pairs.iter().copied().filter(takes).collect()
            })
            .collect();
        let takes = |piece: &Piece| {
            piece.rows.iter().any(|&row| {
                !cotangent.is_zero(self.rows.places(row))
                    || compared.iter().flatten().any(|&(p, _)| p == row)
            })
        };
        let mut recordings = std::mem::take(&mut self.recordings).into_iter();
        let mut jobs = Vec::new();
        for piece in &self.pieces {
            let kept = recordings.next().flatten();
            if takes(piece) {
                jobs.push((piece, kept));
            }
        }
        let mut jobs = jobs.into_iter().peekable();
        while jobs.peek().is_some() {
            let some = jobs.by_ref().take(workers(&device)).collect();
            let pulled = map_on_cores(some, &device, |(piece, kept)| {
                let recording = match kept {
                    Some(recording) => recording,
                    None => record(model, &self.rows, piece, self.options.record)?,
                };
                Ok(self.pull(piece, recording, cotangent, &compared))
            });
            for pulled in pulled {
                gradients.accumulate(model, pulled?);
            }
        }
        Ok(())
    }

    fn pull(
        &self,
        piece: &Piece,
        recording: Recording,
        cotangent: &Cotangent,
        compared: &[Vec<(usize, usize)>],
    ) -> GradientsParams {
        let gather = |values: &[f32]| gather(piece, &self.rows, values);
        let mut sides = Vec::new();
        for pairs in compared {
            for reverse in [false, true] {
                let (mut others, mut slopes) = (piece.rows.clone(), vec![0.0; cotangent.kl.len()]);
                let mut any = false;
                for &(p, q) in pairs {
                    let (own, other) = if reverse { (q, p) } else { (p, q) };
                    if let Some(place) = piece.rows.iter().position(|&row| row == own) {
                        others[place] = other;
                        slopes[self.rows.places(own)]
                            .copy_from_slice(&cotangent.kl[self.rows.places(q)]);
                        any = true;
                    }
                }
                if any {
                    let tokens = longest(piece, &self.rows);
                    sides.push((self.hidden(&others, tokens), reverse, gather(&slopes)));
                }
            }
        }
        let divergences: Vec<Divergence> = sides
            .iter()
            .map(|(other, reverse, cotangents)| Divergence { other, reverse: *reverse, cotangents })
            .collect();
        recording.backward(&ScoreCotangents {
            logprobs: &gather(&cotangent.logprobs),
            entropies: &gather(&cotangent.entropies),
            divergences: &divergences,
        })
    }
}

fn record(
    model: &Qwen2_5_VL,
    rows: &Rows,
    piece: &Piece,
    options: RecordOptions,
) -> Result<Recording, PromptError> {
    let prompts: Vec<Prompt> =
        piece.prompts.iter().map(|&prompt| rows.prompts[prompt].clone()).collect();
    let ids: Vec<Vec<u32>> = piece.rows.iter().map(|&row| rows.ids[row].to_vec()).collect();
    Recording::new(model, &prompts, &piece.counts, &ids, options)
}

/// Tokens of a piece's longest response.
fn longest(piece: &Piece, rows: &Rows) -> usize {
    piece.rows.iter().map(|&row| rows.ids[row].len()).max().unwrap_or(0)
}

fn numbers(x: Tensor<2>) -> Vec<f32> {
    x.into_data().iter::<f32>().collect()
}

/// A piece's values to their places among all rows; padding is left as it was.
fn scatter(piece: &Piece, rows: &Rows, values: &[f32], all: &mut [f32]) {
    let tokens = longest(piece, rows);
    for (part, &row) in values.chunks(tokens.max(1)).zip(&piece.rows) {
        let length = rows.ids[row].len();
        let start = row * rows.tokens;
        all[start..start + length].copy_from_slice(&part[..length]);
    }
}

/// The inverse of [`scatter`]; padding is 0.
fn gather(piece: &Piece, rows: &Rows, all: &[f32]) -> Vec<f32> {
    let tokens = longest(piece, rows);
    let mut values = vec![0.0; piece.rows.len() * tokens];
    for (part, &row) in values.chunks_mut(tokens.max(1)).zip(&piece.rows) {
        let length = rows.ids[row].len();
        let start = row * rows.tokens;
        part[..length].copy_from_slice(&all[start..start + length]);
    }
    values
}
