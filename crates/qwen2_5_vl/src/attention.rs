//! Scaled dot-product attention over one or several runs of keys.
//!
//! A response attends to its prompt and to itself. The prompt's keys and values are shared by all
//! responses to it and never copied: the responses' queries are folded into the rows of one
//! product instead. Queries, keys and softmax meet in f32 whatever the compute dtype, because the
//! Qwen2 family overflows f16.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::elementwise::softmax;
use crate::linear::cast;
use crate::parallel;

/// Above this many scores (256 MiB in f32) attention goes piece by piece.
const MAX_SCORES: usize = 1 << 26;

/// From this many scores on, the cores of a CPU share attention out.
const MIN_SHARED_SCORES: usize = 1 << 17;

/// Scores that a core works on at a time (512 KiB in f32), so that they stay in its cache.
const BLOCK_SCORES: usize = 1 << 17;

/// Added to the score of a key that must not be seen; `exp` of it is 0 in f32.
const HIDDEN: f32 = -1e30;

/// Keys and values of a stretch of tokens, shared by the responses to a prompt or one's own.
#[derive(Clone, Debug)]
pub struct KeyValues {
    /// `[prompts, kv_heads · owners, length, head_dim]`; owners is 1 when shared, else the number
    /// of responses per prompt
    pub keys: Tensor<4>,
    /// As `keys`.
    pub values: Tensor<4>,
}

/// Which keys of a run each query may see.
#[derive(Clone, Debug)]
pub enum Mask {
    /// All of them.
    Full,
    /// Those not padded away; `[prompts, keys]`, added to the scores.
    Keys(Tensor<2>),
    /// Those up to the query's own place; `[queries, keys]`, added to the scores.
    Causal(Tensor<2>),
}

impl Mask {
    /// The queries stand at the last places before `end`; each sees the keys up to its own place,
    /// and none of the `keys` from `end` on, which are room not yet used.
    pub fn causal(queries: usize, end: usize, keys: usize, device: &Device) -> Self {
        if queries == 1 && end == keys {
            return Self::Full;
        }
        let first = end - queries;
        let values: Vec<f32> =
            (first..end).flat_map(|place| (0..keys).map(move |key| hide(key > place))).collect();
        Self::Causal(Tensor::from_data(
            TensorData::new(values, [queries, keys]),
            (device, DType::F32),
        ))
    }

    /// Only the first `lengths[row]` keys of each row exist.
    pub fn padding(lengths: &[usize], keys: usize, device: &Device) -> Self {
        if lengths.iter().all(|&length| length == keys) {
            return Self::Full;
        }
        let values: Vec<f32> = lengths
            .iter()
            .flat_map(|&length| (0..keys).map(move |key| hide(key >= length)))
            .collect();
        Self::Keys(Tensor::from_data(
            TensorData::new(values, [lengths.len(), keys]),
            (device, DType::F32),
        ))
    }
}

impl Mask {
    /// The mask of some of the prompts.
    pub(crate) fn select(&self, prompts: Tensor<1, Int>) -> Self {
        match self {
            Self::Keys(bias) => Self::Keys(bias.clone().select(0, prompts)),
            Self::Full | Self::Causal(_) => self.clone(),
        }
    }
}

fn hide(hidden: bool) -> f32 {
    if hidden { HIDDEN } else { 0.0 }
}

/// `softmax(q · kᵀ / √head_dim + mask) · v` over the concatenation of all runs.
///
/// # Shapes
///
/// - query: `[prompts, kv_heads, rows, head_dim]`; rows are the owners, times the query heads per
///   key head, times the queries, the latter innermost
/// - runs: `[prompts, kv_heads · owners, keys, head_dim]` each
/// - output: as `query`
pub fn attention(query: Tensor<4>, runs: &[(&KeyValues, &Mask)]) -> Tensor<4> {
    let [prompts, kv_heads, rows, head_dim] = query.dims();
    let keys: usize = runs.iter().map(|(run, _)| run.keys.dims()[2]).sum();
    let query = cast(query, DType::F32) * (head_dim as f64).powf(-0.5);
    let per_head = prompts * rows * keys;
    if let [(run, mask)] = runs
        && per_head * kv_heads >= MIN_SHARED_SCORES
        && parallel::is_plain_cpu(&query.device())
        && let Some(output) = attend_in_blocks(&query, run, mask)
    {
        return output;
    }
    if per_head * kv_heads <= MAX_SCORES {
        return attend(query, runs);
    }
    if let [(_, Mask::Full)] = runs
        && per_head > MAX_SCORES
    {
        let step = (MAX_SCORES / (prompts * kv_heads * keys)).max(1);
        let pieces = query.split(step, 2).into_iter().map(|piece| attend(piece, runs));
        return Tensor::cat(pieces.collect(), 2);
    }
    let step = (MAX_SCORES / per_head).max(1);
    let pieces = (0..kv_heads).step_by(step).map(|start| {
        let end = (start + step).min(kv_heads);
        let parts: Vec<(KeyValues, &Mask)> =
            runs.iter().map(|(run, mask)| (run.heads(start..end, kv_heads), *mask)).collect();
        let parts: Vec<(&KeyValues, &Mask)> = parts.iter().map(|(kv, mask)| (kv, *mask)).collect();
        attend(query.clone().slice_dim(1, start..end), &parts)
    });
    Tensor::cat(pieces.collect(), 1)
}

impl KeyValues {
    /// The part that belongs to some of `kv_heads` key heads.
    fn heads(&self, range: std::ops::Range<usize>, kv_heads: usize) -> Self {
        let owners = self.keys.dims()[1] / kv_heads;
        let range = range.start * owners..range.end * owners;
        Self {
            keys: self.keys.clone().slice_dim(1, range.clone()),
            values: self.values.clone().slice_dim(1, range),
        }
    }
}

/// As [`attend`], head by head and block of queries by block, several at a time; causal blocks
/// leave out the keys that none of their queries sees. None where the heads own keys or padding.
fn attend_in_blocks(query: &Tensor<4>, run: &KeyValues, mask: &Mask) -> Option<Tensor<4>> {
    let [prompts, kv_heads, rows, head_dim] = query.dims();
    let [_, owned_heads, keys, _] = run.keys.dims();
    let queries = match mask {
        Mask::Full => rows,
        Mask::Causal(bias) if bias.dims() == [keys, keys] => keys,
        _ => return None,
    };
    if owned_heads != kv_heads {
        return None;
    }
    let rep = rows / queries;
    let step = (BLOCK_SCORES / (prompts * rep * keys)).max(16).min(queries);
    let query = query.clone().reshape([prompts, kv_heads, rep, queries, head_dim]);
    let (mut shared, values) = (run.keys.clone(), run.values.clone());
    if step < queries {
        shared = feature_major(shared);
    }
    let blocks: Vec<(usize, usize)> = (0..kv_heads)
        .flat_map(|head| (0..queries).step_by(step).map(move |start| (head, start)))
        .collect();
    let attended = parallel::map(blocks, |(head, start)| {
        let end = (start + step).min(queries);
        let (seen, mask) = match mask {
            Mask::Causal(bias) => (end, Mask::Causal(bias.clone().slice([start..end, 0..end]))),
            _ => (keys, Mask::Full),
        };
        let query = query.clone().slice_dim(1, head..head + 1).slice_dim(3, start..end);
        let query = query.reshape([prompts, 1, rep * (end - start), head_dim]);
        let part = |x: &Tensor<4>| x.clone().slice_dim(1, head..head + 1).slice_dim(2, 0..seen);
        let run = KeyValues { keys: part(&shared), values: part(&values) };
        attend(query, &[(&run, &mask)]).reshape([prompts, 1, rep, end - start, head_dim])
    });
    let per_head = queries.div_ceil(step);
    let heads = attended.chunks(per_head).map(|blocks| Tensor::cat(blocks.to_vec(), 3));
    Some(Tensor::cat(heads.collect(), 1).reshape([prompts, kv_heads, rows, head_dim]))
}

/// The same keys, those of one feature side by side in memory: products then need no packing.
fn feature_major(keys: Tensor<4>) -> Tensor<4> {
    let [prompts, heads, length, head_dim] = keys.dims();
    // Only contiguous tensors take one dimension without a copy.
    let flat = keys.swap_dims(2, 3).reshape([prompts * heads * head_dim * length]);
    flat.reshape([prompts, heads, head_dim, length]).swap_dims(2, 3)
}

/// The plain computation; `query` is already scaled and f32.
fn attend(query: Tensor<4>, runs: &[(&KeyValues, &Mask)]) -> Tensor<4> {
    if let [(run, mask)] = runs {
        return weighted_values(softmax(masked_scores(query, run, mask)), run);
    }
    let scores: Vec<Tensor<4>> =
        runs.iter().map(|(run, mask)| masked_scores(query.clone(), run, mask)).collect();
    let lengths = scores.iter().map(|scores| scores.dims()[3]).collect();
    let weights = softmax(Tensor::cat(scores, 3)).split_with_sizes(lengths, 3);
    weights
        .into_iter()
        .zip(runs)
        .map(|(weights, (run, _))| weighted_values(weights, run))
        .reduce(|sum, part| sum + part)
        .expect("at least one run of keys")
}

/// `[prompts, kv_heads, rows, keys]`
fn masked_scores(query: Tensor<4>, run: &KeyValues, mask: &Mask) -> Tensor<4> {
    let [prompts, kv_heads, rows, head_dim] = query.dims();
    let [_, owned_heads, keys, _] = run.keys.dims();
    let owned_rows = rows * kv_heads / owned_heads;
    let query = query.reshape([prompts, owned_heads, owned_rows, head_dim]);
    let scores = query.matmul(cast(run.keys.clone(), DType::F32).swap_dims(2, 3));
    let scores = match mask {
        Mask::Full => scores,
        Mask::Keys(bias) => scores + bias.clone().reshape([prompts, 1, 1, keys]),
        Mask::Causal(bias) => {
            let [queries, _] = bias.dims();
            let bias = bias.clone().reshape([1, 1, 1, queries, keys]);
            let scores =
                scores.reshape([prompts, owned_heads, owned_rows / queries, queries, keys]);
            (scores + bias).reshape([prompts, owned_heads, owned_rows, keys])
        }
    };
    scores.reshape([prompts, kv_heads, rows, keys])
}

/// `[prompts, kv_heads, rows, head_dim]`, in the values' dtype
fn weighted_values(weights: Tensor<4>, run: &KeyValues) -> Tensor<4> {
    let [prompts, kv_heads, rows, keys] = weights.dims();
    let [_, owned_heads, _, head_dim] = run.values.dims();
    let owned_rows = rows * kv_heads / owned_heads;
    let weights = cast(weights, run.values.dtype());
    let weights = weights.reshape([prompts, owned_heads, owned_rows, keys]);
    weights.matmul(run.values.clone()).reshape([prompts, kv_heads, rows, head_dim])
}
