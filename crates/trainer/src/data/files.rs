//! Which files a data set's name means: on disk, or on the Hugging Face hub.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use hf_hub::RepoType;

use super::error::DataError;
use super::table::Extension;
use crate::hub::{self, HubError};

/// The files that `name` means, in the order of their names: a file; a folder of files, or with
/// `@SPLIT` behind it those of a split; or a data set of the hub, `OWNER/NAME`, with `/FOLDER` and
/// `@SPLIT` behind it, by default of the split `usual`. What is on disk goes before the hub.
///
/// # Errors
///
/// When there is nothing of that name, or it has several splits and none is named.
pub(crate) fn files(name: &Path, usual: &str) -> Result<Vec<PathBuf>, DataError> {
    if name.exists() {
        return on_disk(name, None);
    }
    let text = name.to_str().unwrap_or_default();
    let (place, split) = match text.rsplit_once('@') {
        Some((place, split)) => (place, Some(split)),
        None => (text, None),
    };
    if split.is_some() && Path::new(place).is_dir() {
        return on_disk(Path::new(place), split);
    }
    match OnHub::new(place).filter(|_| Extension::of(Path::new(place)).is_none()) {
        Some(place) => place.files(name, split, usual),
        None => on_disk(name, None),
    }
}

fn on_disk(path: &Path, split: Option<&str>) -> Result<Vec<PathBuf>, DataError> {
    let metadata = std::fs::metadata(path).map_err(DataError::io(path))?;
    if metadata.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    if !metadata.is_dir() {
        return Err(DataError::file(path, "neither a file nor a folder; name a data file"));
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(DataError::io(path))? {
        let file = entry.map_err(DataError::io(path))?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let hidden = name.starts_with(['.', '_']);
        if !hidden && Extension::of(&file).is_some() && file.is_file() {
            names.push(name);
        }
    }
    if names.is_empty() {
        return Err(DataError::file(
            path,
            "no .jsonl, .json, .parquet or .tsv file in this folder",
        ));
    }
    let chosen = chosen(names, split, None).map_err(|message| DataError::file(path, message))?;
    Ok(chosen.into_iter().map(|name| path.join(name)).collect())
}

/// A data set of the hub, or a folder in one.
#[derive(Debug, PartialEq)]
struct OnHub<'a> {
    id: &'a str,
    folder: &'a str,
}

impl<'a> OnHub<'a> {
    fn new(place: &'a str) -> Option<Self> {
        let end = place.match_indices('/').nth(1).map(|(end, _)| end);
        let (id, folder) = place.split_at(end.unwrap_or(place.len()));
        let folder = folder.strip_prefix('/').unwrap_or(folder);
        hub::is_id(id).then_some(Self { id, folder })
    }

    fn files(
        &self,
        name: &Path,
        split: Option<&str>,
        usual: &str,
    ) -> Result<Vec<PathBuf>, DataError> {
        let failed = |error: HubError| {
            let message = format!(
                "there is no such file or folder here, and it cannot be had from the hub: {error}"
            );
            DataError::file(name, message)
        };
        let progress = std::io::stderr().is_terminal();
        let snapshot = hub::newest(self.id, RepoType::Dataset, progress).map_err(failed)?;
        let names = self.wanted(snapshot.names.clone(), split, usual);
        let names = names.map_err(|message| DataError::file(name, message))?;
        names.iter().map(|name| snapshot.get(name).map_err(failed)).collect()
    }

    /// The files to take of those in the repository.
    fn wanted(
        &self,
        mut names: Vec<String>,
        split: Option<&str>,
        usual: &str,
    ) -> Result<Vec<String>, String> {
        let Self { id, folder } = self;
        // Names come from the network, and become paths in the cache.
        let is_plain = |name: &String| {
            let visible = |part: &str| !part.is_empty() && !part.starts_with(['.', '_']);
            name.split('/').all(visible) && !name.contains(['\\', ':'])
        };
        names.retain(|name| is_plain(name) && (folder.is_empty() || inside(name, folder)));
        let ends = |name: &String, end: &str| name.to_ascii_lowercase().ends_with(end);
        // Where both are there, they are the same rows.
        let end =
            if names.iter().any(|name| ends(name, ".parquet")) { ".parquet" } else { ".jsonl" };
        names.retain(|name| ends(name, end));
        if names.is_empty() {
            return Err(
                "holds no .parquet or .jsonl file there; look at its page on the hub".into()
            );
        }
        let names = chosen(names, split, Some(usual))?;
        if let Some(part) = names.iter().find(|name| !has_all_shards(name, &names)) {
            return Err(format!(
                "is incomplete in the cache: of the files that {part} is one of, some are missing; download it again"
            ));
        }
        let parent =
            |name: &String| name.rsplit_once('/').map_or("", |(parent, _)| parent).to_string();
        let folders: BTreeSet<String> = names.iter().map(parent).collect();
        match folders.len() {
            1 => Ok(names),
            _ => {
                let folders = Vec::from_iter(folders);
                let first = folders.iter().find(|name| !name.is_empty()).cloned();
                let first = first.unwrap_or_default();
                let folders = folders.join(", ");
                Err(format!("holds several folders ({folders}); name one, as {id}/{first}"))
            }
        }
    }
}

fn inside(name: &str, folder: &str) -> bool {
    name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// The files of `split`, else all where they are of one split, else those of the `usual` one.
fn chosen(
    mut names: Vec<String>,
    split: Option<&str>,
    usual: Option<&str>,
) -> Result<Vec<String>, String> {
    names.sort();
    let splits: BTreeSet<&str> = names.iter().filter_map(|name| split_of(name)).collect();
    let listed = splits.iter().copied().collect::<Vec<_>>().join(", ");
    let split = match (split, usual) {
        (Some(split), _) if splits.contains(split) => Some(split.to_string()),
        (Some(split), _) if listed.is_empty() => {
            return Err(format!("has no split {split}, nor any other; leave out @{split}"));
        }
        (Some(split), _) => return Err(format!("has no split {split}; it has {listed}")),
        (None, _) if splits.len() < 2 => None,
        (None, Some(usual)) if splits.contains(usual) => Some(usual.to_string()),
        (None, _) => {
            let first = splits.first().copied().unwrap_or_default();
            return Err(format!(
                "holds several splits ({listed}); name one behind it, as @{first}, or one of its files"
            ));
        }
    };
    if let Some(split) = split {
        names.retain(|name| split_of(name) == Some(&split));
    }
    Ok(names)
}

/// Whether all files are there that a name like `train-00000-of-00002.parquet` says there are.
fn has_all_shards(name: &str, names: &[String]) -> bool {
    let Some((start, total, rest)) = shard(name) else { return true };
    let of_same = |name: &&String| {
        shard(name)
            .is_some_and(|other| (other.0, other.1, other.2.len()) == (start, total, rest.len()))
    };
    names.iter().filter(of_same).count() == total
}

/// What stands before the number of a shard, how many there are, and what follows.
fn shard(name: &str) -> Option<(&str, usize, &str)> {
    let (before, after) = name.rsplit_once("-of-")?;
    let (start, number) = before.rsplit_once('-')?;
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let total = after[..digits].parse().ok().filter(|_| is_number)?;
    Some((start, total, &after[digits..]))
}

/// Files and folders that are a whole split.
const SPLITS: [&str; 5] = ["train", "validation", "val", "dev", "test"];

/// The split in a name like `train.parquet`, the hub's `data/train-00000-of-00002.parquet`, or
/// `train/0000.parquet`.
fn split_of(name: &str) -> Option<&str> {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    let folder = folder.rsplit('/').next().filter(|folder| SPLITS.contains(folder));
    split_of_file(file).or(folder)
}

fn split_of_file(name: &str) -> Option<&str> {
    let (stem, _) = name.rsplit_once('.')?;
    if SPLITS.contains(&stem) {
        return Some(stem);
    }
    let (rest, shards) = stem.rsplit_once("-of-")?;
    let (split, shard) = rest.rsplit_once('-')?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Newer shards add a hash after the number of shards.
    let shards = shards.split('-').next()?;
    (number(shard) && number(shards)).then_some(split)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(place: &str, names: &[&str], split: Option<&str>) -> Result<String, String> {
        let names = names.iter().map(ToString::to_string).collect();
        let wanted = OnHub::new(place).unwrap().wanted(names, split, "train");
        wanted.map(|names| names.join(" "))
    }

    #[test]
    fn the_files_of_a_split_are_taken_from_the_hub() {
        let geometry = [
            ".gitattributes",
            "README.md",
            "dataset_infos.json",
            "data/validation-00000-of-00001.parquet",
            "data/train-00001-of-00002-9f0a.parquet",
            "data/train-00000-of-00002-9f0a.parquet",
            "data/../../../train.parquet",
            "/train.parquet",
        ];
        let train = "data/train-00000-of-00002-9f0a.parquet data/train-00001-of-00002-9f0a.parquet";
        let two = ["b/train/0.jsonl", "a/train/0.jsonl", "a/test/0.jsonl", "notes.json"];
        let both = ["train.jsonl", "train.parquet", "test.jsonl"];
        type Case<'a> = (&'a str, &'a [&'a str], Option<&'a str>, Result<&'a str, &'a str>);
        let cases: [Case; 12] = [
            ("o/n", &geometry, None, Ok(train)),
            ("o/n/data", &geometry, Some("train"), Ok(train)),
            ("o/n", &geometry, Some("validation"), Ok(geometry[3])),
            ("o/n", &geometry, Some("test"), Err("has no split test; it has train, validation")),
            ("o/n/dat", &geometry, None, Err("holds no .parquet or .jsonl")),
            ("o/n", &["39Krelease.parquet", "images.zip"], None, Ok("39Krelease.parquet")),
            ("o/n", &["a.parquet"], Some("train"), Err("nor any other; leave out @train")),
            ("o/n", &["test.parquet", "dev.parquet"], None, Err("splits (dev, test); name one")),
            (
                "o/n",
                &two,
                None,
                Err("several folders (a/train, b/train); name one, as o/n/a/train"),
            ),
            ("o/n/a", &two, None, Ok("a/train/0.jsonl")),
            ("o/n/a", &two, Some("test"), Ok("a/test/0.jsonl")),
            ("o/n", &both, None, Ok("train.parquet")),
        ];
        for (place, names, split, expected) in cases {
            match (wanted(place, names, split), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{place}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, _) => panic!("{place} {split:?}: {found:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn names_of_the_hub_are_owner_name_and_folder() {
        let hub = |id, folder| Some(OnHub { id, folder });
        let cases = [
            ("hiyouga/geometry3k", hub("hiyouga/geometry3k", "")),
            ("MMMU/MMMU_Pro/standard (10 options)", hub("MMMU/MMMU_Pro", "standard (10 options)")),
            ("a/b/c/d", hub("a/b", "c/d")),
            ("geometry3k", None),
            ("./a/b", None),
            ("/a/b", None),
            ("../a", None),
            ("a//b", None),
            ("a b/c", None),
        ];
        for (place, expected) in cases {
            assert_eq!(OnHub::new(place), expected, "{place}");
        }
    }

    #[test]
    fn a_folder_on_disk_has_splits_and_goes_before_the_hub() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["train.jsonl", "test.jsonl"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let at = |split: &str| PathBuf::from(format!("{}@{split}", folder.path().display()));
        assert_eq!(files(&at("test"), "train").unwrap(), [folder.path().join("test.jsonl")]);
        let error = files(&at("dev"), "train").unwrap_err().to_string();
        assert!(error.contains("has no split dev; it has test, train"), "{error}");
        let error = files(folder.path(), "train").unwrap_err().to_string();
        assert!(
            error.contains("several splits (test, train); name one behind it, as @test"),
            "{error}"
        );
        // A file that is not there is not looked for elsewhere.
        for name in ["data/train.parquet", "data/more/train.jsonl", "/nowhere/data", "gone"] {
            let error = files(Path::new(name), "train").unwrap_err();
            assert!(matches!(error, DataError::Io { .. }), "{error}");
        }
    }
}
