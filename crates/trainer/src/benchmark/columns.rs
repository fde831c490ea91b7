//! A benchmark's columns in a file.

use std::path::Path;

use evaluation::benchmark::Benchmark;
use evaluation::{letter, read_list};

use crate::data::{Cell, Fault, Mapping, Picture, Wanted, leads_into, pictures};

/// Where a benchmark's parts are; the mapping's names go before its own.
#[derive(Debug)]
pub(super) struct BenchmarkColumns {
    benchmark: &'static Benchmark,
    question: Vec<String>,
    images: Vec<String>,
    answer: Vec<String>,
    /// Asked for, though a benchmark's questions are as published.
    template: bool,
}

impl BenchmarkColumns {
    pub(super) fn new(benchmark: &'static Benchmark, mapping: &Mapping) -> Self {
        let names = |own: &[&str], given: &Option<String>| match given {
            Some(name) => vec![name.clone()],
            None => own.iter().map(|name| name.to_string()).collect(),
        };
        let columns = &benchmark.columns;
        Self {
            benchmark,
            question: names(columns.question, &mapping.prompt_key),
            images: names(columns.images, &mapping.image_key),
            answer: names(columns.answer, &mapping.answer_key),
            template: mapping.prompt_template.is_some(),
        }
    }

    /// The question's text; empty where the benchmark has it in the picture.
    pub(super) fn question(&self, row: &Cell) -> Result<String, Fault> {
        match (text_of(row, &self.question)?, self.benchmark.question) {
            (Some(text), _) => Ok(text),
            (None, Some(text)) => Ok(text.into()),
            (None, None) => {
                let label = self.question.join(" or ");
                Err(Fault::new(&label, "missing or empty; fill it or remove the row"))
            }
        }
    }

    /// The answer's text.
    pub(super) fn answer(&self, row: &Cell) -> Result<String, Fault> {
        let label = self.answer.join(" or ");
        let empty = || Fault::new(&label, "missing or empty; fill it or remove the row");
        text_of(row, &self.answer)?.ok_or_else(empty)
    }

    /// What VLMEvalKit's files call the row where another shows its picture.
    pub(super) fn index(&self, row: &Cell) -> Option<String> {
        text_of(row, &["index"]).ok().flatten()
    }

    /// The first picture column with a value.
    fn image<'a>(&'a self, row: &'a Cell) -> Option<(&'a str, &'a Cell)> {
        let found = |name: &'a String| Some((name.as_str(), row.at(name)?));
        self.images.iter().filter_map(found).find(|(_, cell)| **cell != Cell::Null)
    }

    /// The row whose picture this one shows, in VLMEvalKit's files: a number in place of base64.
    pub(super) fn reference<'a>(&'a self, row: &'a Cell) -> Option<&'a str> {
        match self.image(row)?.1 {
            Cell::Text(text) | Cell::Scalar(text) => {
                let is_number = text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
                (is_number && !text.is_empty()).then_some(text)
            }
            _ => None,
        }
    }

    /// The row's pictures: one, a list, or a list written as text.
    pub(super) fn pictures(&self, row: &Cell, folder: &Path) -> Result<Vec<Picture>, Fault> {
        let label = self.images.join(" or ");
        let Some((name, cell)) = self.image(row) else {
            return match self.benchmark.shows_pictures {
                true => Err(Fault::new(&label, "no picture; fill it or remove the row")),
                false => Ok(Vec::new()),
            };
        };
        let listed = match cell {
            Cell::Text(text) => read_list(text),
            _ => None,
        };
        let listed = listed.map(|texts| Cell::List(texts.into_iter().map(Cell::Text).collect()));
        let found = pictures(listed.as_ref().unwrap_or(cell), folder)
            .map_err(|message| Fault::new(name, message))?;
        match found.is_empty() && self.benchmark.shows_pictures {
            true => Err(Fault::new(name, "no picture; fill it or remove the row")),
            false => Ok(found),
        }
    }

    /// All columns but those of pictures, as text, then those that VLMEvalKit's files have by other
    /// names; lists and objects are written as JSON, of which Python reads lists of texts too.
    pub(super) fn texts(&self, row: &Cell) -> Vec<(String, String)> {
        let Cell::Struct(fields) = row else { return Vec::new() };
        let shows = |name: &String| {
            let usual = ["image", "image_path", "decoded_image", "images"];
            self.images.contains(name) || usual.contains(&name.as_str())
        };
        let own = fields.iter().filter(|(name, _)| !shows(name));
        let mut texts: Vec<(String, String)> =
            own.filter_map(|(name, cell)| Some((name.clone(), cell.text()?))).collect();
        for (name, place) in self.benchmark.vlmevalkit {
            let text = row.at(place).and_then(Cell::text);
            if let Some(text) = text.filter(|_| row.at(name).is_none()) {
                texts.push((name.to_string(), text));
            }
        }
        texts
    }

    /// Names of all columns read, those of single letters apart.
    fn names(&self) -> impl Iterator<Item = &str> {
        let columns = &self.benchmark.columns;
        let fixed = [
            columns.id,
            columns.hint,
            columns.options,
            columns.question_type,
            columns.answer_type,
            columns.precision,
            columns.family,
            columns.part,
        ];
        let groups = columns.groups.iter().map(|(_, names)| *names);
        let given = [&self.question, &self.images, &self.answer];
        let given = given.into_iter().flatten().map(String::as_str);
        given.chain(fixed.into_iter().chain(groups).flatten().copied())
    }
}

impl Wanted for BenchmarkColumns {
    fn wants(&self, root: &str) -> bool {
        root.len() == 1 && root.as_bytes()[0].is_ascii_uppercase()
            || self.names().any(|name| leads_into(name, root))
    }

    fn check(&self, roots: &[&str]) -> Result<(), String> {
        if self.template {
            return Err(
                "prompt_template is for other data sets: a benchmark's questions are asked as \
                        published; leave it out"
                    .into(),
            );
        }
        let needs_text = self.benchmark.question.is_none();
        let needed = [
            (&self.question, needs_text, "prompt_key"),
            (&self.answer, true, "answer_key"),
            (&self.images, self.benchmark.shows_pictures, "image_key"),
        ];
        for (names, needed, key) in needed {
            let has = |root: &&str| names.iter().any(|name| leads_into(name, root));
            if needed && !roots.iter().any(has) {
                return Err(format!(
                    "no column {} of {}; its columns are {}: name it with --mapping {key}=…",
                    names.join(" or "),
                    self.benchmark.name,
                    roots.join(", "),
                ));
            }
        }
        Ok(())
    }
}

/// The first of the columns with a text that is not blank.
pub(super) fn text_of(row: &Cell, names: &[impl AsRef<str>]) -> Result<Option<String>, Fault> {
    for name in names.iter().map(AsRef::as_ref) {
        match row.at(name) {
            None | Some(Cell::Null) => {}
            Some(Cell::Text(text) | Cell::Scalar(text)) if text.trim().is_empty() => {}
            Some(Cell::Text(text) | Cell::Scalar(text)) => return Ok(Some(text.clone())),
            Some(other) => {
                let message = format!("{}, not a string or number", other.kind());
                return Err(Fault::new(name, message));
            }
        }
    }
    Ok(None)
}

/// The texts of the first of the columns with a value: a list, a list written as text, or a text.
pub(super) fn texts_of(row: &Cell, names: &[&str]) -> Result<Vec<String>, Fault> {
    for name in names {
        return match row.at(name) {
            None | Some(Cell::Null) => continue,
            Some(Cell::Text(text)) if text.trim().is_empty() => continue,
            Some(Cell::Text(text)) => Ok(read_list(text).unwrap_or_else(|| vec![text.clone()])),
            Some(Cell::Scalar(text)) => Ok(vec![text.clone()]),
            Some(Cell::List(cells)) => cells
                .iter()
                .map(|cell| match cell {
                    Cell::Text(text) | Cell::Scalar(text) => Ok(text.clone()),
                    other => Err(Fault::new(name, format!("{} in a list of texts", other.kind()))),
                })
                .collect(),
            Some(other) => Err(Fault::new(name, format!("{}, not a list", other.kind()))),
        };
    }
    Ok(Vec::new())
}

/// The texts of the columns A, B and so on, up to the first without one.
pub(super) fn lettered(row: &Cell) -> Result<Vec<String>, Fault> {
    let mut options = Vec::new();
    while options.len() < 26 {
        match text_of(row, &[letter(options.len()).to_string()])? {
            Some(option) => options.push(option),
            None => break,
        }
    }
    Ok(options)
}
