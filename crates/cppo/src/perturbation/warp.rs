//! Pictures drawn by where each pixel comes from.

use image::{Rgb, RgbImage};

#[derive(Clone, Copy)]
pub(super) enum Interpolation {
    Nearest,
    Bilinear,
}

/// A picture of the given size whose pixel at `(x, y)` shows the source at `origin(x, y)`, black
/// outside the source. Coordinates run from a picture's top left corner, so the first pixel's
/// centre is `(0.5, 0.5)`, and the source's pixels reach over its edges, both as in Pillow.
pub(super) fn warp(
    source: &RgbImage,
    (width, height): (u32, u32),
    interpolation: Interpolation,
    origin: impl Fn(f64, f64) -> (f64, f64),
) -> RgbImage {
    let (right, bottom) = (f64::from(source.width()), f64::from(source.height()));
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = origin(f64::from(x) + 0.5, f64::from(y) + 0.5);
        // Also refuses NaN, from a projection that has no inverse.
        if !(0.0..right).contains(&x) || !(0.0..bottom).contains(&y) {
            return Rgb([0; 3]);
        }
        match interpolation {
            Interpolation::Nearest => *source.get_pixel(x as u32, y as u32),
            Interpolation::Bilinear => bilinear(source, x - 0.5, y - 0.5),
        }
    })
}

/// Interpolates between the four pixels around a point, `(0, 0)` being the first pixel's centre.
fn bilinear(source: &RgbImage, x: f64, y: f64) -> Rgb<u8> {
    let (left, top) = (x.floor(), y.floor());
    let pixel = |x: f64, y: f64| {
        let (last_x, last_y) = (source.width() - 1, source.height() - 1);
        source.get_pixel((x as u32).min(last_x), (y as u32).min(last_y)).0
    };
    let corners = [
        pixel(left, top),
        pixel(left + 1.0, top),
        pixel(left, top + 1.0),
        pixel(left + 1.0, top + 1.0),
    ];
    let mix = |from: f64, to: f64, share: f64| from + (to - from) * share;
    Rgb([0, 1, 2].map(|channel| {
        let [a, b, c, d] = corners.map(|corner| f64::from(corner[channel]));
        mix(mix(a, b, x - left), mix(c, d, x - left), y - top).round() as u8
    }))
}

/// Maps the inside of a four-sided figure to the unit square, corner by corner from top left
/// clockwise; gives NaN where the figure has no inside (Heckbert 1989, section 2.2.3).
pub(super) fn to_unit_square(corners: [(f64, f64); 4]) -> impl Fn(f64, f64) -> (f64, f64) {
    let [(x0, y0), (x1, y1), (x2, y2), (x3, y3)] = corners;
    let (dx1, dy1, dx2, dy2) = (x1 - x2, y1 - y2, x3 - x2, y3 - y2);
    let (sx, sy) = (x0 - x1 + x2 - x3, y0 - y1 + y2 - y3);
    let area = dx1 * dy2 - dx2 * dy1;
    // From the square to the figure: ((a x + b y + c), (d x + e y + f)) / (g x + h y + 1).
    let g = (sx * dy2 - dx2 * sy) / area;
    let h = (dx1 * sy - sx * dy1) / area;
    let (a, b, c) = (x1 - x0 + g * x1, x3 - x0 + h * x3, x0);
    let (d, e, f) = (y1 - y0 + g * y1, y3 - y0 + h * y3, y0);
    // The adjugate is the inverse up to a factor, which the division takes out.
    move |x, y| {
        let scale = (d * h - e * g) * x + (b * g - a * h) * y + (a * e - b * d);
        let across = (e - f * h) * x + (c * h - b) * y + (b * f - c * e);
        let down = (f * g - d) * x + (a - c * g) * y + (c * d - a * f);
        (across / scale, down / scale)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::varied;
    use super::*;

    #[test]
    fn pixels_that_stay_where_they_are_keep_their_levels() {
        let picture = varied(7, 5);
        for interpolation in [Interpolation::Nearest, Interpolation::Bilinear] {
            assert_eq!(warp(&picture, (7, 5), interpolation, |x, y| (x, y)), picture);
        }
    }

    #[test]
    fn bilinear_points_between_pixels_are_means_and_edges_reach_outward() {
        let picture = RgbImage::from_fn(2, 1, |x, _| Rgb([[10; 3], [20; 3]][x as usize]));
        let found = warp(&picture, (4, 1), Interpolation::Bilinear, |x, y| (x / 2.0, y));
        let levels: Vec<u8> = found.pixels().map(|pixel| pixel.0[0]).collect();
        assert_eq!(levels, [10, 13, 18, 20]);
    }

    #[test]
    fn what_comes_from_outside_or_nowhere_is_black() {
        let picture = RgbImage::from_pixel(3, 3, Rgb([200; 3]));
        for x in [-0.01, 3.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for interpolation in [Interpolation::Nearest, Interpolation::Bilinear] {
                let found = warp(&picture, (1, 1), interpolation, |_, y| (x, y));
                assert_eq!(found.as_raw(), &[0; 3], "{x}");
            }
        }
    }

    #[test]
    fn the_corners_of_a_figure_become_the_corners_of_the_square() {
        let corners = [(3.0, 1.0), (40.0, 5.0), (38.0, 29.0), (0.0, 33.0)];
        let project = to_unit_square(corners);
        let expected = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)];
        for ((x, y), (right, down)) in corners.into_iter().zip(expected) {
            let found = project(x, y);
            assert!((found.0 - right).abs() < 1e-9 && (found.1 - down).abs() < 1e-9, "{found:?}");
        }
        // Straight lines stay straight: the diagonals meet in the middle of the square.
        let found = project(40.0 - 40.0 * 32.0 / 75.0, 5.0 + 28.0 * 32.0 / 75.0);
        assert!((found.0 - 0.5).abs() < 1e-9 && (found.1 - 0.5).abs() < 1e-9, "{found:?}");
    }
}
