//! Perturbations that move pixels.

use image::{RgbImage, imageops};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::Kind;
use super::check::{ordered, within};
use super::warp::{Interpolation, to_unit_square, warp};

/// Moves each corner inward and the rest with it, bilinear, black outside (torchvision's
/// `RandomPerspective`).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Perspective {
    /// The farthest a corner moves, as a share of half a side.
    pub distortion: f64,
    /// How often it happens; otherwise the picture stays as it is.
    pub probability: f64,
}

impl Default for Perspective {
    fn default() -> Self {
        Self { distortion: 0.2, probability: 0.5 }
    }
}

impl Kind for Perspective {
    fn validate(&self) -> Result<(), String> {
        within("distortion", self.distortion, 0.0..=1.0)?;
        within("probability", self.probability, 0.0..=1.0)
    }

    fn apply(&self, picture: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage {
        if !rng.random_bool(self.probability) {
            return picture.clone();
        }
        let (width, height) = picture.dimensions();
        let mut inward = |side: u32| {
            let most = (self.distortion * f64::from(side / 2)) as u32;
            f64::from(rng.random_range(0..=most))
        };
        let (right, bottom) = (f64::from(width), f64::from(height));
        let corners = [(0.0, 0.0), (right, 0.0), (right, bottom), (0.0, bottom)].map(|(x, y)| {
            let (dx, dy) = (inward(width), inward(height));
            (if x == 0.0 { dx } else { x - dx }, if y == 0.0 { dy } else { y - dy })
        });
        project(picture, corners)
    }
}

/// Draws the picture with its corners, from top left clockwise, moved to the given places.
fn project(picture: &RgbImage, corners: [(f64, f64); 4]) -> RgbImage {
    let (right, bottom) = (f64::from(picture.width()), f64::from(picture.height()));
    let origin = to_unit_square(corners);
    warp(picture, picture.dimensions(), Interpolation::Bilinear, |x, y| {
        let (x, y) = origin(x, y);
        (x * right, y * bottom)
    })
}

/// Turns the picture about its centre, nearest pixel, black corners (torchvision's
/// `RandomRotation`).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rotation {
    /// The largest angle, either way.
    pub degrees: f64,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { degrees: 10.0 }
    }
}

impl Kind for Rotation {
    fn validate(&self) -> Result<(), String> {
        within("degrees", self.degrees, 0.0..=180.0)
    }

    fn apply(&self, picture: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage {
        rotate(picture, rng.random_range(-self.degrees..=self.degrees))
    }
}

/// Turns counter-clockwise.
fn rotate(picture: &RgbImage, degrees: f64) -> RgbImage {
    let (sin, cos) = degrees.to_radians().sin_cos();
    about_center(picture, [cos, -sin, sin, cos], (0.0, 0.0))
}

/// Turns, moves, scales and shears the picture about its centre, nearest pixel, black outside
/// (torchvision's `RandomAffine`).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Affine {
    /// The largest angle, either way.
    pub degrees: f64,
    /// The farthest move along each axis, as a share of the side.
    pub translate: f64,
    /// Range of the factor of both sides.
    pub scale: [f64; 2],
    /// The largest angle, in degrees, by which the vertical axis leans either way.
    pub shear: f64,
}

impl Default for Affine {
    fn default() -> Self {
        Self { degrees: 45.0, translate: 0.0, scale: [1.0, 1.0], shear: 20.0 }
    }
}

impl Kind for Affine {
    fn validate(&self) -> Result<(), String> {
        within("degrees", self.degrees, 0.0..=180.0)?;
        within("translate", self.translate, 0.0..=1.0)?;
        ordered("scale", self.scale, 0.01..=100.0)?;
        within("shear", self.shear, 0.0..=89.0)
    }

    fn apply(&self, picture: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage {
        let mut symmetric = |most: f64| rng.random_range(-most..=most);
        let degrees = symmetric(self.degrees);
        let moved = (
            symmetric(self.translate * f64::from(picture.width())).round(),
            symmetric(self.translate * f64::from(picture.height())).round(),
        );
        let shear = symmetric(self.shear);
        let scale = rng.random_range(self.scale[0]..=self.scale[1]);
        about_center(picture, affine_inverse(degrees, scale, shear), moved)
    }
}

/// The matrix that undoes shearing, turning clockwise and scaling.
fn affine_inverse(degrees: f64, scale: f64, shear: f64) -> [f64; 4] {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let lean = shear.to_radians().tan();
    [cos - sin * lean, cos * lean + sin, -sin, cos].map(|entry| entry / scale)
}

/// Warps by a row-major 2×2 matrix from output to source about the centre, then moves.
fn about_center(picture: &RgbImage, [a, b, c, d]: [f64; 4], moved: (f64, f64)) -> RgbImage {
    let (width, height) = picture.dimensions();
    let (middle_x, middle_y) = (f64::from(width) / 2.0, f64::from(height) / 2.0);
    warp(picture, (width, height), Interpolation::Nearest, |x, y| {
        let (x, y) = (x - middle_x - moved.0, y - middle_y - moved.1);
        (a * x + b * y + middle_x, c * x + d * y + middle_y)
    })
}

/// Moves the picture by whole pixels; its edge fills the strip that comes free.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shift {
    /// The farthest move along each axis, either way.
    pub pixels: u32,
}

impl Default for Shift {
    fn default() -> Self {
        Self { pixels: 2 }
    }
}

impl Kind for Shift {
    fn apply(&self, picture: &RgbImage, rng: &mut ChaCha8Rng) -> RgbImage {
        let most = i64::from(self.pixels);
        let mut moved = || rng.random_range(-most..=most);
        let (dx, dy) = (moved(), moved());
        let (width, height) = picture.dimensions();
        let place =
            |at: u32, by: i64, side: u32| (i64::from(at) - by).clamp(0, i64::from(side) - 1) as u32;
        RgbImage::from_fn(width, height, |x, y| {
            *picture.get_pixel(place(x, dx, width), place(y, dy, height))
        })
    }
}

/// Mirrors left and right.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HorizontalFlip {}

impl Kind for HorizontalFlip {
    fn apply(&self, picture: &RgbImage, _rng: &mut ChaCha8Rng) -> RgbImage {
        imageops::flip_horizontal(picture)
    }
}

/// Mirrors top and bottom.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct VerticalFlip {}

impl Kind for VerticalFlip {
    fn apply(&self, picture: &RgbImage, _rng: &mut ChaCha8Rng) -> RgbImage {
        imageops::flip_vertical(picture)
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::super::testing::{changed, varied};
    use super::super::{Seed, View};
    use super::*;

    fn rng(prompt: u64) -> ChaCha8Rng {
        Seed { prompt, ..Seed::default() }.parameters(View::Preserving, 0)
    }

    #[test]
    fn strengths_of_zero_change_nothing() {
        let still = Affine { degrees: 0.0, translate: 0.0, scale: [1.0; 2], shear: 0.0 };
        let kinds: [&dyn Kind; 4] = [
            &Rotation { degrees: 0.0 },
            &Perspective { distortion: 0.0, probability: 1.0 },
            &Shift { pixels: 0 },
            &still,
        ];
        for (width, height) in [(1, 1), (1, 9), (24, 1), (31, 18)] {
            let picture = varied(width, height);
            for (place, kind) in kinds.iter().enumerate() {
                assert_eq!(kind.apply(&picture, &mut rng(0)), picture, "kind {place}");
            }
        }
    }

    #[test]
    fn perspective_leaves_about_half_the_pictures_alone() {
        let picture = varied(100, 80);
        let alone = (0..400)
            .filter(|&prompt| Perspective::default().apply(&picture, &mut rng(prompt)) == picture)
            .count();
        assert!((160..=240).contains(&alone), "{alone}");
    }

    #[test]
    fn perspective_moves_corners_inward_by_at_most_a_tenth_of_the_side() {
        let picture = RgbImage::from_pixel(100, 60, Rgb([255; 3]));
        let perspective = Perspective { probability: 1.0, ..Perspective::default() };
        let mut corner_black = 0;
        for prompt in 0..100 {
            let found = perspective.apply(&picture, &mut rng(prompt));
            corner_black += usize::from(found.get_pixel(0, 0).0 == [0; 3]);
            for (x, y, pixel) in found.enumerate_pixels() {
                let inner = (10..90).contains(&x) && (6..54).contains(&y);
                assert!(!inner || pixel.0 == [255; 3], "{x} {y}");
            }
        }
        assert!(corner_black > 90, "{corner_black}");
    }

    #[test]
    fn rotation_blackens_the_corners_and_keeps_the_centre() {
        let picture = RgbImage::from_pixel(101, 101, Rgb([255; 3]));
        let black: Vec<f64> = (0..50)
            .map(|prompt| {
                let found = Rotation::default().apply(&picture, &mut rng(prompt));
                assert_eq!(found.get_pixel(50, 50).0, [255; 3]);
                changed(&picture, &found)
            })
            .collect();
        // A square turned by 10° loses 1 - (area of the common octagon) = 7.7 % of its area.
        let most = black.iter().fold(0.0f64, |most, &share| most.max(share));
        assert!((0.05..0.085).contains(&most), "{most}");
    }

    #[test]
    fn pixels_move_as_in_pillow() {
        let picture = varied(8, 6);
        let red = |picture: RgbImage| picture.pixels().map(|pixel| pixel.0[0]).collect::<Vec<_>>();
        #[rustfmt::skip]
        let turned = [
            0, 37, 74, 111, 148, 185, 222, 143,
            0, 135, 179, 223, 11, 55, 99, 27,
            91, 233, 28, 79, 130, 181, 232, 167,
            182, 75, 133, 191, 249, 51, 109, 51,
            17, 173, 238, 47, 112, 177, 242, 191,
            108, 15, 87, 159, 231, 47, 119, 0,
        ];
        assert_eq!(red(rotate(&picture, 10.0)), turned);
        #[rustfmt::skip]
        let turned = [
            0, 182, 135, 179, 111, 148, 0, 0,
            17, 233, 233, 179, 223, 148, 185, 0,
            108, 75, 133, 79, 130, 55, 55, 222,
            15, 238, 238, 191, 249, 181, 232, 143,
            0, 87, 159, 112, 177, 109, 109, 27,
            0, 0, 159, 231, 177, 242, 167, 0,
        ];
        assert_eq!(red(rotate(&picture, -30.0)), turned);
        #[rustfmt::skip]
        let sheared = [
            0, 0, 182, 233, 179, 223, 148, 185,
            0, 108, 75, 133, 79, 130, 11, 55,
            199, 15, 238, 47, 191, 249, 181, 232,
            0, 0, 87, 159, 112, 177, 109, 167,
            0, 0, 0, 0, 47, 119, 51, 0,
            0, 0, 0, 0, 0, 0, 191, 0,
        ];
        let inverse = affine_inverse(25.0, 0.9, 15.0);
        assert_eq!(red(about_center(&picture, inverse, (1.0, -1.0))), sheared);
        #[rustfmt::skip]
        let projected: [u8; 48] = [
            0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 153, 200, 74, 0,
            0, 30, 104, 183, 53, 97, 136, 0,
            0, 161, 226, 66, 162, 114, 114, 141,
            0, 0, 96, 200, 67, 142, 172, 143,
            0, 0, 142, 56, 148, 0, 0, 0,
        ];
        let corners = [(1.0, 2.0), (7.0, 1.0), (8.0, 5.0), (2.0, 6.0)];
        for (found, expected) in red(project(&picture, corners)).into_iter().zip(projected) {
            // Pillow cuts interpolated levels to whole ones, here they are rounded.
            assert!(found == expected || found == expected + 1, "{found} {expected}");
        }
    }

    #[test]
    fn half_a_turn_shows_the_picture_upside_down() {
        let picture = varied(12, 9);
        let turned = about_center(&picture, [-1.0, 0.0, 0.0, -1.0], (0.0, 0.0));
        assert_eq!(turned, imageops::rotate180(&picture));
    }

    #[test]
    fn shifts_reach_every_distance_and_repeat_the_edge() {
        let picture = RgbImage::from_fn(9, 9, |x, y| Rgb([x as u8, y as u8, 0]));
        let mut seen = std::collections::HashSet::new();
        for prompt in 0..300 {
            let found = Shift::default().apply(&picture, &mut rng(prompt));
            let [x, y, _] = found.get_pixel(4, 4).0.map(i32::from);
            seen.insert((4 - x, 4 - y));
            let expected = |at: i32, middle: i32| (at + middle - 4).clamp(0, 8) as u8;
            for (column, row, pixel) in found.enumerate_pixels() {
                assert_eq!(pixel.0[..2], [expected(column as i32, x), expected(row as i32, y)]);
            }
        }
        assert_eq!(seen.len(), 25);
        assert!(seen.iter().all(|(dx, dy)| dx.abs() <= 2 && dy.abs() <= 2));
    }
}
