//! Picture files to RGB.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage};

use crate::error::ProcessorError;

/// Most pixels a picture may have; 128 megapixels are 384 MB of RGB.
pub const MAX_PIXELS: u64 = 1 << 27;

/// Most bytes the decoder may allocate; room for [`MAX_PIXELS`] at 8 bytes each.
const MAX_ALLOC: u64 = 8 * MAX_PIXELS;

/// Decodes PNG, JPEG, WebP, GIF (first frame) or BMP to RGB, turned as its EXIF orientation says;
/// transparent parts show white.
///
/// # Errors
///
/// When the bytes are no picture, damaged, empty, or decode to more than [`MAX_PIXELS`].
pub fn decode(bytes: &[u8]) -> Result<RgbImage, ProcessorError> {
    let undecodable =
        |error: image::ImageError| ProcessorError::Decode { message: error.to_string() };
    let reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| ProcessorError::Decode { message: error.to_string() })?;
    if reader.format().is_none() {
        return Err(ProcessorError::UnknownFormat);
    }
    let mut decoder = reader.into_decoder().map_err(undecodable)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(ProcessorError::EmptyPicture { width, height });
    }
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(ProcessorError::TooLarge { width, height, limit: MAX_PIXELS });
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOC);
    decoder.set_limits(limits).map_err(undecodable)?;
    // A picture with unreadable EXIF is still a picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
    picture.apply_orientation(orientation);
    Ok(on_white(picture))
}

fn on_white(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let rgba = picture.into_rgba8();
    let mut rgb = RgbImage::new(rgba.width(), rgba.height());
    for (over, under) in rgba.pixels().zip(rgb.pixels_mut()) {
        let [colour @ .., alpha] = over.0;
        under.0 = colour.map(|channel| {
            let (channel, alpha) = (u32::from(channel), u32::from(alpha));
            ((channel * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        });
    }
    rgb
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, Luma, Rgba};

    use super::*;

    fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn transparent_pixels_are_laid_on_white() {
        let picture =
            image::RgbaImage::from_fn(2, 1, |x, _| Rgba([255, 0, 0, [0, 128][x as usize]]));
        let decoded = decode(&encoded(picture, ImageFormat::Png)).unwrap();
        assert_eq!(decoded.get_pixel(0, 0).0, [255, 255, 255]);
        assert_eq!(decoded.get_pixel(1, 0).0, [255, 127, 127]);
    }

    #[test]
    fn every_format_is_read() {
        let picture = RgbImage::from_pixel(9, 7, image::Rgb([200, 30, 60]));
        for format in [
            ImageFormat::Png,
            ImageFormat::Jpeg,
            ImageFormat::WebP,
            ImageFormat::Gif,
            ImageFormat::Bmp,
        ] {
            let decoded = decode(&encoded(picture.clone(), format)).unwrap();
            assert_eq!(decoded.dimensions(), (9, 7), "{format:?}");
            for (found, expected) in decoded.get_pixel(4, 3).0.iter().zip([200u8, 30, 60]) {
                assert!(found.abs_diff(expected) <= 6, "{format:?}: {:?}", decoded.get_pixel(4, 3));
            }
        }
    }

    #[test]
    fn sixteen_bit_grey_becomes_rgb() {
        let grey = image::ImageBuffer::<Luma<u16>, _>::from_pixel(3, 3, Luma([0x8080]));
        let decoded = decode(&encoded(grey, ImageFormat::Png)).unwrap();
        assert_eq!(decoded.get_pixel(1, 1).0, [128; 3]);
    }

    #[test]
    fn cmyk_jpegs_decode_to_the_colours_other_programs_show() {
        let bytes = include_bytes!("../tests/cmyk.jpg");
        let decoded = decode(bytes).unwrap();
        for (x, expected) in [(4, [200u8, 30, 60]), (12, [20, 120, 220])] {
            let found = decoded.get_pixel(x, 8).0;
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.abs_diff(expected) <= 8, "{x}: {found} {expected}");
            }
        }
    }

    #[test]
    fn exif_orientation_is_applied() {
        // Orientation 6: turn a quarter to the right.
        let bytes = include_bytes!("../tests/exif6.jpg");
        let decoded = decode(bytes).unwrap();
        assert_eq!(decoded.dimensions(), (8, 16));
        assert!(decoded.get_pixel(4, 2).0[0] > 150, "the left half is now on top");
    }

    #[test]
    fn what_is_no_whole_picture_is_refused() {
        let png = encoded(RgbImage::new(40, 40), ImageFormat::Png);
        let cases: [(&[u8], &str); 4] = [
            (b"", "not a picture"),
            (b"hello, this is a text file", "not a picture"),
            (&png[..png.len() / 2], "cannot be decoded"),
            (&png[..8], "cannot be decoded"),
        ];
        for (bytes, expected) in cases {
            let error = decode(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_decompression_bomb_is_refused_before_it_is_decoded() {
        let mut png = encoded(RgbImage::new(1, 1), ImageFormat::Png);
        png[16..20].copy_from_slice(&60_000u32.to_be_bytes());
        png[20..24].copy_from_slice(&60_000u32.to_be_bytes());
        let error = decode(&png).unwrap_err().to_string();
        assert!(error.contains("60000") || error.contains("decoded"), "{error}");
    }
}
