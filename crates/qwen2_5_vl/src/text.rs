//! The text decoder (`Qwen2_5_VLTextModel`).

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::attention::{KeyValues, Mask, attention};
use crate::cache::KvCache;
use crate::config::TextConfig;
use crate::feed_forward::swiglu;
use crate::linear::{Embedding, Linear, RmsNorm};
use crate::rope::Rope;

/// The decoder; fields follow the checkpoint's keys under `model`.
#[derive(Module, Debug)]
#[allow(missing_docs)]
pub struct TextModel {
    pub embed_tokens: Embedding,
    pub layers: Vec<DecoderLayer>,
    pub norm: RmsNorm,
}

/// How the tokens of one forward pass attend.
#[derive(Clone, Copy, Debug)]
pub struct Pass<'a> {
    /// Rotary tables of the tokens.
    pub rope: &'a Rope,
    /// Rows of the batch that share one prompt; 1 for prompts themselves.
    pub responses: usize,
    /// What each token sees of the run it belongs to.
    pub mask: &'a Mask,
}

impl TextModel {
    /// A decoder with random weights, allocated on first use.
    pub fn init(config: &TextConfig, device: &Device) -> Self {
        let (width, std) = (config.hidden_size, config.initializer_range);
        Self {
            embed_tokens: Embedding::init(config.vocab_size, width, std, device),
            layers: (0..config.num_hidden_layers)
                .map(|_| DecoderLayer::init(config, device))
                .collect(),
            norm: RmsNorm::init(width, config.rms_norm_eps, device),
        }
    }
}

/// One transformer layer.
#[derive(Module, Debug)]
#[allow(missing_docs)]
pub struct DecoderLayer {
    pub input_layernorm: RmsNorm,
    pub self_attn: Attention,
    pub post_attention_layernorm: RmsNorm,
    pub mlp: Mlp,
}

impl DecoderLayer {
    fn init(config: &TextConfig, device: &Device) -> Self {
        let norm = || RmsNorm::init(config.hidden_size, config.rms_norm_eps, device);
        Self {
            input_layernorm: norm(),
            self_attn: Attention::init(config, device),
            post_attention_layernorm: norm(),
            mlp: Mlp::init(config, device),
        }
    }

    /// The layer over prompts, each a row of the batch; also returns their keys and values.
    ///
    /// # Shapes
    ///
    /// - hidden, output: `[prompts, tokens, hidden_size]`
    pub fn prompt(&self, hidden: Tensor<3>, pass: Pass) -> (Tensor<3>, KeyValues) {
        let (query, own) = self.project(&hidden, pass);
        let attended = attention(query, &[(&own, pass.mask)]);
        (self.rest(hidden, attended, pass), own)
    }

    /// The layer over responses that attend to their prompts and to themselves.
    ///
    /// # Shapes
    ///
    /// - hidden, output: `[prompts · responses, tokens, hidden_size]`
    /// - prefix: keys and values of the prompts, shared by the responses to each
    pub fn response(
        &self,
        hidden: Tensor<3>,
        pass: Pass,
        prefix: (&KeyValues, &Mask),
    ) -> Tensor<3> {
        let (query, own) = self.project(&hidden, pass);
        let attended = attention(query, &[prefix, (&own, pass.mask)]);
        self.rest(hidden, attended, pass)
    }

    /// As [`Self::response`], for tokens that follow those in the cache.
    pub(crate) fn cached(
        &self,
        hidden: Tensor<3>,
        pass: Pass,
        prefix: (&KeyValues, &Mask),
        (index, cache): (usize, &mut KvCache),
    ) -> Tensor<3> {
        let (query, own) = self.project(&hidden, pass);
        let own = cache.append(index, own);
        let attended = attention(query, &[prefix, (&own, pass.mask)]);
        self.rest(hidden, attended, pass)
    }

    fn project(&self, hidden: &Tensor<3>, pass: Pass) -> (Tensor<4>, KeyValues) {
        self.self_attn.project(self.input_layernorm.forward(hidden.clone()), pass)
    }

    fn rest(&self, hidden: Tensor<3>, attended: Tensor<4>, pass: Pass) -> Tensor<3> {
        let hidden = hidden.clone() + self.self_attn.output(attended, hidden.dims(), pass);
        let normed = self.post_attention_layernorm.forward(hidden.clone());
        hidden + self.mlp.forward(normed)
    }
}

/// Grouped-query attention: projections and the arrangement of heads.
#[derive(Module, Debug)]
#[allow(missing_docs)]
pub struct Attention {
    pub q_proj: Linear,
    pub k_proj: Linear,
    pub v_proj: Linear,
    pub o_proj: Linear,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    kv_heads: usize,
}

impl Attention {
    fn init(config: &TextConfig, device: &Device) -> Self {
        let (width, std) = (config.hidden_size, config.initializer_range);
        let kv_width = config.num_key_value_heads * config.head_dim();
        Self {
            q_proj: Linear::init(width, width, true, std, device),
            k_proj: Linear::init(width, kv_width, true, std, device),
            v_proj: Linear::init(width, kv_width, true, std, device),
            o_proj: Linear::init(width, width, false, std, device),
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
        }
    }

    /// Queries `[prompts, kv_heads, responses · rep · tokens, head_dim]`, and keys and values
    /// `[prompts, kv_heads · responses, tokens, head_dim]`.
    fn project(&self, x: Tensor<3>, pass: Pass) -> (Tensor<4>, KeyValues) {
        let [batch, tokens, width] = x.dims();
        let (heads, kv_heads) = (self.heads, self.kv_heads);
        let (head_dim, rep) = (width / heads, heads / kv_heads);
        let (prompts, responses) = (batch / pass.responses, pass.responses);

        let query = self.q_proj.forward(x.clone()).reshape([batch, tokens, heads, head_dim]);
        let query = pass
            .rope
            .apply(query)
            .reshape([prompts, responses, tokens, kv_heads, rep, head_dim])
            .permute([0, 3, 1, 4, 2, 5])
            .reshape([prompts, kv_heads, responses * rep * tokens, head_dim]);
        let grouped = |x: Tensor<4>| x.reshape([prompts, responses, tokens, kv_heads, head_dim]);
        let key = self.k_proj.forward(x.clone()).reshape([batch, tokens, kv_heads, head_dim]);
        let value = self.v_proj.forward(x).reshape([batch, tokens, kv_heads, head_dim]);
        // Features before tokens in memory: the product with the queries need not transpose them.
        let keys = grouped(pass.rope.apply(key))
            .permute([0, 3, 1, 4, 2])
            .reshape([prompts, kv_heads * responses, head_dim, tokens])
            .swap_dims(2, 3);
        let values = grouped(value).permute([0, 3, 1, 2, 4]).reshape([
            prompts,
            kv_heads * responses,
            tokens,
            head_dim,
        ]);
        (query, KeyValues { keys, values })
    }

    fn output(&self, attended: Tensor<4>, dims: [usize; 3], pass: Pass) -> Tensor<3> {
        let [batch, tokens, width] = dims;
        let (kv_heads, responses) = (self.kv_heads, pass.responses);
        let (head_dim, rep) = (width / self.heads, self.heads / kv_heads);
        let attended = attended
            .reshape([batch / responses, kv_heads, responses, rep, tokens, head_dim])
            .permute([0, 2, 4, 1, 3, 5])
            .reshape([batch, tokens, width]);
        self.o_proj.forward(attended)
    }
}

/// SwiGLU without biases.
#[derive(Module, Debug)]
#[allow(missing_docs)]
pub struct Mlp {
    pub gate_proj: Linear,
    pub up_proj: Linear,
    pub down_proj: Linear,
}

impl Mlp {
    fn init(config: &TextConfig, device: &Device) -> Self {
        let (width, inner, std) =
            (config.hidden_size, config.intermediate_size, config.initializer_range);
        Self {
            gate_proj: Linear::init(width, inner, false, std, device),
            up_proj: Linear::init(width, inner, false, std, device),
            down_proj: Linear::init(inner, width, false, std, device),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        swiglu(x, &self.gate_proj, &self.up_proj, &self.down_proj)
    }
}
