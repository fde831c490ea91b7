//! Keys and values kept between forward passes.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

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

/// A prompt that stays in a batch, by its number, and the numbers of its responses that do.
pub type Kept = (usize, Vec<usize>);

impl Prefix {
    /// The prefix of the prompts that stay; each layer's old keys go as the new ones come.
    pub fn select(self, kept: &[Kept], device: &Device) -> Self {
        let numbers: Vec<usize> = kept.iter().map(|(prompt, _)| *prompt).collect();
        let places = indices(&numbers, device);
        let layer = |layer: KeyValues| KeyValues {
            keys: layer.keys.select(0, places.clone()),
            values: layer.values.select(0, places.clone()),
        };
        Self {
            layers: self.layers.into_iter().map(layer).collect(),
            mask: self.mask.select(places.clone()),
            lengths: numbers.iter().map(|&prompt| self.lengths[prompt]).collect(),
            next_positions: numbers.iter().map(|&prompt| self.next_positions[prompt]).collect(),
        }
    }
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

    /// Leaves out all but the responses that stay, as many to each prompt that stays.
    pub fn select(&mut self, kept: &[Kept]) {
        let Some((_, first)) = kept.first() else { return };
        let (old, responses) = (self.responses, first.len());
        for layer in self.layers.iter_mut().flatten() {
            let [_, heads, length, head_dim] = layer.keys.dims();
            let kv_heads = heads / old;
            let of_prompt = |(prompt, rows): &Kept| {
                let (prompt, rows) = (*prompt, rows.clone());
                (0..kv_heads).flat_map(move |head| {
                    rows.clone().into_iter().map(move |row| (prompt * kv_heads + head) * old + row)
                })
            };
            let places: Vec<usize> = kept.iter().flat_map(of_prompt).collect();
            let places = indices(&places, &layer.keys.device());
            let select = |x: &Tensor<4>| {
                let flat: Tensor<3> = x.clone().flatten(0, 1);
                let flat = flat.select(0, places.clone());
                flat.reshape([kept.len(), kv_heads * responses, length, head_dim])
            };
            *layer = KeyValues { keys: select(&layer.keys), values: select(&layer.values) };
        }
        (self.responses, self.rope) = (responses, None);
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

/// Numbers of rows on a device, to select them by.
pub fn indices(numbers: &[usize], device: &Device) -> Tensor<1, Int> {
    let numbers: Vec<i32> = numbers.iter().map(|&number| number as i32).collect();
    let length = numbers.len();
    Tensor::from_data(TensorData::new(numbers, [length]), (device, DType::I32))
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
