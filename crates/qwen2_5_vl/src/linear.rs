//! Layers that keep their weights in the checkpoint's layout and dtype, and compute in the
//! activation's dtype.

use std::ops::Range;

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{DType, Device, FloatDType, Int, Tensor};

use crate::lora::Lora;
use crate::parallel;
use crate::quantized::{self, is_quantized};
use crate::table::Table;

/// Multiplications that are worth a core of their own.
pub(crate) const PART: usize = 1 << 18;

/// `x · Wᵀ + b` with `W` stored `[out, in]`, as PyTorch's `nn.Linear` does.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out_features, in_features]`
    pub weight: Param<Tensor<2>>,
    /// `[out_features]`
    pub bias: Option<Param<Tensor<1>>>,
    /// Its adapter, if it has one.
    pub lora: Option<Lora>,
}

impl Linear {
    /// A layer with normally distributed weights and zero bias, allocated on first use.
    pub fn init(inputs: usize, outputs: usize, bias: bool, std: f64, device: &Device) -> Self {
        Self {
            weight: Initializer::Normal { mean: 0.0, std }.init([outputs, inputs], device),
            bias: bias.then(|| Initializer::Zeros.init([outputs], device)),
            lora: None,
        }
    }

    /// Applies the layer.
    ///
    /// # Shapes
    ///
    /// - x: `[..., in_features]`
    /// - output: `[..., out_features]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let (weight, bias) = self.cast(x.dtype());
        match &self.lora {
            Some(lora) => linear(x.clone(), weight, bias) + lora.forward(x),
            None => linear(x, weight, bias),
        }
    }

    /// Weight and bias in the dtype of computation, without the adapter; a quantized weight stays
    /// as it is.
    pub(crate) fn cast(&self, dtype: DType) -> (Tensor<2>, Option<Tensor<1>>) {
        (cast(self.weight.val(), dtype), self.bias.as_ref().map(|bias| cast(bias.val(), dtype)))
    }
}

/// Root mean square norm, computed in f32 whatever the activation's dtype (`Qwen2RMSNorm`).
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// `[features]`
    pub weight: Param<Tensor<1>>,
    #[module(skip)]
    eps: f64,
}

impl RmsNorm {
    /// A norm with unit weights.
    pub fn init(features: usize, eps: f64, device: &Device) -> Self {
        Self { weight: Initializer::Ones.init([features], device), eps }
    }

    /// Applies the norm over the last axis.
    ///
    /// # Shapes
    ///
    /// - x: `[..., features]`
    /// - output: `[..., features]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let dtype = x.dtype();
        let x = cast(x, DType::F32);
        let mean_square = x.clone().square().mean_dim(D - 1);
        let normed = x / mean_square.add_scalar(self.eps).sqrt();
        cast(normed, dtype) * cast(self.weight.val(), dtype).unsqueeze()
    }
}

/// A table of token embeddings.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[vocab_size, hidden_size]`; None where the table is in parts.
    pub weight: Option<Param<Tensor<2>>>,
    #[module(skip)]
    pub(crate) table: Option<Table>,
}

impl Embedding {
    /// A table of normally distributed rows, allocated on first use.
    pub fn init(rows: usize, features: usize, std: f64, device: &Device) -> Self {
        let weight = Initializer::Normal { mean: 0.0, std }.init([rows, features], device);
        Self { weight: Some(weight), table: None }
    }

    /// Looks up rows, in `dtype`.
    ///
    /// # Shapes
    ///
    /// - ids: `[tokens]`
    /// - output: `[tokens, hidden_size]`
    pub fn forward(&self, ids: Tensor<1, Int>, dtype: DType) -> Tensor<2> {
        match (&self.weight, &self.table) {
            (Some(weight), _) if is_quantized(&weight.val()) => {
                quantized::select(&weight.val(), ids, 0, dtype)
            }
            (Some(weight), _) => cast(weight.val().select(0, ids), dtype),
            (None, Some(table)) => table.select(ids, dtype),
            (None, None) => unreachable!("an embedding has a weight or a table"),
        }
    }

    /// `x · tableᵀ`: the logits of a tied head.
    ///
    /// # Shapes
    ///
    /// - x: `[tokens, hidden_size]`
    /// - output: `[tokens, vocab_size]`
    pub(crate) fn project(&self, x: Tensor<2>) -> Tensor<2> {
        match (&self.weight, &self.table) {
            (Some(weight), _) => {
                let weight = cast(weight.val(), x.dtype());
                linear(x, weight, None)
            }
            (None, Some(table)) => table.project(x),
            (None, None) => unreachable!("an embedding has a weight or a table"),
        }
    }
}

/// Casts unless the dtype is already right, since a cast to the same dtype may still copy;
/// quantized weights stay as they are.
pub(crate) fn cast<const D: usize>(x: Tensor<D>, dtype: DType) -> Tensor<D> {
    if x.dtype() == dtype || is_quantized(&x) { x } else { x.cast(FloatDType::from(dtype)) }
}

/// `x · weightᵀ + bias` as one two-dimensional product, or as one per core.
///
/// # Shapes
///
/// - x: `[..., in_features]`
/// - weight: `[out_features, in_features]`
/// - bias: `[out_features]`
/// - output: `[..., out_features]`
pub(crate) fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    let mut dims = x.dims();
    let [outputs, inputs] = weight.dims();
    let rows = dims[..D - 1].iter().product::<usize>();
    dims[D - 1] = outputs;
    if is_quantized(&weight) {
        let output = quantized::product(x.reshape([rows, inputs]), &weight);
        let output = match bias {
            Some(bias) => output + bias.unsqueeze(),
            None => output,
        };
        return output.reshape(dims);
    }
    // Burn checks dtypes in debug builds only, and reads wrong bytes in release.
    assert_eq!(x.dtype(), weight.dtype(), "activation and weight must share one dtype");
    let device = x.device();
    let x = x.reshape([rows, inputs]);
    let spans = parallel::spans(outputs, (PART / (rows * inputs).max(1)).max(64), &device);
    // With few rows it costs less to transpose the output than to pack the weight.
    let columns = parallel::is_plain_cpu(&device) && (2..=inputs / 4).contains(&rows);
    let part = |span: Range<usize>| {
        let (x, weight) = (x.clone(), weight.clone().slice_dim(0, span.clone()));
        let output = if columns {
            weight.matmul(x.transpose()).transpose()
        } else {
            x.matmul(weight.transpose())
        };
        match bias.clone() {
            Some(bias) => output + bias.slice_dim(0, span).unsqueeze(),
            None => output,
        }
    };
    Tensor::cat(parallel::map(spans, part), 1).reshape(dims)
}
