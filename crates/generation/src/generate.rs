//! Decoding: many responses from one prefix per prompt, token by token.

use std::ops::ControlFlow;

use burn::tensor::{ExecutionError, Int, Tensor};
use qwen2_5_vl::{KvCache, Prompt, PromptError, Qwen2_5_VL, indices};

use crate::compaction::{kept, rows_of};
use crate::sampling::{Sampler, SamplingParams};
use crate::score::token_scores;

/// What to generate and when to stop.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    /// How tokens are drawn.
    pub sampling: SamplingParams,
    /// Responses to each prompt.
    pub n: usize,
    /// Longest response, in tokens.
    pub max_new_tokens: usize,
    /// Tokens that end a response; they are part of it.
    pub eos_token_ids: Vec<u32>,
    /// Ids that are never drawn: vision tokens and ids without a token. Scores still count them.
    pub never_sampled: Vec<u32>,
    /// Log-probability and entropy of each token; None leaves them out and saves their cost.
    pub details: Option<Details>,
    /// Random stream of the first response to each prompt, whose others follow; empty for 0, n, 2n
    /// and so on. Rows with the same seed and stream draw the same, whatever batch they are in.
    pub streams: Vec<u64>,
    /// Keys that attention reads are rounded up to a multiple of this; see [`KvCache::new`].
    pub read_step: usize,
}

/// What to report of each token.
#[derive(Clone, Copy, Debug, Default)]
pub struct Details {
    /// Number of likeliest alternatives.
    pub top_logprobs: usize,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            sampling: SamplingParams::default(),
            n: 1,
            max_new_tokens: 512,
            eos_token_ids: Vec::new(),
            never_sampled: Vec::new(),
            details: None,
            streams: Vec::new(),
            read_step: 1,
        }
    }
}

/// One generated token.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// ln p in nats at the sampling temperature (1 when greedy), over the full distribution;
    /// NaN unless details were asked for.
    pub logprob: f32,
    /// Entropy in nats of that distribution; NaN unless details were asked for.
    pub entropy: f32,
    /// The likeliest ids with their log-probabilities, likeliest first.
    pub top: Vec<(u32, f32)>,
}

/// Why a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// An end-of-sequence token was drawn.
    Stop,
    /// `max_new_tokens` was reached.
    Length,
    /// The caller asked to stop.
    Cancelled,
}

/// One response.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// Its tokens, the end-of-sequence token included.
    pub tokens: Vec<Token>,
    /// Why it ended.
    pub finish: Finish,
}

/// Why nothing could be generated.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum GenerateError {
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error("{0}")]
    Sampling(String),
    #[error("the device failed: {0:?}")]
    Device(ExecutionError),
}

impl From<ExecutionError> for GenerateError {
    fn from(error: ExecutionError) -> Self {
        Self::Device(error)
    }
}

/// Generates `n` responses to each prompt, prompt after prompt.
///
/// `on_token` sees each token of each response (by row) as it is drawn, and may stop everything.
/// It may also wait, to let a browser's event loop turn; nothing blocks on the device.
///
/// # Errors
///
/// When a prompt does not fit the model, an option is out of range or the device fails.
pub async fn generate(
    model: &Qwen2_5_VL,
    prompts: &[Prompt],
    options: &GenerateOptions,
    mut on_token: impl AsyncFnMut(usize, &Token) -> ControlFlow<()>,
) -> Result<Vec<Completion>, GenerateError> {
    options.sampling.validate().map_err(GenerateError::Sampling)?;
    if options.n == 0 {
        return Err(GenerateError::Sampling("n is 0, must be 1 or more".into()));
    }
    let streams = rows_streams(options, prompts.len())?;
    let batch = model.batch(prompts)?;
    let rows = prompts.len() * options.n;
    let mut completions = vec![Completion { tokens: Vec::new(), finish: Finish::Length }; rows];
    if options.max_new_tokens == 0 {
        return Ok(completions);
    }
    let (hidden, mut prefix) = model.prefill(&batch);
    let mut cache = KvCache::new(&prefix, options.n, options.read_step.max(1));
    let ids: Vec<&[u32]> = prompts.iter().map(|prompt| prompt.input_ids.as_slice()).collect();
    let vocab_size = model.config().text_config.vocab_size;
    let mut sampler = Sampler::new(
        (&options.sampling, &streams),
        &ids,
        options.n,
        &options.never_sampled,
        vocab_size,
        &model.device(),
    );
    let first = model.logits(model.last_hidden(hidden, &batch));
    let mut logits = first
        .reshape([prompts.len(), 1, vocab_size])
        .expand([prompts.len(), options.n, vocab_size])
        .reshape([rows, vocab_size]);
    let mut open = vec![true; rows];
    // The response that each row of the batch holds.
    let mut responses: Vec<usize> = (0..rows).collect();
    loop {
        let mut drawn = sampler.draw(logits.clone()).await?;
        let tokens = describe(logits, drawn.clone(), options).await?;
        for (row, token) in tokens.into_iter().enumerate() {
            if !open[row] {
                continue;
            }
            let completion = &mut completions[responses[row]];
            if options.eos_token_ids.contains(&token.id) {
                completion.finish = Finish::Stop;
                open[row] = false;
            }
            let flow = on_token(responses[row], &token).await;
            completion.tokens.push(token);
            if flow.is_break() {
                for row in (0..open.len()).filter(|&row| open[row]) {
                    completions[responses[row]].finish = Finish::Cancelled;
                }
                return Ok(completions);
            }
        }
        if !open.contains(&true) || cache.length() + 1 == options.max_new_tokens {
            return Ok(completions);
        }
        if let Some(kept) = kept(&open, cache.responses()) {
            let rows = rows_of(&kept, cache.responses());
            drawn = drawn.select(0, indices(&rows, &model.device()));
            sampler.select(&rows);
            prefix = prefix.select(&kept, &model.device());
            cache.select(&kept);
            open = rows.iter().map(|&row| open[row]).collect();
            responses = rows.iter().map(|&row| responses[row]).collect();
        }
        let hidden = model.decode(drawn.reshape([open.len(), 1]), &prefix, &mut cache);
        let [rows, _, width] = hidden.dims();
        logits = model.logits(hidden.reshape([rows, width]));
    }
}

/// Random stream of each row.
fn rows_streams(options: &GenerateOptions, prompts: usize) -> Result<Vec<u64>, GenerateError> {
    let n = options.n as u64;
    let firsts = match options.streams.len() {
        0 => (0..prompts as u64).map(|prompt| prompt * n).collect(),
        count if count == prompts => options.streams.clone(),
        count => {
            let message = format!("{count} random streams for {prompts} prompts");
            return Err(GenerateError::Sampling(message));
        }
    };
    Ok(firsts
        .into_iter()
        .flat_map(|first| (0..n).map(move |row| first.wrapping_add(row)))
        .collect())
}

/// Reads the drawn tokens, with their scores where asked for.
async fn describe(
    logits: Tensor<2>,
    drawn: Tensor<1, Int>,
    options: &GenerateOptions,
) -> Result<Vec<Token>, ExecutionError> {
    let ids = drawn.clone().into_data_async().await?;
    let mut tokens: Vec<Token> = ids
        .iter::<u32>()
        .map(|id| Token { id, logprob: f32::NAN, entropy: f32::NAN, top: Vec::new() })
        .collect();
    let Some(details) = options.details else { return Ok(tokens) };
    let temperature = match options.sampling.temperature {
        0.0 => 1.0,
        temperature => temperature,
    };
    let (logprobs, entropies) = token_scores(logits.clone(), drawn, temperature);
    let logprobs = logprobs.into_data_async().await?;
    let entropies = entropies.into_data_async().await?;
    let scores = logprobs.iter::<f32>().zip(entropies.iter::<f32>());
    for (token, (logprob, entropy)) in tokens.iter_mut().zip(scores) {
        (token.logprob, token.entropy) = (logprob, entropy);
    }
    let top = details.top_logprobs.min(logits.dims()[1]);
    if top > 0 {
        let logprobs = burn::tensor::activation::log_softmax(logits.div_scalar(temperature), 1);
        let (values, ids) = logprobs.topk_with_indices(top, 1);
        let values: Vec<f32> = values.into_data_async().await?.iter::<f32>().collect();
        let ids: Vec<u32> = ids.into_data_async().await?.iter::<u32>().collect();
        let pairs: Vec<(u32, f32)> = ids.into_iter().zip(values).collect();
        for (token, pairs) in tokens.iter_mut().zip(pairs.chunks(top)) {
            token.top = pairs.to_vec();
        }
    }
    Ok(tokens)
}

/// [`generate`] for callers that may wait.
///
/// # Errors
///
/// As [`generate`].
#[cfg(not(target_arch = "wasm32"))]
pub fn generate_blocking(
    model: &Qwen2_5_VL,
    prompts: &[Prompt],
    options: &GenerateOptions,
    mut on_token: impl FnMut(usize, &Token) -> ControlFlow<()>,
) -> Result<Vec<Completion>, GenerateError> {
    let on_token = async |row: usize, token: &Token| on_token(row, token);
    pollster::block_on(generate(model, prompts, options, on_token))
}
