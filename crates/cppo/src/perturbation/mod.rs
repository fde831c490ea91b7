//! Image perturbations that preserve or remove information (paper, section 3.2).
//!
//! The official ones follow the authors' code; the definitions are torchvision's on Pillow images.
//! None changes a picture's size, so a perturbed prompt has the tokens of the original.

mod check;
mod color;
mod geometry;
mod kind;
mod noise;
mod removal;
mod seed;
mod set;
mod sheet;
mod tone;
mod warp;

pub use color::{ColorJitter, Gray};
pub use geometry::{Affine, HorizontalFlip, Perspective, Rotation, Shift, VerticalFlip};
pub use kind::{Identity, Perturbation};
pub use noise::{GaussianBlur, Noise};
pub use removal::{Blank, NoiseRectangles, PatchMask, ZoomCrop};
pub use seed::{Seed, View};
pub use set::{Perturbations, Weighted};
pub use sheet::contact_sheet;
pub use tone::{Invert, Posterize, Solarize};

use image::RgbImage;
use rand_chacha::ChaCha8Rng;

/// What every kind of perturbation does.
trait Kind {
    /// Checks the ranges; an error starts with the key.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }

    /// A perturbed copy of a picture with at least one pixel.
    fn apply(&self, picture: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage;
}

/// Pictures the tests of several kinds share.
#[cfg(test)]
mod testing {
    use image::{Rgb, RgbImage};

    /// A picture of varied colours.
    pub fn varied(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            Rgb([0, 1, 2].map(|c| ((x * 37 + y * 91 + c * 53 + x * y * 7) % 256) as u8))
        })
    }

    /// The share of pixels that differ.
    pub fn changed(one: &RgbImage, other: &RgbImage) -> f64 {
        let differing = one.pixels().zip(other.pixels()).filter(|(a, b)| a != b).count();
        differing as f64 / one.pixels().len() as f64
    }
}
