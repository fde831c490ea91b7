//! Rows by number, whatever the file's format.

use std::path::Path;

use super::cell::Cell;
use super::error::DataError;
use super::json_lines::JsonLines;
use super::parquet_file::{FileCache, ParquetFile};
use super::tsv::Tsv;

/// Which columns of a file are needed.
pub(crate) trait Wanted {
    /// Whether the file's column `root` is needed.
    fn wants(&self, root: &str) -> bool;

    /// Checks that a file with the columns `roots` has what is needed.
    ///
    /// # Errors
    ///
    /// What is missing, and what to do.
    fn check(&self, roots: &[&str]) -> Result<(), String>;
}

/// An open file, read a row at a time.
#[derive(Debug)]
pub(crate) enum Table {
    JsonLines(JsonLines),
    Parquet(ParquetFile),
    Tsv(Tsv),
}

/// The formats, by a file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extension {
    JsonLines,
    Parquet,
    Tsv,
}

impl Extension {
    /// The format of a file of this name.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "jsonl" | "json" => Some(Self::JsonLines),
            "parquet" => Some(Self::Parquet),
            "tsv" => Some(Self::Tsv),
            _ => None,
        }
    }
}

impl Table {
    /// Opens a file by the format that its name tells; of parquet, `cache` keeps decoded rows.
    ///
    /// # Errors
    ///
    /// When its name tells none, it is damaged, or it lacks the wanted columns.
    pub(crate) fn open(
        path: &Path,
        wanted: &dyn Wanted,
        cache: FileCache,
    ) -> Result<Self, DataError> {
        Ok(match Extension::of(path) {
            Some(Extension::Parquet) => Self::Parquet(ParquetFile::open(path, wanted, cache)?),
            Some(Extension::JsonLines) => Self::JsonLines(JsonLines::open(path, wanted)?),
            Some(Extension::Tsv) => Self::Tsv(Tsv::open(path, wanted)?),
            None => {
                let message =
                    "neither .jsonl, .json, .parquet nor .tsv; convert it to one of these";
                return Err(DataError::file(path, message));
            }
        })
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::JsonLines(rows) => rows.len(),
            Self::Parquet(rows) => rows.len(),
            Self::Tsv(rows) => rows.len(),
        }
    }

    /// The columns; JSON lines without rows have none.
    ///
    /// # Errors
    ///
    /// When the file cannot be read any more.
    pub(crate) fn names(&self) -> Result<Vec<String>, DataError> {
        match self {
            Self::JsonLines(rows) => rows.names(),
            Self::Parquet(rows) => Ok(rows.names()),
            Self::Tsv(rows) => Ok(rows.names()),
        }
    }

    /// Names the row at `index` in messages.
    pub(crate) fn place(&self, index: usize) -> String {
        match self {
            Self::JsonLines(rows) => rows.place(index),
            Self::Parquet(rows) => rows.place(index),
            Self::Tsv(rows) => rows.place(index),
        }
    }

    /// The row at `index`, as a struct of its columns.
    ///
    /// # Errors
    ///
    /// When it is damaged, or there is none.
    pub(crate) fn row(&self, index: usize) -> Result<Cell, DataError> {
        match self {
            Self::JsonLines(rows) => rows.row(index),
            Self::Parquet(rows) => rows.row(index),
            Self::Tsv(rows) => rows.row(index),
        }
    }
}
