//! The vision tower: patches of images to visual tokens (`Qwen2_5_VisionTransformer`).

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::activation::gelu;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::attention::{KeyValues, Mask, attention};
use crate::config::{VISION_NORM_EPS, VisionConfig};
use crate::feed_forward::swiglu;
use crate::linear::{Linear, RmsNorm, cast, linear};
use crate::rope::Rope;
use crate::window::{ImageGroup, WindowLayout};

/// The vision tower; fields follow the checkpoint's keys under `visual`.
#[derive(Module, Debug)]
#[allow(missing_docs)]
pub struct VisionTransformer {
    pub patch_embed: PatchEmbed,
    pub blocks: Vec<VisionBlock>,
    pub merger: PatchMerger,
    #[module(skip)]
    config: VisionConfig,
}

/// What the blocks of one forward pass share.
#[derive(Clone, Debug)]
pub struct VisionPlan {
    layout: WindowLayout,
    rope: Rope,
    order: Tensor<1, Int>,
    restore: Tensor<1, Int>,
}

impl VisionTransformer {
    /// A tower with random weights, allocated on first use.
    pub fn init(config: &VisionConfig, device: &Device) -> Self {
        Self {
            patch_embed: PatchEmbed::init(config, device),
            blocks: (0..config.depth)
                .map(|index| VisionBlock::init(index, config, device))
                .collect(),
            merger: PatchMerger::init(config, device),
            config: config.clone(),
        }
    }

    /// Prepares order, windows and rotary tables for images of the given grids.
    pub fn plan(&self, grids: &[[usize; 3]], device: &Device) -> VisionPlan {
        let layout = WindowLayout::new(grids, &self.config);
        let index = |values: &[i32]| {
            Tensor::from_data(
                TensorData::new(values.to_vec(), [values.len()]),
                (device, DType::I32),
            )
        };
        VisionPlan {
            rope: Rope::vision(&layout.positions, &self.config, device),
            order: index(&layout.order),
            restore: index(&layout.restore),
            layout,
        }
    }

    /// Visual tokens of several images, one after the other.
    ///
    /// # Shapes
    ///
    /// - pixel_values: `[patches, channels · frames · rows · columns]`, in the processor's order
    /// - output: `[patches / merge², out_hidden_size]`
    pub fn forward(&self, pixel_values: Tensor<2>, plan: &VisionPlan) -> Tensor<2> {
        let mut hidden = self.embed_patches(pixel_values, plan);
        for block in &self.blocks {
            hidden = block.forward(hidden, plan);
        }
        self.merge(hidden, plan)
    }

    /// The first stage: patches in the processor's order to hidden states in the tower's.
    pub fn embed_patches(&self, pixel_values: Tensor<2>, plan: &VisionPlan) -> Tensor<2> {
        self.patch_embed.forward(pixel_values.select(0, plan.order.clone()))
    }

    /// The last stage: hidden states to visual tokens in the processor's order.
    pub fn merge(&self, hidden: Tensor<2>, plan: &VisionPlan) -> Tensor<2> {
        self.merger.forward(hidden).select(0, plan.restore.clone())
    }
}

/// A convolution whose stride is its kernel: one matrix product over flattened patches.
#[derive(Module, Debug)]
#[allow(missing_docs)]
pub struct PatchEmbed {
    pub proj: PatchProjection,
}

/// The kernel of [`PatchEmbed`].
#[derive(Module, Debug)]
pub struct PatchProjection {
    /// `[hidden_size, channels, frames, rows, columns]`
    pub weight: Param<Tensor<5>>,
}

impl PatchEmbed {
    fn init(config: &VisionConfig, device: &Device) -> Self {
        let side = config.patch_size;
        let shape =
            [config.hidden_size, config.in_channels, config.temporal_patch_size, side, side];
        let std = config.initializer_range;
        let weight = Initializer::Normal { mean: 0.0, std }.init(shape, device);
        Self { proj: PatchProjection { weight } }
    }

    fn forward(&self, patches: Tensor<2>) -> Tensor<2> {
        let weight = cast(self.proj.weight.val(), patches.dtype());
        linear(patches, weight.flatten(1, 4), None)
    }
}

/// One transformer block of the tower.
#[derive(Module, Debug)]
#[allow(missing_docs)]
pub struct VisionBlock {
    pub norm1: RmsNorm,
    pub norm2: RmsNorm,
    pub attn: VisionAttention,
    pub mlp: VisionMlp,
}

impl VisionBlock {
    fn init(index: usize, config: &VisionConfig, device: &Device) -> Self {
        let norm = || RmsNorm::init(config.hidden_size, VISION_NORM_EPS, device);
        Self {
            norm1: norm(),
            norm2: norm(),
            attn: VisionAttention::init(index, config, device),
            mlp: VisionMlp::init(config, device),
        }
    }

    /// Applies the block.
    ///
    /// # Shapes
    ///
    /// - hidden, output: `[patches, hidden_size]`, in the tower's order
    pub fn forward(&self, hidden: Tensor<2>, plan: &VisionPlan) -> Tensor<2> {
        let hidden = hidden.clone() + self.attn.forward(self.norm1.forward(hidden), plan);
        hidden.clone() + self.mlp.forward(self.norm2.forward(hidden))
    }
}

/// Self-attention within windows, or within whole images in the blocks configured so.
#[derive(Module, Debug)]
#[allow(missing_docs)]
pub struct VisionAttention {
    pub qkv: Linear,
    pub proj: Linear,
    #[module(skip)]
    num_heads: usize,
    #[module(skip)]
    full: bool,
}

impl VisionAttention {
    fn init(index: usize, config: &VisionConfig, device: &Device) -> Self {
        let (width, std) = (config.hidden_size, config.initializer_range);
        Self {
            qkv: Linear::init(width, 3 * width, true, std, device),
            proj: Linear::init(width, width, true, std, device),
            num_heads: config.num_heads,
            full: config.fullatt_block_indexes.contains(&index),
        }
    }

    fn forward(&self, x: Tensor<2>, plan: &VisionPlan) -> Tensor<2> {
        let [patches, width] = x.dims();
        let heads = self.num_heads;
        let qkv = self.qkv.forward(x).reshape([1, patches, 3 * heads, width / heads]);
        let rotated = plan.rope.apply(qkv.clone().slice_dim(2, 0..2 * heads));
        let [query, key, value] = [
            rotated.clone().slice_dim(2, 0..heads),
            rotated.slice_dim(2, heads..2 * heads),
            qkv.slice_dim(2, 2 * heads..3 * heads),
        ]
        .map(|part| part.reshape([patches, heads, width / heads]));

        let mut start = 0;
        let mut outputs = Vec::new();
        for group in &plan.layout.groups {
            let end = start + group.images * group.patches;
            let rows = |x: &Tensor<3>| x.clone().slice_dim(0, start..end);
            outputs.push(self.group(rows(&query), rows(&key), rows(&value), group));
            start = end;
        }
        self.proj.forward(Tensor::cat(outputs, 0))
    }

    /// Attention among equal images.
    ///
    /// # Shapes
    ///
    /// - query, key, value: `[images · patches, heads, head_dim]`
    /// - output: `[images · patches, hidden_size]`
    fn group(
        &self,
        query: Tensor<3>,
        key: Tensor<3>,
        value: Tensor<3>,
        group: &ImageGroup,
    ) -> Tensor<2> {
        let [_, heads, head_dim] = query.dims();
        let (images, patches) = (group.images, group.patches);
        let per_image = |x: Tensor<3>| x.reshape([images, patches, heads, head_dim]);
        let [query, key, value] = [query, key, value].map(per_image);
        let attend = |range: std::ops::Range<usize>, count: usize, size: usize| {
            let windows = |x: &Tensor<4>| {
                let x = x.clone().slice_dim(1, range.clone());
                x.reshape([images * count, size, heads, head_dim]).swap_dims(1, 2)
            };
            let run = KeyValues { keys: windows(&key), values: windows(&value) };
            let output = attention(windows(&query), &[(&run, &Mask::Full)]);
            output.swap_dims(1, 2).reshape([images, count * size, heads * head_dim])
        };
        let output = if self.full {
            attend(0..patches, 1, patches)
        } else {
            let mut start = 0;
            let mut outputs = Vec::new();
            for batch in &group.windows {
                let end = start + batch.count * batch.size;
                outputs.push(attend(start..end, batch.count, batch.size));
                start = end;
            }
            Tensor::cat(outputs, 1)
        };
        output.reshape([images * patches, heads * head_dim])
    }
}

/// SwiGLU with biases.
#[derive(Module, Debug)]
#[allow(missing_docs)]
pub struct VisionMlp {
    pub gate_proj: Linear,
    pub up_proj: Linear,
    pub down_proj: Linear,
}

impl VisionMlp {
    fn init(config: &VisionConfig, device: &Device) -> Self {
        let (width, inner, std) =
            (config.hidden_size, config.intermediate_size, config.initializer_range);
        Self {
            gate_proj: Linear::init(width, inner, true, std, device),
            up_proj: Linear::init(width, inner, true, std, device),
            down_proj: Linear::init(inner, width, true, std, device),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        swiglu(x, &self.gate_proj, &self.up_proj, &self.down_proj)
    }
}

/// Joins each square of `merge²` patches to one visual token of the text model's width.
#[derive(Module, Debug)]
#[allow(missing_docs)]
pub struct PatchMerger {
    pub ln_q: RmsNorm,
    /// The checkpoint's `mlp.0` and `mlp.2`; between them stands GELU.
    pub mlp: Vec<Linear>,
    #[module(skip)]
    merge_unit: usize,
}

impl PatchMerger {
    fn init(config: &VisionConfig, device: &Device) -> Self {
        let (unit, std) = (config.merge_unit(), config.initializer_range);
        let width = unit * config.hidden_size;
        Self {
            ln_q: RmsNorm::init(config.hidden_size, VISION_NORM_EPS, device),
            mlp: vec![
                Linear::init(width, width, true, std, device),
                Linear::init(width, config.out_hidden_size, true, std, device),
            ],
            merge_unit: unit,
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let [patches, width] = x.dims();
        let x = self.ln_q.forward(x).reshape([patches / self.merge_unit, width * self.merge_unit]);
        self.mlp[1].forward(gelu(self.mlp[0].forward(x)))
    }
}
