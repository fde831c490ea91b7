//! A vocabulary's table in parts, for devices whose buffers are too small for the whole.

use std::collections::BTreeMap;

use burn::tensor::{DType, Int, Tensor};

use crate::linear::{cast, linear};
use crate::quantized::{is_quantized, select, select_within};

/// A matrix `[vocab_size, hidden_size]` as parts of consecutive rows, in floats or quantized.
#[derive(Clone, Debug)]
pub struct Table {
    /// Parts by their first row.
    parts: BTreeMap<usize, Tensor<2>>,
}

impl Table {
    /// A table of parts by their first row; together they hold every row once.
    pub(crate) fn new(parts: BTreeMap<usize, Tensor<2>>) -> Self {
        Self { parts }
    }

    /// Looks up rows.
    ///
    /// # Shapes
    ///
    /// - ids: `[tokens]`
    /// - output: `[tokens, hidden_size]`
    pub(crate) fn select(&self, ids: Tensor<1, Int>, dtype: DType) -> Tensor<2> {
        let part = |(&first, part): (&usize, &Tensor<2>)| match is_quantized(part) {
            true => select(part, ids.clone(), first, dtype),
            false => cast(select_within(part.clone(), ids.clone(), first), dtype),
        };
        let rows = self.parts.iter().map(part).reduce(|sum, part| sum + part);
        rows.expect("a table has parts")
    }

    /// `x · tableᵀ`.
    ///
    /// # Shapes
    ///
    /// - x: `[tokens, hidden_size]`
    /// - output: `[tokens, vocab_size]`
    pub(crate) fn project(&self, x: Tensor<2>) -> Tensor<2> {
        let part = |part: &Tensor<2>| linear(x.clone(), cast(part.clone(), x.dtype()), None);
        Tensor::cat(self.parts.values().map(part).collect(), 1)
    }
}
