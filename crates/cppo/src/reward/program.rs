//! Terms of the reward that programs of the user's own give.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A program that is asked for the score of every response, a JSON line each; see ARCHITECTURE.md.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProgramConfig {
    /// What its metrics are called: `reward/NAME/mean`.
    pub name: String,
    /// The program and its arguments; no shell reads them.
    pub command: Vec<String>,
    /// How much its score counts.
    pub weight: f32,
    /// Seconds that it may take for a batch, the first with its start.
    pub timeout_s: f64,
    /// Most responses that it is asked about at once.
    pub batch: usize,
    /// Times it is started again for the same batch before the run ends.
    pub restarts: usize,
}

impl Default for ProgramConfig {
    fn default() -> Self {
        let (name, command) = (String::new(), Vec::new());
        Self { name, command, weight: 1.0, timeout_s: 10.0, batch: 64, restarts: 3 }
    }
}

impl ProgramConfig {
    /// Checks every value against its range.
    ///
    /// # Errors
    ///
    /// Names the first key out of range.
    pub fn validate(&self) -> Result<(), String> {
        let Self { name, command, weight, timeout_s, batch, restarts } = self;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        let taken = ["accuracy", "format"].contains(&name.as_str());
        if name.is_empty() || taken || !name.chars().all(is_plain) {
            return Err(format!(
                "name is {name:?}, must be letters, digits, _ and -, and neither accuracy nor format"
            ));
        }
        if command.first().is_none_or(String::is_empty) {
            return Err("command is empty, must be [PROGRAM, ARGUMENT, …]".into());
        }
        if !weight.is_finite() {
            return Err(format!("weight is {weight}, must be a finite number"));
        }
        if !(*timeout_s > 0.0 && *timeout_s <= 86_400.0) {
            return Err(format!("timeout_s is {timeout_s}, must be above 0 and at most 86400"));
        }
        if !(1..=65_536).contains(batch) {
            return Err(format!("batch is {batch}, must be between 1 and 65536"));
        }
        match restarts {
            0..=1000 => Ok(()),
            _ => Err(format!("restarts is {restarts}, must be at most 1000")),
        }
    }
}

/// What a program says of a response.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ProgramReward {
    /// Its term of the reward, before the weight.
    pub score: f32,
    /// Further numbers, for the metrics `reward/NAME/METRIC/mean`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
}
