//! Weights as small signed integers, in blocks of 32 with one scale each.
//!
//! A matrix `[out, in]` is cut along its input axis into blocks of [`BLOCK`] weights; a weight is
//! `integer · scale`. In a file the integers of `X.weight` are bytes: one weight per byte (q8,
//! two's complement), `[out, in]`, or two per byte (q4, low nibble first, two's complement −8 to
//! 7), `[out, in / 2]`; the scales are `X.weight_scale`, f16, `[out, in / 32]`. On a GPU the same
//! bytes stand as words of 32 bits and are unpacked where they are multiplied, so the matrix never
//! exists in floats; a CPU unpacks them once, at loading.

use burn::tensor::quantization::{QuantScheme, QuantStore, QuantValue, ScaleDtype};
use burn::tensor::{DType, Int, Tensor, TensorData};
use half::f16;

use crate::linear::cast;
use crate::parallel;

/// Weights that share a scale.
pub const BLOCK: usize = 32;

/// How many bits a weight takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantization {
    /// 8 bits, −128 to 127.
    Q8,
    /// 4 bits, −8 to 7.
    Q4,
}

impl Quantization {
    /// Bits of one weight, without its share of the scale.
    pub fn bits(self) -> usize {
        match self {
            Self::Q8 => 8,
            Self::Q4 => 4,
        }
    }

    /// Bytes that a number of weights take, without their scales.
    pub fn bytes(self, weights: usize) -> usize {
        weights * self.bits() / 8
    }

    /// The largest weight whose scale is a finite f16.
    pub(crate) fn largest(self) -> f32 {
        f16::MAX.to_f32() * self.reach()
    }

    /// The largest magnitude, which only a negative integer has.
    fn reach(self) -> f32 {
        (1 << (self.bits() - 1)) as f32
    }

    /// Integers, packed, and scales of weights whose number is a multiple of [`BLOCK`].
    ///
    /// The weight of largest magnitude becomes the most negative integer, as it reaches furthest;
    /// the scale is then the one that fits the integers best (least squares).
    pub fn quantize(self, weights: &[f32]) -> (Vec<u8>, Vec<f16>) {
        let mut bytes = Vec::with_capacity(self.bytes(weights.len()));
        let mut scales = Vec::with_capacity(weights.len() / BLOCK);
        for block in weights.chunks_exact(BLOCK) {
            let largest = block.iter().fold(0f32, |a, &b| if b.abs() > a.abs() { b } else { a });
            let first = f16::from_f32(-largest / self.reach());
            let fitted = f16::from_f32(self.fit(block, first));
            let scale =
                if self.error(block, fitted) < self.error(block, first) { fitted } else { first };
            let integers = block.iter().map(|&weight| self.integer(weight, scale) as u8);
            match self {
                Self::Q8 => bytes.extend(integers),
                Self::Q4 => {
                    let integers: Vec<u8> = integers.collect();
                    bytes.extend(integers.chunks_exact(2).map(|pair| pair[0] & 15 | pair[1] << 4));
                }
            }
            scales.push(scale);
        }
        (bytes, scales)
    }

    fn integer(self, weight: f32, scale: f16) -> i8 {
        match scale.to_f32() {
            0.0 => 0,
            scale => (weight / scale).round().clamp(-self.reach(), self.reach() - 1.0) as i8,
        }
    }

    /// The scale with the least squared error for the integers that `scale` gives.
    fn fit(self, block: &[f32], scale: f16) -> f32 {
        let (mut product, mut square) = (0f32, 0f32);
        for &weight in block {
            let integer = f32::from(self.integer(weight, scale));
            product += weight * integer;
            square += integer * integer;
        }
        if square > 0.0 { product / square } else { 0.0 }
    }

    fn error(self, block: &[f32], scale: f16) -> f32 {
        let error =
            |&weight: &f32| weight - f32::from(self.integer(weight, scale)) * scale.to_f32();
        block.iter().map(error).map(|error| error * error).sum()
    }

    /// Weights of packed integers and scales.
    pub fn dequantize(self, bytes: &[u8], scales: &[f16]) -> Vec<f32> {
        let integers: Vec<i8> = match self {
            Self::Q8 => bytes.iter().map(|&byte| byte as i8).collect(),
            Self::Q4 => {
                bytes.iter().flat_map(|&byte| [(byte << 4) as i8 >> 4, byte as i8 >> 4]).collect()
            }
        };
        let blocks = integers.chunks(BLOCK).zip(scales);
        let weights = blocks.flat_map(|(block, scale)| {
            block.iter().map(|&integer| f32::from(integer) * scale.to_f32())
        });
        weights.collect()
    }

    /// A matrix of f32, with a multiple of [`BLOCK`] inputs, as it goes to a device: packed, or
    /// rounded alike. Else the first weight that has no scale.
    pub(crate) fn rounded(
        self,
        matrix: &TensorData,
        dtype: DType,
        packed: bool,
    ) -> Result<TensorData, f32> {
        let shape = [0, 1].map(|axis| matrix.shape()[axis]);
        let weights = matrix.as_slice::<f32>().expect("read as f32");
        let unfit = |weight: &&f32| weight.is_nan() || weight.abs() > self.largest();
        if let Some(weight) = weights.iter().find(unfit) {
            return Err(*weight);
        }
        let parts = parallel::map(weights.chunks(BLOCK * 4096).collect(), |x| self.quantize(x));
        let (bytes, scales): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let (bytes, scales) = (bytes.concat(), scales.concat());
        Ok(match packed {
            true => self.device_data(bytes, &scales, shape, dtype),
            false => TensorData::new(self.dequantize(&bytes, &scales), shape).convert_dtype(dtype),
        })
    }

    /// Packed integers and scales as they go to a GPU; the scales take the dtype of computation,
    /// which the device surely has.
    pub(crate) fn device_data(
        self,
        mut bytes: Vec<u8>,
        scales: &[f16],
        shape: [usize; 2],
        dtype: DType,
    ) -> TensorData {
        let scale_dtype = match dtype {
            DType::F16 => {
                bytes.extend_from_slice(bytemuck::cast_slice(scales));
                ScaleDtype::F16
            }
            _ => {
                bytes.extend(scales.iter().flat_map(|scale| scale.to_f32().to_ne_bytes()));
                ScaleDtype::F32
            }
        };
        let value = match self {
            Self::Q8 => QuantValue::Q8F,
            Self::Q4 => QuantValue::Q4F,
        };
        let scheme = QuantScheme::default()
            .with_value(value)
            .with_store(QuantStore::PackedU32(0))
            .per_block([BLOCK as u8], scale_dtype);
        TensorData::from_bytes_vec(bytes, shape, DType::QFloat(scheme))
    }
}

/// Whether a weight is stored in integers.
pub(crate) fn is_quantized<const D: usize>(weight: &Tensor<D>) -> bool {
    matches!(weight.dtype(), DType::QFloat(_))
}

/// Up to this many rows are multiplied with the integers; for more it costs less to unpack a part
/// of the weight at a time and to multiply floats.
const FEW_ROWS: usize = 16;

/// Weights unpacked at a time (32 MiB in f32).
const UNPACKED: usize = 1 << 23;

/// `x · weightᵀ`.
///
/// # Shapes
///
/// - x: `[rows, in_features]`
/// - weight: `[out_features, in_features]`, quantized
/// - output: `[rows, out_features]`
pub(crate) fn product(x: Tensor<2>, weight: &Tensor<2>) -> Tensor<2> {
    let [rows, inputs] = x.dims();
    let [outputs, _] = weight.dims();
    // A graph is recorded by Burn's operations only; for them the weight is a constant.
    let weight = &weight.clone().without_autodiff();
    let device = x.device().without_autodiff();
    if rows <= FEW_ROWS
        && !x.is_autodiff()
        && let Some(output) = multiplied(&x, weight)
    {
        return output;
    }
    let step = (UNPACKED / inputs).clamp(1, outputs);
    let parts = (0..outputs).step_by(step).map(|first| {
        let span = first as i64..(first + step).min(outputs) as i64;
        let part = select(weight, Tensor::arange(span, &device), 0, x.dtype());
        x.clone().matmul(part.transpose())
    });
    Tensor::cat(parts.collect(), 1)
}

/// Rows of a quantized matrix that starts with row `first` of a larger one; rows that it does not
/// have are 0.
///
/// # Shapes
///
/// - weight: `[rows, features]`, quantized
/// - ids: `[tokens]`
/// - output: `[tokens, features]`
pub(crate) fn select(
    weight: &Tensor<2>,
    ids: Tensor<1, Int>,
    first: usize,
    dtype: DType,
) -> Tensor<2> {
    match selected(weight, &ids, first, dtype) {
        Some(rows) => rows,
        None => select_within(cast(weight.clone().dequantize(), dtype), ids, first),
    }
}

/// As [`select`], from floats.
pub(crate) fn select_within(weight: Tensor<2>, ids: Tensor<1, Int>, first: usize) -> Tensor<2> {
    let [rows, features] = weight.dims();
    let [tokens] = ids.dims();
    let local = ids.sub_scalar(first as i64);
    let here = local.clone().clamp(0, rows as i64 - 1);
    let outside = local.not_equal(here.clone()).reshape([tokens, 1]).expand([tokens, features]);
    weight.select(0, here).mask_fill(outside, 0.0)
}

#[cfg(all(feature = "gpu", not(feature = "fusion")))]
use crate::kernel::{multiplied, selected};

/// Without kernels.
#[cfg(not(all(feature = "gpu", not(feature = "fusion"))))]
fn multiplied(_: &Tensor<2>, _: &Tensor<2>) -> Option<Tensor<2>> {
    None
}

/// Without kernels.
#[cfg(not(all(feature = "gpu", not(feature = "fusion"))))]
fn selected(_: &Tensor<2>, _: &Tensor<1, Int>, _: usize, _: DType) -> Option<Tensor<2>> {
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_are_as_documented() {
        let mut weights = [0f32; BLOCK];
        (weights[0], weights[1], weights[2]) = (-8.0, 7.0, 3.0);
        let (bytes, scales) = Quantization::Q4.quantize(&weights);
        assert_eq!((&bytes[..2], scales[0].to_f32()), (&[0x78u8, 0x03][..], 1.0));
        let (bytes, scales) = Quantization::Q8.quantize(&weights.map(|weight| weight * 16.0));
        assert_eq!((&bytes[..3], scales[0].to_f32()), (&[0x80u8, 112, 48][..], 1.0));
    }

    #[test]
    fn zeros_stay_zeros() {
        for format in [Quantization::Q8, Quantization::Q4] {
            let (bytes, scales) = format.quantize(&[0.0; BLOCK]);
            assert_eq!(format.dequantize(&bytes, &scales), [0.0; BLOCK]);
        }
    }

    #[test]
    fn a_matrix_is_rounded_to_what_its_integers_say_unless_a_weight_has_no_scale() {
        let matrix = |first: f32| {
            let weights: Vec<f32> = (0..2 * BLOCK).map(|i| first + (i * 37 % 101) as f32).collect();
            TensorData::new(weights, [2, BLOCK])
        };
        for format in [Quantization::Q8, Quantization::Q4] {
            let weights = matrix(-50.0);
            let (bytes, scales) = format.quantize(weights.as_slice::<f32>().unwrap());
            let found = format.rounded(&weights, DType::F32, false).unwrap();
            assert_eq!(found.as_slice::<f32>().unwrap(), format.dequantize(&bytes, &scales));
            for unfit in [f32::NAN, f32::INFINITY, 1e9] {
                assert!(format.rounded(&matrix(unfit), DType::F32, false).is_err(), "{unfit}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_weight_is_off_by_at_most_a_step(weights in prop::collection::vec(-1f32..1.0, BLOCK)) {
            let largest = weights.iter().fold(0f32, |a, b| a.max(b.abs()));
            for (format, steps) in [(Quantization::Q8, 127.0), (Quantization::Q4, 7.0)] {
                let (bytes, scales) = format.quantize(&weights);
                prop_assert_eq!(bytes.len(), format.bytes(BLOCK));
                let found = format.dequantize(&bytes, &scales);
                for (found, weight) in found.iter().zip(&weights) {
                    prop_assert!((found - weight).abs() <= 1.2 * largest / steps + 1e-6);
                }
            }
        }
    }
}
