//! Pictures of scenes.

mod digit;
mod shape;

use image::{Rgb, RgbImage};
use rand::{Rng, RngExt};
use tiny_skia::{
    FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Point, Rect, Stroke, Transform,
};

use crate::Difficulty;
use crate::scene::{Object, Quantity, Scene};
use crate::words::{Color, NUMBERS};

/// Width and height of a picture.
const SIZE: u16 = 84;
/// Width and height of a cell of the grid.
const CELL: f32 = 28.0;
/// How far red, green and blue of a thing may each differ from its colour's.
const SHADE: u8 = 30;
/// How far an object may lie from the middle of its cell, along each axis.
const JITTER: f32 = 4.0;
/// Ink of axes and signs.
const INK: [u8; 3] = [120, 120, 128];

impl Color {
    /// Far enough apart that shades of two colours never meet.
    const fn rgb(self) -> [u8; 3] {
        match self {
            Self::Red => [215, 50, 50],
            Self::Green => [50, 165, 75],
            Self::Blue => [40, 90, 215],
            Self::Yellow => [225, 200, 50],
            Self::Purple => [150, 60, 175],
            Self::Black => [38, 38, 42],
        }
    }

    fn shade(self, rng: &mut impl Rng) -> [u8; 3] {
        self.rgb().map(|channel| rng.random_range(channel - SHADE..=channel + SHADE))
    }
}

/// Draws a scene on a light ground, with sizes, places and shades of its own.
pub(crate) fn draw(scene: &Scene, difficulty: Difficulty, rng: &mut impl Rng) -> RgbImage {
    let ground = std::array::from_fn(|_| rng.random_range(228..=252));
    let mut canvas = Canvas::new(ground);
    match scene {
        Scene::Objects(objects) => draw_objects(&mut canvas, objects, difficulty, rng),
        Scene::Bars(bars) => draw_bars(&mut canvas, bars, rng),
        Scene::Digits(digits) => draw_digits(&mut canvas, digits, difficulty, rng),
    }
    canvas.into_picture()
}

fn draw_objects(
    canvas: &mut Canvas,
    objects: &[Object],
    difficulty: Difficulty,
    rng: &mut impl Rng,
) {
    for object in objects {
        let size = rng.random_range(difficulty.sizes());
        // Large objects move less, so that one pixel of ground is left at the cell's edges.
        let room = JITTER.min((CELL - size) / 2.0 - 1.0);
        let mut place = |cell: usize| (cell as f32 + 0.5) * CELL + rng.random_range(-room..=room);
        let middle = Point::from_xy(place(object.cell.column()), place(object.cell.row()));
        canvas.fill(shape::path(object.shape, middle, size / 2.0), object.color.shade(rng));
    }
}

fn draw_bars(canvas: &mut Canvas, bars: &[Quantity], rng: &mut impl Rng) {
    let floor = rng.random_range(75.0..=79.0);
    let unit = rng.random_range(7.5..=7.8);
    let ground = canvas.ground;
    for height in 1..NUMBERS.len() {
        let y = floor - unit * height as f32;
        canvas.line(&[(6.0, y), (78.0, y)], 0.8, ground.map(|channel| channel - 16));
    }
    let slot = 72.0 / bars.len() as f32;
    let width = slot * rng.random_range(0.55..=0.8);
    for (place, bar) in bars.iter().enumerate() {
        let left = 6.0 + slot * place as f32 + (slot - width) / 2.0;
        let top = floor - unit * bar.value as f32;
        let rect = Rect::from_ltrb(left, top, left + width, floor);
        canvas.fill(rect.map(PathBuilder::from_rect), bar.color.shade(rng));
    }
    canvas.line(&[(5.0, floor), (79.0, floor)], 1.5, INK);
}

fn draw_digits(
    canvas: &mut Canvas,
    digits: &[Quantity; 2],
    difficulty: Difficulty,
    rng: &mut impl Rng,
) {
    for (digit, x) in digits.iter().zip([20.0, 64.0]) {
        let width = rng.random_range(difficulty.sizes());
        let x = x + rng.random_range(-3.0..=3.0);
        let y = 42.0 + rng.random_range(-JITTER..=JITTER);
        let slant = rng.random_range(0.0..=0.06);
        let color = digit.color.shade(rng);
        for segment in digit::segments(digit.value) {
            let points = segment.map(|(right, down)| {
                let down = (down - 0.5) * 2.0 * width;
                (x + (right - 0.5) * width - slant * down, y + down)
            });
            canvas.line(&points, width * 0.28, color);
        }
    }
    canvas.line(&[(39.5, 42.0), (44.5, 42.0)], 1.6, INK);
    canvas.line(&[(42.0, 39.5), (42.0, 44.5)], 1.6, INK);
}

/// A picture while it is drawn.
struct Canvas {
    pixels: Pixmap,
    ground: [u8; 3],
}

impl Canvas {
    fn new(ground: [u8; 3]) -> Self {
        let mut pixels = Pixmap::new(SIZE.into(), SIZE.into()).expect("the size is not 0");
        let [r, g, b] = ground;
        pixels.fill(tiny_skia::Color::from_rgba8(r, g, b, 255));
        Self { pixels, ground }
    }

    /// Fills a path, leaving holes where contours overlap; nothing where the path is empty.
    fn fill(&mut self, path: Option<Path>, color: [u8; 3]) {
        if let Some(path) = path {
            let rule = FillRule::EvenOdd;
            self.pixels.fill_path(&path, &paint(color), rule, Transform::identity(), None);
        }
    }

    /// Draws a round-ended line.
    fn line(&mut self, points: &[(f32, f32)], width: f32, color: [u8; 3]) {
        let (line_cap, line_join) = (LineCap::Round, LineJoin::Round);
        let stroke = Stroke { width, line_cap, line_join, ..Stroke::default() };
        if let Some(path) = polyline(points, false) {
            self.pixels.stroke_path(&path, &paint(color), &stroke, Transform::identity(), None);
        }
    }

    fn into_picture(self) -> RgbImage {
        let mut picture = RgbImage::new(SIZE.into(), SIZE.into());
        for (to, from) in picture.pixels_mut().zip(self.pixels.pixels()) {
            // The ground is opaque, so premultiplied is plain.
            *to = Rgb([from.red(), from.green(), from.blue()]);
        }
        picture
    }
}

fn paint([r, g, b]: [u8; 3]) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(r, g, b, 255);
    paint
}

fn polyline(points: &[(f32, f32)], closed: bool) -> Option<Path> {
    let ((x, y), rest) = points.split_first()?;
    let mut path = PathBuilder::new();
    path.move_to(*x, *y);
    rest.iter().for_each(|&(x, y)| path.line_to(x, y));
    if closed {
        path.close();
    }
    path.finish()
}
