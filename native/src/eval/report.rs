//! `report.html`: the table, and what was answered wrong, with the pictures in the file itself.

use std::path::Path;

use image::{DynamicImage, ImageFormat};
use minijinja::value::Serde;
use minijinja::{Environment, context};
use serde_json::{Value, json};
use trainer::data::Picture;
use trainer::evaluate::{Responses, Results, write as write_file};

use super::questions::Read;
use super::table;
use crate::failure::Failure;
use crate::perceive::html::data_uri;

const TEMPLATE: &str = include_str!("report.html");

/// Most questions shown.
const MAX_SHOWN: usize = 50;

/// Longest side of a picture shown, in pixels.
const MAX_SIDE: u32 = 448;

/// Most characters of a response shown.
const MAX_CHARS: usize = 2000;

/// Writes the report; of the questions with wrong answers the worst are shown.
pub fn write(
    path: &Path,
    results: &Results,
    read: &Read,
    responses: &Responses,
) -> Result<(), Failure> {
    let right = |index: &usize| results.items[*index].correct.iter().filter(|c| **c).count();
    let mut failed: Vec<usize> =
        (0..results.items.len()).filter(|index| right(index) < results.settings.n).collect();
    let total = failed.len();
    failed.sort_by_key(right);
    failed.truncate(MAX_SHOWN);
    let shown = failed.into_iter().map(|index| failure(index, results, read, responses));
    let shown = shown.collect::<Result<Vec<_>, Failure>>()?;
    let lines = table::lines(results)
        .into_iter()
        .map(|line| json!([line.name, line.value, line.interval, line.deviation, line.questions]));
    let mut environment = Environment::new();
    // The name's ending turns on the escaping of everything that is put in.
    environment.add_template("report.html", TEMPLATE)?;
    let html = environment.get_template("report.html")?.render(context! {
        title => table::title(results),
        lines => Serde(lines.collect::<Vec<_>>()),
        left_out => Serde(&results.left_out),
        shown => Serde(shown),
        total,
    })?;
    Ok(write_file(path, html.as_bytes())?)
}

/// A question with its pictures and the answers to it.
fn failure(
    index: usize,
    results: &Results,
    read: &Read,
    responses: &Responses,
) -> Result<Value, Failure> {
    let sample = read.questions.get(index)?.sample;
    let pictures = sample.images.iter().map(small).collect::<Result<Vec<_>, Failure>>()?;
    let item = &results.items[index];
    let answers = responses.of(index).map(|record| {
        json!({
            "answer": record.judgement.answer.as_deref().unwrap_or("no answer"),
            "correct": record.judgement.correct,
        })
    });
    let wrong = responses.of(index).find(|record| !record.judgement.correct);
    let response: String =
        wrong.map_or("", |record| &record.response).chars().take(MAX_CHARS).collect();
    Ok(json!({
        "id": item.id,
        "question": item.question,
        "truth": item.truth,
        "pictures": pictures,
        "answers": answers.collect::<Vec<_>>(),
        "response": response,
    }))
}

fn small(picture: &Picture) -> Result<String, Failure> {
    let picture = DynamicImage::ImageRgb8(picture.decode()?);
    let small = match picture.width().max(picture.height()) > MAX_SIDE {
        true => picture.thumbnail(MAX_SIDE, MAX_SIDE),
        false => picture,
    };
    data_uri(&small.into_rgb8(), ImageFormat::Jpeg)
}
