//! Data sets to files, in verl's columns plus `response` and `seen`.
//!
//! Files are written under a temporary name and renamed by `finish`, so that a reader sees them
//! whole or not at all; a writer that is dropped leaves nothing.

mod json_lines;
mod parquet;

pub use self::json_lines::{ImageStore, JsonLinesWriter};
pub use self::parquet::ParquetWriter;

use std::path::Path;

use processor::Message;
use serde::Serialize;
use tempfile::NamedTempFile;

use super::error::DataError;
use super::sample::{PLACEHOLDER, Sample, join_placeholders};
use crate::atomic::{file_beside, folder_of};

/// Most bytes of one row.
const MAX_ROW_BYTES: usize = 1 << 30;

/// A conversation turn as verl stores it: a role, and text with placeholders.
#[derive(Serialize)]
struct Turn<'a> {
    role: &'a str,
    content: String,
}

/// The turns of a sample that can be read back as they are.
fn turns(sample: &Sample) -> Result<Vec<Turn<'_>>, String> {
    let turns: Vec<Turn> = sample
        .prompt
        .iter()
        .map(|Message { role, content }| Turn { role, content: join_placeholders(content) })
        .collect();
    let found: usize = turns.iter().map(|turn| turn.content.matches(PLACEHOLDER).count()).sum();
    if found != sample.images.len() {
        let images = sample.images.len();
        return Err(format!("the prompt holds {found} {PLACEHOLDER} for {images} images"));
    }
    if sample.answer.trim().is_empty() {
        return Err("the answer is empty".into());
    }
    let response = sample.response.as_deref().unwrap_or_default();
    if let Some(span) = sample.seen.iter().find(|span| response.get((*span).clone()).is_none()) {
        return Err(format!("seen {span:?} is not a piece of the response"));
    }
    Ok(turns)
}

fn row_error(path: &Path, index: u64, message: impl Into<String>) -> DataError {
    let row = format!("row {index} (from 0)");
    DataError::Row { path: path.to_path_buf(), row, message: message.into() }
}

/// A temporary file beside `path`, whose folder is made where it is missing.
fn temporary(path: &Path) -> Result<NamedTempFile, DataError> {
    let folder = folder_of(path);
    std::fs::create_dir_all(folder).map_err(DataError::io(folder))?;
    file_beside(path).map_err(DataError::io(path))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use image::RgbImage;
    use processor::Content;

    use super::*;
    use crate::data::{Dataset, Mapping, Picture};

    fn picture(seed: u8) -> RgbImage {
        RgbImage::from_fn(3, 2, |x, y| image::Rgb([seed, x as u8, y as u8]))
    }

    fn samples(folder: &Path) -> Vec<Sample> {
        let jpeg = folder.join("source.jpg");
        picture(9).save(&jpeg).unwrap();
        let text = |text: &str| Content::Text { text: text.into() };
        let sample = |prompt, images| Sample {
            prompt,
            images,
            answer: "5".into(),
            response: None,
            seen: vec![],
            source: "gym".into(),
        };
        let system = Message { role: "system".into(), content: vec![text("Be brief.")] };
        let between = vec![text("a "), Content::Image, text(" b"), Content::Image];
        vec![
            sample(vec![Message::user(1, "How many?")], vec![Picture::Decoded(picture(1))]),
            sample(vec![system, Message::user(0, "No picture, \u{e9}\n\"quoted\".")], vec![]),
            Sample {
                response: Some("A r\u{e9}d cube. \\boxed{5}".into()),
                seen: vec![2..6, 7..11],
                ..sample(
                    vec![Message { role: "user".into(), content: between }],
                    vec![
                        Picture::Path(jpeg),
                        Picture::Bytes(Picture::Decoded(picture(2)).to_file().unwrap()),
                    ],
                )
            },
        ]
    }

    #[derive(Clone, Copy, Debug)]
    enum Form {
        Inline,
        Beside,
        Parquet,
    }

    const FORMS: [Form; 3] = [Form::Inline, Form::Beside, Form::Parquet];

    fn name(form: Form) -> &'static str {
        if matches!(form, Form::Parquet) { "data.parquet" } else { "data.jsonl" }
    }

    fn write(form: Form, path: &Path, samples: &[Sample]) -> Result<(), DataError> {
        let store = match form {
            Form::Inline => ImageStore::Inline,
            Form::Beside => ImageStore::Beside,
            Form::Parquet => {
                let mut writer = ParquetWriter::create(path)?;
                samples.iter().try_for_each(|sample| writer.write(sample))?;
                return writer.finish();
            }
        };
        let mut writer = JsonLinesWriter::create(path, store)?;
        samples.iter().try_for_each(|sample| writer.write(sample))?;
        writer.finish()
    }

    fn decoded(sample: &Sample) -> Vec<RgbImage> {
        sample.images.iter().map(|picture| picture.decode().unwrap()).collect()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_written_is_read_back() {
        let source = tempfile::tempdir().unwrap();
        let samples = samples(source.path());
        for form in FORMS {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("new/deep").join(name(form));
            write(form, &path, &samples).unwrap();
            let dataset = Dataset::open(&path, &Mapping::default(), None).unwrap();
            assert_eq!(dataset.len(), samples.len());
            for (index, expected) in samples.iter().enumerate().rev() {
                let found = dataset.get(index).unwrap();
                assert_eq!(decoded(&found), decoded(expected), "{form:?}");
                let images = expected.images.clone();
                assert_eq!(Sample { images, ..found }, *expected, "{form:?}");
            }
            let beside = ["data.jsonl", "data_images"];
            let expected = match form {
                Form::Inline => &beside[..1],
                Form::Beside => &beside[..],
                Form::Parquet => &["data.parquet"],
            };
            assert_eq!(names(path.parent().unwrap()), expected);
        }
    }

    #[test]
    fn many_row_groups_keep_the_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.parquet");
        let one = samples(folder.path()).swap_remove(0);
        let mut writer = ParquetWriter::create(&path).unwrap();
        let rows = 2500;
        for row in 0..rows {
            writer.write(&Sample { answer: row.to_string(), ..one.clone() }).unwrap();
        }
        writer.finish().unwrap();
        let dataset = Dataset::open(&path, &Mapping::default(), None).unwrap();
        assert_eq!(dataset.len(), rows);
        for row in [0, 2499, 1023, 1024, 7, 2048, 2047] {
            assert_eq!(dataset.get(row).unwrap().answer, row.to_string());
        }
    }

    #[test]
    fn a_writer_that_does_not_finish_leaves_nothing_and_an_old_file_alone() {
        let source = tempfile::tempdir().unwrap();
        let samples = samples(source.path());
        for form in FORMS {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name(form));
            std::fs::write(&path, "old").unwrap();
            let broken = Sample { answer: " ".into(), ..samples[0].clone() };
            assert!(write(form, &path, &[samples[0].clone(), broken]).is_err());
            assert_eq!(names(folder.path()), [name(form)], "{form:?}");
            assert_eq!(std::fs::read(&path).unwrap(), b"old");
            write(form, &path, &[]).unwrap();
            assert_eq!(names(folder.path()), [name(form)], "{form:?}");
            assert_ne!(std::fs::read(&path).unwrap(), b"old");
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data_images")).unwrap();
        let error = write(Form::Beside, &folder.path().join("data.jsonl"), &[]).unwrap_err();
        assert!(error.to_string().contains("exists; remove it"), "{error}");
    }

    #[test]
    fn samples_that_contradict_themselves_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let one = samples(folder.path()).swap_remove(0);
        let none = PathBuf::from("none.png");
        let cases = [
            (Sample { images: vec![], ..one.clone() }, "1 <image> for 0 images"),
            (
                Sample { prompt: vec![Message::user(1, "an <image> tag")], ..one.clone() },
                "2 <image> for 1 images",
            ),
            (Sample { answer: String::new(), ..one.clone() }, "answer is empty"),
            (
                Sample { seen: vec![std::ops::Range { start: 0, end: 1 }], ..one.clone() },
                "seen 0..1",
            ),
            (Sample { images: vec![Picture::Path(none)], ..one.clone() }, "image 1: none.png"),
        ];
        for (sample, expected) in &cases {
            for form in FORMS {
                let path = folder.path().join(name(form));
                let error = write(form, &path, &[one.clone(), sample.clone()]).unwrap_err();
                let error = error.to_string();
                assert!(error.contains("row 1 (from 0)") && error.contains(expected), "{error}");
            }
        }
        let long = Sample { response: Some("x".repeat(1 << 26)), ..one.clone() };
        let error = write(Form::Inline, &folder.path().join("data.jsonl"), &[long]).unwrap_err();
        assert!(error.to_string().contains("store the pictures as files"), "{error}");
        let rubbish = Sample { images: vec![Picture::Bytes(b"rubbish".to_vec())], ..one };
        let error = write(Form::Inline, &folder.path().join("data.jsonl"), &[rubbish]).unwrap_err();
        assert!(error.to_string().contains("not a picture"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn written_files_have_ordinary_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        let path = folder.path().join("data.parquet");
        write(Form::Parquet, &path, &[]).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }
}
