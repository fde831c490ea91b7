//! Draws one item per family on a sheet and prints their texts.
//!
//! `cargo run -p gym --example contact_sheet -- SHEET.png [difficulty] [index]`

use std::env::args;
use std::error::Error;

use gym::{Family, Gym, Split};
use image::imageops::{FilterType, replace, resize};
use image::{Rgb, RgbImage};

const ZOOM: u32 = 3;
const MARGIN: u32 = 16;
const COLUMNS: u32 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let path = args().nth(1).ok_or("usage: contact_sheet SHEET.png [difficulty] [index]")?;
    let difficulty = args().nth(2).map_or(Ok(Default::default()), |name| name.parse())?;
    let index: u64 = args().nth(3).map_or(Ok(0), |number| number.parse())?;
    let step = 84 * ZOOM + MARGIN;
    let rows = (Family::ALL.len() as u32).div_ceil(COLUMNS);
    let (width, height) = (COLUMNS * step + MARGIN, rows * step + MARGIN);
    let mut sheet = RgbImage::from_pixel(width, height, Rgb([255; 3]));
    for (place, &family) in (0..).zip(Family::ALL) {
        let item = Gym { families: vec![family], difficulty, seed: 0 }.item(Split::Train, index);
        let picture = resize(&item.picture, 84 * ZOOM, 84 * ZOOM, FilterType::CatmullRom);
        let (column, row) = (place % COLUMNS, place / COLUMNS);
        let (x, y) = (MARGIN + column * step, MARGIN + row * step);
        replace(&mut sheet, &picture, x.into(), y.into());
        println!("{family:12} {}\n{:12} {}", item.question, "", item.response);
    }
    sheet.save(path)?;
    Ok(())
}
