//! Outlines of shapes.

use tiny_skia::{Path, PathBuilder, Point};

use super::polyline;
use crate::words::Shape;

/// The outline of a shape that fills a square of twice `radius`, overlapping itself where it has a hole.
pub(super) fn path(shape: Shape, middle: Point, radius: f32) -> Option<Path> {
    /// Half the width of a cross's arm, of the radius.
    const ARM: f32 = 0.34;
    /// The radius of a ring's hole, of its own.
    const HOLE: f32 = 0.56;
    let corners: &[(f32, f32)] = match shape {
        Shape::Circle => return PathBuilder::from_circle(middle.x, middle.y, radius),
        Shape::Ring => {
            let mut path = PathBuilder::new();
            path.push_circle(middle.x, middle.y, radius);
            path.push_circle(middle.x, middle.y, radius * HOLE);
            return path.finish();
        }
        Shape::Square => &[(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)],
        Shape::Triangle => &[(0.0, -1.0), (1.0, 1.0), (-1.0, 1.0)],
        Shape::Diamond => &[(0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)],
        Shape::Cross => &[
            (-ARM, -1.0),
            (ARM, -1.0),
            (ARM, -ARM),
            (1.0, -ARM),
            (1.0, ARM),
            (ARM, ARM),
            (ARM, 1.0),
            (-ARM, 1.0),
            (-ARM, ARM),
            (-1.0, ARM),
            (-1.0, -ARM),
            (-ARM, -ARM),
        ],
    };
    let points: Vec<(f32, f32)> =
        corners.iter().map(|(x, y)| (middle.x + x * radius, middle.y + y * radius)).collect();
    polyline(&points, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Canvas;

    #[test]
    fn the_smallest_shapes_differ_in_many_pixels() {
        let mask = |shape: &Shape| -> Vec<bool> {
            let mut canvas = Canvas::new([255; 3]);
            canvas.fill(path(*shape, Point::from_xy(42.0, 42.0), 6.0), [0; 3]);
            canvas.into_picture().pixels().map(|pixel| pixel.0[0] < 128).collect()
        };
        for (place, first) in Shape::ALL.iter().enumerate() {
            let first_mask = mask(first);
            assert!(first_mask.iter().filter(|inked| **inked).count() > 50, "{first}");
            for second in &Shape::ALL[..place] {
                let differ = first_mask.iter().zip(mask(second)).filter(|(a, b)| **a != *b);
                assert!(differ.count() >= 20, "{first} {second}");
            }
        }
    }
}
