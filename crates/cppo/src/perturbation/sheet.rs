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
    let side = |cell: u32, cells: usize| {
        let cells = u32::try_from(cells).ok()?;
        cell.checked_add(GAP)?.checked_mul(cells).map(|side| side.saturating_sub(GAP))
    };
    let width = side(picture.width(), draws.saturating_add(1));
    let height = side(picture.height(), perturbations.len());
    let (width, height) = width
        .zip(height)
        .filter(|&(width, height)| u64::from(width) * u64::from(height) <= MAX_PIXELS)
        .ok_or_else(|| {
            format!(
                "{} × {} pictures of {} × {} pixels are too much for one sheet",
                draws.saturating_add(1),
                perturbations.len(),
                picture.width(),
                picture.height()
            )
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
        for draws in [usize::MAX, 1 << 20, 1 << 30] {
            assert!(contact_sheet(&picture, &all, draws, seed).unwrap_err().contains("sheet"));
        }
    }
}
