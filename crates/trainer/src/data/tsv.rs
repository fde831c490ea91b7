//! Rows of a tab-separated file as pandas writes it, by seeking: VLMEvalKit's format.
//!
//! A field in double quotes may hold tabs, line breaks and doubled quotes; pictures in base64 do.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::cell::Cell;
use super::error::DataError;
use super::table::Wanted;

/// No row is this long, in bytes; room for several large pictures in base64.
const MAX_ROW: u64 = 1 << 28;

/// An open file and where its rows begin; 16 bytes of memory a row.
#[derive(Debug)]
pub(crate) struct Tsv {
    path: PathBuf,
    file: Mutex<File>,
    columns: Vec<String>,
    /// First byte and length of each row.
    rows: Vec<(u64, u64)>,
}

impl Tsv {
    /// Reads the columns, and finds the rows.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, holds nothing, lacks the columns, or ends within quotes.
    pub(super) fn open(path: &Path, wanted: &dyn Wanted) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io(path))?;
        let rows = index(&file).map_err(DataError::io(path))?;
        let rows = rows.map_err(|row| {
            let message = "a quote that opens here is never closed; the file is cut off";
            Self::fault(path, row, message.into())
        })?;
        let mut table =
            Self { path: path.to_path_buf(), file: Mutex::new(file), columns: Vec::new(), rows };
        if table.rows.is_empty() {
            return Err(DataError::file(path, "empty; its first line names the columns"));
        }
        let header = table.rows.remove(0);
        table.columns = table.fields(header, 0)?;
        if let Some(first) = table.columns.first_mut() {
            *first = first.trim_start_matches('\u{feff}').into();
        }
        let names: Vec<&str> = table.columns.iter().map(String::as_str).collect();
        wanted.check(&names).map_err(|message| DataError::file(path, message))?;
        Ok(table)
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The columns.
    pub(super) fn names(&self) -> Vec<String> {
        self.columns.clone()
    }

    /// Names the row in messages.
    pub(super) fn place(&self, index: usize) -> String {
        format!("row {index} (from 0)")
    }

    /// The row at `index`; fields without text are null.
    pub(super) fn row(&self, index: usize) -> Result<Cell, DataError> {
        let place =
            *self.rows.get(index).ok_or(DataError::Index { index, rows: self.rows.len() })?;
        let fields = self.fields(place, index)?;
        if fields.len() != self.columns.len() {
            let message = format!(
                "{} fields for {} columns; fields with tabs or line breaks stand in quotes",
                fields.len(),
                self.columns.len()
            );
            return Err(Self::fault(&self.path, index, message));
        }
        let cell = |text: String| if text.is_empty() { Cell::Null } else { Cell::Text(text) };
        let cells = self.columns.iter().cloned().zip(fields.into_iter().map(cell));
        Ok(Cell::Struct(cells.collect()))
    }

    fn fields(&self, (offset, length): (u64, u64), index: usize) -> Result<Vec<String>, DataError> {
        if length > MAX_ROW {
            let message = format!("longer than {MAX_ROW} bytes; store the pictures as files");
            return Err(Self::fault(&self.path, index, message));
        }
        let mut bytes = vec![0; length as usize];
        {
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(offset))
                .and_then(|_| file.read_exact(&mut bytes))
                .map_err(DataError::io(&self.path))?;
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let message = format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to());
            Self::fault(&self.path, index, message)
        })?;
        Ok(split(text.trim_end_matches(['\r', '\n'])))
    }

    fn fault(path: &Path, index: usize, message: String) -> DataError {
        DataError::Row { path: path.to_path_buf(), row: format!("row {index} (from 0)"), message }
    }
}

/// Where in a field a byte stands.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Start,
    Plain,
    Quoted,
    /// Behind a quote within quotes: it closes them, or the next quote doubles it.
    Closed,
}

impl State {
    fn next(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Quoted, b'"') => Self::Closed,
            (Self::Quoted, _) | (Self::Start | Self::Closed, b'"') => Self::Quoted,
            (_, b'\t' | b'\n') => Self::Start,
            _ => Self::Plain,
        }
    }
}

/// The rows that are not blank, the header among them; or the row whose quotes stay open.
fn index(file: &File) -> std::io::Result<Result<Vec<(u64, u64)>, usize>> {
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut rows, mut start, mut offset) = (Vec::new(), 0u64, 0u64);
    let (mut state, mut blank) = (State::Start, true);
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        let read = buffer.len();
        for &byte in buffer {
            offset += 1;
            state = state.next(byte);
            blank &= byte.is_ascii_whitespace();
            if byte == b'\n' && state == State::Start {
                if !blank {
                    rows.push((start, offset - start));
                }
                (start, blank) = (offset, true);
            }
        }
        reader.consume(read);
    }
    if state == State::Quoted {
        return Ok(Err(rows.len().saturating_sub(1)));
    }
    if !blank {
        rows.push((start, offset - start));
    }
    Ok(Ok(rows))
}

/// The fields of a row, without the quotes around them.
fn split(row: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut state = State::Start;
    for char in row.chars() {
        // All bytes that matter are ASCII.
        let next = state.next(u8::try_from(char).unwrap_or(b'x'));
        match (state, next) {
            (State::Start, State::Quoted) | (_, State::Closed) => {}
            (_, State::Start) => fields.push(String::new()),
            _ => fields.last_mut().expect("there is one").push(char),
        }
        state = next;
    }
    fields
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct All;

    impl Wanted for All {
        fn wants(&self, _: &str) -> bool {
            true
        }

        fn check(&self, roots: &[&str]) -> Result<(), String> {
            match roots.contains(&"index") {
                true => Ok(()),
                false => Err("no column index".into()),
            }
        }
    }

    fn open(bytes: &[u8]) -> Result<Tsv, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tsv");
        std::fs::write(&path, bytes).unwrap();
        Tsv::open(&path, &All).map_err(|error| error.to_string())
    }

    fn row(table: &Tsv, index: usize) -> Vec<(String, String)> {
        let Cell::Struct(fields) = table.row(index).unwrap() else { panic!("no struct") };
        let text = |cell| match cell {
            Cell::Text(text) => text,
            Cell::Null => String::new(),
            other => panic!("{other:?}"),
        };
        fields.into_iter().map(|(name, cell)| (name, text(cell))).collect()
    }

    #[test]
    fn fields_in_quotes_hold_anything() {
        let text = "\u{feff}index\tquestion\timage\r\n0\t\"a \"\"b\"\"\tc\"\t\"iVBO\nRw0K\n\"\n\n\
                    1\tsay \"x\"\t\n";
        let table = open(text.as_bytes()).unwrap();
        assert_eq!(table.len(), 2);
        let named = |values: [&str; 3]| -> Vec<(String, String)> {
            ["index", "question", "image"]
                .into_iter()
                .zip(values)
                .map(|(name, value)| (name.into(), value.into()))
                .collect()
        };
        assert_eq!(row(&table, 1), named(["1", "say \"x\"", ""]));
        assert_eq!(row(&table, 0), named(["0", "a \"b\"\tc", "iVBO\nRw0K\n"]));
        assert!(table.row(2).unwrap_err().to_string().contains("no row 2"));
    }

    #[test]
    fn damaged_files_are_named_by_row() {
        let cases: [(&[u8], &str); 5] = [
            (b"", "empty"),
            (b"id\ta\n1\t2\n", "no column index"),
            (b"index\ta\n1\t\"cut", "row 0 (from 0): a quote"),
            (b"index\ta\n1\t2\n2\n", "row 1 (from 0): 1 fields for 2 columns"),
            (b"index\ta\n1\t\xff\n", "not UTF-8"),
        ];
        for (bytes, expected) in cases {
            let table = open(bytes);
            let error = match table {
                Ok(table) => (0..table.len())
                    .find_map(|index| table.row(index).err())
                    .expect("a damaged row")
                    .to_string(),
                Err(error) => error,
            };
            assert!(error.contains(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_pandas_quotes_is_read_back(
            fields in prop::collection::vec("[\t\n\"aé,]{0,6}", 2..5)
        ) {
            let quote = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let line = fields.iter().map(quote).collect::<Vec<_>>().join("\t");
            prop_assert_eq!(split(&line), fields);
        }

        #[test]
        fn any_bytes_end_in_rows_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(table) = open(&[b"index\ta\n".as_slice(), &bytes].concat()) {
                for index in 0..table.len() {
                    let _ = table.row(index);
                }
            }
        }
    }
}
