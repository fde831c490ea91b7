//! Samples to JSON lines.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::ImageFormat;
use processor::ProcessorError;
use serde::Serialize;
use tempfile::{NamedTempFile, TempDir};

use super::{Turn, row_error, temporary, turns};
use crate::atomic::{folder_beside, folder_of, persist};
use crate::data::error::DataError;
use crate::data::json_lines::MAX_LINE;
use crate::data::sample::{Picture, PictureError, Sample};

/// Where the pictures of JSON lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageStore {
    /// Into the lines, as `data:` URIs.
    Inline,
    /// Into the folder `NAME_images` beside `NAME.jsonl`, one file each.
    Beside,
}

/// Writes samples as JSON lines, one at a time.
#[derive(Debug)]
pub struct JsonLinesWriter {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
    store: ImageStore,
    /// Pictures until `finish`; made with the first.
    folder: Option<TempDir>,
    rows: u64,
}

#[derive(Serialize)]
struct Row<'a> {
    data_source: &'a str,
    prompt: Vec<Turn<'a>>,
    images: Vec<String>,
    reward_model: RewardModel<'a>,
    extra_info: ExtraInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    seen: Vec<[usize; 2]>,
}

#[derive(Serialize)]
struct RewardModel<'a> {
    style: &'static str,
    ground_truth: &'a str,
}

#[derive(Serialize)]
struct ExtraInfo {
    index: u64,
}

impl JsonLinesWriter {
    /// Begins a file at `path`, which replaces an older one when finished.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written to, or pictures of an older file are in the way.
    pub fn create(path: &Path, store: ImageStore) -> Result<Self, DataError> {
        let images = folder_of(path).join(images_name(path));
        if store == ImageStore::Beside && images.exists() {
            return Err(DataError::file(&images, "exists; remove it or choose another name"));
        }
        let file = BufWriter::new(temporary(path)?);
        Ok(Self { path: path.to_path_buf(), file, store, folder: None, rows: 0 })
    }

    /// Adds a sample.
    ///
    /// # Errors
    ///
    /// When the sample contradicts itself, a picture cannot be read, or the disk is full.
    pub fn write(&mut self, sample: &Sample) -> Result<(), DataError> {
        let turns = turns(sample).map_err(|message| row_error(&self.path, self.rows, message))?;
        let mut images = Vec::with_capacity(sample.images.len());
        for (number, picture) in sample.images.iter().enumerate() {
            images.push(self.store(number, picture)?);
        }
        let row = Row {
            data_source: &sample.source,
            prompt: turns,
            images,
            reward_model: RewardModel { style: "rule", ground_truth: &sample.answer },
            extra_info: ExtraInfo { index: self.rows },
            response: sample.response.as_deref(),
            seen: sample.seen.iter().map(|span| [span.start, span.end]).collect(),
        };
        let mut line = serde_json::to_vec(&row)
            .map_err(|error| row_error(&self.path, self.rows, error.to_string()))?;
        line.push(b'\n');
        if line.len() as u64 >= MAX_LINE {
            let message = format!("longer than {MAX_LINE} bytes; store the pictures as files");
            return Err(row_error(&self.path, self.rows, message));
        }
        self.file.write_all(&line).map_err(DataError::io(&self.path))?;
        self.rows += 1;
        Ok(())
    }

    /// Gives the file, and the folder of its pictures, their names.
    ///
    /// # Errors
    ///
    /// When the disk is full or the names cannot be given.
    pub fn finish(self) -> Result<(), DataError> {
        let file = self
            .file
            .into_inner()
            .map_err(|error| DataError::io(&self.path)(error.into_error()))?;
        if let Some(folder) = self.folder {
            let images = folder_of(&self.path).join(images_name(&self.path));
            std::fs::rename(folder.path(), &images).map_err(DataError::io(&images))?;
            let _ = folder.keep();
        }
        persist(file, &self.path).map_err(DataError::io(&self.path))
    }

    /// Stores a picture and returns what its row says of it.
    fn store(&mut self, number: usize, picture: &Picture) -> Result<String, DataError> {
        let fault = |error: PictureError| {
            row_error(&self.path, self.rows, format!("image {}: {error}", number + 1))
        };
        let bytes = picture.to_file().map_err(fault)?;
        let format = format(&bytes).map_err(fault)?;
        if self.store == ImageStore::Inline {
            return Ok(format!("data:{};base64,{}", format.to_mime_type(), STANDARD.encode(bytes)));
        }
        let folder = match &self.folder {
            Some(folder) => folder,
            None => {
                self.folder.insert(folder_beside(&self.path).map_err(DataError::io(&self.path))?)
            }
        };
        let extension = format.extensions_str().first().unwrap_or(&"img");
        let name = format!("{:08}_{number}.{extension}", self.rows);
        let file = folder.path().join(&name);
        std::fs::write(&file, bytes).map_err(DataError::io(&file))?;
        Ok(format!("{}/{name}", images_name(&self.path)))
    }
}

fn format(bytes: &[u8]) -> Result<ImageFormat, PictureError> {
    image::guess_format(bytes)
        .map_err(|_| PictureError::Bytes { source: ProcessorError::UnknownFormat })
}

fn images_name(path: &Path) -> String {
    format!("{}_images", path.file_stem().unwrap_or_default().to_string_lossy())
}
