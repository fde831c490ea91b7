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

/// A temporary file beside `path`, with the permissions of an ordinary one.
fn temporary(path: &Path) -> Result<NamedTempFile, DataError> {
    let folder = folder_of(path);
    std::fs::create_dir_all(folder).map_err(DataError::io(folder))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(".part");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder).map_err(DataError::io(path))
}

fn persist(file: NamedTempFile, path: &Path) -> Result<(), DataError> {
    file.as_file().sync_all().map_err(DataError::io(path))?;
    file.persist(path).map_err(|error| DataError::io(path)(error.error))?;
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
