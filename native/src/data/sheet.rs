//! `cppo data inspect --perturbations`

use std::path::Path;

use cppo::perturbation::{Perturbation, Seed, contact_sheet};
use image::ImageFormat;
use trainer::atomic;

use crate::failure::{Failure, about};
use crate::infer::{print, read_picture};

/// Writes a sheet with a row per kind of perturbation, and prints the names of the rows.
pub fn write(picture: &str, out: &Path, draws: usize, seed: u64) -> Result<(), Failure> {
    let is_png = out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
    if !is_png {
        return Err(Failure::usage(format!("--out {} is not a .png file", out.display())));
    }
    let decoded = processor::decode(&read_picture(picture)?).map_err(about(picture))?;
    let all = Perturbation::all();
    let seed = Seed { run: seed, ..Seed::default() };
    let sheet = contact_sheet(&decoded, &all, draws, seed).map_err(about(picture))?;
    let mut file = atomic::file_beside(out).map_err(about(out.display()))?;
    sheet.write_to(&mut file, ImageFormat::Png).map_err(about(out.display()))?;
    atomic::persist(file, out).map_err(about(out.display()))?;
    let names: String = all.iter().map(|kind| format!("{}\n", kind.name())).collect();
    print(&names);
    Ok(())
}
