//! What can go wrong in an evaluation.

use std::path::{Path, PathBuf};

use generation::GenerateError;

use crate::data::DataError;
use crate::reward::RewardError;

/// Why an evaluation cannot be made or read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum EvaluateError {
    #[error("{}: {source}; check the path and its permissions", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error(
        "{} holds an evaluation with another {key} ({before}, now {now}); choose another folder, \
         or the same settings",
        path.display()
    )]
    Changed { path: PathBuf, key: String, before: String, now: String },
    #[error("{}: {message}", path.display())]
    Damaged { path: PathBuf, message: String },
    #[error("{0}")]
    Different(String),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Reward(#[from] RewardError),
    #[error(transparent)]
    Generate(#[from] GenerateError),
}

impl EvaluateError {
    /// Turns an [`std::io::Error`] on `path` into this error.
    pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self {
        |source| Self::Io { path: path.to_path_buf(), source }
    }

    /// A fault in the content of a file.
    pub(super) fn damaged(path: &Path, message: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_path_buf(), message: message.into() }
    }
}
