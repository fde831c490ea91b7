//! Rows by number, from one file or a folder of files, or several of these.

use std::path::{Path, PathBuf};

use super::cell::Cell;
use super::error::DataError;
use super::files::files;
use super::parquet_file::Cache;
use super::table::{Table, Wanted};

/// Files read as one table.
#[derive(Debug)]
pub(crate) struct Rows {
    parts: Vec<Part>,
    rows: usize,
}

#[derive(Debug)]
struct Part {
    path: PathBuf,
    /// Where relative picture paths begin.
    folder: PathBuf,
    /// The row that is the file's first.
    start: usize,
    table: Table,
}

/// Where a row is.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    /// The file.
    pub(crate) path: &'a Path,
    /// Where relative picture paths begin.
    pub(crate) folder: &'a Path,
    /// The row's name in messages.
    pub(crate) row: String,
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(formatter, "{}, {}", self.path.display(), self.row)
    }
}

impl Place<'_> {
    /// The place of a picture that the gym draws.
    pub(crate) fn of_gym(index: usize) -> Self {
        Self { path: Path::new("gym"), folder: Path::new(""), row: format!("test picture {index}") }
    }

    /// A fault of the row.
    pub(crate) fn fault(&self, message: String) -> DataError {
        DataError::Row { path: self.path.to_path_buf(), row: self.row.clone(), message }
    }
}

impl Rows {
    /// Opens what names mean, see [`files`]. Relative picture paths begin at `image_dir`, or else at
    /// the folder of the file.
    ///
    /// # Errors
    ///
    /// When there is no such file, it is damaged, or it lacks the wanted columns.
    pub(crate) fn open(
        names: &[&Path],
        usual: &str,
        wanted: &dyn Wanted,
        image_dir: Option<&Path>,
    ) -> Result<Self, DataError> {
        let mut rows = 0usize;
        let mut parts = Vec::new();
        let cache = Cache::default();
        for name in names {
            for path in files(name, usual)? {
                let table = Table::open(&path, wanted, cache.of_file(parts.len()))?;
                let folder = image_dir.or(path.parent()).unwrap_or(Path::new("")).to_path_buf();
                let start = rows;
                rows = start.saturating_add(table.len());
                parts.push(Part { path, folder, start, table });
            }
        }
        Ok(Self { parts, rows })
    }

    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// The files, in order.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.parts.iter().map(|part| part.path.as_path())
    }

    /// The columns of the first file; JSON lines without rows have none.
    ///
    /// # Errors
    ///
    /// When it cannot be read any more.
    pub(crate) fn names(&self) -> Result<Vec<String>, DataError> {
        self.parts.first().map_or(Ok(Vec::new()), |part| part.table.names())
    }

    /// The row at `index`, counted from 0, and where it is.
    ///
    /// # Errors
    ///
    /// When there is no such row, or it is damaged.
    pub(crate) fn get(&self, index: usize) -> Result<(Cell, Place<'_>), DataError> {
        let part = self.part(index)?;
        Ok((part.table.row(index - part.start)?, self.place(index)?))
    }

    /// Where the row at `index` is.
    ///
    /// # Errors
    ///
    /// When there is no such row.
    pub(crate) fn place(&self, index: usize) -> Result<Place<'_>, DataError> {
        let part = self.part(index)?;
        let row = part.table.place(index - part.start);
        Ok(Place { path: &part.path, folder: &part.folder, row })
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
