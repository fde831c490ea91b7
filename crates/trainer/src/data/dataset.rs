//! Samples by number, from one file or a folder of files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use image::RgbImage;

use super::cell::Cell;
use super::columns::{Columns, Mapping};
use super::error::DataError;
use super::json_lines::JsonLines;
use super::parquet_file::ParquetFile;
use super::sample::Sample;

/// A data set on disk, read a row at a time.
///
/// Memory stays bounded for files of any size: JSON lines are read by seeking, parquet keeps some
/// decoded rows, and pictures stay encoded until asked for.
#[derive(Debug)]
pub struct Dataset {
    columns: Columns,
    parts: Vec<Part>,
    rows: usize,
}

#[derive(Debug)]
struct Part {
    path: PathBuf,
    /// Where relative picture paths begin.
    folder: PathBuf,
    /// The data set's row that is the file's first.
    start: usize,
    table: Table,
}

#[derive(Debug)]
enum Table {
    JsonLines(JsonLines),
    Parquet(ParquetFile),
}

impl Dataset {
    /// Opens a `.jsonl`, `.json` (one object a line) or `.parquet` file, or all such files of a
    /// folder in the order of their names.
    ///
    /// The layouts of verl, EasyR1 (geometry3k) and ViRL39K are recognised by their columns;
    /// `mapping` names others. Relative picture paths begin at `image_dir`, or else at the folder
    /// of the file.
    ///
    /// # Errors
    ///
    /// When there is no such file, it is damaged, or its columns are of none of these layouts.
    pub fn open(
        path: &Path,
        mapping: &Mapping,
        image_dir: Option<&Path>,
    ) -> Result<Self, DataError> {
        let columns = Columns::new(mapping);
        let mut rows = 0;
        let mut parts = Vec::new();
        for path in files(path)? {
            let table = match extension(&path) {
                Some(Extension::Parquet) => Table::Parquet(ParquetFile::open(&path, &columns)?),
                Some(Extension::JsonLines) => Table::JsonLines(JsonLines::open(&path, &columns)?),
                None => {
                    let message = "neither .jsonl, .json nor .parquet; convert it to one of these";
                    return Err(DataError::file(&path, message));
                }
            };
            let folder = image_dir.or(path.parent()).unwrap_or(Path::new("")).to_path_buf();
            let start = rows;
            rows += table.len();
            parts.push(Part { path, folder, start, table });
        }
        Ok(Self { columns, parts, rows })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The sample at `index`, counted from 0; its pictures are not decoded.
    ///
    /// # Errors
    ///
    /// When there is no such row, or it is damaged or lacks something.
    pub fn get(&self, index: usize) -> Result<Sample, DataError> {
        let part = self.part(index)?;
        let row = part.table.row(index - part.start)?;
        self.columns
            .sample(&row, &part.folder)
            .map_err(|fault| fault.at(&part.path, part.table.place(index - part.start)))
    }

    /// Decodes the pictures of `sample`, which is this data set's at `index`.
    ///
    /// # Errors
    ///
    /// When one cannot be decoded; the message says where it is.
    pub fn pictures(&self, index: usize, sample: &Sample) -> Result<Vec<RgbImage>, DataError> {
        let part = self.part(index)?;
        let decoded = sample.images.iter().enumerate().map(|(number, picture)| {
            picture.decode().map_err(|error| DataError::Row {
                path: part.path.clone(),
                row: part.table.place(index - part.start),
                message: format!("image {}: {error}", number + 1),
            })
        });
        decoded.collect()
    }

    fn part(&self, index: usize) -> Result<&Part, DataError> {
        let after = self.parts.partition_point(|part| part.start <= index);
        after
            .checked_sub(1)
            .and_then(|place| self.parts.get(place))
            .filter(|_| index < self.rows)
            .ok_or(DataError::Index { index, rows: self.rows })
    }
}

impl Table {
    fn len(&self) -> usize {
        match self {
            Self::JsonLines(rows) => rows.len(),
            Self::Parquet(rows) => rows.len(),
        }
    }

    fn place(&self, index: usize) -> String {
        match self {
            Self::JsonLines(rows) => rows.place(index),
            Self::Parquet(rows) => rows.place(index),
        }
    }

    fn row(&self, index: usize) -> Result<Cell, DataError> {
        match self {
            Self::JsonLines(rows) => rows.row(index),
            Self::Parquet(rows) => rows.row(index),
        }
    }
}

enum Extension {
    JsonLines,
    Parquet,
}

fn extension(path: &Path) -> Option<Extension> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "jsonl" | "json" => Some(Extension::JsonLines),
        "parquet" => Some(Extension::Parquet),
        _ => None,
    }
}

/// The data files at `path`, in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let metadata = std::fs::metadata(path).map_err(DataError::io(path))?;
    if metadata.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    if !metadata.is_dir() {
        return Err(DataError::file(path, "neither a file nor a folder; name a data file"));
    }
    let mut files = Vec::new();
    let mut splits = BTreeSet::new();
    for entry in std::fs::read_dir(path).map_err(DataError::io(path))? {
        let file = entry.map_err(DataError::io(path))?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let hidden = name.starts_with(['.', '_']);
        if !hidden && extension(&file).is_some() && file.is_file() {
            splits.extend(split_of(&name).map(String::from));
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(DataError::file(path, "no .jsonl, .json or .parquet file in this folder"));
    }
    if splits.len() > 1 {
        let splits = Vec::from_iter(splits).join(", ");
        let message = format!("holds several splits ({splits}); name one of its files instead");
        return Err(DataError::file(path, message));
    }
    files.sort();
    Ok(files)
}

/// The split in a name like the hub's `train-00000-of-00002.parquet`.
fn split_of(name: &str) -> Option<&str> {
    let (stem, _) = name.rsplit_once('.')?;
    let (rest, shards) = stem.rsplit_once("-of-")?;
    let (split, shard) = rest.rsplit_once('-')?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Newer shards add a hash after the number of shards.
    let shards = shards.split('-').next()?;
    (number(shard) && number(shards)).then_some(split)
}
