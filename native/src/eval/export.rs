//! Responses as VLMEvalKit writes them: a `.tsv` with the column `prediction`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use evaluation::{Question, Rule, letter};
use trainer::evaluate::{Responses, write as write_file};

use super::questions::Read;
use crate::failure::Failure;

/// The column of the responses.
const PREDICTION: &str = "prediction";

/// Writes one file for each of the `n` responses to a question.
pub fn write(path: &Path, read: &Read, responses: &Responses, n: usize) -> Result<(), Failure> {
    let places = Places::new(read);
    let rows = (0..read.judged.len()).map(|index| columns(read, &places, index));
    let rows = rows.collect::<Result<Vec<_>, Failure>>()?;
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in rows.iter().flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for sample in 0..n {
        let header = names.iter().map(|name| quoted(name)).chain([PREDICTION.into()]);
        let mut text = header.collect::<Vec<_>>().join("\t") + "\n";
        for (index, row) in rows.iter().enumerate() {
            let value = |name: &&String| row.iter().find(|(other, _)| other == *name);
            let fields = names.iter().map(|name| value(name).map_or("", |(_, value)| value));
            let response = responses.of(index).nth(sample).map_or("", |record| &record.response);
            let fields: Vec<String> = fields.chain([response]).map(quoted).collect();
            text += &(fields.join("\t") + "\n");
        }
        write_file(&numbered(path, sample, n), text.as_bytes())?;
    }
    Ok(())
}

/// What VLMEvalKit finds rows by.
struct Places {
    /// The column `index`, which no two rows share.
    index: Vec<String>,
    /// DynaMath's: the `index` of the question's first variant, and the variant's number.
    variants: Option<Vec<(String, usize)>>,
}

impl Places {
    fn new(read: &Read) -> Self {
        let questions = &read.judged;
        let ids: BTreeSet<&str> = questions.iter().map(|question| question.id.as_str()).collect();
        let index = |(row, question): (usize, &Question)| match ids.len() == questions.len() {
            true => question.id.clone(),
            false => row.to_string(),
        };
        let index: Vec<String> = questions.iter().enumerate().map(index).collect();
        let mut seen = BTreeMap::new();
        let mut variants = Vec::new();
        for (row, question) in questions.iter().enumerate() {
            let (first, count) = seen.entry(question.family.as_deref()).or_insert((row, 0));
            *count += 1;
            variants.push((index[*first].clone(), *count));
        }
        let variants = (read.questions.benchmark.name == "dynamath").then_some(variants);
        Self { index, variants }
    }
}

/// A question's own columns, and those that VLMEvalKit needs.
fn columns(read: &Read, places: &Places, index: usize) -> Result<Vec<(String, String)>, Failure> {
    let question = &read.judged[index];
    let mut columns = read.questions.columns(index)?;
    // Of an earlier export.
    columns.retain(|(name, _)| name != PREDICTION);
    let mut needed = vec![
        ("index".to_string(), places.index[index].clone()),
        ("question".into(), read.texts[index].clone()),
        ("answer".into(), question.truth.clone()),
    ];
    if let Rule::Choice(options) = &question.rule {
        needed.push(("answer_option".into(), question.truth.clone()));
        let known = options.iter().enumerate().filter(|(_, option)| !option.is_empty());
        needed.extend(known.map(|(place, option)| (letter(place).to_string(), option.clone())));
    }
    if let Some((first, variant)) = places.variants.as_ref().map(|variants| &variants[index]) {
        needed.push(("qid".into(), first.clone()));
        needed.push(("varid".into(), variant.to_string()));
    }
    for (name, value) in needed {
        if !columns.iter().any(|(other, _)| *other == name) {
            columns.push((name, value));
        }
    }
    Ok(columns)
}

/// A field as pandas quotes it.
fn quoted(text: &str) -> String {
    match text.contains(['\t', '\n', '\r', '"']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.into(),
    }
}

fn numbered(path: &Path, sample: usize, n: usize) -> PathBuf {
    if n == 1 {
        return path.to_path_buf();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}_{sample}.tsv"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let cases = [("a", "a"), ("a\tb", "\"a\tb\""), ("say \"x\"", "\"say \"\"x\"\"\"")];
        for (text, expected) in cases {
            assert_eq!(quoted(text), expected);
        }
        assert_eq!(numbered(Path::new("a/b.tsv"), 2, 8), Path::new("a/b_2.tsv"));
        assert_eq!(numbered(Path::new("a/b.tsv"), 0, 1), Path::new("a/b.tsv"));
    }
}
