//! Activations. On a CPU they run here, in place and on vectors: its backend calls the scalar
//! `exp` of the C library for each number, and `silu` on one core. Other devices and recorded
//! graphs use Burn's.

use burn::tensor::{DType, Tensor, activation};

use crate::parallel;

/// Numbers that one task works on at a time.
const CHUNK: usize = 1 << 14;

/// Softmax over the last axis.
pub(crate) fn softmax<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let row = x.dims()[D - 1];
    if !here(&x) || row == 0 {
        return activation::softmax(x, D - 1);
    }
    let device = x.device();
    let mut data = x.into_data();
    let values = data.as_mut_slice::<f32>().expect("checked to be f32");
    parallel::chunks(values, (CHUNK / row).max(1) * row, |_, rows| {
        rows.chunks_exact_mut(row).for_each(softmax_row);
    });
    Tensor::from_data(data, (&device, DType::F32))
}

/// `silu(gate) · up`.
pub(crate) fn gated<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    if !here(&gate) {
        return activation::silu(gate) * up;
    }
    let device = gate.device();
    let (mut data, up) = (gate.into_data(), up.into_data());
    let up = up.as_slice::<f32>().expect("of the gate's dtype");
    let values = data.as_mut_slice::<f32>().expect("checked to be f32");
    parallel::chunks(values, CHUNK, |start, gate| {
        for (gate, up) in gate.iter_mut().zip(&up[start..]) {
            let below_one = exp_of_negative(-gate.abs());
            let numerator = if *gate < 0.0 { below_one } else { 1.0 };
            *gate *= numerator / (1.0 + below_one) * up;
        }
    });
    Tensor::from_data(data, (&device, DType::F32))
}

fn here<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && parallel::is_plain_cpu(&x.device())
}

fn softmax_row(row: &mut [f32]) {
    // Sixteen running values, so that the compiler works on vectors.
    let mut largest = [f32::NEG_INFINITY; 16];
    let chunks = row.chunks_exact(16);
    let rest = chunks.remainder().iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for chunk in chunks {
        for (largest, &x) in largest.iter_mut().zip(chunk) {
            *largest = if x > *largest { x } else { *largest };
        }
    }
    let largest = largest.iter().copied().fold(rest, f32::max);
    let mut sums = [0.0; 16];
    let mut chunks = row.chunks_exact_mut(16);
    for chunk in &mut chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *x = exp_of_negative(*x - largest);
            *sum += *x;
        }
    }
    let mut sum = sums.iter().sum::<f32>();
    for x in chunks.into_remainder() {
        *x = exp_of_negative(*x - largest);
        sum += *x;
    }
    let scale = 1.0 / sum;
    row.iter_mut().for_each(|x| *x *= scale);
}

/// `exp(x)` for x ≤ 0 within 2 units in the last place; 0 where it is below the normal numbers.
///
/// `x = n · ln 2 + r` with |r| ≤ ln 2 / 2, and the polynomial for `exp(r)` of Cephes' `expf`.
#[inline(always)]
fn exp_of_negative(x: f32) -> f32 {
    const LOWEST: f32 = -87.3;
    /// Adding it rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // A NaN stays one.
    let bounded = if x < LOWEST { LOWEST } else { x };
    let rounded = bounded * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = bounded - n * 0.693_359_375 + n * 2.121_944_4e-4;
    let p = 1.987_569_15e-4;
    let p = p * r + 1.398_199_95e-3;
    let p = p * r + 8.333_451_9e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_55e-1;
    let p = p * r + 5.000_000_1e-1;
    let mantissa = p * (r * r) + r + 1.0;
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    if x < LOWEST { 0.0 } else { mantissa * power }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        for step in 0..=870_000 {
            let x = -1e-4 * step as f32;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp_of_negative(x)) - exact).abs();
            assert!(error <= 2.0 * f64::from(f32::EPSILON) * exact, "exp({x}) is off by {error:e}");
        }
        assert_eq!(exp_of_negative(0.0), 1.0);
        assert_eq!([-88.0, -1e30, f32::NEG_INFINITY].map(exp_of_negative), [0.0; 3]);
        assert!(exp_of_negative(f32::NAN).is_nan());
    }

    #[test]
    fn activations_are_burns() {
        let plain = Device::flex();
        let recorded = plain.clone().autodiff();
        for shape in [[1, 1], [3, 5], [2, 16], [70, 333], [1, 40_000], [0, 4]] {
            let count = shape[0] * shape[1];
            let values: Vec<f32> = (0..count).map(|i| (i * 37 % 101) as f32 * 0.4 - 20.0).collect();
            let tensors = |device: &Device| {
                let x = Tensor::<2>::from_data(TensorData::new(values.clone(), shape), device);
                (softmax(x.clone()), gated(x.clone(), x * 0.5 + 1.0))
            };
            let (ours, burns) = (tensors(&plain), tensors(&recorded));
            for (ours, burns) in [(ours.0, burns.0), (ours.1, burns.1)] {
                let (ours, burns) = (ours.into_data(), burns.into_data());
                let pairs = ours.iter::<f32>().zip(burns.iter::<f32>());
                for (ours, burns) in pairs {
                    assert!((ours - burns).abs() <= 2e-6 * burns.abs(), "{ours} is not {burns}");
                }
            }
        }
    }

    #[test]
    fn masked_scores_have_no_weight_and_nan_is_kept() {
        let row = |values: &[f32]| {
            let x = Tensor::<1>::from_data(values, &Device::flex());
            softmax(x).into_data().iter::<f32>().collect::<Vec<_>>()
        };
        assert_eq!(row(&[0.0, -1e30, 0.0, -1e30]), [0.5, 0.0, 0.5, 0.0]);
        assert!(row(&[0.0, f32::NAN, 1.0]).iter().all(|x| x.is_nan()));
    }
}
