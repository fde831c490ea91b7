//! `cppo eval compare`

use std::path::PathBuf;

use clap::Args;
use evaluation::statistics::Test;
use serde_json::json;
use trainer::evaluate::{Results, compare};

use super::table::{interval, percent};
use crate::failure::Failure;
use crate::infer::print;

/// Arguments of `cppo eval compare`.
#[derive(Args)]
pub struct Compare {
    /// Folder of the first evaluation
    first: PathBuf,
    /// Folder of the second, on the same questions
    second: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Compare {
    pub fn run(&self) -> Result<(), Failure> {
        let (first, second) = (Results::load(&self.first)?, Results::load(&self.second)?);
        let found = compare(&first, &second)?;
        if self.json {
            print(&format!("{}\n", json!(found)));
            return Ok(());
        }
        let comparison = &found.comparison;
        let name = |model: &str, folder: &PathBuf| format!("{model} ({})", folder.display());
        let rows = [
            (name(&found.first_model, &self.first), percent(comparison.first), String::new()),
            (name(&found.second_model, &self.second), percent(comparison.second), String::new()),
            (
                "difference".into(),
                format!("{:+.1} %", 100.0 * comparison.difference.value),
                interval(&comparison.difference),
            ),
        ];
        let width = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for (name, value, interval) in rows {
            text += format!("{name:width$}  {value:>8}  {interval}").trim_end();
            text.push('\n');
        }
        let test = match comparison.test {
            Test::McNemar => "McNemar's exact test",
            Test::SignFlipExact => "exact sign-flip test",
            Test::SignFlip => "sign-flip test of 10 000 draws",
        };
        let (p, count) = (comparison.p_value, comparison.questions);
        text += &format!("p = {p:.2e} by {test} on {count} questions\n");
        print(&text);
        Ok(())
    }
}
