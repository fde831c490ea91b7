//! `cppo data inspect --html`: a self-contained page of some rows with their pictures.

use std::path::Path;

use image::ImageFormat;
use image::imageops::{FilterType, resize};
use minijinja::{Environment, context};
use serde_json::{Value, json};
use trainer::atomic;

use super::survey::{Row, Survey};

use crate::failure::{Failure, about};
use crate::perceive::html::data_uri;

const TEMPLATE: &str = include_str!("page.html");

/// Longest side of a picture on the page, in pixels.
const SIDE: u32 = 320;

/// Writes the page under a temporary name and renames it.
pub fn write(path: &Path, name: &str, survey: &Survey) -> Result<(), Failure> {
    let html = render(name, survey)?;
    atomic::write(path, html).map_err(about(path.display()))
}

fn render(name: &str, survey: &Survey) -> Result<String, Failure> {
    let mut found = survey.to_json();
    let mut samples = found["samples"].take();
    let rows = samples.as_array_mut().into_iter().flatten();
    for (sample, row) in rows.zip(survey.shown()) {
        sample["pictures"] = pictures(row)?.into();
    }
    let mut environment = Environment::new();
    // The name's ending turns on the escaping of everything that is put in.
    environment.add_template("page.html", TEMPLATE)?;
    Ok(environment.get_template("page.html")?.render(context! {
        name,
        facts => facts(&found),
        samples => minijinja::value::Serde(samples),
    })?)
}

fn pictures(row: &Row) -> Result<Vec<Value>, Failure> {
    let small = row.sample.images.iter().map(|picture| {
        let picture = picture.decode()?;
        let (width, height) = picture.dimensions();
        let side = |own: u32, other: u32| match own.max(other) {
            longest if longest <= SIDE => own,
            longest => (own * SIDE / longest).max(1),
        };
        let (w, h) = (side(width, height), side(height, width));
        let small = resize(&picture, w, h, FilterType::Triangle);
        Ok(json!({"uri": data_uri(&small, ImageFormat::Png)?, "size": format!("{width}×{height}")}))
    });
    small.collect()
}

/// What holds for the whole data set, in words.
fn facts(found: &Value) -> Vec<(&'static str, String)> {
    let mut facts = vec![("rows", found["rows"].to_string())];
    let pairs = |value: &Value, joint: &str| {
        let pairs = value.as_object().into_iter().flatten();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), String::from);
        let pairs = pairs.map(|(key, value)| format!("{key}{joint}{}", text(value)));
        pairs.collect::<Vec<_>>().join(", ")
    };
    facts.push(("read as", pairs(&found["layout"], " = ")));
    facts.push(("sources", pairs(&found["sources"], " ")));
    for reason in found["unusable"]["reasons"].as_array().into_iter().flatten() {
        let reason = format!("{} × {}", reason["count"], reason["reason"].as_str().unwrap_or(""));
        facts.push(("unusable", reason));
    }
    facts
}
