//! The gated feed-forward network of both towers.

use std::ops::Range;

use burn::tensor::{DType, Tensor};

use crate::elementwise::gated;
use crate::linear::{Linear, PART};
use crate::parallel;

/// `down(silu(gate(x)) · up(x))`.
///
/// # Shapes
///
/// - x: `[..., hidden_size]`
/// - output: the same
pub(crate) fn swiglu<const D: usize>(
    x: Tensor<D>,
    gate: &Linear,
    up: &Linear,
    down: &Linear,
) -> Tensor<D> {
    if parallel::is_plain_cpu(&x.device()) {
        return by_features(x, gate, up, down);
    }
    down.forward(gated(gate.forward(x.clone()), up.forward(x)))
}

/// The same as a sum over stretches of the inner features, one per core. Features are rows and
/// tokens columns, so that no product has to pack its weight.
fn by_features<const D: usize>(
    x: Tensor<D>,
    gate: &Linear,
    up: &Linear,
    down: &Linear,
) -> Tensor<D> {
    let (dims, dtype, device) = (x.dims(), x.dtype(), x.device());
    let width = dims[D - 1];
    let rows = dims[..D - 1].iter().product::<usize>();
    let x = transposed(x.reshape([rows, width]));
    let [gate, up] = [gate, up].map(|layer| Columns::new(layer, dtype));
    let down = Columns::new(down, dtype);
    let [inner, _] = gate.weight.dims();
    let part = |span: Range<usize>| {
        let gate = gate.rows(span.clone()).forward(x.clone());
        let up = up.rows(span.clone()).forward(x.clone());
        down.inputs(span).product(gated(gate, up))
    };
    let spans = parallel::spans(inner, PART / 2 / (rows * width).max(1), &device);
    let parts = parallel::map(spans, part).into_iter();
    let sum = parts.reduce(|sum, part| sum + part).expect("at least one span");
    down.add_bias(sum).transpose().reshape(dims)
}

/// A layer that maps columns: `W · x + b`, with its adapter.
struct Columns {
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    /// `A` and `s · B`.
    lora: Option<(Tensor<2>, Tensor<2>)>,
}

impl Columns {
    fn new(layer: &Linear, dtype: DType) -> Self {
        let (weight, bias) = layer.cast(dtype);
        Self { weight, bias, lora: layer.lora.as_ref().map(|lora| lora.factors(dtype)) }
    }

    /// The part that gives some of the outputs.
    fn rows(&self, span: Range<usize>) -> Self {
        let rows = |x: Tensor<2>| x.slice_dim(0, span.clone());
        Self {
            weight: rows(self.weight.clone()),
            bias: self.bias.clone().map(|bias| bias.slice_dim(0, span.clone())),
            lora: self.lora.clone().map(|(a, b)| (a, rows(b))),
        }
    }

    /// The part that takes some of the inputs.
    fn inputs(&self, span: Range<usize>) -> Self {
        let columns = |x: Tensor<2>| x.slice_dim(1, span.clone());
        Self {
            weight: columns(self.weight.clone()),
            bias: self.bias.clone(),
            lora: self.lora.clone().map(|(a, b)| (columns(a), b)),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.add_bias(self.product(x))
    }

    fn product(&self, x: Tensor<2>) -> Tensor<2> {
        let output = self.weight.clone().matmul(x.clone());
        match self.lora.clone() {
            Some((a, b)) => output + b.matmul(a.matmul(x)),
            None => output,
        }
    }

    fn add_bias(&self, x: Tensor<2>) -> Tensor<2> {
        match self.bias.clone() {
            Some(bias) => x + bias.unsqueeze_dim(1),
            None => x,
        }
    }
}

/// The transpose, moved in memory.
fn transposed(x: Tensor<2>) -> Tensor<2> {
    let [rows, columns] = x.dims();
    // Only a copy gives a transposed tensor one dimension.
    x.transpose().reshape([rows * columns]).reshape([columns, rows])
}
