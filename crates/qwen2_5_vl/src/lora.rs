//! Low-rank adapters (LoRA, [arXiv 2106.09685](https://arxiv.org/abs/2106.09685)): a layer computes
//! `W · x + s · B · (A · x)`, where `W` is left as it is and `A` and `B` are learnt.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor};

use crate::linear::{Linear, cast, linear};
use crate::model::Qwen2_5_VL;
use crate::weights::AdapterConfig;

/// The adapter of one layer.
#[derive(Module, Debug)]
pub struct Lora {
    /// `A`, `[r, in_features]`
    pub a: Param<Tensor<2>>,
    /// `B`, `[out_features, r]`
    pub b: Param<Tensor<2>>,
    #[module(skip)]
    scale: f64,
}

impl Lora {
    /// An adapter whose factors are learnt.
    ///
    /// # Shapes
    ///
    /// - a: `[r, in_features]`
    /// - b: `[out_features, r]`
    pub fn new(a: Tensor<2>, b: Tensor<2>, scale: f64) -> Self {
        Self { a: Param::from_tensor(a), b: Param::from_tensor(b), scale }
    }

    /// What the layer's output gains.
    ///
    /// # Shapes
    ///
    /// - x: `[..., in_features]`
    /// - output: `[..., out_features]`
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let (a, b) = self.factors(x.dtype());
        linear(linear(x, a, None), b, None)
    }

    /// `A` and `s · B` in the dtype of computation.
    pub(crate) fn factors(&self, dtype: DType) -> (Tensor<2>, Tensor<2>) {
        (cast(self.a.val(), dtype), cast(self.b.val().mul_scalar(self.scale), dtype))
    }

    /// `s · B · A`: what the layer's weight gains, `[out_features, in_features]`.
    pub fn delta(&self) -> Tensor<2> {
        let (a, b) = self.factors(DType::F32);
        b.matmul(a)
    }

    fn numbers(&self) -> usize {
        self.a.num_params() + self.b.num_params()
    }
}

impl Qwen2_5_VL {
    /// The layers that may have an adapter, by their name in a checkpoint.
    pub fn linears_mut(&mut self) -> Vec<(String, &mut Linear)> {
        let mut found = Vec::new();
        for (index, layer) in self.model.layers.iter_mut().enumerate() {
            let (attention, mlp) = (&mut layer.self_attn, &mut layer.mlp);
            let name = |part: &str| format!("model.layers.{index}.{part}");
            found.extend([
                (name("self_attn.q_proj"), &mut attention.q_proj),
                (name("self_attn.k_proj"), &mut attention.k_proj),
                (name("self_attn.v_proj"), &mut attention.v_proj),
                (name("self_attn.o_proj"), &mut attention.o_proj),
                (name("mlp.gate_proj"), &mut mlp.gate_proj),
                (name("mlp.up_proj"), &mut mlp.up_proj),
                (name("mlp.down_proj"), &mut mlp.down_proj),
            ]);
        }
        for (index, block) in self.visual.blocks.iter_mut().enumerate() {
            let (attention, mlp) = (&mut block.attn, &mut block.mlp);
            let name = |part: &str| format!("visual.blocks.{index}.{part}");
            found.extend([
                (name("attn.qkv"), &mut attention.qkv),
                (name("attn.proj"), &mut attention.proj),
                (name("mlp.gate_proj"), &mut mlp.gate_proj),
                (name("mlp.up_proj"), &mut mlp.up_proj),
                (name("mlp.down_proj"), &mut mlp.down_proj),
            ]);
        }
        // The activation between the merger's layers is the checkpoint's number 1.
        let merger = self.visual.merger.mlp.iter_mut().enumerate();
        found.extend(
            merger.map(|(index, linear)| (format!("visual.merger.mlp.{}", 2 * index), linear)),
        );
        found
    }

    /// The adapters by the name of their layer in a checkpoint.
    pub fn adapters(&self) -> Vec<(String, Lora)> {
        let mut model = self.clone();
        let linears = model.linears_mut().into_iter();
        linears.filter_map(|(name, linear)| Some((name, linear.lora.take()?))).collect()
    }

    /// What the adapters are; None where there are none.
    pub fn adapter(&self) -> Option<&AdapterConfig> {
        self.adapter.as_ref()
    }

    /// Says what the adapters are.
    pub fn with_adapter(mut self, config: AdapterConfig) -> Self {
        self.adapter = Some(config);
        self
    }

    /// The model as it is without its adapters; the weights are shared, not copied.
    pub fn without_adapters(mut self) -> Self {
        self.linears_mut().into_iter().for_each(|(_, linear)| linear.lora = None);
        self.adapter = None;
        self
    }

    /// Numbers that training changes: those of the adapters, or all where there are none.
    pub fn num_trainable(&self) -> usize {
        match self.adapters().as_slice() {
            [] => self.num_params(),
            adapters => adapters.iter().map(|(_, lora)| lora.numbers()).sum(),
        }
    }
}
