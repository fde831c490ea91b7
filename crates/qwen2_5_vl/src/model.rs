//! The whole model: images and token ids to hidden states and logits.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::attention::Mask;
use crate::cache::{KvCache, Prefix, response_rope};
use crate::config::Qwen2_5_VLConfig;
use crate::error::PromptError;
use crate::linear::{Linear, cast};
use crate::prompt::Prompt;
use crate::quantized::BLOCK;
use crate::rope::Rope;
use crate::table::Table;
use crate::text::{Pass, TextModel};
use crate::vision::VisionTransformer;
use crate::weights::AdapterConfig;

/// Qwen2.5-VL with its language model head (`Qwen2_5_VLForConditionalGeneration`).
#[derive(Module, Debug)]
#[allow(missing_docs)]
pub struct Qwen2_5_VL {
    pub visual: VisionTransformer,
    pub model: TextModel,
    /// None where the head is tied to the token embeddings, or in parts.
    pub lm_head: Option<Linear>,
    #[module(skip)]
    pub(crate) head: Option<Table>,
    #[module(skip)]
    config: Qwen2_5_VLConfig,
    #[module(skip)]
    dtype: DType,
    /// What the adapters are, where there are some.
    #[module(skip)]
    pub(crate) adapter: Option<AdapterConfig>,
}

/// A batch of prompts as ids and places, padded on the right: what does not depend on weights.
#[derive(Clone, Debug)]
pub struct PromptBatch {
    /// `[prompts · longest]`
    pub ids: Tensor<1, Int>,
    /// For each place the row of `cat(token embeddings, visual tokens)` that stands there.
    pub rows: Tensor<1, Int>,
    /// `[patches, patch_dim]` of the images that are not encoded yet; None without such.
    pub pixel_values: Option<Tensor<2>>,
    /// Grids of those images.
    pub image_grid_thw: Vec<[usize; 3]>,
    /// Visual tokens of the prompts that brought them.
    pub image_embeds: Vec<Tensor<2>>,
    /// Rotary tables of the prompts.
    pub rope: Rope,
    /// Causal mask of the prompts.
    pub causal: Mask,
    /// Tokens of each prompt.
    pub lengths: Vec<usize>,
    /// Tokens of the longest prompt.
    pub longest: usize,
    /// Rotary position of the first response token of each prompt.
    pub next_positions: Vec<i32>,
}

impl Qwen2_5_VL {
    /// A model with random weights, allocated on first use.
    pub fn init(config: &Qwen2_5_VLConfig, device: &Device) -> Self {
        let text = &config.text_config;
        let head = || {
            let (inputs, outputs) = (text.hidden_size, text.vocab_size);
            Linear::init(inputs, outputs, false, text.initializer_range, device)
        };
        Self {
            visual: VisionTransformer::init(&config.vision_config, device),
            model: TextModel::init(text, device),
            lm_head: (!config.tie_word_embeddings).then(head),
            head: None,
            config: config.clone(),
            dtype: DType::F32,
            adapter: None,
        }
    }

    /// Computes in `dtype`; weights are cast where they differ.
    pub fn with_compute_dtype(mut self, dtype: DType) -> Self {
        self.dtype = dtype;
        self
    }

    /// The model's configuration.
    pub fn config(&self) -> &Qwen2_5_VLConfig {
        &self.config
    }

    /// Whether weights are quantized or in parts, so that they can neither be trained nor saved.
    pub fn is_exported(&self) -> bool {
        let is_quantized = self.num_quantized().0 > 0;
        is_quantized || self.head.is_some() || self.model.embed_tokens.table.is_some()
    }

    /// How many weights are quantized on the device, and the bytes that they take with their scales.
    pub fn num_quantized(&self) -> (usize, usize) {
        struct Quantized(usize, usize);
        impl ModuleVisitor for Quantized {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if param.is_initialized()
                    && let DType::QFloat(scheme) = param.val().dtype()
                {
                    let weights = param.lazy_shape().num_elements();
                    self.0 += weights;
                    self.1 += weights * scheme.size_bits_value() / 8 + weights / BLOCK * 4;
                }
            }
        }
        let mut quantized = Quantized(0, 0);
        self.visit(&mut quantized);
        (quantized.0, quantized.1)
    }

    /// The device of the weights.
    pub fn device(&self) -> Device {
        self.model.norm.weight.val().device()
    }

    /// Checks prompts and brings them to the device.
    ///
    /// # Errors
    ///
    /// When a prompt's ids, grids and pixel values disagree.
    pub fn batch(&self, prompts: &[Prompt]) -> Result<PromptBatch, PromptError> {
        let device = self.device();
        let mut indices = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            prompt.validate(&self.config)?;
            indices.push(prompt.rope_index(&self.config)?);
        }
        let lengths: Vec<usize> = prompts.iter().map(|prompt| prompt.input_ids.len()).collect();
        let longest = lengths.iter().copied().max().ok_or(PromptError::Empty)?;
        let places = prompts.len() * longest;
        let (mut ids, mut rows) = (vec![0i32; places], vec![0i32; places]);
        // Visual tokens stand after the text: those to be computed first, then those given.
        let image_token = self.config.image_token_id;
        let visual =
            |prompt: &&Prompt| prompt.input_ids.iter().filter(|&&id| id == image_token).count();
        let pending = prompts.iter().filter(|prompt| prompt.image_embeds.is_none());
        let mut given = places + pending.clone().map(|prompt| visual(&prompt)).sum::<usize>();
        let mut computed = places;
        for (row, prompt) in prompts.iter().enumerate() {
            let next = if prompt.image_embeds.is_some() { &mut given } else { &mut computed };
            for (token, &id) in prompt.input_ids.iter().enumerate() {
                let place = row * longest + token;
                ids[place] = id as i32;
                rows[place] = place as i32;
                if id == image_token {
                    rows[place] = *next as i32;
                    *next += 1;
                }
            }
        }
        let positions: Vec<[Vec<i32>; 3]> = indices
            .iter()
            .map(|index| {
                index.positions.clone().map(|mut axis| {
                    axis.resize(longest, 0);
                    axis
                })
            })
            .collect();
        let image_grid_thw: Vec<_> =
            pending.flat_map(|prompt| prompt.image_grid_thw.clone()).collect();
        let pixel_values = (!image_grid_thw.is_empty()).then(|| {
            self.patches(
                prompts.iter().flat_map(|prompt| prompt.pixel_values.iter().copied()).collect(),
            )
        });
        let image_embeds =
            prompts.iter().filter_map(|prompt| prompt.image_embeds.clone()).collect();
        Ok(PromptBatch {
            ids: integers(ids, &device),
            rows: integers(rows, &device),
            pixel_values,
            image_grid_thw,
            image_embeds,
            rope: Rope::text(&positions, &self.config.text_config, &device),
            causal: Mask::causal(longest, longest, longest, &device),
            lengths,
            longest,
            next_positions: indices.iter().map(|index| index.next).collect(),
        })
    }

    /// Visual tokens of the batch's images.
    ///
    /// # Shapes
    ///
    /// - output: `[visual tokens, hidden_size]`
    pub fn image_features(&self, batch: &PromptBatch) -> Option<Tensor<2>> {
        let computed = self.pixels(batch).map(|pixels| {
            let plan = self.visual.plan(&batch.image_grid_thw, &self.device());
            self.visual.forward(pixels, &plan)
        });
        let given = batch.image_embeds.iter().map(|embeds| cast(embeds.clone(), self.dtype));
        let features: Vec<_> = computed.into_iter().chain(given).collect();
        (!features.is_empty()).then(|| Tensor::cat(features, 0))
    }

    /// Runs the vision tower once for all passes to come: puts visual tokens in place of pixels.
    ///
    /// # Errors
    ///
    /// When the prompt's ids, grids and pixel values disagree.
    pub fn encode_images(&self, prompt: &mut Prompt) -> Result<(), PromptError> {
        prompt.validate(&self.config)?;
        if prompt.image_embeds.is_some() || prompt.image_grid_thw.is_empty() {
            return Ok(());
        }
        let pixels = cast(self.patches(std::mem::take(&mut prompt.pixel_values)), self.dtype);
        let plan = self.visual.plan(&prompt.image_grid_thw, &self.device());
        prompt.image_embeds = Some(self.visual.forward(pixels, &plan));
        Ok(())
    }

    fn patches(&self, values: Vec<f32>) -> Tensor<2> {
        let width = self.config.vision_config.patch_dim();
        let shape = [values.len() / width, width];
        Tensor::from_data(TensorData::new(values, shape), (&self.device(), DType::F32))
    }

    /// Patches of the images to be encoded in the dtype of computation, `[patches, patch_dim]`.
    pub fn pixels(&self, batch: &PromptBatch) -> Option<Tensor<2>> {
        batch.pixel_values.clone().map(|pixels| cast(pixels, self.dtype))
    }

    /// Token embeddings with the visual tokens put in their places.
    ///
    /// # Shapes
    ///
    /// - features: `[visual tokens, hidden_size]`
    /// - output: `[prompts, longest, hidden_size]`
    pub fn embed_prompts(&self, batch: &PromptBatch, features: Option<Tensor<2>>) -> Tensor<3> {
        let text = self.model.embed_tokens.forward(batch.ids.clone(), self.dtype);
        let hidden = match features {
            Some(features) => Tensor::cat(vec![text, features], 0).select(0, batch.rows.clone()),
            None => text,
        };
        hidden.reshape([batch.lengths.len(), batch.longest, self.config.text_config.hidden_size])
    }

    /// Runs prompts through the decoder; the result is all that responses need of them.
    ///
    /// # Shapes
    ///
    /// - output: hidden states before the last norm, `[prompts, longest, hidden_size]`
    pub fn prefill(&self, batch: &PromptBatch) -> (Tensor<3>, Prefix) {
        self.prefill_embedded(batch, self.embed_prompts(batch, self.image_features(batch)))
    }

    /// As [`Self::prefill`], from [`Self::embed_prompts`] on.
    ///
    /// # Shapes
    ///
    /// - hidden, output: `[prompts, longest, hidden_size]`
    pub fn prefill_embedded(
        &self,
        batch: &PromptBatch,
        mut hidden: Tensor<3>,
    ) -> (Tensor<3>, Prefix) {
        let pass = Pass { rope: &batch.rope, responses: 1, mask: &batch.causal };
        let mut layers = Vec::with_capacity(self.model.layers.len());
        for layer in &self.model.layers {
            let (output, kept) = layer.prompt(hidden, pass);
            hidden = output;
            layers.push(kept);
        }
        (hidden, self.prefix(batch, layers))
    }

    /// Packs the prompts' keys and values.
    pub fn prefix(&self, batch: &PromptBatch, layers: Vec<crate::KeyValues>) -> Prefix {
        Prefix {
            layers,
            mask: Mask::padding(&batch.lengths, batch.longest, &self.device()),
            lengths: batch.lengths.clone(),
            next_positions: batch.next_positions.clone(),
        }
    }

    /// The hidden state of each prompt's last token, from which its first response token follows.
    ///
    /// # Shapes
    ///
    /// - hidden: `[prompts, longest, hidden_size]`
    /// - output: `[prompts, hidden_size]`
    pub fn last_hidden(&self, hidden: Tensor<3>, batch: &PromptBatch) -> Tensor<2> {
        let [prompts, longest, width] = hidden.dims();
        let last = batch
            .lengths
            .iter()
            .enumerate()
            .map(|(row, length)| (row * longest + length - 1) as i32)
            .collect();
        hidden.reshape([prompts * longest, width]).select(0, integers(last, &self.device()))
    }

    /// Embeds response tokens.
    ///
    /// # Shapes
    ///
    /// - ids: `[prompts · responses, tokens]`
    /// - output: `[prompts · responses, tokens, hidden_size]`
    pub fn embed_responses(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let [rows, tokens] = ids.dims();
        let hidden = self.model.embed_tokens.forward(ids.reshape([rows * tokens]), self.dtype);
        hidden.reshape([rows, tokens, self.config.text_config.hidden_size])
    }

    /// Rotary tables and mask of whole responses.
    pub fn response_pass(&self, prefix: &Prefix, responses: usize, tokens: usize) -> (Rope, Mask) {
        let device = self.device();
        let text = &self.config.text_config;
        let rope = response_rope(prefix, responses, tokens, text, &device);
        (rope, Mask::causal(tokens, tokens, tokens, &device))
    }

    /// Runs whole responses through the decoder.
    ///
    /// # Shapes
    ///
    /// - ids: `[prompts · responses, tokens]`, padded on the right
    /// - output: hidden states before the last norm, `[prompts · responses, tokens, hidden_size]`
    pub fn respond(&self, ids: Tensor<2, Int>, prefix: &Prefix) -> Tensor<3> {
        let [rows, tokens] = ids.dims();
        let responses = rows / prefix.lengths.len();
        let (rope, mask) = self.response_pass(prefix, responses, tokens);
        let pass = Pass { rope: &rope, responses, mask: &mask };
        let mut hidden = self.embed_responses(ids);
        for (layer, shared) in self.model.layers.iter().zip(&prefix.layers) {
            hidden = layer.response(hidden, pass, (shared, &prefix.mask));
        }
        hidden
    }

    /// Runs the next tokens of all responses through the decoder, and keeps them in the cache.
    ///
    /// # Shapes
    ///
    /// - ids: `[prompts · responses, tokens]`
    /// - output: hidden states before the last norm, `[prompts · responses, tokens, hidden_size]`
    pub fn decode(&self, ids: Tensor<2, Int>, prefix: &Prefix, cache: &mut KvCache) -> Tensor<3> {
        let [_, tokens] = ids.dims();
        let (rope, mask) = cache.begin(prefix, tokens, &self.config.text_config, &self.device());
        let pass = Pass { rope: &rope, responses: cache.responses(), mask: &mask };
        let mut hidden = self.embed_responses(ids);
        for (index, (layer, shared)) in self.model.layers.iter().zip(&prefix.layers).enumerate() {
            hidden = layer.cached(hidden, pass, (shared, &prefix.mask), (index, cache));
        }
        cache.finish(tokens);
        hidden
    }

    /// Logits of each token's successor, in f32.
    ///
    /// # Shapes
    ///
    /// - hidden: before the last norm, `[tokens, hidden_size]`
    /// - output: `[tokens, vocab_size]`
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        let hidden = self.model.norm.forward(hidden);
        let logits = match (&self.lm_head, &self.head) {
            (Some(head), _) => head.forward(hidden),
            (None, Some(table)) => table.project(hidden),
            (None, None) => self.model.embed_tokens.project(hidden),
        };
        cast(logits, DType::F32)
    }
}

fn integers(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), (device, DType::I32))
}
