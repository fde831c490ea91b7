//! Repositories of the Hugging Face hub, kept in the cache that its other programs use too.

use std::path::{Path, PathBuf};

use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use crate::atomic;

/// The branch that is asked for.
const MAIN: &str = "main";

/// Where a repository's folder in the cache keeps the names of all its files, by revision: its
/// `snapshots` hold those alone that were asked for.
const LISTINGS: &str = "listings";

/// Why a file of the hub cannot be had.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum HubError {
    #[error("{0}; check the name, the network and HF_TOKEN")]
    Api(#[from] ApiError),
    #[error("{what} is not in the cache {}, and {why}", cache.display())]
    NotCached { what: String, cache: PathBuf, why: &'static str },
}

/// A revision of a repository, whose files are of that revision whatever is published in the
/// meantime.
pub struct Snapshot {
    id: String,
    /// None where the hub is not asked.
    hub: Option<ApiRepo>,
    cached: CacheRepo,
    /// The names of its files.
    pub names: Vec<String>,
}

impl Snapshot {
    /// Where one of its files is; downloads it if it is not in the cache, where an interrupted
    /// download goes on.
    ///
    /// # Errors
    ///
    /// When it cannot be downloaded, or the hub is not asked.
    pub fn get(&self, name: &str) -> Result<PathBuf, HubError> {
        match &self.hub {
            Some(hub) => Ok(hub.get(name)?),
            None => {
                self.cached.get(name).ok_or_else(|| not_cached(format!("{name} of {}", self.id)))
            }
        }
    }
}

/// The newest revision of a repository; without a network, or with `HF_HUB_OFFLINE=1`, the one in
/// the cache.
///
/// `HF_ENDPOINT`, `HF_HOME` and `HF_TOKEN` are honoured; `progress` shows downloads on a terminal.
///
/// # Errors
///
/// When the hub cannot be reached, or has no such repository, and the cache does not know it either.
pub fn newest(id: &str, kind: RepoType, progress: bool) -> Result<Snapshot, HubError> {
    let failed = match is_offline() {
        true => None,
        false => match from_hub(id, kind, progress) {
            Ok(found) => return Ok(found),
            Err(error) => Some(error),
        },
    };
    match (from_cache(id, kind), failed) {
        (None, None) => Err(not_cached(id.into())),
        (None, Some(error)) => Err(error.into()),
        (Some(found), None) => Ok(found),
        (Some(found), Some(error)) => {
            eprintln!("warning: {id}: {error}; going on with what is in the cache");
            Ok(found)
        }
    }
}

fn from_hub(id: &str, kind: RepoType, progress: bool) -> Result<Snapshot, ApiError> {
    let (api, cache) = (api(progress)?, Cache::from_env());
    let at = |revision: &str| Repo::with_revision(id.into(), kind, revision.into());
    let info = api.repo(at(MAIN)).info()?;
    let names: Vec<String> = info.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
    let revision = if is_commit(&info.sha) { info.sha.as_str() } else { MAIN };
    if revision != MAIN {
        // So that what is in the cache is found under both names.
        for name in [MAIN, revision] {
            cache.repo(at(name)).create_ref(revision)?;
        }
        let folder = cache.path().join(at(MAIN).folder_name()).join(LISTINGS);
        std::fs::create_dir_all(&folder)?;
        let listing = serde_json::to_vec(&names).map_err(std::io::Error::from)?;
        atomic::write(&folder.join(format!("{revision}.json")), listing)?;
    }
    let (hub, cached) = (Some(api.repo(at(revision))), cache.repo(at(revision)));
    Ok(Snapshot { id: id.into(), hub, cached, names })
}

/// The revision in the cache; of one that another program downloaded, the files that are there.
fn from_cache(id: &str, kind: RepoType) -> Option<Snapshot> {
    let repo = Repo::with_revision(id.into(), kind, MAIN.into());
    let cache = Cache::from_env();
    let folder = cache.path().join(repo.folder_name());
    let revision = std::fs::read_to_string(folder.join("refs").join(MAIN)).ok()?;
    let revision = Some(revision.trim()).filter(|revision| is_commit(revision))?;
    let listing = std::fs::read(folder.join(LISTINGS).join(format!("{revision}.json")));
    let listed = listing.ok().and_then(|json| serde_json::from_slice(&json).ok());
    let names = listed.or_else(|| {
        let mut names = Vec::new();
        list(&folder.join("snapshots").join(revision), "", &mut names)?;
        Some(names)
    })?;
    Some(Snapshot { id: id.into(), hub: None, cached: cache.repo(repo), names })
}

/// Adds the files of a folder, which stands at `place` in its repository.
fn list(folder: &Path, place: &str, names: &mut Vec<String>) -> Option<()> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let name = format!("{place}{}", entry.file_name().to_str()?);
        // Files are links, folders are not.
        match entry.file_type().ok()?.is_dir() {
            true => list(&entry.path(), &format!("{name}/"), names)?,
            false => names.push(name),
        }
    }
    Some(())
}

/// Whether a revision is a commit's; it becomes a name in the cache.
fn is_commit(revision: &str) -> bool {
    !revision.is_empty() && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether the user forbids to ask the hub, in the words that its own library takes.
fn is_offline() -> bool {
    let set = std::env::var("HF_HUB_OFFLINE").unwrap_or_default();
    ["1", "on", "yes", "true"].contains(&set.to_ascii_lowercase().as_str())
}

fn not_cached(what: String) -> HubError {
    let why = match is_offline() {
        true => {
            "HF_HUB_OFFLINE forbids to ask the hub; unset it once, or set HF_HOME to where it is"
        }
        false => "the hub cannot be reached; check the network, or set HF_HOME to where it is",
    };
    HubError::NotCached { what, cache: Cache::from_env().path().clone(), why }
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
