//! A self-contained report: the response, its pictures, and the candidates behind each token.

use std::io::Cursor;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, RgbImage};
use minijinja::{Environment, context};
use serde_json::{Value, json};
use session::Pretrained;
use trainer::atomic;

use super::Subject;
use crate::failure::{Failure, about};

const TEMPLATE: &str = include_str!("report.html");

/// Writes the report under a temporary name and renames it.
pub fn write(path: &Path, subject: &Subject, loaded: &Pretrained) -> Result<(), Failure> {
    let html = render(subject, loaded)?;
    atomic::write(path, html).map_err(about(path.display()))
}

fn render(subject: &Subject, loaded: &Pretrained) -> Result<String, Failure> {
    let mut tokens = loaded.perceived(&subject.perceived)["tokens"].take();
    for token in tokens.as_array_mut().into_iter().flatten() {
        let heat = token["score"].as_f64().unwrap_or(0.0).clamp(0.0, 1.0);
        token["heat"] = json!((heat * 100.0).round());
        token["tooltip"] = tooltip(token).into();
    }
    let perceived = &subject.perceived;
    let mut pictures = Vec::new();
    for (index, original) in subject.pictures.iter().enumerate() {
        pictures.push(json!({
            "original": data_uri(original, ImageFormat::Png)?,
            "preserved": data_uri(&perceived.preserved[index], ImageFormat::Png)?,
            "removed": data_uri(&perceived.removed[index], ImageFormat::Png)?,
        }));
    }
    let mut environment = Environment::new();
    // The name's ending turns on the escaping of everything that is put in.
    environment.add_template("report.html", TEMPLATE)?;
    let selected = perceived.tokens.iter().filter(|token| token.perception).count();
    Ok(environment.get_template("report.html")?.render(context! {
        question => &subject.question,
        tokens => minijinja::value::Serde(tokens),
        pictures => minijinja::value::Serde(json!(pictures)),
        selected,
        total => perceived.tokens.len(),
    })?)
}

/// What stands in the box beside a token.
fn tooltip(token: &Value) -> String {
    let list = |key: &str| {
        let candidates = token[key].as_array().into_iter().flatten().map(|candidate| {
            let probability = candidate["logprob"].as_f64().unwrap_or(0.0).exp();
            format!("{:>6.1} %  {}", 100.0 * probability, candidate["text"].as_str().unwrap_or(""))
        });
        candidates.collect::<Vec<_>>().join("\n")
    };
    format!(
        "entropy {:.3} -> {:.3} nats, shift {:+.3}, score {:.3}\n\nwith the picture\n{}\n\n\
         without its information\n{}",
        token["entropy"].as_f64().unwrap_or(0.0),
        token["entropy_removed"].as_f64().unwrap_or(0.0),
        token["shift"].as_f64().unwrap_or(0.0),
        token["score"].as_f64().unwrap_or(0.0),
        list("top_logprobs"),
        list("top_logprobs_removed"),
    )
}

/// A picture as a file in an address of a page.
pub fn data_uri(picture: &RgbImage, format: ImageFormat) -> Result<String, Failure> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, format)?;
    let file = STANDARD.encode(file.into_inner());
    Ok(format!("data:{};base64,{file}", format.to_mime_type()))
}
