//! Perturbations that map every level by itself.

use image::RgbImage;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::Kind;
use super::check::within;

fn map_levels(picture: &RgbImage, map: impl Fn(u8) -> u8) -> RgbImage {
    let mut picture = picture.clone();
    picture.iter_mut().for_each(|level| *level = map(*level));
    picture
}

/// Keeps the highest bits of each level.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Posterize {
    /// Bits kept, 1 to 8.
    pub bits: u8,
}

impl Default for Posterize {
    fn default() -> Self {
        Self { bits: 2 }
    }
}

impl Kind for Posterize {
    fn validate(&self) -> Result<(), String> {
        within("bits", self.bits, 1..=8)
    }

    fn apply(&self, picture: &RgbImage, _rng: &mut ChaCha8Rng) -> RgbImage {
        let mask = u8::MAX << (8 - self.bits);
        map_levels(picture, |level| level & mask)
    }
}

/// Inverts the levels from a threshold on.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Solarize {
    /// The lowest level that is inverted.
    pub threshold: u8,
}

impl Default for Solarize {
    fn default() -> Self {
        Self { threshold: 128 }
    }
}

impl Kind for Solarize {
    fn apply(&self, picture: &RgbImage, _rng: &mut ChaCha8Rng) -> RgbImage {
        map_levels(picture, |level| if level < self.threshold { level } else { 255 - level })
    }
}

/// Turns each level into its opposite.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Invert {}

impl Kind for Invert {
    fn apply(&self, picture: &RgbImage, _rng: &mut ChaCha8Rng) -> RgbImage {
        map_levels(picture, |level| 255 - level)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Perturbation, Seed, View};
    use super::*;

    #[test]
    fn levels_are_mapped_as_in_torchvision() {
        let picture = RgbImage::from_raw(2, 1, vec![0, 63, 127, 128, 200, 255]).unwrap();
        let cases: [(Perturbation, [u8; 6]); 5] = [
            (Posterize::default().into(), [0, 0, 64, 128, 192, 192]),
            (Posterize { bits: 8 }.into(), [0, 63, 127, 128, 200, 255]),
            (Solarize::default().into(), [0, 63, 127, 127, 55, 0]),
            (Solarize { threshold: 0 }.into(), [255, 192, 128, 127, 55, 0]),
            (Invert {}.into(), [255, 192, 128, 127, 55, 0]),
        ];
        for (perturbation, expected) in cases {
            let mut rng = Seed::default().parameters(View::Removing, 0);
            let found = perturbation.apply(&picture, &mut rng);
            assert_eq!(found.as_raw(), &expected, "{perturbation:?}");
        }
    }
}
