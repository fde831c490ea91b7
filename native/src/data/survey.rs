//! What a data set holds, gathered row by row.

use std::collections::BTreeMap;
use std::fmt::Write;

use processor::{Content, Message};
use serde::Serialize;
use serde_json::{Value, json};
use trainer::data::{Layout, PLACEHOLDER, Sample};

use super::faults::Faults;

/// Most characters of a text shown on the terminal.
const SHOWN: usize = 400;

/// Most sources listed on the terminal.
const SOURCES: usize = 20;

/// A row that can be used.
pub struct Row {
    /// Counted from 0.
    pub index: usize,
    pub sample: Sample,
    /// Width and height of its pictures.
    pub sizes: Vec<(u32, u32)>,
    /// Length of the prompt, where a model was given to count by.
    pub tokens: Option<usize>,
}

/// What the rows so far hold.
pub struct Survey {
    layout: Layout,
    files: usize,
    /// Rows kept to be shown.
    wanted: usize,
    rows: u64,
    sources: BTreeMap<String, u64>,
    pictures: Vec<usize>,
    widths: Vec<usize>,
    heights: Vec<usize>,
    answers: Vec<usize>,
    responses: Vec<usize>,
    tokens: Vec<usize>,
    shown: Vec<Row>,
    /// Rows that cannot be used.
    pub faults: Faults,
}

/// The middle of some numbers and their ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Spread {
    min: usize,
    median: usize,
    max: usize,
}

impl Spread {
    /// None of no numbers; of two in the middle the smaller.
    fn of(values: &[usize]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Self { min, median: sorted[(sorted.len() - 1) / 2], max })
    }

    fn text(self) -> String {
        match self.min == self.max {
            true => self.min.to_string(),
            false => format!("{} to {}, median {}", self.min, self.max, self.median),
        }
    }
}

impl Survey {
    pub fn new(layout: Layout, files: usize, wanted: usize) -> Self {
        Self {
            layout,
            files,
            wanted,
            rows: 0,
            sources: BTreeMap::new(),
            pictures: Vec::new(),
            widths: Vec::new(),
            heights: Vec::new(),
            answers: Vec::new(),
            responses: Vec::new(),
            tokens: Vec::new(),
            shown: Vec::new(),
            faults: Faults::default(),
        }
    }

    pub fn add(&mut self, row: Row) {
        let sample = &row.sample;
        self.rows += 1;
        *self.sources.entry(sample.source.clone()).or_default() += 1;
        self.pictures.push(row.sizes.len());
        for &(width, height) in &row.sizes {
            self.widths.push(width as usize);
            self.heights.push(height as usize);
        }
        self.answers.push(sample.answer.chars().count());
        self.responses.extend(sample.response.as_ref().map(|text| text.chars().count()));
        self.tokens.extend(row.tokens);
        if self.shown.len() < self.wanted {
            self.shown.push(row);
        }
    }

    /// The first rows that can be used.
    pub fn shown(&self) -> &[Row] {
        &self.shown
    }

    pub fn to_json(&self) -> Value {
        let layout: BTreeMap<_, _> = self.layout.used.iter().cloned().collect();
        let samples: Vec<Value> = self
            .shown
            .iter()
            .map(|row| {
                let turns: Vec<Value> = row
                    .sample
                    .prompt
                    .iter()
                    .map(|turn| json!({"role": turn.role, "content": text_of(turn)}))
                    .collect();
                json!({
                    "row": row.index, "prompt": turns, "images": row.sizes,
                    "answer": row.sample.answer, "response": row.sample.response,
                    "source": row.sample.source, "prompt_tokens": row.tokens,
                })
            })
            .collect();
        json!({
            "files": self.files,
            "rows": self.rows + self.faults.count(),
            "unusable": {"rows": self.faults.count(), "reasons": self.faults.to_json()},
            "columns": self.layout.columns,
            "layout": layout,
            "sources": self.sources,
            "images_per_row": Spread::of(&self.pictures),
            "image_width": Spread::of(&self.widths),
            "image_height": Spread::of(&self.heights),
            "answer_characters": Spread::of(&self.answers),
            "responses": self.responses.len(),
            "response_characters": Spread::of(&self.responses),
            "prompt_tokens": Spread::of(&self.tokens),
            "samples": samples,
        })
    }

    /// The same for people.
    pub fn to_text(&self, name: &str) -> String {
        let files =
            if self.files == 1 { String::new() } else { format!(" in {} files", self.files) };
        let mut text = format!("{name}: {} rows{files}\n", self.rows + self.faults.count());
        let mut line = |label: &str, value: String| {
            let _ = writeln!(text, "  {label:<10} {}", printable(&value));
        };
        line("columns", self.layout.columns.join(", "));
        let used = self.layout.used.iter().map(|(part, column)| format!("{part} = {column}"));
        line("read as", used.collect::<Vec<_>>().join(", "));
        let mut sources: Vec<_> = self.sources.iter().collect();
        sources.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let more = sources.len().saturating_sub(SOURCES);
        let listed =
            sources.iter().take(SOURCES).map(|(source, count)| format!("{source} {count}"));
        let more = (more > 0).then(|| format!("{more} more"));
        line("sources", listed.chain(more).collect::<Vec<_>>().join(", "));
        let mut spread = |label: &str, values: &[usize], what: &str| {
            if let Some(spread) = Spread::of(values) {
                line(label, format!("{} {what}", spread.text()));
            }
        };
        spread("pictures", &self.pictures, "a row");
        spread("  width", &self.widths, "pixels");
        spread("  height", &self.heights, "pixels");
        spread("answers", &self.answers, "characters");
        spread("responses", &self.responses, "characters");
        spread("prompts", &self.tokens, "tokens");
        if self.faults.count() > 0 {
            let _ = write!(
                text,
                "{} rows cannot be used:\n{}",
                self.faults.count(),
                printable(&self.faults.listing())
            );
        }
        for row in &self.shown {
            let sizes: Vec<String> = row.sizes.iter().map(|(w, h)| format!("{w}×{h}")).collect();
            let _ = writeln!(text, "\nrow {}, {}", row.index, printable(&row.sample.source));
            let mut line = |label: &str, value: &str| {
                if !value.is_empty() {
                    let _ = writeln!(text, "  {label:<10} {}", printable(&shortened(value)));
                }
            };
            line("pictures", &sizes.join(", "));
            for turn in &row.sample.prompt {
                line(&printable(&turn.role), &text_of(turn));
            }
            line("answer", &row.sample.answer);
            line("response", row.sample.response.as_deref().unwrap_or_default());
        }
        text
    }
}

fn text_of(turn: &Message) -> String {
    let text = |part: &Content| match part {
        Content::Text { text } => text.clone(),
        Content::Image => PLACEHOLDER.to_string(),
        Content::Video => "<video>".to_string(),
    };
    turn.content.iter().map(text).collect()
}

/// On one line, and not too long.
fn shortened(text: &str) -> String {
    let line = text.replace('\n', " ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Without control characters, which would move the cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_ends_and_middle() {
        let spread = |min, median, max| Some(Spread { min, median, max });
        let cases: [(&[usize], _); 4] = [
            (&[], None),
            (&[3], spread(3, 3, 3)),
            (&[9, 1], spread(1, 1, 9)),
            (&[5, 1, 9, 7, 7], spread(1, 7, 9)),
        ];
        for (values, expected) in cases {
            assert_eq!(Spread::of(values), expected, "{values:?}");
        }
    }

    #[test]
    fn texts_of_data_sets_neither_fill_the_terminal_nor_steer_it() {
        let sample = Sample {
            prompt: vec![Message::user(0, "x".repeat(5000) + "\n\x1b[2J")],
            images: vec![],
            answer: "\x1b]0;title\x07".into(),
            response: None,
            seen: vec![],
            source: "a\rb".into(),
        };
        let layout = Layout { columns: vec!["a\x1b".into()], used: vec![] };
        let mut survey = Survey::new(layout, 1, 1);
        survey.add(Row { index: 0, sample, sizes: vec![], tokens: None });
        let text = survey.to_text("data");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        assert!(text.len() < 1000 && text.contains('…'));
    }
}
