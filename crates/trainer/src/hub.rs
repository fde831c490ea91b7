//! Repositories of the Hugging Face hub, kept in the cache that its other programs use too.

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Repo, RepoType};

/// The newest state of a repository; interrupted downloads go on where they stopped.
///
/// `HF_ENDPOINT`, `HF_HOME` and `HF_TOKEN` are honoured; `progress` shows downloads on a terminal.
///
/// # Errors
///
/// When the cache cannot be used.
pub fn repo(id: &str, kind: RepoType, progress: bool) -> Result<ApiRepo, ApiError> {
    let mut builder = ApiBuilder::from_env().with_progress(progress).with_retries(3);
    if let Ok(token) = std::env::var("HF_TOKEN") {
        builder = builder.with_token(Some(token));
    }
    Ok(builder.build()?.repo(Repo::with_revision(id.into(), kind, "main".into())))
}

/// The names of a repository's files.
///
/// # Errors
///
/// When the hub cannot be reached, or has no such repository.
pub fn listing(repo: &ApiRepo) -> Result<Vec<String>, ApiError> {
    Ok(repo.info()?.siblings.into_iter().map(|sibling| sibling.rfilename).collect())
}

/// Whether a name can be `OWNER/NAME`.
pub fn is_id(name: &str) -> bool {
    name.split('/').count() == 2
        && !name.starts_with(['.', '/'])
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && name.split('/').all(|part| !part.is_empty())
}
