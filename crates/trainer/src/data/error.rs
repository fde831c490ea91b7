//! What can be wrong with a data set.

use std::path::{Path, PathBuf};

/// A fault of a data set; says which file, row and column, and what to do.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DataError {
    #[error("{}: {source}; check the path and its permissions", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: {message}", path.display())]
    File { path: PathBuf, message: String },
    #[error("{}, {row}: {message}", path.display())]
    Row { path: PathBuf, row: String, message: String },
    #[error("there is no row {index}: the data set holds {rows} rows, counted from 0")]
    Index { index: usize, rows: usize },
}

impl DataError {
    /// Turns an [`std::io::Error`] on `path` into this error.
    pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self {
        |source| Self::Io { path: path.to_path_buf(), source }
    }

    /// A fault of a whole file.
    pub(crate) fn file(path: &Path, message: impl Into<String>) -> Self {
        Self::File { path: path.to_path_buf(), message: message.into() }
    }
}

/// What is wrong with JSON, without the line and column, which are those of a piece of a file.
pub fn json_problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_string()
}

/// A fault of one column of a row whose place the caller knows.
#[derive(Debug, PartialEq)]
pub(crate) struct Fault {
    column: String,
    message: String,
}

impl Fault {
    pub(crate) fn new(column: &str, message: impl Into<String>) -> Self {
        Self { column: column.into(), message: message.into() }
    }

    /// Says where the row is.
    pub(crate) fn at(self, path: &Path, row: String) -> DataError {
        let message = format!("column {}: {}", self.column, self.message);
        DataError::Row { path: path.to_path_buf(), row, message }
    }
}
