//! Keys and values kept between forward passes.

use burn::tensor::{Device, Tensor};

use crate::attention::{KeyValues, Mask};
use crate::config::TextConfig;
use crate::rope::Rope;

/// Response tokens for which room and rotary tables are made at a time.
const BLOCK: usize = 64;

/// What the responses to a batch of prompts share: the prompts' keys and values.
#[derive(Clone, Debug)]
pub struct Prefix {
    /// Per layer, `[prompts, kv_heads, longest prompt, head_dim]`, padded on the right.
    pub layers: Vec<KeyValues>,
    /// Hides the padding.
    pub mask: Mask,
    /// Tokens of each prompt.
    pub lengths: Vec<usize>,
    /// Rotary position of the first response token of each prompt.
    pub next_positions: Vec<i32>,
}

/// Keys and values of the responses decoded so far: `responses` to each prompt, all equally long.
///
/// Storage is allocated in blocks and doubled when full, and attention reads it in blocks of the
/// same size, so that a device sees few distinct shapes.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<Option<KeyValues>>,
    responses: usize,
    length: usize,
    read_step: usize,
    rope: Option<(usize, Rope)>,
}

impl KvCache {
    /// An empty cache for `responses` responses to each prompt of `prefix`.
    ///
    /// `read_step` rounds up how many keys attention reads: 1 reads just what is there (best on a
    /// CPU), [`KvCache::BLOCK`] keeps shapes stable (best on a GPU, which compiles per shape).
    pub fn new(prefix: &Prefix, responses: usize, read_step: usize) -> Self {
        let layers = vec![None; prefix.layers.len()];
        Self { layers, responses, length: 0, read_step, rope: None }
    }

    /// The read step that suits GPUs.
    pub const BLOCK: usize = BLOCK;

    /// Response tokens held so far.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Responses to each prompt.
    pub fn responses(&self) -> usize {
        self.responses
    }

    /// Makes room for `tokens` more, and says how they may attend and where they stand.
    pub(crate) fn begin(
        &mut self,
        prefix: &Prefix,
        tokens: usize,
        config: &TextConfig,
        device: &Device,
    ) -> (Rope, Mask) {
        let end = self.length + tokens;
        let read = end.next_multiple_of(self.read_step);
        let mask = Mask::causal(tokens, end, read, device);
        if self.rope.as_ref().is_none_or(|(covered, _)| *covered < end) {
            let covered = end.next_multiple_of(BLOCK).max(2 * self.length);
            let rope = response_rope(prefix, self.responses, covered, config, device);
            self.rope = Some((covered, rope));
        }
        let (_, rope) = self.rope.as_ref().expect("made above");
        (rope.slice(self.length..end), mask)
    }

    /// Appends one layer's new keys and values, and returns all that this layer has.
    pub(crate) fn append(&mut self, layer: usize, new: KeyValues) -> KeyValues {
        let [prompts, heads, tokens, head_dim] = new.keys.dims();
        let end = self.length + tokens;
        let capacity = self.layers[layer].as_ref().map_or(0, |kv| kv.keys.dims()[2]);
        if capacity < end {
            let larger = end.next_multiple_of(BLOCK).max(2 * capacity);
            let grow = |like: &Tensor<4>| {
                let options = (&like.device(), like.dtype());
                Tensor::<4>::zeros([prompts, heads, larger, head_dim], options)
            };
            let (mut keys, mut values) = (grow(&new.keys), grow(&new.values));
            if let Some(old) = self.layers[layer].take() {
                let place = [0..prompts, 0..heads, 0..capacity, 0..head_dim];
                keys.inplace(|keys| keys.slice_assign(place.clone(), old.keys));
                values.inplace(|values| values.slice_assign(place, old.values));
            }
            self.layers[layer] = Some(KeyValues { keys, values });
        }
        let kept = self.layers[layer].as_mut().expect("allocated above");
        let place = [0..prompts, 0..heads, self.length..end, 0..head_dim];
        kept.keys.inplace(|keys| keys.slice_assign(place.clone(), new.keys));
        kept.values.inplace(|values| values.slice_assign(place, new.values));
        let read = end.next_multiple_of(self.read_step);
        KeyValues {
            keys: kept.keys.clone().slice_dim(2, 0..read),
            values: kept.values.clone().slice_dim(2, 0..read),
        }
    }

    /// Counts the tokens in, once every layer has appended them.
    pub(crate) fn finish(&mut self, tokens: usize) {
        self.length += tokens;
    }
}

/// Rotary tables of the first `tokens` response tokens, `responses` rows per prompt.
pub(crate) fn response_rope(
    prefix: &Prefix,
    responses: usize,
    tokens: usize,
    config: &TextConfig,
    device: &Device,
) -> Rope {
    let positions: Vec<[Vec<i32>; 3]> = prefix
        .next_positions
        .iter()
        .flat_map(|&next| {
            let row: Vec<i32> = (next..next + tokens as i32).collect();
            std::iter::repeat_n([row.clone(), row.clone(), row], responses)
        })
        .collect();
    Rope::text(&positions, config, device)
}
