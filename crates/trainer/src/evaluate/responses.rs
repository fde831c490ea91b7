//! `responses.jsonl`: what was answered so far, so that a broken evaluation goes on.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use evaluation::{Judgement, Question, judge};
use serde::{Deserialize, Serialize};

use super::{EvaluateError, Settings};

/// No line is this long, in bytes.
const MAX_LINE: u64 = 1 << 26;

/// A response and its verdict; a line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Number of the question, from 0.
    pub index: usize,
    /// Its name.
    pub id: String,
    /// Number of the response to it, from 0.
    pub sample: usize,
    /// The text.
    pub response: String,
    /// Answer, vote and verdict.
    #[serde(flatten)]
    pub judgement: Judgement,
    /// Its tokens.
    pub tokens: usize,
    /// Whether it ended before the limit.
    pub ended: bool,
}

/// The responses of an evaluation, kept in a folder's file or in memory alone.
#[derive(Debug, Default)]
pub struct Responses {
    records: BTreeMap<(usize, usize), Record>,
    file: Option<(PathBuf, File)>,
}

impl Responses {
    /// Opens or makes `folder` and takes up what was answered before with the same settings; a
    /// last line that was cut off is removed. What was answered is judged again, since the text of
    /// a response is what counts.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written to, holds an evaluation with other settings, or a line
    /// that is no response.
    pub fn open(
        folder: &Path,
        settings: &Settings,
        questions: &[Question],
    ) -> Result<Self, EvaluateError> {
        std::fs::create_dir_all(folder).map_err(EvaluateError::io(folder))?;
        settings.settle(folder)?;
        let path = folder.join("responses.jsonl");
        let failed = EvaluateError::io(&path);
        let options = File::options().read(true).append(true).create(true).open(&path);
        let mut file = options.map_err(&failed)?;
        let mut records = BTreeMap::new();
        let (mut number, mut whole, mut line) = (0, 0, Vec::new());
        let mut reader = BufReader::new(&file);
        loop {
            line.clear();
            let read = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
            if read.map_err(&failed)? == 0 || !line.ends_with(b"\n") && is_last(&mut reader) {
                break;
            }
            number += 1;
            let record = read_line(&line, settings, questions).map_err(|message| {
                let message = format!(
                    "line {number} is no response of this evaluation: {message}; remove the line \
                     to have it answered again"
                );
                EvaluateError::damaged(&path, message)
            })?;
            records.insert((record.index, record.sample), record);
            whole += line.len() as u64;
        }
        drop(reader);
        // What is left of a line that a crash cut off.
        file.set_len(whole).and_then(|()| file.seek(SeekFrom::End(0))).map_err(&failed)?;
        Ok(Self { records, file: Some((path.clone(), file)) })
    }

    /// Whether the question has all its `n` responses.
    pub fn has(&self, index: usize, n: usize) -> bool {
        (0..n).all(|sample| self.records.contains_key(&(index, sample)))
    }

    /// Adds responses and writes them; those that are there already stay as they are.
    ///
    /// # Errors
    ///
    /// When the file cannot be written to.
    pub fn add(&mut self, records: Vec<Record>) -> Result<(), EvaluateError> {
        let mut lines = Vec::new();
        for record in records {
            let key = (record.index, record.sample);
            if self.records.contains_key(&key) {
                continue;
            }
            serde_json::to_writer(&mut lines, &record).expect("a record is plain values");
            lines.push(b'\n');
            self.records.insert(key, record);
        }
        match &mut self.file {
            Some((path, file)) => file.write_all(&lines).map_err(EvaluateError::io(path)),
            None => Ok(()),
        }
    }

    /// The responses to a question, in order.
    pub fn of(&self, index: usize) -> impl Iterator<Item = &Record> {
        self.records.range((index, 0)..(index + 1, 0)).map(|(_, record)| record)
    }
}

/// Whether nothing follows.
fn is_last(reader: &mut impl BufRead) -> bool {
    reader.fill_buf().is_ok_and(|rest| rest.is_empty())
}

fn read_line(line: &[u8], settings: &Settings, questions: &[Question]) -> Result<Record, String> {
    let record: Record = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let question = questions.get(record.index).filter(|question| question.id == record.id);
    let Some(question) = question.filter(|_| record.sample < settings.n) else {
        return Err(format!("response {} to question {}", record.sample, record.index));
    };
    let judgement = judge(&record.response, question, settings.grader);
    Ok(Record { judgement, ..record })
}
