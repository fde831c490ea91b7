//! The last stage of scoring, from hidden states to log-probabilities, entropies and divergences,
//! in row chunks so that `[tokens, vocab_size]` never exists.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, IndexingUpdateOp, Int, Tensor, TensorData};
use qwen2_5_vl::Qwen2_5_VL;

use crate::recording::{ScoreCotangents, Sum, floats};
use crate::score::{chunk_rows, token_scores};

/// Derivatives by `KL(p ‖ q)` of each token, where one of p and q is the recording that is
/// differentiated and the other is held fixed.
#[derive(Clone, Copy, Debug)]
pub struct Divergence<'a> {
    /// What predicts the other distribution ([`crate::Recording::predicting`]).
    pub other: &'a Tensor<2>,
    /// True where the recording is q.
    pub reverse: bool,
    /// `[responses, tokens]`, row-major.
    pub cotangents: &'a [f32],
}

/// `KL(p ‖ q)` of each token, summed over the vocabulary; `model` computes the logits of both.
///
/// # Shapes
///
/// - p, q: hidden states, `[tokens, hidden_size]`
/// - output: `[tokens]`, in nats
pub fn divergence(model: &Qwen2_5_VL, p: Tensor<2>, q: Tensor<2>, temperature: f64) -> Tensor<1> {
    let step = chunk_rows(model);
    let chunks = p.split(step, 0).into_iter().zip(q.split(step, 0));
    let log = |hidden| log_softmax(model.logits(hidden).div_scalar(temperature), 1);
    Tensor::cat(chunks.map(|(p, q)| kl_rows(log(p), log(q))).collect(), 0)
}

/// `Σ p · (ln p - ln q)` of each row.
fn kl_rows(log_p: Tensor<2>, log_q: Tensor<2>) -> Tensor<1> {
    let [rows, _] = log_p.dims();
    (log_p.clone().exp() * (log_p - log_q)).sum_dim(1).reshape([rows])
}

/// Pulls the cotangents back to the hidden states; rows through which nothing flows are skipped.
///
/// # Shapes
///
/// - predicting, output: `[tokens, hidden_size]`
/// - targets: `[tokens]`
pub(crate) fn backward(
    sum: &mut Sum,
    predicting: Tensor<2>,
    targets: Tensor<1, Int>,
    temperature: f64,
    cotangents: &ScoreCotangents,
) -> Tensor<2> {
    let model = sum.model;
    let plain = model.valid();
    let rows = rows_with_gradient(cotangents);
    let mut d_predicting = predicting.zeros_like();
    for rows in rows.chunks(chunk_rows(model)) {
        let places = Tensor::<1, Int>::from_data(
            TensorData::new(rows.iter().map(|&row| row as i32).collect(), [rows.len()]),
            (&predicting.device(), DType::I32),
        );
        let pick = |values: &[f32]| floats(rows.iter().map(|&row| values[row]).collect(), model);
        let x = predicting.clone().select(0, places.clone()).autodiff().require_grad();
        let targets = targets.clone().select(0, places.clone());
        let logits = model.logits(x.clone());
        let (logprobs, entropies) = token_scores(logits.clone(), targets, temperature);
        let mut loss = (logprobs * pick(cotangents.logprobs)).sum();
        if cotangents.entropies.iter().any(|&value| value != 0.0) {
            loss = loss + (entropies * pick(cotangents.entropies)).sum();
        }
        for divergence in cotangents.divergences {
            let own = log_softmax(logits.clone().div_scalar(temperature), 1);
            let other = divergence.other.clone().select(0, places.clone());
            let other = log_softmax(plain.logits(other).div_scalar(temperature), 1);
            let (p, q) = if divergence.reverse { (other, own) } else { (own, other) };
            loss = loss + (kl_rows(p, q) * pick(divergence.cotangents)).sum();
        }
        let mut gradients = loss.backward();
        let d_rows = x.grad_remove(&mut gradients).expect("the loss depends on its rows");
        d_predicting = d_predicting.select_assign(0, places, d_rows, IndexingUpdateOp::Add);
        sum.add(gradients);
    }
    d_predicting
}

fn rows_with_gradient(cotangents: &ScoreCotangents) -> Vec<usize> {
    let nonzero = |values: &[f32], row: usize| values[row] != 0.0;
    (0..cotangents.logprobs.len())
        .filter(|&row| {
            nonzero(cotangents.logprobs, row)
                || nonzero(cotangents.entropies, row)
                || cotangents.divergences.iter().any(|d| nonzero(d.cotangents, row))
        })
        .collect()
}
