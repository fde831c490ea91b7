//! An overview of what perturbations do.

use image::{Rgb, RgbImage, imageops};

use super::{Perturbation, Seed};

/// Pixels between the cells.
const GAP: u32 = 4;

/// Most pixels of a sheet; 384 MB of RGB.
const MAX_PIXELS: u64 = 1 << 27;

/// A grid with a row per perturbation: the original, then `draws` perturbed copies.
///
/// # Errors
///
/// When the sheet would hold more than 2²⁷ pixels.
pub fn contact_sheet(
    picture: &RgbImage,
    perturbations: &[Perturbation],
    draws: usize,
    seed: Seed,
) -> Result<RgbImage, String> {
    let columns = draws.saturating_add(1);
    // Sides with a gap behind each cell, so that empty pictures count as well.
    let side =
        |cell: u32, cells: usize| (u64::from(cell) + u64::from(GAP)).checked_mul(cells as u64);
    let (width, height) = side(picture.width(), columns)
        .zip(side(picture.height(), perturbations.len()))
        .filter(|&(width, height)| width.saturating_mul(height.max(1)) <= MAX_PIXELS)
        .map(|(width, height)| (width as u32 - GAP, (height as u32).saturating_sub(GAP)))
        .ok_or_else(|| {
            let ((width, height), rows) = (picture.dimensions(), perturbations.len());
            format!("{rows} × {columns} pictures of {width} × {height} are too much for one sheet")
        })?;
    let mut sheet = RgbImage::from_pixel(width, height, Rgb([255; 3]));
    for (row, perturbation) in perturbations.iter().enumerate() {
        for column in 0..=draws {
            let cell = match column.checked_sub(1) {
                None => picture,
                Some(draw) => &perturbation.apply(picture, &mut seed.cell(row * draws + draw)),
            };
            let left = column as i64 * i64::from(picture.width() + GAP);
            let top = row as i64 * i64::from(picture.height() + GAP);
            imageops::replace(&mut sheet, cell, left, top);
        }
    }
    Ok(sheet)
}

#[cfg(test)]
mod tests {
    use super::super::testing::varied;
    use super::*;

    #[test]
    fn a_row_shows_the_original_and_then_its_draws() {
        let picture = varied(20, 12);
        let all = Perturbation::all();
        let sheet = contact_sheet(&picture, &all, 3, Seed::default()).unwrap();
        assert_eq!(sheet.dimensions(), (4 * 24 - 4, 16 * all.len() as u32 - 4));
        assert_eq!(sheet, contact_sheet(&picture, &all, 3, Seed::default()).unwrap());
        for (row, perturbation) in all.iter().enumerate() {
            let cell = |column: u32| {
                imageops::crop_imm(&sheet, column * 24, row as u32 * 16, 20, 12).to_image()
            };
            assert_eq!(cell(0), picture, "{}", perturbation.name());
            match perturbation.name() {
                "identity" => assert_eq!(cell(2), picture),
                "horizontal_flip" => assert_eq!(cell(3), imageops::flip_horizontal(&picture)),
                "noise" => assert!(cell(1) != cell(2) && cell(1) != picture),
                _ => {}
            }
        }
        assert_eq!(sheet.get_pixel(21, 5).0, [255; 3]);
    }

    #[test]
    fn sheets_without_draws_rows_or_bounds_do_no_harm() {
        let picture = varied(20, 12);
        let seed = Seed::default();
        let all = Perturbation::all();
        assert_eq!(contact_sheet(&picture, &all[..1], 0, seed).unwrap(), picture);
        assert_eq!(contact_sheet(&picture, &[], 2, seed).unwrap().height(), 0);
        for picture in [picture, RgbImage::new(0, 0)] {
            for draws in [usize::MAX, 1 << 30] {
                assert!(contact_sheet(&picture, &all, draws, seed).unwrap_err().contains("sheet"));
            }
        }
    }
}
