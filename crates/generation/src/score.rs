//! Log-probability and entropy of given response tokens.

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Int, Tensor, TensorData};
use qwen2_5_vl::{Prompt, PromptError, Qwen2_5_VL};

use crate::sharing::Sharing;

/// Logits held at a time (64 MiB in f32), so that `[tokens, vocab_size]` never exists.
const MAX_LOGITS: usize = 1 << 24;

/// Scores of response tokens; places after a response's end hold numbers without meaning.
#[derive(Clone, Debug)]
pub struct Scores {
    /// ln p(token | what is before it), `[responses, tokens]`
    pub logprobs: Tensor<2>,
    /// Entropy in nats of the distribution the token was drawn from, `[responses, tokens]`
    pub entropies: Tensor<2>,
}

/// Scores responses to prompts; each prompt runs once, and its responses attend to it.
///
/// `responses` holds the same number of responses for each prompt, prompt after prompt. Logits
/// are divided by `temperature`.
///
/// # Errors
///
/// When a prompt does not fit the model, or there are no responses.
pub fn score(
    model: &Qwen2_5_VL,
    prompts: &[Prompt],
    responses: &[Vec<u32>],
    temperature: f64,
) -> Result<Scores, PromptError> {
    score_uneven(model, prompts, &even(prompts, responses)?, responses, temperature)
}

/// [`score`], with `counts[i]` responses to prompt `i`.
///
/// # Errors
///
/// As [`score`].
pub fn score_uneven(
    model: &Qwen2_5_VL,
    prompts: &[Prompt],
    counts: &[usize],
    responses: &[Vec<u32>],
    temperature: f64,
) -> Result<Scores, PromptError> {
    let (hidden, ids) = predicting(model, prompts, counts, responses)?;
    Ok(score_hidden(model, hidden, ids, temperature))
}

/// The number of responses to each prompt, where all prompts have as many.
fn even(prompts: &[Prompt], responses: &[Vec<u32>]) -> Result<Vec<usize>, PromptError> {
    let count = responses.len().checked_div(prompts.len()).ok_or(PromptError::Empty)?;
    Ok(vec![count; prompts.len()])
}

/// [`score`], with the ids and log-probabilities of the `top` likeliest tokens at each place.
///
/// # Shapes
///
/// - ids, log-probabilities: `[responses · tokens, top]`, likeliest first; None where `top` is 0
///
/// # Errors
///
/// As [`score`].
#[allow(clippy::type_complexity)]
pub fn top_scores(
    model: &Qwen2_5_VL,
    prompts: &[Prompt],
    responses: &[Vec<u32>],
    temperature: f64,
    top: usize,
) -> Result<(Scores, Option<(Tensor<2, Int>, Tensor<2>)>), PromptError> {
    let (hidden, ids) = predicting(model, prompts, &even(prompts, responses)?, responses)?;
    let scores = score_hidden(model, hidden.clone(), ids, temperature);
    let top = top.min(model.config().text_config.vocab_size);
    if top == 0 {
        return Ok((scores, None));
    }
    let (logprobs, ids) = hidden
        .split(chunk_rows(model), 0)
        .into_iter()
        .map(|hidden| {
            let logits = model.logits(hidden).div_scalar(temperature);
            log_softmax(logits, 1).topk_with_indices(top, 1)
        })
        .unzip();
    Ok((scores, Some((Tensor::cat(ids, 0), Tensor::<2>::cat(logprobs, 0)))))
}

/// The hidden states that predict the responses' tokens, and those tokens.
fn predicting(
    model: &Qwen2_5_VL,
    prompts: &[Prompt],
    counts: &[usize],
    responses: &[Vec<u32>],
) -> Result<(Tensor<2>, Tensor<2, Int>), PromptError> {
    let batch = model.batch(prompts)?;
    let sharing = Sharing::new(counts)?;
    let ids = response_ids(model, counts, responses)?;
    let (hidden, prefix) = model.prefill(&batch);
    let prefix = sharing.prefix(prefix, batch.longest, model);
    let last = sharing.rows(model.last_hidden(hidden, &batch), model);
    Ok((predictors(last, model.respond(ids.clone(), &prefix)), ids))
}

/// Response ids padded on the right, `[responses, tokens]`.
pub(crate) fn response_ids(
    model: &Qwen2_5_VL,
    counts: &[usize],
    responses: &[Vec<u32>],
) -> Result<Tensor<2, Int>, PromptError> {
    let tokens = responses.iter().map(Vec::len).max().unwrap_or(0);
    if tokens == 0 || responses.len() != counts.iter().sum::<usize>() {
        return Err(PromptError::Empty);
    }
    let vocab_size = model.config().text_config.vocab_size;
    let mut ids = vec![0i32; responses.len() * tokens];
    for (row, response) in responses.iter().enumerate() {
        for (position, &id) in response.iter().enumerate() {
            if id as usize >= vocab_size {
                return Err(PromptError::TokenId { id, position, vocab_size });
            }
            ids[row * tokens + position] = id as i32;
        }
    }
    let data = TensorData::new(ids, [responses.len(), tokens]);
    Ok(Tensor::from_data(data, (&model.device(), DType::I32)))
}

/// The hidden states from which each response token was predicted: the prompt's last one, then
/// those of the response itself but the last.
///
/// # Shapes
///
/// - last: `[prompts, hidden_size]`
/// - hidden: `[prompts · responses, tokens, hidden_size]`
/// - output: `[prompts · responses · tokens, hidden_size]`
pub(crate) fn predictors(last: Tensor<2>, hidden: Tensor<3>) -> Tensor<2> {
    let [rows, tokens, width] = hidden.dims();
    let [prompts, _] = last.dims();
    let first = last
        .reshape([prompts, 1, width])
        .expand([prompts, rows / prompts, width])
        .reshape([rows, 1, width]);
    let hidden = match tokens {
        1 => first,
        _ => Tensor::cat(vec![first, hidden.slice_dim(1, 0..tokens - 1)], 1),
    };
    hidden.reshape([rows * tokens, width])
}

/// Scores in row chunks.
pub(crate) fn score_hidden(
    model: &Qwen2_5_VL,
    hidden: Tensor<2>,
    ids: Tensor<2, Int>,
    temperature: f64,
) -> Scores {
    let shape = ids.dims();
    let targets = ids.reshape([shape[0] * shape[1]]);
    let step = chunk_rows(model);
    let (logprobs, entropies) = hidden
        .split(step, 0)
        .into_iter()
        .zip(targets.split(step, 0))
        .map(|(hidden, targets)| token_scores(model.logits(hidden), targets, temperature))
        .unzip();
    Scores {
        logprobs: Tensor::<1>::cat(logprobs, 0).reshape(shape),
        entropies: Tensor::<1>::cat(entropies, 0).reshape(shape),
    }
}

/// Rows of logits that fit into the budget.
pub(crate) fn chunk_rows(model: &Qwen2_5_VL) -> usize {
    (MAX_LOGITS / model.config().text_config.vocab_size).max(1)
}

/// Log-probability of each target, and entropy `logsumexp(z) − Σ softmax(z) · z`, z being the
/// logits over the temperature.
///
/// # Shapes
///
/// - logits: `[tokens, vocab_size]`, f32
/// - targets: `[tokens]`
/// - output: `[tokens]` both, in nats
pub fn token_scores(
    logits: Tensor<2>,
    targets: Tensor<1, Int>,
    temperature: f64,
) -> (Tensor<1>, Tensor<1>) {
    let [tokens, _] = logits.dims();
    let logits = logits.div_scalar(temperature);
    let largest = logits.clone().detach().max_dim(1);
    let logits = logits - largest;
    let exp = logits.clone().exp();
    let sum = exp.clone().sum_dim(1);
    let logsumexp = sum.clone().log();
    let mean = (exp * logits.clone()).sum_dim(1) / sum;
    let chosen = logits.gather(1, targets.reshape([tokens, 1]));
    ((chosen - logsumexp.clone()).reshape([tokens]), (logsumexp - mean).reshape([tokens]))
}
