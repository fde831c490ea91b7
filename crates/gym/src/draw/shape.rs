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
