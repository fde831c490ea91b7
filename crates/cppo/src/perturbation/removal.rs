//! Perturbations that take parts of the picture away.

use image::{Rgb, RgbImage, imageops};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::Kind;
use super::check::{ordered, within};
use super::warp::{Interpolation, warp};

/// Covers random rectangles with uniform RGB noise.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NoiseRectangles {
    /// How many, 1 to 1000.
    pub count: u32,
    /// Range of each side as a share of the picture's; at least a pixel is covered.
    pub side: [f64; 2],
    /// How often it happens; otherwise the picture stays as it is.
    pub probability: f64,
}

impl Default for NoiseRectangles {
    fn default() -> Self {
        Self { count: 50, side: [0.05, 0.15], probability: 1.0 }
    }
}

impl Kind for NoiseRectangles {
    fn validate(&self) -> Result<(), String> {
        within("count", self.count, 1..=1000)?;
        ordered("side", self.side, 0.0..=1.0)?;
        within("probability", self.probability, 0.0..=1.0)
    }

    fn apply(&self, picture: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage {
        let mut picture = picture.clone();
        if !rng.random_bool(self.probability) {
            return picture;
        }
        let [low, high] = self.side;
        for _ in 0..self.count {
            let width = share(picture.width(), rng.random_range(low..=high));
            let height = share(picture.height(), rng.random_range(low..=high));
            let left = rng.random_range(0..=picture.width() - width);
            let top = rng.random_range(0..=picture.height() - height);
            for y in top..top + height {
                for x in left..left + width {
                    picture.put_pixel(x, y, Rgb(rng.random()));
                }
            }
        }
        picture
    }
}

/// Shows a random part of the picture at the picture's size, bilinear.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ZoomCrop {
    /// Range of the part's sides as a share of the picture's.
    pub scale: [f64; 2],
}

impl Default for ZoomCrop {
    fn default() -> Self {
        Self { scale: [0.6, 0.7] }
    }
}

impl Kind for ZoomCrop {
    fn validate(&self) -> Result<(), String> {
        ordered("scale", self.scale, 0.01..=1.0)
    }

    fn apply(&self, picture: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage {
        let scale = rng.random_range(self.scale[0]..=self.scale[1]);
        let (width, height) = picture.dimensions();
        let (part_width, part_height) = (share(width, scale), share(height, scale));
        let left = rng.random_range(0..=width - part_width);
        let top = rng.random_range(0..=height - part_height);
        let part = imageops::crop_imm(picture, left, top, part_width, part_height).to_image();
        enlarge(&part, width, height)
    }
}

/// Stretches a part of a picture to a larger size.
fn enlarge(part: &RgbImage, width: u32, height: u32) -> RgbImage {
    let across = f64::from(part.width()) / f64::from(width);
    let down = f64::from(part.height()) / f64::from(height);
    warp(part, (width, height), Interpolation::Bilinear, |x, y| (x * across, y * down))
}

/// A share of a side in whole pixels, at least one.
fn share(side: u32, share: f64) -> u32 {
    ((f64::from(side) * share) as u32).clamp(1, side)
}

/// Blackens random squares of the patch grid (PAPO, arXiv 2507.06448; VPPO). The grid starts at the
/// top left; squares that reach over the right and lower edge count as whole ones.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PatchMask {
    /// Side of a square in pixels.
    pub patch: u32,
    /// Share of the squares, rounded to whole ones.
    pub ratio: f64,
}

impl Default for PatchMask {
    fn default() -> Self {
        Self { patch: 14, ratio: 0.6 }
    }
}

impl Kind for PatchMask {
    fn validate(&self) -> Result<(), String> {
        within("patch", self.patch, 1..=u32::MAX)?;
        within("ratio", self.ratio, 0.0..=1.0)
    }

    fn apply(&self, picture: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage {
        let mut picture = picture.clone();
        let (width, height) = picture.dimensions();
        let (columns, rows) = (width.div_ceil(self.patch), height.div_ceil(self.patch));
        let mut left = u64::from(columns) * u64::from(rows);
        let mut masked = (self.ratio * left as f64).round() as u64;
        for row in 0..rows {
            for column in 0..columns {
                // Selection sampling: exactly `masked` of the squares, each set equally likely.
                if rng.random_range(0..left) < masked {
                    blacken(&mut picture, column * self.patch, row * self.patch, self.patch);
                    masked -= 1;
                }
                left -= 1;
            }
        }
        picture
    }
}

fn blacken(picture: &mut RgbImage, left: u32, top: u32, side: u32) {
    let (width, height) = picture.dimensions();
    for y in top..top.saturating_add(side).min(height) {
        for x in left..left.saturating_add(side).min(width) {
            picture.put_pixel(x, y, Rgb([0; 3]));
        }
    }
}

/// Replaces the picture by one colour.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blank {
    /// Red, green and blue, 0 to 255; black if not given.
    pub color: [u8; 3],
}

impl Kind for Blank {
    fn apply(&self, picture: &RgbImage, _rng: &mut ChaCha8Rng) -> RgbImage {
        RgbImage::from_pixel(picture.width(), picture.height(), Rgb(self.color))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{changed, varied};
    use super::super::{Seed, View};
    use super::*;

    fn rng(prompt: u64) -> ChaCha8Rng {
        Seed { prompt, ..Seed::default() }.parameters(View::Removing, 0)
    }

    #[test]
    fn fifty_noise_rectangles_cover_about_two_fifths() {
        let picture = RgbImage::new(200, 200);
        let draws = 40;
        let covered = (0..draws)
            .map(|prompt| {
                changed(&picture, &NoiseRectangles::default().apply(&picture, &mut rng(prompt)))
            })
            .sum::<f64>()
            / draws as f64;
        // 1 - (1 - 0.0095)^50 = 0.38 away from the borders; sides are cut to whole pixels.
        assert!((0.34..0.42).contains(&covered), "{covered}");
    }

    #[test]
    fn rectangles_hold_noise_over_all_levels_and_happen_as_often_as_asked() {
        let picture = RgbImage::from_pixel(100, 100, Rgb([128; 3]));
        let all = NoiseRectangles { count: 1, side: [1.0; 2], probability: 1.0 };
        let found = all.apply(&picture, &mut rng(0));
        let mean = found.as_raw().iter().map(|&level| f64::from(level)).sum::<f64>() / 30_000.0;
        assert!((mean - 127.5).abs() < 2.0, "{mean}");
        assert!(found.as_raw().contains(&0) && found.as_raw().contains(&255));
        let rarely = NoiseRectangles { probability: 0.25, ..all };
        let times = (0..400).filter(|&prompt| rarely.apply(&picture, &mut rng(prompt)) != picture);
        assert!((70..=130).contains(&times.count()));
    }

    #[test]
    fn a_zoomed_gradient_has_the_slope_times_the_scale() {
        let picture = RgbImage::from_fn(120, 90, |x, y| Rgb([2 * x as u8, 0, 2 * y as u8]));
        for prompt in 0..20 {
            let found = ZoomCrop { scale: [0.5, 0.5] }.apply(&picture, &mut rng(prompt));
            for (channel, last) in [(0, 118), (2, 88)] {
                let level = |at: u32| {
                    let (x, y) = if channel == 0 { (at, 40) } else { (40, at) };
                    i32::from(found.get_pixel(x, y).0[channel])
                };
                for at in 1..last - 1 {
                    // Levels lie halfway between whole ones, so rounding shows on single steps.
                    assert!((level(at + 1) - level(at) - 1).abs() <= 1, "{at}");
                }
                let rise = level(last) - level(1);
                assert!((rise - (last as i32 - 1)).abs() <= 1, "{rise}");
            }
        }
    }

    #[test]
    fn a_part_is_enlarged_as_in_pillow() {
        #[rustfmt::skip]
        let expected = [
            179, 198, 210, 77, 25, 52, 80, 99,
            104, 124, 146, 96, 86, 115, 145, 166,
            46, 68, 101, 134, 153, 159, 189, 211,
            115, 140, 176, 211, 180, 82, 105, 130,
            186, 156, 123, 162, 160, 118, 149, 176,
            238, 154, 51, 92, 132, 173, 214, 242,
        ];
        let part = imageops::crop_imm(&varied(8, 6), 2, 1, 5, 4).to_image();
        let enlarged = enlarge(&part, 8, 6);
        for (pixel, expected) in enlarged.pixels().zip(expected) {
            assert!(pixel.0[0].abs_diff(expected) <= 1, "{} {expected}", pixel.0[0]);
        }
    }

    #[test]
    fn the_whole_picture_as_part_is_the_picture() {
        let picture = varied(33, 21);
        assert_eq!(ZoomCrop { scale: [1.0; 2] }.apply(&picture, &mut rng(0)), picture);
    }

    #[test]
    fn patch_mask_blackens_the_rounded_share_of_the_grid() {
        for (width, height, patch, ratio) in [
            (84, 84, 14, 0.6),
            (56, 28, 14, 0.5),
            (30, 20, 14, 0.6),
            (9, 9, 3, 1.0),
            (9, 9, 3, 0.0),
        ] {
            let picture = RgbImage::from_pixel(width, height, Rgb([255; 3]));
            let mut results = std::collections::HashSet::new();
            for prompt in 0..10 {
                let found = PatchMask { patch, ratio }.apply(&picture, &mut rng(prompt));
                let mut masked = 0;
                for top in (0..height).step_by(patch as usize) {
                    for left in (0..width).step_by(patch as usize) {
                        let levels: std::collections::HashSet<_> = (top..height.min(top + patch))
                            .flat_map(|y| (left..width.min(left + patch)).map(move |x| (x, y)))
                            .map(|(x, y)| found.get_pixel(x, y).0)
                            .collect();
                        assert_eq!(levels.len(), 1, "a square is masked as a whole");
                        masked += u32::from(levels.contains(&[0; 3]));
                    }
                }
                let patches = width.div_ceil(patch) * height.div_ceil(patch);
                assert_eq!(masked, (ratio * f64::from(patches)).round() as u32);
                results.insert(found.into_raw());
            }
            assert_eq!(results.len() > 1, ratio > 0.0 && ratio < 1.0);
        }
    }

    #[test]
    fn blank_shows_its_colour() {
        let blank = Blank { color: [1, 2, 3] }.apply(&varied(3, 2), &mut rng(0));
        assert!(blank.pixels().all(|pixel| pixel.0 == [1, 2, 3]));
    }
}
