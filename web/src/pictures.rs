//! Pictures in and out of JavaScript: encoded in, PNG out.

use std::io::Cursor;

use cppo::perturbation::{Perturbation, Seed, View};
use gym::{Gym, Split};
use image::{ImageFormat, RgbImage};
use js_sys::Uint8Array;
use serde::Serialize;

use crate::error::Failure;

/// Decodes pictures in any of the formats of [`processor::decode`].
pub fn decode_all(images: &[Uint8Array]) -> Result<Vec<RgbImage>, Failure> {
    images.iter().map(|bytes| Ok(processor::decode(&bytes.to_vec())?)).collect()
}

/// A picture as PNG.
pub fn png(picture: &RgbImage) -> Result<Uint8Array, Failure> {
    let mut png = Cursor::new(Vec::new());
    picture
        .write_to(&mut png, ImageFormat::Png)
        .map_err(|error| Failure::new("bad-image", error))?;
    Ok(Uint8Array::from(png.into_inner().as_slice()))
}

/// A kind of perturbation.
#[derive(Serialize)]
pub struct Kind {
    name: &'static str,
    removes: bool,
}

/// All kinds of perturbations.
pub fn kinds() -> Vec<Kind> {
    let kind = |kind: Perturbation| Kind {
        name: kind.name(),
        removes: matches!(
            kind,
            Perturbation::Blank(_)
                | Perturbation::GaussianBlur(_)
                | Perturbation::Noise(_)
                | Perturbation::NoiseRectangles(_)
                | Perturbation::PatchMask(_)
                | Perturbation::ZoomCrop(_)
        ),
    };
    Perturbation::all().into_iter().map(kind).collect()
}

/// A picture after a perturbation of the config's form `{kind, …}`.
pub fn perturb(kind: &Perturbation, picture: &RgbImage, seed: u64) -> Result<RgbImage, Failure> {
    kind.validate().map_err(Failure::request)?;
    let seed = Seed { run: seed, ..Default::default() };
    Ok(kind.apply(picture, &mut seed.parameters(View::Removing, 0)))
}

/// A question about a generated picture.
#[derive(Serialize)]
pub struct Question {
    pub question: String,
    pub answer: String,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    pub image: Uint8Array,
}

/// A test item of the perception gym; an empty family takes all in turn.
pub fn gym_item(family: &str, index: u32) -> Result<Question, Failure> {
    let families = match family {
        "" => Vec::new(),
        name => vec![name.parse().map_err(Failure::request)?],
    };
    let item = Gym { families, ..Default::default() }.item(Split::Test, u64::from(index));
    Ok(Question { question: item.question, answer: item.answer, image: png(&item.picture)? })
}
