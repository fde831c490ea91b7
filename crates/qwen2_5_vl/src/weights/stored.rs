//! Rows of a tensor as they stand in a file.

use std::io::{Read, Seek};

use burn::tensor::{DType, TensorData};
use half::f16;
use safetensors::Dtype;

use super::file::{Shard, floats};
use super::piece::Piece;
use crate::error::WeightsError;
use crate::quantized::Quantization;

/// A tensor or some of its rows.
#[derive(Debug)]
pub(crate) struct Stored {
    format: Format,
    /// Axes of the weights, however they are stored.
    shape: Vec<usize>,
    bytes: Vec<u8>,
    scales: Vec<f16>,
    /// The file, for messages.
    file: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Format {
    Float(Dtype),
    Quantized(Quantization),
}

impl Stored {
    /// Reads a piece of a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn read<R: Read + Seek>(shard: &mut Shard<R>, piece: &Piece) -> Result<Self, WeightsError> {
        let bytes = shard.bytes(&piece.slot)?;
        let (format, scales) = match &piece.quantized {
            None => (Format::Float(piece.slot.dtype), Vec::new()),
            Some((quantization, slot)) => {
                let scales = shard.bytes(slot)?;
                let scales = bytemuck::allocation::pod_collect_to_vec(&scales);
                (Format::Quantized(*quantization), scales)
            }
        };
        Ok(Self { format, shape: piece.shape(), bytes, scales, file: shard.name().into() })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.shape[0]
    }

    /// Joins the slices of a tensor, in order of their rows.
    ///
    /// # Errors
    ///
    /// When they are not stored alike.
    pub fn concatenated(
        slices: impl IntoIterator<Item = Self>,
        key: &str,
    ) -> Result<Self, WeightsError> {
        let mut slices = slices.into_iter();
        let mut whole = slices.next().expect("a tensor has rows");
        for slice in slices {
            if slice.format != whole.format {
                let problem = format!("{key} is stored in several formats");
                return Err(WeightsError::Mismatch { problems: vec![problem] });
            }
            whole.shape[0] += slice.shape[0];
            whole.bytes.extend(slice.bytes);
            whole.scales.extend(slice.scales);
        }
        Ok(whole)
    }

    /// The weights in `dtype`, or quantized as they are, if they are and `keep` is true.
    ///
    /// # Errors
    ///
    /// When they are in a format that is not supported.
    pub fn data(self, dtype: DType, keep: bool) -> Result<TensorData, WeightsError> {
        let quantization = match self.format {
            Format::Quantized(quantization) => quantization,
            Format::Float(format) => {
                let data = floats(&self.bytes, format, dtype, &self.shape);
                return data.ok_or_else(|| WeightsError::Format {
                    file: self.file,
                    message: format!("{format:?} weights are not supported"),
                });
            }
        };
        if keep {
            let shape = [self.shape[0], self.shape[1]];
            return Ok(quantization.device_data(self.bytes, &self.scales, shape, dtype));
        }
        let weights = quantization.dequantize(&self.bytes, &self.scales);
        Ok(TensorData::new(weights, self.shape).convert_dtype(dtype))
    }
}
