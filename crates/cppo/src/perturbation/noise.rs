//! Noise and blur over the whole picture.

use std::f64::consts::TAU;

use image::{Rgb, RgbImage};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::Kind;
use super::check::{ordered, within};

/// Adds normal noise to each level.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Noise {
    /// Standard deviation in levels of 255.
    pub sigma: f64,
}

impl Default for Noise {
    fn default() -> Self {
        Self { sigma: 6.0 }
    }
}

impl Kind for Noise {
    fn validate(&self) -> Result<(), String> {
        within("sigma", self.sigma, 0.0..=255.0)
    }

    fn apply(&self, picture: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage {
        let mut picture = picture.clone();
        for level in picture.iter_mut() {
            *level = (f64::from(*level) + self.sigma * normal(rng)).round() as u8;
        }
        picture
    }
}

/// A standard normal number (Box and Muller 1958).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (TAU * rng.random::<f64>()).cos()
}

/// Blurs by a Gaussian; beyond its edges the picture goes on with the edge's pixels.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct GaussianBlur {
    /// Range of the standard deviation in pixels; the default is torchvision's.
    pub sigma: [f64; 2],
}

impl Default for GaussianBlur {
    fn default() -> Self {
        Self { sigma: [0.1, 2.0] }
    }
}

impl Kind for GaussianBlur {
    fn validate(&self) -> Result<(), String> {
        ordered("sigma", self.sigma, 0.0..=50.0)
    }

    fn apply(&self, picture: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage {
        let kernel = gaussian(rng.random_range(self.sigma[0]..=self.sigma[1]));
        blur_transposed(&blur_transposed(picture, &kernel), &kernel)
    }
}

/// A normalised Gaussian out to three standard deviations.
fn gaussian(sigma: f64) -> Vec<f32> {
    let radius = (3.0 * sigma).ceil() as i32;
    // The middle weight of a sigma of zero is 0 / 0.
    let sigma = sigma.max(1e-3);
    let weights = (-radius..=radius).map(|at| (-0.5 * (f64::from(at) / sigma).powi(2)).exp());
    let total: f64 = weights.clone().sum();
    weights.map(|weight| (weight / total) as f32).collect()
}

/// Blurs along the rows and swaps rows and columns.
fn blur_transposed(picture: &RgbImage, kernel: &[f32]) -> RgbImage {
    let (width, height) = picture.dimensions();
    let (radius, last) = (kernel.len() as i64 / 2, i64::from(width) - 1);
    RgbImage::from_fn(height, width, |y, x| {
        let mut sums = [0.0; 3];
        for (place, weight) in kernel.iter().enumerate() {
            let at = (i64::from(x) + place as i64 - radius).clamp(0, last) as u32;
            let levels = picture.get_pixel(at, y).0;
            sums.iter_mut().zip(levels).for_each(|(sum, level)| *sum += weight * f32::from(level));
        }
        Rgb(sums.map(|sum| sum.round() as u8))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::varied;
    use super::super::{Seed, View};
    use super::*;

    fn rng() -> ChaCha8Rng {
        Seed::default().parameters(View::Preserving, 0)
    }

    #[test]
    fn noise_has_the_given_deviation_and_no_drift() {
        let picture = RgbImage::from_pixel(120, 100, Rgb([128; 3]));
        let noisy = Noise::default().apply(&picture, &mut rng());
        let levels = noisy.as_raw();
        let mean =
            levels.iter().map(|&level| f64::from(level) - 128.0).sum::<f64>() / levels.len() as f64;
        let variance = levels.iter().map(|&level| (f64::from(level) - 128.0).powi(2)).sum::<f64>()
            / levels.len() as f64;
        assert!(mean.abs() < 0.2, "{mean}");
        // Rounding to whole levels adds 1/12.
        assert!((variance - 36.083).abs() < 1.0, "{variance}");
        assert_eq!(Noise { sigma: 0.0 }.apply(&picture, &mut rng()), picture);
    }

    #[test]
    fn blur_spreads_a_point_as_the_gaussian_does() {
        let mut picture = RgbImage::new(21, 21);
        picture.put_pixel(10, 10, Rgb([255; 3]));
        let blurred = GaussianBlur { sigma: [1.0, 1.0] }.apply(&picture, &mut rng());
        let density = |x: f64, y: f64| 255.0 / TAU * (-0.5 * (x * x + y * y)).exp();
        for (x, y, pixel) in blurred.enumerate_pixels() {
            let expected = density(f64::from(x) - 10.0, f64::from(y) - 10.0);
            assert!((f64::from(pixel.0[0]) - expected).abs() < 1.0, "{x} {y}: {pixel:?}");
        }
    }

    #[test]
    fn blur_leaves_a_flat_picture_flat_and_without_sigma_every_picture() {
        let flat = RgbImage::from_pixel(30, 4, Rgb([255, 1, 77]));
        assert_eq!(GaussianBlur { sigma: [20.0; 2] }.apply(&flat, &mut rng()), flat);
        let picture = varied(13, 8);
        assert_eq!(GaussianBlur { sigma: [0.0; 2] }.apply(&picture, &mut rng()), picture);
    }
}
