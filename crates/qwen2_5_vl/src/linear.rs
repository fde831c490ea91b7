//! Layers that keep their weights in the checkpoint's layout and dtype, and compute in the
//! activation's dtype.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{DType, Device, FloatDType, Int, Tensor};

/// `x · Wᵀ + b` with `W` stored `[out, in]`, as PyTorch's `nn.Linear` does.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out_features, in_features]`
    pub weight: Param<Tensor<2>>,
    /// `[out_features]`
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// A layer with normally distributed weights and zero bias, allocated on first use.
    pub fn init(inputs: usize, outputs: usize, bias: bool, std: f64, device: &Device) -> Self {
        Self {
            weight: Initializer::Normal { mean: 0.0, std }.init([outputs, inputs], device),
            bias: bias.then(|| Initializer::Zeros.init([outputs], device)),
        }
    }

    /// Applies the layer.
    ///
    /// # Shapes
    ///
    /// - x: `[..., in_features]`
    /// - output: `[..., out_features]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let dtype = x.dtype();
        let output = matmul_transposed(x, cast(self.weight.val(), dtype));
        match &self.bias {
            Some(bias) => output + cast(bias.val(), dtype).unsqueeze(),
            None => output,
        }
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
    /// `[vocab_size, hidden_size]`
    pub weight: Param<Tensor<2>>,
}

impl Embedding {
    /// A table of normally distributed rows, allocated on first use.
    pub fn init(rows: usize, features: usize, std: f64, device: &Device) -> Self {
        Self { weight: Initializer::Normal { mean: 0.0, std }.init([rows, features], device) }
    }

    /// Looks up rows, in the table's dtype.
    ///
    /// # Shapes
    ///
    /// - ids: `[tokens]`
    /// - output: `[tokens, hidden_size]`
    pub fn forward(&self, ids: Tensor<1, Int>) -> Tensor<2> {
        self.weight.val().select(0, ids)
    }
}

/// Casts unless the dtype is already right, since a cast to the same dtype may still copy.
pub(crate) fn cast<const D: usize>(x: Tensor<D>, dtype: DType) -> Tensor<D> {
    if x.dtype() == dtype { x } else { x.cast(FloatDType::from(dtype)) }
}

/// `x · weightᵀ` as one two-dimensional product.
///
/// # Shapes
///
/// - x: `[..., in_features]`
/// - weight: `[out_features, in_features]`
/// - output: `[..., out_features]`
pub(crate) fn matmul_transposed<const D: usize>(x: Tensor<D>, weight: Tensor<2>) -> Tensor<D> {
    // Burn checks dtypes in debug builds only, and reads wrong bytes in release.
    assert_eq!(x.dtype(), weight.dtype(), "activation and weight must share one dtype");
    let mut dims = x.dims();
    let [outputs, inputs] = weight.dims();
    let rows = dims[..D - 1].iter().product::<usize>();
    dims[D - 1] = outputs;
    x.reshape([rows, inputs]).matmul(weight.transpose()).reshape(dims)
}
