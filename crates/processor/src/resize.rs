//! The size a picture is brought to, and the resampling.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

use crate::error::ProcessorError;

/// Largest ratio of the sides, as in Hugging Face's `smart_resize`.
const MAX_RATIO: u32 = 200;

/// Height and width that are multiples of `factor`, near the picture's own, and hold between
/// `min_pixels` and `max_pixels` pixels (Hugging Face's `smart_resize`).
///
/// # Errors
///
/// When a side is 0 or one side is more than 200 times the other.
pub fn smart_resize(
    height: u32,
    width: u32,
    factor: u32,
    min_pixels: u64,
    max_pixels: u64,
) -> Result<(u32, u32), ProcessorError> {
    if height == 0 || width == 0 {
        return Err(ProcessorError::EmptyPicture { width, height });
    }
    if height.max(width) / height.min(width) > MAX_RATIO
        || u64::from(height.max(width)) > u64::from(MAX_RATIO) * u64::from(height.min(width))
    {
        return Err(ProcessorError::AspectRatio { width, height });
    }
    let factor = f64::from(factor);
    let (tall, wide) = (f64::from(height), f64::from(width));
    // Python rounds halves to even.
    let nearest = |side: f64| (side / factor).round_ties_even() * factor;
    let (rows, columns) = (nearest(tall), nearest(wide));
    let pixels = rows * columns;
    let (rows, columns) = if pixels > max_pixels as f64 {
        let beta = (tall * wide / max_pixels as f64).sqrt();
        let shrunk = |side: f64| ((side / beta / factor).floor() * factor).max(factor);
        (shrunk(tall), shrunk(wide))
    } else if pixels < min_pixels as f64 {
        let beta = (min_pixels as f64 / (tall * wide)).sqrt();
        let grown = |side: f64| (side * beta / factor).ceil() * factor;
        (grown(tall), grown(wide))
    } else {
        (rows, columns)
    };
    Ok((rows as u32, columns as u32))
}

/// Bicubic resampling with antialiasing (a = −0.5): rows first, rounded to 8 bits, then columns,
/// as torchvision does it; Pillow's other order differs by up to 8 levels at sharp edges.
///
/// # Errors
///
/// When a side is 0.
pub(crate) fn resize(
    picture: &RgbImage,
    height: u32,
    width: u32,
) -> Result<RgbImage, ProcessorError> {
    let rows = convolve(picture, picture.height(), width)?;
    convolve(&rows, height, width)
}

fn convolve(picture: &RgbImage, height: u32, width: u32) -> Result<RgbImage, ProcessorError> {
    if picture.dimensions() == (width, height) {
        return Ok(picture.clone());
    }
    let failed = |message: String| ProcessorError::Decode { message };
    let source =
        TypedImageRef::<U8x3>::from_buffer(picture.width(), picture.height(), picture.as_raw())
            .map_err(|error| failed(error.to_string()))?;
    let mut target = TypedImage::<U8x3>::new(width, height);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    // The untyped way would bring the code and tables of all other pixel formats along.
    Resizer::new()
        .resize_typed(&source, &mut target, &options)
        .map_err(|error| failed(error.to_string()))?;
    let bytes = target.pixels().iter().flat_map(|pixel| pixel.0).collect();
    RgbImage::from_raw(width, height, bytes)
        .ok_or_else(|| failed("resizing gave no whole picture".into()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_follow_hugging_face() {
        let cases = [
            ((84, 112), (84, 112)),
            ((150, 200), (140, 196)),
            ((300, 90), (308, 84)),
            ((31, 29), (84, 56)),
        ];
        for ((height, width), expected) in cases {
            let found = smart_resize(height, width, 28, 3136, 50_176).unwrap();
            assert_eq!(found, expected, "{height}x{width}");
        }
    }

    #[test]
    fn empty_and_extreme_pictures_are_refused() {
        for (height, width) in [(0, 5), (5, 0), (1, 201), (1, 5000)] {
            assert!(smart_resize(height, width, 28, 3136, 50_176).is_err(), "{height}x{width}");
        }
        assert!(smart_resize(1, 200, 28, 3136, 50_176).is_ok());
    }

    proptest! {
        #[test]
        fn sides_are_multiples_and_pixels_within_bounds(
            height in 1u32..3000,
            width in 1u32..3000,
        ) {
            prop_assume!(height.max(width) <= 200 * height.min(width));
            let (min_pixels, max_pixels) = (4 * 784, 1280 * 784);
            let (rows, columns) = smart_resize(height, width, 28, min_pixels, max_pixels).unwrap();
            prop_assert!(rows % 28 == 0 && columns % 28 == 0 && rows > 0 && columns > 0);
            let pixels = u64::from(rows) * u64::from(columns);
            prop_assert!(pixels >= min_pixels);
            // A side never falls below one factor, which can exceed the bound for thin pictures.
            prop_assert!(pixels <= max_pixels || rows == 28 || columns == 28);
        }
    }
}
