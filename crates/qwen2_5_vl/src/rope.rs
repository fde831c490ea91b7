//! Rotary position embedding: multimodal (text) and two-dimensional (vision).

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::config::{TextConfig, VISION_ROPE_THETA, VisionConfig};
use crate::linear::cast;

/// Cosines and sines of one batch of positions; computed once per forward, used by every layer.
#[derive(Clone, Debug)]
pub struct Rope {
    /// `[batch, sequence, 1, head_dim / 2]`, f32
    cos: Tensor<4>,
    /// `[batch, sequence, 1, head_dim / 2]`, f32
    sin: Tensor<4>,
}

impl Rope {
    /// Multimodal rotary embedding: `mrope_section` tells how many frequencies follow the
    /// temporal, the height and the width position (Qwen2-VL, section 2.1).
    ///
    /// # Shapes
    ///
    /// - positions: per row of the batch, three axes of `sequence` positions each
    ///
    /// # Panics
    ///
    /// When the rows differ in length.
    pub fn text(positions: &[[Vec<i32>; 3]], config: &TextConfig, device: &Device) -> Self {
        let rope = &config.rope_parameters;
        let frequencies = inverse_frequencies(config.head_dim(), rope.rope_theta);
        let axes: Vec<usize> =
            (0..3).flat_map(|axis| std::iter::repeat_n(axis, rope.mrope_section[axis])).collect();
        let sequence = positions.first().map_or(0, |row| row[0].len());
        let mut angles = Vec::with_capacity(positions.len() * sequence * frequencies.len());
        for row in positions {
            assert!(row.iter().all(|axis| axis.len() == sequence), "rows must be padded");
            angles.extend((0..sequence).flat_map(|token| {
                let position = move |&axis: &usize| row[axis][token] as f32;
                frequencies.iter().zip(&axes).map(move |(f, axis)| position(axis) * f)
            }));
        }
        Self::from_angles(&angles, [positions.len(), sequence, 1, frequencies.len()], device)
    }

    /// Two-dimensional rotary embedding of image patches: the first half of the frequencies
    /// follows the row, the second the column (`Qwen2_5_VisionRotaryEmbedding`).
    ///
    /// # Shapes
    ///
    /// - positions: row and column of each patch
    pub fn vision(positions: &[[usize; 2]], config: &VisionConfig, device: &Device) -> Self {
        let frequencies = inverse_frequencies(config.head_dim() / 2, VISION_ROPE_THETA);
        let angles: Vec<f32> = positions
            .iter()
            .flatten()
            .flat_map(|&position| frequencies.iter().map(move |f| position as f32 * f))
            .collect();
        Self::from_angles(&angles, [1, positions.len(), 1, 2 * frequencies.len()], device)
    }

    fn from_angles(angles: &[f32], shape: [usize; 4], device: &Device) -> Self {
        let tensor = |function: fn(f32) -> f32| {
            let values: Vec<f32> = angles.iter().map(|&angle| function(angle)).collect();
            Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
        };
        Self { cos: tensor(f32::cos), sin: tensor(f32::sin) }
    }

    /// The embedding of a stretch of the sequence.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        let slice = |x: &Tensor<4>| x.clone().slice_dim(1, range.clone());
        Self { cos: slice(&self.cos), sin: slice(&self.sin) }
    }

    /// Rotates queries or keys, pairing the first half of each head with the second.
    ///
    /// # Shapes
    ///
    /// - x: `[batch, sequence, heads, head_dim]`
    /// - output: the same
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let dtype = x.dtype();
        let half = x.dims()[3] / 2;
        let x = cast(x, DType::F32);
        let first = x.clone().slice_dim(3, 0..half);
        let second = x.slice_dim(3, half..2 * half);
        let rotated = vec![
            first.clone() * self.cos.clone() - second.clone() * self.sin.clone(),
            second * self.cos.clone() + first * self.sin.clone(),
        ];
        cast(Tensor::cat(rotated, 3), dtype)
    }
}

/// `theta^(-2i / width)` for i in 0..width/2, in f32 as PyTorch computes it.
fn inverse_frequencies(width: usize, theta: f64) -> Vec<f32> {
    (0..width / 2).map(|i| 1.0 / (theta as f32).powf((2 * i) as f32 / width as f32)).collect()
}
