//! Questions of benchmarks and other data sets, read a row at a time.

mod columns;
mod row;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use evaluation::benchmark::{Benchmark, GENERAL};
use evaluation::{Question, Rule};
use gym::{Gym, Split};
use processor::Content;

use crate::config::GymConfig;
use crate::data::{
    Cell, DataError, Dataset, Extension, Mapping, Picture, Place, Rows, Sample, files,
};
use columns::BenchmarkColumns;

/// A question with what the model is shown.
#[derive(Clone, Debug)]
pub struct Item {
    /// How its answers are judged.
    pub question: Question,
    /// The conversation and its pictures.
    pub sample: Sample,
}

/// The questions of a benchmark, or of any data set.
#[derive(Debug)]
pub struct Questions {
    /// What they are judged by.
    pub benchmark: &'static Benchmark,
    source: Source,
    len: usize,
    /// Rows of the questions, where some are left out.
    kept: Option<Vec<usize>>,
}

#[derive(Debug)]
enum Source {
    Gym(Gym),
    /// The layouts of training data.
    Dataset(Box<Dataset>),
    /// The layouts of benchmarks.
    Rows {
        rows: Rows,
        columns: BenchmarkColumns,
        /// Places of the rows by the column `index`.
        by_index: OnceLock<HashMap<String, usize>>,
    },
}

impl Questions {
    /// The first `count` test pictures of the gym, with the questions it asks by default.
    pub fn gym(benchmark: &'static Benchmark, count: usize) -> Self {
        let GymConfig { families, difficulty, seed, .. } = GymConfig::default();
        let gym = Gym { families, difficulty, seed };
        Self { benchmark, source: Source::Gym(gym), len: count, kept: None }
    }

    /// Opens the files of a benchmark; without one, any data set: VLMEvalKit's columns where all
    /// files are `.tsv`, else the layouts of training data. `mapping` names other columns.
    ///
    /// # Errors
    ///
    /// When a file is missing or damaged, or lacks the columns.
    pub fn open(
        benchmark: Option<&'static Benchmark>,
        paths: &[&Path],
        mapping: &Mapping,
        image_dir: Option<&Path>,
    ) -> Result<Self, DataError> {
        let mut found = Vec::new();
        for path in paths {
            found.extend(files(path, "test")?);
        }
        let paths: Vec<&Path> = found.iter().map(PathBuf::as_path).collect();
        let tables = paths.iter().all(|path| Extension::of(path) == Some(Extension::Tsv));
        let Some(benchmark) = benchmark.or(tables.then_some(&GENERAL)) else {
            let dataset = Dataset::open_split(&paths, "test", mapping, image_dir)?;
            let len = dataset.len();
            let source = Source::Dataset(Box::new(dataset));
            return Ok(Self { benchmark: &GENERAL, source, len, kept: None });
        };
        let columns = BenchmarkColumns::new(benchmark, mapping);
        let rows = Rows::open(&paths, "test", &columns, image_dir)?;
        let len = rows.len();
        let source = Source::Rows { rows, columns, by_index: OnceLock::new() };
        Ok(Self { benchmark, source, len, kept: None })
    }

    /// Number of questions.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no questions.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Leaves the first `count` questions.
    pub fn truncate(&mut self, count: usize) {
        self.len = self.len.min(count);
    }

    /// Leaves the questions of these rows, in their order; indices count them from then on.
    pub fn keep(&mut self, rows: Vec<usize>) {
        self.len = rows.len();
        self.kept = Some(rows);
    }

    /// The row of a question.
    fn row(&self, index: usize) -> Result<usize, DataError> {
        match &self.kept {
            _ if index >= self.len => Err(DataError::Index { index, rows: self.len }),
            Some(rows) => Ok(rows[index]),
            None => Ok(index),
        }
    }

    /// The question at `index`, counted from 0; its pictures are not decoded.
    ///
    /// # Errors
    ///
    /// When its row is damaged or lacks something.
    pub fn get(&self, index: usize) -> Result<Item, DataError> {
        let index = self.row(index)?;
        match &self.source {
            Source::Gym(gym) => {
                Ok(plain(index, "family", gym.item(Split::Test, index as u64).into()))
            }
            Source::Dataset(dataset) => Ok(plain(index, "source", dataset.get(index)?)),
            Source::Rows { rows, columns, .. } => {
                let (row, place) = rows.get(index)?;
                let images = self.pictures(&row, &place)?;
                row::item(self.benchmark, columns, &row, images)
                    .map_err(|fault| fault.at(place.path, place.row))
            }
        }
    }

    /// The question's columns that hold text, as they stand in the file; none where it is drawn.
    ///
    /// # Errors
    ///
    /// When its row is damaged.
    pub fn columns(&self, index: usize) -> Result<Vec<(String, String)>, DataError> {
        match &self.source {
            Source::Rows { rows, columns, .. } => Ok(columns.texts(&rows.get(self.row(index)?)?.0)),
            _ => Ok(Vec::new()),
        }
    }

    /// A fault of the question at `index`, with its place.
    pub(crate) fn fault(&self, index: usize, message: String) -> DataError {
        let place = self.row(index).and_then(|index| match &self.source {
            Source::Rows { rows, .. } => rows.place(index),
            Source::Dataset(dataset) => dataset.place(index),
            Source::Gym(_) => Ok(Place::of_gym(index)),
        });
        place.map_or_else(|error| error, |place| place.fault(message))
    }

    /// The pictures of a row, or those of the row that it refers to by its index.
    fn pictures(&self, row: &Cell, place: &Place) -> Result<Vec<Picture>, DataError> {
        let Source::Rows { rows, columns, by_index } = &self.source else { return Ok(Vec::new()) };
        let at = |fault: crate::data::Fault, place: &Place| fault.at(place.path, place.row.clone());
        let Some(reference) = columns.reference(row) else {
            return columns.pictures(row, place.folder).map_err(|fault| at(fault, place));
        };
        if by_index.get().is_none() {
            let mut known = HashMap::new();
            for index in 0..rows.len() {
                // A row that cannot be read shows no picture; it is found out when it is asked.
                let Ok((row, _)) = rows.get(index) else { continue };
                known.extend(columns.index(&row).map(|name| (name, index)));
            }
            let _ = by_index.set(known);
        }
        let shown = by_index.get().and_then(|known| known.get(reference));
        let missing =
            || place.fault(format!("the picture of row {reference}: there is no such row"));
        let (other, place) = rows.get(*shown.ok_or_else(missing)?)?;
        if columns.reference(&other).is_some() {
            return Err(place.fault("refers to another row's picture, and is referred to".into()));
        }
        columns.pictures(&other, place.folder).map_err(|fault| at(fault, &place))
    }
}

/// A question whose answer has any form.
fn plain(index: usize, dimension: &str, sample: Sample) -> Item {
    let name = sample.source.strip_prefix("gym/").unwrap_or(&sample.source);
    let question = Question {
        id: index.to_string(),
        truth: sample.answer.clone(),
        rule: Rule::Free,
        family: None,
        part: None,
        groups: vec![(dimension.into(), name.into())],
    };
    Item { question, sample }
}

impl Item {
    /// Goes on with a checksum of questions: of what is shown, asked and right. A picture file
    /// counts by its path and length.
    pub fn checksum(&self, before: u32) -> u32 {
        let mut checksum = before;
        let mut add = |part: &[u8]| {
            // Lengths tell where a part ends.
            checksum = crc32c::crc32c_append(checksum, &(part.len() as u64).to_le_bytes());
            checksum = crc32c::crc32c_append(checksum, part);
        };
        add(self.question.id.as_bytes());
        add(self.question.truth.as_bytes());
        for message in &self.sample.prompt {
            add(message.role.as_bytes());
            for part in &message.content {
                match part {
                    Content::Text { text } => add(text.as_bytes()),
                    Content::Image => add(b"<image>"),
                    Content::Video => add(b"<video>"),
                }
            }
        }
        for picture in &self.sample.images {
            match picture {
                Picture::Bytes(bytes) => add(bytes),
                Picture::Path(path) => {
                    let length = std::fs::metadata(path).map_or(0, |file| file.len());
                    add(path.as_os_str().as_encoded_bytes());
                    add(&length.to_le_bytes());
                }
                Picture::Decoded(picture) => add(picture),
            }
        }
        checksum
    }

    /// The text of the last turn.
    pub fn text(&self) -> String {
        let content = self.sample.prompt.last().map_or(&[][..], |message| &message.content);
        let texts = content.iter().filter_map(|part| match part {
            Content::Text { text } => Some(text.trim()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use evaluation::benchmark::find;
    use processor::Message;

    use super::*;

    fn open(benchmark: Option<&str>, paths: &[&Path]) -> Questions {
        let benchmark = benchmark.map(|name| find(name).unwrap());
        Questions::open(benchmark, paths, &Mapping::default(), None).unwrap()
    }

    #[test]
    fn a_number_for_a_picture_means_the_column_index() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tsv");
        let rows = "index\tpid\timage\tquestion\tanswer\n\
            0\t1\tiVBORw0KGgoh\tq\t3\n1\t0\t0\tq\t3\n";
        std::fs::write(&path, rows).unwrap();
        let questions = open(Some("mathvista"), &[&path]);
        let picture = Picture::Bytes(b"\x89PNG\r\n\x1a\n!".to_vec());
        for row in 0..2 {
            let images = questions.get(row).unwrap().sample.images;
            assert_eq!(images, std::slice::from_ref(&picture), "{row}");
        }
    }

    #[test]
    fn files_tell_by_their_form_how_they_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("tables")).unwrap();
        let table = "index\tquestion\tA\tB\tanswer\n7\tq\t1\t2\tB\n";
        std::fs::write(at("tables/a.tsv"), table).unwrap();
        for name in ["a.jsonl", "b.jsonl"] {
            std::fs::write(at(name), "{\"prompt\": \"q\", \"answer\": \"4\"}\n").unwrap();
        }
        let choice = Rule::Choice(vec!["1".into(), "2".into()]);
        for (paths, ids, rule) in [
            (vec![at("tables")], vec!["7"], choice.clone()),
            (vec![at("tables/a.tsv"), at("tables")], vec!["7", "7"], choice),
            (vec![at("a.jsonl"), at("b.jsonl")], vec!["0", "1"], Rule::Free),
        ] {
            let questions = open(None, &paths.iter().map(PathBuf::as_path).collect::<Vec<_>>());
            let found = (0..questions.len()).map(|index| questions.get(index).unwrap().question);
            let found: Vec<Question> = found.collect();
            assert_eq!(found.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ids);
            assert!(found.iter().all(|one| one.rule == rule), "{found:?}");
        }
    }

    #[test]
    fn all_that_is_shown_and_asked_enters_the_checksum() {
        let item = || {
            let sample = Sample {
                prompt: vec![Message::user(1, "q")],
                images: vec![Picture::Bytes(vec![1])],
                answer: "4".into(),
                response: None,
                seen: Vec::new(),
                source: "general".into(),
            };
            plain(0, "source", sample)
        };
        let changes: [fn(&mut Item); 6] = [
            |_| {},
            |item| item.question.truth = "5".into(),
            |item| {
                item.sample.prompt[0].role = "system".into();
                item.sample.prompt.push(Message::user(0, "q"));
            },
            |item| item.sample.images[0] = Picture::Bytes(vec![2]),
            |item| item.sample.images[0] = Picture::Path("a/1.png".into()),
            |item| item.sample.images[0] = Picture::Path("b/1.png".into()),
        ];
        let changed = |change: fn(&mut Item)| {
            let mut item = item();
            change(&mut item);
            item.checksum(7)
        };
        let mut found = changes.map(changed).to_vec();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), changes.len());
    }
}
