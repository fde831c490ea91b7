//! Rows that cannot be used, counted by reason.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};
use trainer::data::DataError;
use trainer::evaluate::LeftOut;

use crate::failure::Failure;

/// Most reasons listed.
const LISTED: usize = 10;

/// Reasons with how often and where first they were met.
#[derive(Debug, Default)]
pub struct Faults {
    reasons: BTreeMap<String, (u64, String)>,
}

impl Faults {
    /// Counts a row that cannot be used.
    ///
    /// # Errors
    ///
    /// When it is no row but the whole data set that cannot be read.
    pub fn add(&mut self, error: DataError) -> Result<(), Failure> {
        let DataError::Row { path, row, message } = error else { return Err(error.into()) };
        let first = || (0, format!("{}, {row}", path.display()));
        self.reasons.entry(general(&message)).or_insert_with(first).0 += 1;
        Ok(())
    }

    /// Rows counted.
    pub fn count(&self) -> u64 {
        self.reasons.values().map(|(count, _)| count).sum()
    }

    /// The reasons, the most frequent first.
    fn sorted(&self) -> Vec<(&String, &(u64, String))> {
        let mut reasons: Vec<_> = self.reasons.iter().collect();
        reasons.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
        reasons
    }

    /// A line for each reason.
    pub fn listing(&self) -> String {
        let mut text = String::new();
        let reasons = self.sorted();
        for (reason, (count, first)) in reasons.iter().take(LISTED) {
            let _ = writeln!(text, "{count:>8}  {reason} (first: {first})");
        }
        if let Some(more) = reasons.len().checked_sub(LISTED).filter(|&more| more > 0) {
            let _ = writeln!(text, "          and {more} other reasons");
        }
        text
    }

    pub fn left_out(&self) -> Vec<LeftOut> {
        let of_reason = |(reason, (count, first)): (&String, &(u64, String))| LeftOut {
            reason: reason.clone(),
            count: *count,
            first: first.clone(),
        };
        self.sorted().into_iter().map(of_reason).collect()
    }

    pub fn to_json(&self) -> Value {
        json!(self.left_out())
    }
}

/// What messages of one kind share: file names become FILE, numbers N; columns keep their names.
fn general(message: &str) -> String {
    let mut before = "";
    let word = |word| match str::strip_suffix(word, ':') {
        Some(name) if name.contains(['/', '\\', '.']) && before != "column" => "FILE:".to_string(),
        _ => {
            before = word;
            numberless(word)
        }
    };
    message.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn numberless(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    let mut before = None;
    for character in word.chars() {
        match (character.is_ascii_digit(), before) {
            (true, Some('0'..='9')) => {}
            (true, _) => text.push('N'),
            (false, _) => text.push(character),
        }
        before = Some(character);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(row: &str, message: &str) -> DataError {
        DataError::Row { path: "a.jsonl".into(), row: row.into(), message: message.into() }
    }

    #[test]
    fn rows_of_one_reason_are_counted_together() {
        let mut faults = Faults::default();
        let rows = [
            ("line 1", "column image: image 1: b/12.png: No such file (os error 2); put it there"),
            ("line 2", "column truth.text: missing or null"),
            ("line 9", "column image: image 12: c.png: No such file (os error 2); put it there"),
        ];
        for (row, message) in rows {
            faults.add(fault(row, message)).unwrap();
        }
        let expected = "       2  column image: image N: FILE: No such file (os error N); put it \
                        there (first: a.jsonl, line 1)\n       1  column truth.text: missing or null \
                        (first: a.jsonl, line 2)\n";
        assert_eq!(faults.listing(), expected);
        assert_eq!(faults.count(), 3);
        assert_eq!(faults.to_json()[0]["count"], 2);
        let index = DataError::Index { index: 3, rows: 2 };
        assert!(faults.add(index).is_err());
    }

    #[test]
    fn the_listing_is_bounded() {
        let mut faults = Faults::default();
        for letter in 'a'..='z' {
            faults.add(fault("line 1", &letter.to_string())).unwrap();
        }
        assert_eq!(faults.listing().lines().count(), LISTED + 1);
        assert!(faults.listing().contains("and 16 other reasons"));
    }
}
