//! Questions of benchmarks and other data sets, read a row at a time.

mod columns;
mod row;

use std::collections::HashMap;
use std::path::Path;
use std::sync::OnceLock;

use evaluation::benchmark::{Benchmark, GENERAL};
use evaluation::{Question, Rule};
use gym::{Gym, Split};
use processor::Content;

use crate::config::GymConfig;
use crate::data::{Cell, DataError, Dataset, Extension, Mapping, Place, Rows, Sample};
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
}

#[derive(Debug)]
enum Source {
    Gym(Gym),
    /// The layouts of training data.
    Dataset(Dataset),
    /// The layouts of benchmarks.
    Rows {
        rows: Rows,
        columns: BenchmarkColumns,
        by_id: OnceLock<HashMap<String, usize>>,
    },
}

impl Questions {
    /// The first `count` test pictures of the gym, with the questions it asks by default.
    pub fn gym(benchmark: &'static Benchmark, count: usize) -> Self {
        let GymConfig { families, difficulty, seed, .. } = GymConfig::default();
        let gym = Gym { families, difficulty, seed };
        Self { benchmark, source: Source::Gym(gym), len: count }
    }

    /// Opens the files of a benchmark; without one, any data set: VLMEvalKit's columns where the
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
        let tables = paths.iter().all(|path| Extension::of(path) == Some(Extension::Tsv));
        let benchmark = benchmark.or((tables || paths.len() > 1).then_some(&GENERAL));
        let Some(benchmark) = benchmark else {
            let dataset = Dataset::open_split(paths[0], "test", mapping, image_dir)?;
            let len = dataset.len();
            return Ok(Self { benchmark: &GENERAL, source: Source::Dataset(dataset), len });
        };
        let columns = BenchmarkColumns::new(benchmark, mapping);
        let rows = Rows::open(paths, "test", &columns, image_dir)?;
        let len = rows.len();
        let source = Source::Rows { rows, columns, by_id: OnceLock::new() };
        Ok(Self { benchmark, source, len })
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

    /// The question at `index`, counted from 0; its pictures are not decoded.
    ///
    /// # Errors
    ///
    /// When its row is damaged or lacks something.
    pub fn get(&self, index: usize) -> Result<Item, DataError> {
        if index >= self.len {
            return Err(DataError::Index { index, rows: self.len });
        }
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
            Source::Rows { rows, columns, .. } => Ok(columns.texts(&rows.get(index)?.0)),
            _ => Ok(Vec::new()),
        }
    }

    /// A fault of the question at `index`, with its place.
    pub(crate) fn fault(&self, index: usize, message: String) -> DataError {
        let place = match &self.source {
            Source::Rows { rows, .. } => rows.place(index),
            Source::Dataset(dataset) => dataset.place(index),
            Source::Gym(_) => Ok(Place::of_gym(index)),
        };
        place.map_or_else(|error| error, |place| place.fault(message))
    }

    /// The pictures of a row, or those of the row that it refers to by its index.
    fn pictures(&self, row: &Cell, place: &Place) -> Result<Vec<crate::data::Picture>, DataError> {
        let Source::Rows { rows, columns, by_id } = &self.source else { return Ok(Vec::new()) };
        let at = |fault: crate::data::Fault, place: &Place| fault.at(place.path, place.row.clone());
        let Some(reference) = columns.reference(row) else {
            return columns.pictures(row, place.folder).map_err(|fault| at(fault, place));
        };
        if by_id.get().is_none() {
            let mut known = HashMap::new();
            for index in 0..rows.len() {
                let (row, _) = rows.get(index)?;
                known.extend(columns.id(&row).map(|id| (id, index)));
            }
            let _ = by_id.set(known);
        }
        let shown = by_id.get().and_then(|known| known.get(reference));
        let missing =
            || place.fault(format!("the picture of row {reference}: there is no such row"));
        let (other, place) = rows.get(*shown.ok_or_else(missing)?)?;
        if columns.reference(&other).is_some() {
            return Err(place.fault("refers to another row's picture, and is referred to".into()));
        }
        columns.pictures(&other, place.folder).map_err(|fault| at(fault, &place))
    }
}

/// A checksum of what is asked and what is right.
pub fn checksum(questions: &[Question], texts: &[String]) -> u32 {
    questions.iter().zip(texts).fold(0, |checksum, (question, text)| {
        [&question.id, &question.truth, text].into_iter().fold(checksum, |checksum, part| {
            // Lengths tell where a part ends.
            let checksum = crc32c::crc32c_append(checksum, &part.len().to_le_bytes());
            crc32c::crc32c_append(checksum, part.as_bytes())
        })
    })
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
