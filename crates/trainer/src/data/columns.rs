//! Which columns hold what, and from a row to a [`Sample`].

use std::path::Path;

use processor::{Answer, Message};
use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::error::Fault;
use super::images::pictures;
use super::prompt::messages;
use super::sample::Sample;
use super::seen::spans;
use super::table::Wanted;
use super::template::Template;

/// Column names for data sets of another layout than those recognised; a dot leads into a struct
/// column, as in `extra_info.answer`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// Column of the question or conversation.
    pub prompt_key: Option<String>,
    /// Column of the pictures.
    pub image_key: Option<String>,
    /// Column of the right answer.
    pub answer_key: Option<String>,
    /// Column of a worked response.
    pub response_key: Option<String>,
    /// The question as a Jinja template makes it of `content`, what the prompt's column holds, and
    /// of other columns by their names.
    pub prompt_template: Option<String>,
}

/// The name of examples whose data set does not say where they come from; verl's.
const UNKNOWN_SOURCE: &str = "unknown";

/// Columns of verl, EasyR1 (geometry3k) and ViRL39K, in this order of precedence.
const PROMPT: &[&str] = &["prompt", "problem", "question"];
const IMAGES: &[&str] = &["images", "image"];
const ANSWER: &[&str] = &["reward_model.ground_truth", "answer"];
const RESPONSE: &[&str] = &["response"];
const SEEN: &[&str] = &["seen"];
const SOURCE: &[&str] = &["data_source", "source"];

/// The columns that make a sample.
#[derive(Debug)]
pub(super) struct Columns {
    prompt: Column,
    images: Column,
    answer: Column,
    response: Column,
    seen: Column,
    source: Column,
    template: Option<Result<Template, String>>,
}

/// The names one column may have.
#[derive(Debug)]
struct Column {
    names: Vec<String>,
    /// Whether the user named the column, so that it must be there.
    given: bool,
}

/// Whether a name is that of the file's column `root`, or leads into it.
pub(crate) fn leads_into(name: &str, root: &str) -> bool {
    name == root || name.split_once('.').is_some_and(|(first, _)| first == root)
}

impl Column {
    fn new(usual: &[&str], given: Option<&String>) -> Self {
        match given {
            Some(name) => Self { names: vec![name.clone()], given: true },
            None => {
                Self { names: usual.iter().map(|name| name.to_string()).collect(), given: false }
            }
        }
    }

    /// Whether one of the names leads into the file's column `root`.
    fn is_in(&self, root: &str) -> bool {
        self.names.iter().any(|name| leads_into(name, root))
    }

    /// The first name with a value in the row, and that value.
    fn find<'a>(&'a self, row: &'a Cell) -> Result<Option<(&'a str, &'a Cell)>, Fault> {
        let mut absent = true;
        for name in &self.names {
            match row.at(name) {
                Some(Cell::Null) => absent = false,
                Some(cell) => return Ok(Some((name, cell))),
                None => {}
            }
        }
        if self.given && absent {
            return Err(Fault::new(&self.label(), "missing in this row; check the key"));
        }
        Ok(None)
    }

    fn required<'a>(&'a self, row: &'a Cell) -> Result<(&'a str, &'a Cell), Fault> {
        let missing = || Fault::new(&self.label(), "missing or null; fill it or remove the row");
        self.find(row)?.ok_or_else(missing)
    }

    fn label(&self) -> String {
        self.names.join(" or ")
    }
}

impl Columns {
    pub(super) fn new(mapping: &Mapping) -> Self {
        Self {
            prompt: Column::new(PROMPT, mapping.prompt_key.as_ref()),
            images: Column::new(IMAGES, mapping.image_key.as_ref()),
            answer: Column::new(ANSWER, mapping.answer_key.as_ref()),
            response: Column::new(RESPONSE, mapping.response_key.as_ref()),
            seen: Column::new(SEEN, None),
            source: Column::new(SOURCE, None),
            template: mapping.prompt_template.as_deref().map(Template::new),
        }
    }

    fn all(&self) -> [&Column; 6] {
        [&self.prompt, &self.images, &self.answer, &self.response, &self.seen, &self.source]
    }

    /// Which of the columns `roots` each part of a sample is read from, as far as there is one.
    pub(super) fn used(&self, roots: &[String]) -> Vec<(&'static str, String)> {
        let parts = ["prompt", "images", "answer", "response", "seen", "source"];
        let leads_into = |name: &&String| {
            let first = name.split_once('.').map_or(name.as_str(), |(first, _)| first);
            roots.iter().any(|root| root == *name || root == first)
        };
        let used = |(part, column): (_, &Column)| {
            Some((part, column.names.iter().find(leads_into)?.clone()))
        };
        parts.into_iter().zip(self.all()).filter_map(used).collect()
    }

    /// Makes a sample of a row; `folder` is where relative picture paths begin.
    pub(super) fn sample(&self, row: &Cell, folder: &Path) -> Result<Sample, Fault> {
        let images = match self.images.find(row)? {
            Some((name, cell)) => {
                pictures(cell, folder).map_err(|message| Fault::new(name, message))?
            }
            None => Vec::new(),
        };
        let prompt = self.prompt(row, images.len())?;
        let answer = self.answer(row)?;
        let response = match self.response.find(row)? {
            Some((_, Cell::Text(text))) => Some(text.clone()),
            Some((name, other)) => {
                return Err(Fault::new(name, format!("{}, not a string", other.kind())));
            }
            None => None,
        };
        let seen = match self.seen.find(row)? {
            Some((name, cell)) => spans(cell, response.as_deref().unwrap_or(""))
                .map_err(|message| Fault::new(name, message))?,
            None => Vec::new(),
        };
        let source = match self.source.find(row)? {
            Some((_, Cell::Text(text) | Cell::Scalar(text))) => text.clone(),
            _ => UNKNOWN_SOURCE.into(),
        };
        Ok(Sample { prompt, images, answer, response, seen, source })
    }

    fn prompt(&self, row: &Cell, images: usize) -> Result<Vec<Message>, Fault> {
        let (name, cell) = self.prompt.required(row)?;
        let made = match (&self.template, cell) {
            (Some(Ok(template)), Cell::Text(content)) => {
                template.render(content, row).and_then(|text| messages(&Cell::Text(text), images))
            }
            (Some(Ok(_)), other) => Err(format!(
                "{}, not a string, of which prompt_template would make the question",
                other.kind()
            )),
            _ => messages(cell, images),
        };
        made.map_err(|message| Fault::new(name, message))
    }

    fn answer(&self, row: &Cell) -> Result<String, Fault> {
        let (name, cell) = self.answer.required(row)?;
        let (Cell::Text(text) | Cell::Scalar(text)) = cell else {
            let message = format!("{}, not a string or number; write one answer", cell.kind());
            return Err(Fault::new(name, message));
        };
        let answer = Answer::parse(text).answer.unwrap_or_else(|| text.trim().into());
        if answer.is_empty() {
            return Err(Fault::new(name, "empty; fill it or remove the row"));
        }
        Ok(answer)
    }
}

impl Wanted for Columns {
    fn wants(&self, root: &str) -> bool {
        let template = self.template.as_ref().and_then(|template| template.as_ref().ok());
        template.is_some_and(|template| template.wants(root))
            || self.all().iter().any(|column| column.is_in(root))
    }

    fn check(&self, roots: &[&str]) -> Result<(), String> {
        if let Some(Err(message)) = &self.template {
            return Err(message.clone());
        }
        let needed = [(&self.prompt, "prompt_key"), (&self.answer, "answer_key")];
        for (column, key) in needed {
            if !roots.iter().any(|root| column.is_in(root)) {
                return Err(format!(
                    "no column {}; its columns are {}: rename one, or name it with {key}",
                    column.label(),
                    roots.join(", "),
                ));
            }
        }
        for column in self.all() {
            if column.given && !roots.iter().any(|root| column.is_in(root)) {
                let (label, roots) = (column.label(), roots.join(", "));
                return Err(format!("no column {label}; its columns are {roots}: check the key"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use processor::Content;

    use super::*;

    fn sample(json: &str, mapping: &Mapping) -> Result<Sample, String> {
        let row = serde_json::from_str(json).unwrap();
        let folder = Path::new("unused");
        Columns::new(mapping).sample(&row, folder).map_err(|fault| format!("{fault:?}"))
    }

    fn mapped(json: &str) -> Mapping {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_template_makes_the_question() {
        let mapping = mapped(r#"{"prompt_template": "{{ content }} in {{ unit }}?"}"#);
        let row = r#"{"question": "How long", "unit": "cm", "answer": "3"}"#;
        let text = Content::Text { text: "How long in cm?".into() };
        assert_eq!(sample(row, &mapping).unwrap().prompt[0].content, [text]);
        for (bad, expected) in [
            (r#"{"question": "q", "answer": 1}"#, "the row has no unit"),
            (
                r#"{"prompt": [{"role": "user", "content": "q"}], "unit": "", "answer": 1}"#,
                "a list, not a string, of which prompt_template would make the question",
            ),
        ] {
            let error = sample(bad, &mapping).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(Columns::new(&mapping).wants("unit") && !Columns::new(&mapping).wants("units"));
        let broken = Columns::new(&mapped(r#"{"prompt_template": "{{"}"#));
        assert!(broken.check(&["prompt", "answer"]).unwrap_err().contains("syntax error"));
    }

    #[test]
    fn every_layout_is_recognised() {
        let cases = [
            (
                r#"{"prompt": [{"role": "user", "content": "q"}], "data_source": "s",
                    "reward_model": {"style": "rule", "ground_truth": "a"}, "answer": "other"}"#,
                "s",
            ),
            (r#"{"prompt": "q", "images": [], "reward_model": {"ground_truth": "a"}}"#, "unknown"),
            (r#"{"problem": "q", "images": null, "answer": "a"}"#, "unknown"),
            (r#"{"question": "q", "image": [], "answer": "\\boxed{a}", "source": "s"}"#, "s"),
            (r#"{"question": "q", "answer": " a\n", "source": ["odd"]}"#, "unknown"),
        ];
        for (json, source) in cases {
            let found = sample(json, &Mapping::default()).unwrap();
            let expected = Sample {
                prompt: vec![Message::user(0, "q")],
                images: vec![],
                answer: "a".into(),
                response: None,
                seen: vec![],
                source: source.into(),
            };
            assert_eq!(found, expected, "{json}");
        }
    }

    #[test]
    fn keys_override_the_layout() {
        let json = r#"{"prompt": "wrong", "q": "q", "answer": "wrong", "extra": {"a": 3.5},
            "pics": ["data:image/png;base64,iVBORw0KGgo="], "r": "because"}"#;
        let mapping = mapped(
            r#"{"prompt_key": "q", "answer_key": "extra.a", "image_key": "pics",
                "response_key": "r"}"#,
        );
        let found = sample(json, &mapping).unwrap();
        assert_eq!(found.prompt, [Message::user(1, "q")]);
        assert_eq!((found.answer.as_str(), found.images.len()), ("3.5", 1));
        assert_eq!(found.response.as_deref(), Some("because"));
        assert_eq!(found.prompt[0].content[0], Content::Image);
        assert!(serde_json::from_str::<Mapping>(r#"{"prompt": "q"}"#).is_err());
    }

    #[test]
    fn faulty_rows_name_the_column_and_the_remedy() {
        let default = "{}";
        let cases = [
            (r#"{"answer": "a"}"#, default, "prompt or problem or question", "missing"),
            (r#"{"prompt": "q"}"#, default, "reward_model.ground_truth or answer", "missing"),
            (r#"{"prompt": "q", "answer": null}"#, default, "ground_truth", "missing"),
            (r#"{"prompt": "q", "answer": " "}"#, default, "\"answer\"", "empty"),
            (r#"{"prompt": "q", "answer": "\\boxed{}"}"#, default, "\"answer\"", "empty"),
            (r#"{"prompt": "q", "answer": ["a"]}"#, default, "\"answer\"", "a list, not"),
            (r#"{"prompt": 3, "answer": "a"}"#, default, "\"prompt\"", "a number"),
            (r#"{"prompt": "q", "answer": "a", "response": 1}"#, default, "\"response\"", "number"),
            (r#"{"prompt": "q", "answer": "a", "images": 1}"#, default, "\"images\"", "number"),
            (r#"{"prompt": "q", "answer": "a"}"#, r#"{"image_key": "pic"}"#, "\"pic\"", "key"),
            (r#"{"prompt": "q", "answer": "a"}"#, r#"{"answer_key": "a.b"}"#, "\"a.b\"", "key"),
        ];
        for (json, mapping, column, expected) in cases {
            let error = sample(json, &mapped(mapping)).unwrap_err();
            assert!(error.contains(column) && error.contains(expected), "{json}: {error}");
        }
    }

    #[test]
    fn a_table_of_no_known_layout_is_refused_with_its_columns() {
        let cases: [(&[&str], &str, &str); 5] = [
            (
                &["text", "label"],
                "{}",
                "no column prompt or problem or question; its columns are text, label",
            ),
            (&["prompt", "label"], "{}", "answer_key"),
            (&["prompt", "answer"], r#"{"prompt_key": "q"}"#, "prompt_key"),
            (&["prompt", "answer"], r#"{"image_key": "pic"}"#, "no column pic"),
            (&["prompt", "answer"], r#"{"response_key": "x.y"}"#, "no column x.y"),
        ];
        for (roots, mapping, expected) in cases {
            let error = Columns::new(&mapped(mapping)).check(roots).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let columns = Columns::new(&Mapping::default());
        assert_eq!(columns.check(&["problem", "reward_model"]), Ok(()));
        assert!(columns.wants("reward_model") && !columns.wants("extra_info"));
        let roots = ["problem", "question", "reward_model", "other"].map(String::from);
        let used = [("prompt", "problem"), ("answer", "reward_model.ground_truth")];
        assert_eq!(columns.used(&roots), used.map(|(part, name)| (part, name.to_string())));
    }
}
