//! Rows of a parquet file, a stretch of one row group at a time.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::file::reader::Length;

use super::arrow::row_of;
use super::cell::Cell;
use super::error::DataError;
use super::shared_file::SharedFile;
use super::table::Wanted;

/// Most rows decoded at once.
const MAX_ROWS: usize = 1024;

/// Bytes that rows decoded at once should not exceed, by the file's own account: training asks for
/// one of them.
const STRETCH_BYTES: u64 = 1 << 22;

/// Bytes of decoded rows that are kept, of all files of a data set.
const CACHE_BYTES: usize = 1 << 28;

/// An open file; only the columns that make samples are read.
#[derive(Debug)]
pub(crate) struct ParquetFile {
    path: PathBuf,
    file: SharedFile,
    metadata: ArrowReaderMetadata,
    projection: ProjectionMask,
    groups: Vec<Group>,
    rows: usize,
    cache: FileCache,
}

/// Decoded stretches of a data set's files, the last used first.
#[derive(Clone, Debug, Default)]
pub(super) struct Cache(Arc<Mutex<Vec<Stretch>>>);

/// A file's part of a [`Cache`].
#[derive(Debug)]
pub(crate) struct FileCache {
    cache: Cache,
    /// The file's number.
    file: usize,
}

/// A row group.
#[derive(Debug)]
struct Group {
    /// Its place in the file.
    number: usize,
    /// The file's row that is its first.
    start: usize,
    rows: usize,
    /// Rows decoded at once.
    stretch: usize,
}

#[derive(Debug)]
struct Stretch {
    /// The number of its file.
    file: usize,
    /// The file's row that is its first.
    start: usize,
    batch: RecordBatch,
}

impl Cache {
    /// The part of a file, which has a number of its own.
    pub(super) fn of_file(&self, file: usize) -> FileCache {
        FileCache { cache: self.clone(), file }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Stretch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileCache {
    /// The decoded stretch that begins at `start`, now the last used.
    fn get(&self, start: usize) -> Option<RecordBatch> {
        let mut cache = self.cache.lock();
        let place =
            cache.iter().position(|other| (other.file, other.start) == (self.file, start))?;
        cache[..=place].rotate_right(1);
        cache.first().map(|stretch| stretch.batch.clone())
    }

    fn keep(&self, start: usize, batch: RecordBatch) {
        let mut cache = self.cache.lock();
        if cache.iter().all(|other| (other.file, other.start) != (self.file, start)) {
            cache.insert(0, Stretch { file: self.file, start, batch });
            trim(&mut cache, CACHE_BYTES);
        }
    }
}

impl ParquetFile {
    /// Reads the file's metadata; `cache` keeps decoded rows.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is not parquet, or lacks the columns.
    pub(super) fn open(
        path: &Path,
        wanted: &dyn Wanted,
        cache: FileCache,
    ) -> Result<Self, DataError> {
        let file = File::open(path).and_then(SharedFile::new).map_err(DataError::io(path))?;
        let broken = |message: String| {
            let what = innermost(&message);
            DataError::file(path, format!("not a whole parquet file: {what}; fetch it again"))
        };
        let options = ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Optional);
        let metadata = guarded(|| ArrowReaderMetadata::load(&file, options)).map_err(broken)?;
        let fields = metadata.schema().fields();
        let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        wanted.check(&names).map_err(|message| DataError::file(path, message))?;
        let chosen = (0..names.len()).filter(|&place| wanted.wants(names[place]));
        let projection = ProjectionMask::roots(metadata.parquet_schema(), chosen);
        let groups = groups(metadata.metadata(), &projection, file.len()).map_err(broken)?;
        let rows = groups.last().map_or(0, |last| last.start + last.rows);
        Ok(Self { path: path.to_path_buf(), file, metadata, projection, groups, rows, cache })
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// The columns.
    pub(super) fn names(&self) -> Vec<String> {
        self.metadata.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    /// Names the row in messages.
    pub(super) fn place(&self, index: usize) -> String {
        format!("row {index} (from 0)")
    }

    /// The row at `index`, which is below [`Self::len`].
    pub(super) fn row(&self, index: usize) -> Result<Cell, DataError> {
        let place = self.groups.partition_point(|group| group.start <= index);
        let group = place.checked_sub(1).and_then(|place| self.groups.get(place));
        let Some(group) = group.filter(|group| index - group.start < group.rows) else {
            return Err(DataError::Index { index, rows: self.rows });
        };
        let start = index - (index - group.start) % group.stretch;
        let batch = match self.cache.get(start) {
            Some(batch) => batch,
            None => {
                // Decoded without the lock, so that threads do not wait for one another.
                let batch = self.decode(group, start - group.start)?;
                self.cache.keep(start, batch.clone());
                batch
            }
        };
        let row = guarded(|| Ok(row_of(&batch, index - start)));
        row.map_err(|message| self.damaged(index, message))
    }

    /// Decodes the stretch of `group` that begins at its row `offset`.
    fn decode(&self, group: &Group, offset: usize) -> Result<RecordBatch, DataError> {
        let rows = group.stretch.min(group.rows - offset);
        let decoded = guarded(|| {
            let metadata = self.metadata.clone();
            let file = self.file.clone();
            let mut batches = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
                .with_projection(self.projection.clone())
                .with_row_groups(vec![group.number])
                .with_offset(offset)
                .with_limit(rows)
                .with_batch_size(rows)
                .build()?;
            Ok(batches.next().transpose()?)
        });
        match decoded {
            Ok(Some(batch)) if batch.num_rows() == rows => Ok(batch),
            Ok(batch) => {
                let found = batch.map_or(0, |batch| batch.num_rows());
                let message = format!("{found} rows where there should be {rows}");
                Err(self.damaged(group.start + offset, message))
            }
            Err(message) => Err(self.damaged(group.start + offset, message)),
        }
    }

    fn damaged(&self, index: usize, message: String) -> DataError {
        let message = format!(
            "the parquet data here cannot be read: {}; fetch the file again",
            innermost(&message)
        );
        DataError::Row { path: self.path.clone(), row: self.place(index), message }
    }
}

/// What a chain of errors says last.
fn innermost(message: &str) -> &str {
    message.rsplit(" error: ").next().unwrap_or(message)
}

/// Forgets what was used longest ago beyond `limit` bytes, but not the first.
fn trim(cache: &mut Vec<Stretch>, limit: usize) {
    let mut bytes = 0usize;
    let kept = cache.iter().take_while(|stretch| {
        bytes = bytes.saturating_add(stretch.batch.get_array_memory_size());
        bytes <= limit
    });
    let kept = kept.count().max(1);
    cache.truncate(kept);
}

/// Checks what the metadata says of the row groups, before anything is allocated by it.
fn groups(
    metadata: &ParquetMetaData,
    projection: &ProjectionMask,
    length: u64,
) -> Result<Vec<Group>, String> {
    let mut groups = Vec::new();
    let mut start = 0usize;
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let rows = usize::try_from(group.num_rows())
            .ok()
            .filter(|rows| rows.checked_add(start).is_some())
            .ok_or("a row group with an impossible number of rows")?;
        let mut bytes = 0u64;
        for (place, column) in group.columns().iter().enumerate() {
            let begin = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let end = begin.checked_add(column.compressed_size());
            let inside = |at: i64| u64::try_from(at).is_ok_and(|at| at <= length);
            if !inside(begin) || !end.is_some_and(|end| end >= begin && inside(end)) {
                return Err("a column lies outside the file".into());
            }
            if projection.leaf_included(place) {
                bytes = bytes.saturating_add(column.uncompressed_size().unsigned_abs());
            }
        }
        let row_bytes = (bytes / rows.max(1) as u64).max(1);
        let stretch = usize::try_from(STRETCH_BYTES / row_bytes).unwrap_or(MAX_ROWS);
        if rows > 0 {
            groups.push(Group { number, start, rows, stretch: stretch.clamp(1, MAX_ROWS) });
        }
        start += rows;
    }
    if i64::try_from(start) != Ok(metadata.file_metadata().num_rows()) {
        return Err("its row groups do not add up to its number of rows".into());
    }
    Ok(groups)
}

/// Runs the parquet crate, which panics on some damaged files (parquet 60.1, `byte_array.rs`).
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("its bytes are damaged".into()),
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, Int64Array, StringArray};
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    use super::*;
    use crate::data::columns::{Columns, Mapping};

    fn batch(rows: usize) -> RecordBatch {
        let prompts = (0..rows).map(|row| format!("question {row}"));
        let columns: [(&str, ArrayRef); 3] = [
            ("prompt", Arc::new(StringArray::from_iter_values(prompts))),
            ("answer", Arc::new(Int64Array::from_iter_values(0..rows as i64))),
            ("unused", Arc::new(StringArray::from_iter_values((0..rows).map(|_| "x")))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    /// A parquet file with row groups of `group` rows.
    fn file(rows: usize, group: usize) -> Vec<u8> {
        let batch = batch(rows);
        let properties =
            WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
        let mut bytes = Vec::new();
        let mut writer =
            ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes
    }

    fn open(folder: &Path, bytes: &[u8]) -> Result<ParquetFile, DataError> {
        let path = folder.join("a.parquet");
        std::fs::write(&path, bytes).unwrap();
        ParquetFile::open(&path, &Columns::new(&Mapping::default()), Cache::default().of_file(0))
    }

    #[test]
    fn rows_in_any_order_are_those_in_file_order() {
        let folder = tempfile::tempdir().unwrap();
        for (rows, group) in [(100, 7), (3000, 2500), (1, 1), (0, 1)] {
            let file = open(folder.path(), &file(rows, group)).unwrap();
            assert_eq!(file.len(), rows);
            // 37 shares no factor with the numbers of rows, so this visits each row once.
            for row in (0..rows).map(|row| row * 37 % rows).chain(0..rows) {
                let expected = [
                    ("prompt".into(), Cell::Text(format!("question {row}"))),
                    ("answer".into(), Cell::Scalar(row.to_string())),
                ];
                assert_eq!(file.row(row).unwrap(), Cell::Struct(expected.to_vec()));
            }
            let error = file.row(rows).unwrap_err().to_string();
            assert!(error.contains(&format!("holds {rows} rows")), "{error}");
        }
    }

    #[test]
    fn threads_that_decode_at_the_same_time_get_their_rows() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = file(400, 3);
        for _ in 0..5 {
            let file = open(folder.path(), &bytes).unwrap();
            std::thread::scope(|scope| {
                for first in 0..4 {
                    let file = &file;
                    scope.spawn(move || {
                        for row in (first..400).step_by(4) {
                            let Cell::Struct(fields) = file.row(row).unwrap() else { panic!() };
                            assert_eq!(fields[1].1, Cell::Scalar(row.to_string()));
                        }
                    });
                }
            });
        }
    }

    #[test]
    fn what_was_used_longest_ago_is_forgotten() {
        let stretch = |start| Stretch { file: 0, start, batch: batch(100) };
        let bytes = stretch(0).batch.get_array_memory_size();
        for (limit, kept) in [(3 * bytes, 3), (2 * bytes + 1, 2), (1, 1)] {
            let mut cache = vec![stretch(2), stretch(0), stretch(1)];
            trim(&mut cache, limit);
            let starts: Vec<_> = cache.iter().map(|stretch| stretch.start).collect();
            assert_eq!(starts, [2, 0, 1][..kept]);
        }
        let folder = tempfile::tempdir().unwrap();
        let file = open(folder.path(), &file(30, 10)).unwrap();
        for (row, starts) in [(5, vec![0]), (25, vec![20, 0]), (9, vec![0, 20])] {
            file.row(row).unwrap();
            let cache = file.cache.cache.lock();
            assert_eq!(cache.iter().map(|stretch| stretch.start).collect::<Vec<_>>(), starts);
        }
        // Files share one bound, and do not get each other's rows.
        let cache = Cache::default();
        let (first, second) = (cache.of_file(0), cache.of_file(1));
        first.keep(0, batch(1));
        assert_eq!(second.get(0), None);
        second.keep(0, batch(2));
        assert_eq!(first.get(0).map(|batch| batch.num_rows()), Some(1));
        let files: Vec<usize> = cache.lock().iter().map(|stretch| stretch.file).collect();
        assert_eq!(files, [0, 1]);
    }

    #[test]
    fn damaged_files_are_errors_and_never_panics() {
        let folder = tempfile::tempdir().unwrap();
        let good = file(20, 8);
        let mut failures = 0;
        for place in (0..good.len()).step_by(29) {
            for value in [0, 0xff, good[place] ^ 1, good[place] ^ 0x80] {
                let mut bytes = good.clone();
                bytes[place] = value;
                let read = open(folder.path(), &bytes).and_then(|file| {
                    (0..file.len().min(40)).try_for_each(|row| file.row(row).map(drop))
                });
                if let Err(error) = read {
                    failures += 1;
                    assert!(error.to_string().contains("a.parquet"), "{error}");
                }
            }
        }
        assert!(failures > 0);
        for end in [0, 3, 4, 8, good.len() / 2, good.len() - 1] {
            let error = open(folder.path(), &good[..end]).unwrap_err().to_string();
            assert!(error.contains("not a whole parquet file"), "{error}");
        }
    }
}
