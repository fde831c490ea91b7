//! Rows of a JSON lines file, by seeking.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::cell::Cell;
use super::error::{DataError, json_problem};
use super::table::Wanted;

/// No line is this long, in bytes; room for several large pictures in base64.
pub(super) const MAX_LINE: u64 = 1 << 26;

/// An open file and where its rows begin; 16 bytes of memory a row.
#[derive(Debug)]
pub(crate) struct JsonLines {
    path: PathBuf,
    file: Mutex<File>,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    offset: u64,
    /// Counted from 1, blank lines included, as editors do.
    number: u64,
}

impl JsonLines {
    /// Finds the rows: all lines that are not blank.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is one JSON array, is cut off in its last line, or its first
    /// row lacks the columns.
    pub(super) fn open(path: &Path, wanted: &dyn Wanted) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io(path))?;
        let (lines, whole) = index(&file).map_err(DataError::io(path))?;
        let rows = Self { path: path.to_path_buf(), file: Mutex::new(file), lines };
        if let Some(first) = rows.lines.first() {
            let names = match rows.read(first)? {
                Cell::Struct(fields) => fields,
                _ => return Err(rows.not_an_object(first)),
            };
            let names: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
            wanted.check(&names).map_err(|message| DataError::file(path, message))?;
        }
        if let Some(last) = rows.lines.last().filter(|_| !whole) {
            rows.read(last).map_err(|error| match error {
                DataError::Row { path, row, message } => {
                    let message = format!("the last line is cut off or {message}");
                    DataError::Row { path, row, message }
                }
                other => other,
            })?;
        }
        Ok(rows)
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The columns of the first row.
    pub(super) fn names(&self) -> Result<Vec<String>, DataError> {
        match self.lines.first().map(|first| self.read(first)).transpose()? {
            Some(Cell::Struct(fields)) => Ok(fields.into_iter().map(|(name, _)| name).collect()),
            _ => Ok(Vec::new()),
        }
    }

    /// Names the row in messages.
    pub(super) fn place(&self, index: usize) -> String {
        self.lines.get(index).map_or_else(|| "past the end".into(), Line::place)
    }

    /// The row at `index`, which is below [`Self::len`].
    pub(super) fn row(&self, index: usize) -> Result<Cell, DataError> {
        let line =
            self.lines.get(index).ok_or(DataError::Index { index, rows: self.lines.len() })?;
        match self.read(line)? {
            Cell::Struct(fields) => match twice(&fields) {
                Some(name) => {
                    let message = format!("the key {name:?} stands twice; keep one of them");
                    Err(self.fault(line, message))
                }
                None => Ok(Cell::Struct(fields)),
            },
            _ => Err(self.not_an_object(line)),
        }
    }

    fn read(&self, line: &Line) -> Result<Cell, DataError> {
        let mut bytes = Vec::new();
        {
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(line.offset)).map_err(DataError::io(&self.path))?;
            BufReader::new((&mut *file).take(MAX_LINE))
                .read_until(b'\n', &mut bytes)
                .map_err(DataError::io(&self.path))?;
        }
        if bytes.len() as u64 == MAX_LINE {
            let message = format!("longer than {MAX_LINE} bytes; store the pictures as files");
            return Err(self.fault(line, message));
        }
        // Windows programs may begin a file with a byte order mark.
        let json = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        serde_json::from_slice(json).map_err(|error| {
            let what = json_problem(&error);
            let column = error.column();
            let message = format!(
                "not JSON at byte {column} of the line: {what}; mend or remove the line, and \
                 write one {{…}} a line, as `jq -c '.[]'` does"
            );
            self.fault(line, message)
        })
    }

    fn not_an_object(&self, line: &Line) -> DataError {
        self.fault(line, "not a JSON object; write one {…} a line, as `jq -c '.[]'` does".into())
    }

    fn fault(&self, line: &Line, message: String) -> DataError {
        DataError::Row { path: self.path.clone(), row: line.place(), message }
    }
}

impl Line {
    fn place(&self) -> String {
        format!("line {}", self.number)
    }
}

/// The lines that are not blank, and whether the last of them is ended.
fn index(file: &File) -> std::io::Result<(Vec<Line>, bool)> {
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut lines, mut number, mut offset, mut start) = (Vec::new(), 1, 0, 0);
    let mut blank = true;
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        let read = buffer.len();
        for (place, &byte) in (offset..).zip(buffer) {
            if byte == b'\n' {
                if !blank {
                    lines.push(Line { offset: start, number });
                }
                (number, start, blank) = (number + 1, place + 1, true);
            } else if !byte.is_ascii_whitespace() {
                blank = false;
            }
        }
        offset += read as u64;
        reader.consume(read);
    }
    if !blank {
        lines.push(Line { offset: start, number });
    }
    Ok((lines, blank))
}

/// A name that two fields have.
fn twice(fields: &[(String, Cell)]) -> Option<&str> {
    let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::columns::{Columns, Mapping};

    fn open(text: &str) -> Result<JsonLines, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        JsonLines::open(file.path(), &Columns::new(&Mapping::default()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn rows_are_the_lines_that_are_not_blank() {
        let row = |n: usize| format!(r#"{{"prompt": "q", "answer": {n}}}"#);
        let cases = [
            (String::new(), vec![]),
            (" \n\r\n".into(), vec![]),
            (format!("\u{feff}{}\n{}\n", row(0), row(1)), vec![1, 2]),
            (format!("{}\r\n\n  \n {}", row(0), row(1)), vec![1, 4]),
        ];
        for (text, numbers) in cases {
            let rows = open(&text).unwrap();
            assert_eq!(rows.len(), numbers.len(), "{text}");
            for (index, number) in numbers.iter().enumerate().rev() {
                assert_eq!(rows.place(index), format!("line {number}"));
                let answer = rows.row(index).unwrap().at("answer").cloned();
                assert_eq!(answer, Some(Cell::Scalar(index.to_string())));
            }
            assert!(rows.row(rows.len()).is_err());
        }
        let twice =
            open(r#"{"prompt": "q", "answer": 1, "answer": 2}"#).unwrap().row(0).unwrap_err();
        assert!(twice.to_string().contains("line 1: the key \"answer\" stands twice"), "{twice}");
    }

    #[test]
    fn an_index_over_many_buffers_finds_every_row() {
        let long = "x".repeat(50_000);
        let text: String =
            (0..20).map(|n| format!("{{\"prompt\": \"{long}\", \"answer\": {n}}}\n")).collect();
        let rows = open(&text).unwrap();
        assert_eq!(rows.len(), 20);
        for n in [19, 3, 11] {
            let answer = rows.row(n).unwrap().at("answer").cloned();
            assert_eq!(answer, Some(Cell::Scalar(n.to_string())));
        }
    }

    #[test]
    fn files_that_are_no_json_lines_are_refused() {
        let good = r#"{"prompt": "q", "answer": 1}"#;
        let cases = [
            ("[\n{}\n]", "line 1: not JSON"),
            ("[{}]\n", "line 1: not a JSON object"),
            ("{\"a\": 1}\n", "its columns are a"),
            (
                &format!("{good}\n{{\"prompt\": \"q\", \"ans"),
                "line 2: the last line is cut off or not JSON",
            ),
            ("\u{0}\u{1}", "line 1: not JSON"),
        ];
        for (text, expected) in cases {
            let error = open(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let long = "x".repeat(1 << 26);
        let error = open(&format!("{{\"prompt\": \"{long}\"}}\n")).unwrap_err();
        assert!(error.contains("line 1: longer than 67108864 bytes"), "{error}");
        let rows = open(&format!("{good}\n{{\"prompt\": \"q\" \"answer\"\n{good}\n3\n")).unwrap();
        let broken = rows.row(1).unwrap_err().to_string();
        assert!(broken.contains("line 2: not JSON at byte 16"), "{broken}");
        assert!(rows.row(2).is_ok());
        assert!(rows.row(3).unwrap_err().to_string().contains("line 4: not a JSON object"));
    }
}
