//! Perturbations of colour.

use image::{Rgb, RgbImage};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::Kind;
use super::check::ordered;

/// Changes brightness, contrast and saturation by uniform factors in random order, as torchvision's
/// `ColorJitter` does on Pillow images, level by level.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ColorJitter {
    /// Range of the factor that scales every level.
    pub brightness: [f64; 2],
    /// Range of the factor that scales the distance from the picture's mean grey.
    pub contrast: [f64; 2],
    /// Range of the factor that scales the distance from the pixel's own grey.
    pub saturation: [f64; 2],
}

impl Default for ColorJitter {
    fn default() -> Self {
        Self { brightness: [0.2, 1.3], contrast: [0.2, 1.8], saturation: [0.2, 1.8] }
    }
}

impl Kind for ColorJitter {
    fn validate(&self) -> Result<(), String> {
        ordered("brightness", self.brightness, 0.0..=255.0)?;
        ordered("contrast", self.contrast, 0.0..=255.0)?;
        ordered("saturation", self.saturation, 0.0..=255.0)
    }

    fn apply(&self, picture: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage {
        let mut steps: [(Adjust, _); 3] = [
            (adjust_brightness, self.brightness),
            (adjust_contrast, self.contrast),
            (adjust_saturation, self.saturation),
        ];
        steps.shuffle(rng);
        let mut picture = picture.clone();
        for (adjust, [low, high]) in steps {
            adjust(&mut picture, rng.random_range(low..=high) as f32);
        }
        picture
    }
}

type Adjust = fn(&mut RgbImage, f32);

fn adjust_brightness(picture: &mut RgbImage, factor: f32) {
    blend(picture, factor, |_| 0);
}

fn adjust_contrast(picture: &mut RgbImage, factor: f32) {
    let sum: u64 = picture.pixels().map(|&pixel| u64::from(grey(pixel))).sum();
    let mean = (sum as f64 / picture.pixels().len() as f64 + 0.5) as u8;
    blend(picture, factor, |_| mean);
}

fn adjust_saturation(picture: &mut RgbImage, factor: f32) {
    blend(picture, factor, grey);
}

/// Scales the distance of each level from `origin` of its pixel; cut to whole levels like Pillow.
fn blend(picture: &mut RgbImage, factor: f32, origin: impl Fn(Rgb<u8>) -> u8) {
    for pixel in picture.pixels_mut() {
        let origin = f32::from(origin(*pixel));
        pixel.0 = pixel.0.map(|level| (origin + factor * (f32::from(level) - origin)) as u8);
    }
}

/// Luma of ITU-R 601 with Pillow's rounding.
fn grey(Rgb([red, green, blue]): Rgb<u8>) -> u8 {
    let [red, green, blue] = [red, green, blue].map(u32::from);
    ((red * 19_595 + green * 38_470 + blue * 7_471 + 0x8000) >> 16) as u8
}

/// Takes the colour away (luma of ITU-R 601).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Gray {}

impl Kind for Gray {
    fn apply(&self, picture: &RgbImage, _rng: &mut ChaCha8Rng) -> RgbImage {
        let mut picture = picture.clone();
        picture.pixels_mut().for_each(|pixel| pixel.0 = [grey(*pixel); 3]);
        picture
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::varied;
    use super::super::{Seed, View};
    use super::*;

    fn rng() -> ChaCha8Rng {
        Seed::default().parameters(View::Preserving, 0)
    }

    fn only(brightness: f64, contrast: f64, saturation: f64) -> ColorJitter {
        ColorJitter {
            brightness: [brightness; 2],
            contrast: [contrast; 2],
            saturation: [saturation; 2],
        }
    }

    #[test]
    fn levels_are_those_of_pillow() {
        #[rustfmt::skip]
        let cases: [(Adjust, f32, [u8; 18]); 9] = [
            (adjust_brightness, 0.37, [0, 19, 39, 13, 33, 52, 27, 46, 66, 33, 53, 72, 49, 69, 89, 66, 85, 10]),
            (adjust_brightness, 1.3, [0, 68, 137, 48, 116, 185, 96, 165, 233, 118, 187, 255, 175, 244, 255, 232, 255, 37]),
            (adjust_brightness, 1.8, [0, 95, 190, 66, 162, 255, 133, 228, 255, 163, 255, 255, 243, 255, 255, 255, 255, 52]),
            (adjust_contrast, 0.37, [78, 97, 117, 91, 111, 131, 105, 125, 144, 111, 131, 151, 128, 147, 167, 144, 163, 88]),
            (adjust_contrast, 1.3, [0, 31, 100, 10, 79, 148, 59, 127, 196, 81, 150, 218, 138, 207, 255, 195, 255, 0]),
            (adjust_contrast, 1.8, [0, 0, 91, 0, 62, 158, 34, 129, 224, 64, 160, 255, 143, 239, 255, 223, 255, 0]),
            (adjust_saturation, 0.37, [27, 46, 66, 64, 83, 103, 101, 120, 140, 118, 137, 157, 162, 181, 201, 187, 207, 132]),
            (adjust_saturation, 1.3, [0, 56, 124, 24, 93, 161, 61, 130, 198, 78, 147, 215, 122, 191, 255, 174, 243, 0]),
            (adjust_saturation, 1.8, [0, 61, 156, 2, 98, 193, 39, 135, 230, 56, 152, 247, 100, 196, 255, 167, 255, 0]),
        ];
        for (place, (adjust, factor, expected)) in cases.into_iter().enumerate() {
            let mut picture = varied(3, 2);
            adjust(&mut picture, factor);
            assert_eq!(picture.as_raw(), &expected, "case {place}");
        }
    }

    #[test]
    fn brightness_scales_a_grey_picture_exactly() {
        let picture = RgbImage::from_pixel(4, 3, Rgb([120; 3]));
        for (factor, expected) in [(0.0, 0), (0.25, 30), (1.0, 120), (1.5, 180), (3.0, 255)] {
            let found = only(factor, 1.0, 1.0).apply(&picture, &mut rng());
            assert!(found.as_raw().iter().all(|&level| level == expected), "{factor}");
        }
    }

    #[test]
    fn no_contrast_leaves_the_mean_grey() {
        let picture = RgbImage::from_fn(2, 1, |x, _| Rgb([[10; 3], [101; 3]][x as usize]));
        let found = only(1.0, 0.0, 1.0).apply(&picture, &mut rng());
        assert_eq!(found.as_raw(), &[56; 6], "55.5 is rounded up");
    }

    #[test]
    fn no_saturation_leaves_each_pixels_grey() {
        let picture = varied(9, 8);
        let found = only(1.0, 1.0, 0.0).apply(&picture, &mut rng());
        assert_eq!(found, Gray {}.apply(&picture, &mut rng()));
        assert_eq!(grey(Rgb([255, 0, 0])), 76);
        assert_eq!(grey(Rgb([0, 255, 0])), 150);
        assert_eq!(grey(Rgb([0, 0, 255])), 29);
    }

    #[test]
    fn factors_of_one_change_nothing() {
        let picture = varied(9, 8);
        assert_eq!(only(1.0, 1.0, 1.0).apply(&picture, &mut rng()), picture);
    }

    #[test]
    fn every_order_of_the_steps_occurs() {
        let picture = varied(9, 8);
        let jitter = only(1.7, 0.4, 1.6);
        let results: std::collections::HashSet<_> = (0..60)
            .map(|prompt| {
                let seed = Seed { prompt, ..Seed::default() };
                let mut rng = seed.parameters(View::Preserving, 0);
                jitter.apply(&picture, &mut rng).into_raw()
            })
            .collect();
        assert_eq!(results.len(), 6);
    }
}
