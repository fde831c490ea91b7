//! Repositories of the Hugging Face hub, kept in the cache that its other programs use too.

use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

/// The branch that is asked for.
const MAIN: &str = "main";

/// A repository, for one of its files as it is now; interrupted downloads go on where they stopped.
///
/// `HF_ENDPOINT`, `HF_HOME` and `HF_TOKEN` are honoured; `progress` shows downloads on a terminal.
///
/// # Errors
///
/// When the cache cannot be used.
pub fn repo(id: &str, kind: RepoType, progress: bool) -> Result<ApiRepo, ApiError> {
    let repo = Repo::with_revision(id.into(), kind, MAIN.into());
    Ok(api(progress)?.repo(repo))
}

/// The newest revision of a repository and the names of its files, which are then all of that
/// revision, whatever is published in the meantime; see [`repo`].
///
/// # Errors
///
/// When the hub cannot be reached, has no such repository, or the cache cannot be used.
pub fn newest(
    id: &str,
    kind: RepoType,
    progress: bool,
) -> Result<(ApiRepo, Vec<String>), ApiError> {
    let api = api(progress)?;
    let at = |revision: &str| Repo::with_revision(id.into(), kind, revision.into());
    let info = api.repo(at(MAIN)).info()?;
    let names = info.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
    // It becomes a name in the cache.
    let is_commit = !info.sha.is_empty() && info.sha.bytes().all(|byte| byte.is_ascii_hexdigit());
    let revision = if is_commit { info.sha.as_str() } else { MAIN };
    if is_commit {
        // So that what is in the cache is found under both names.
        for name in [MAIN, revision] {
            Cache::from_env().repo(at(name)).create_ref(revision)?;
        }
    }
    Ok((api.repo(at(revision)), names))
}

fn api(progress: bool) -> Result<Api, ApiError> {
    let mut builder = ApiBuilder::from_env().with_progress(progress).with_retries(3);
    if let Ok(token) = std::env::var("HF_TOKEN") {
        builder = builder.with_token(Some(token));
    }
    builder.build()
}

/// Whether a name can be `OWNER/NAME`.
pub fn is_id(name: &str) -> bool {
    name.split('/').count() == 2
        && !name.starts_with(['.', '/'])
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && name.split('/').all(|part| !part.is_empty())
}
