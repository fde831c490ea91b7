//! Verifiable rewards: answer format and accuracy.

mod boxed;
mod exact;
mod format;
mod mathruler;
mod program;
mod symbolic;

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use boxed::extract_boxed_content;
pub use exact::extract_answer;
pub use format::follows_format;
pub use mathruler::grade;
pub use program::{ProgramConfig, ProgramReward};

/// How much each part of the reward counts, and who judges the answer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RewardConfig {
    /// Share of a right answer.
    pub accuracy_weight: f32,
    /// Share of the required format.
    pub format_weight: f32,
    /// Judge of the answer.
    pub grader: Grader,
    /// Programs whose scores are added.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<ProgramConfig>,
}

impl Default for RewardConfig {
    fn default() -> Self {
        let (grader, programs) = (Grader::default(), Vec::new());
        Self { accuracy_weight: 0.9, format_weight: 0.1, grader, programs }
    }
}

impl RewardConfig {
    /// Checks every value against its range.
    ///
    /// # Errors
    ///
    /// Names the first key out of range, as `programs[1].timeout_s`.
    pub fn validate(&self) -> Result<(), String> {
        let weights =
            [("accuracy_weight", self.accuracy_weight), ("format_weight", self.format_weight)];
        if let Some((key, weight)) = weights.iter().find(|(_, weight)| !weight.is_finite()) {
            return Err(format!("{key} is {weight}, must be a finite number"));
        }
        let mut names = BTreeSet::new();
        for (place, program) in self.programs.iter().enumerate() {
            program.validate().map_err(|error| format!("programs[{place}].{error}"))?;
            if !names.insert(&program.name) {
                return Err(format!(
                    "programs[{place}].name is {:?} as before, must differ",
                    program.name
                ));
            }
        }
        Ok(())
    }
}

/// Judges whether an answer equals the ground truth.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grader {
    /// The verdicts of the Python package mathruler, see [`grade`]: for training as verl does.
    #[default]
    Mathruler,
    /// Answers of the same meaning are the same: for evaluation.
    Exact,
}

/// A judgement of an answer and its reason.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Verdict {
    /// The answer is right.
    pub correct: bool,
    /// What decided.
    pub rule: &'static str,
    /// The answer's normal form.
    pub answer: String,
    /// The ground truth's normal form.
    pub truth: String,
}

impl Grader {
    /// Whether an answer equals the ground truth, and why.
    pub fn grade(&self, answer: &str, truth: &str) -> Verdict {
        match self {
            Self::Mathruler => mathruler::verdict(answer, truth),
            Self::Exact => exact::grade(answer, truth),
        }
    }

    /// The answer of a response: [`extract_boxed_content`] or [`extract_answer`].
    pub fn extract<'a>(&self, response: &'a str) -> Option<&'a str> {
        match self {
            Self::Mathruler => extract_boxed_content(response),
            Self::Exact => extract_answer(response),
        }
    }
}

/// No grader has this name.
#[derive(Debug, thiserror::Error)]
#[error("no grader is called {0:?}; there are mathruler and exact")]
pub struct UnknownGrader(String);

impl FromStr for Grader {
    type Err = UnknownGrader;

    fn from_str(name: &str) -> Result<Self, UnknownGrader> {
        match name {
            "mathruler" => Ok(Self::Mathruler),
            "exact" => Ok(Self::Exact),
            _ => Err(UnknownGrader(name.to_owned())),
        }
    }
}

/// The reward of one response and its parts.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Reward {
    /// Weighted sum of accuracy, format and the programs' scores.
    pub score: f32,
    /// 1 where the boxed answer is right, else 0.
    pub accuracy: f32,
    /// 1 where the response has the required format, else 0.
    pub format: f32,
    /// The answer that was judged, see [`Grader::extract`].
    pub answer: Option<String>,
    /// What the programs say, by their names; see [`Reward::add`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub programs: BTreeMap<String, ProgramReward>,
}

impl Reward {
    /// Adds what a program says.
    pub fn add(&mut self, program: &ProgramConfig, said: ProgramReward) {
        self.score += program.weight * said.score;
        self.programs.insert(program.name.clone(), said);
    }
}

/// Rewards a response, decoded without special tokens, against the ground truth (verl's `geo3k`).
///
/// A response without an answer, or with an empty one, never scores accuracy; for mathruler the
/// answer is always in a box.
pub fn reward(response: &str, truth: &str, config: &RewardConfig) -> Reward {
    let answer = config.grader.extract(response);
    let right = answer
        .is_some_and(|answer| !answer.is_empty() && config.grader.grade(answer, truth).correct);
    let accuracy = f32::from(u8::from(right));
    let format = f32::from(u8::from(follows_format(response)));
    Reward {
        score: config.accuracy_weight * accuracy + config.format_weight * format,
        accuracy,
        format,
        answer: answer.map(str::to_owned),
        programs: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accuracy_and_format_are_weighed() {
        let cases = [
            ("<think>2+2</think>\\boxed{4}", "4", 1.0, 1.0, 1.0, Some("4")),
            ("<think>2+2</think>\\boxed{5}", "4", 0.1, 0.0, 1.0, Some("5")),
            ("It is \\boxed{ 4.0 }.", "4", 0.9, 1.0, 0.0, Some("4.0")),
            ("<think>2+2</think> 4", "4", 0.0, 0.0, 0.0, None),
            ("<think></think>\\boxed{4} or \\boxed{5}", "4", 0.1, 0.0, 1.0, Some("5")),
        ];
        for (response, truth, score, accuracy, format, answer) in cases {
            let answer = answer.map(str::to_owned);
            let expected = Reward { score, accuracy, format, answer, ..Reward::default() };
            assert_eq!(reward(response, truth, &RewardConfig::default()), expected, "{response}");
        }
    }

    #[test]
    fn a_missing_or_empty_box_scores_no_accuracy_for_any_truth() {
        for response in ["None", "no box", "\\boxed{4", "\\boxed{}", "\\boxed{ }", ""] {
            for truth in ["None", "none", "", " ", "4"] {
                let accuracy = reward(response, truth, &RewardConfig::default()).accuracy;
                assert_eq!(accuracy, 0.0, "{response:?} {truth:?}");
            }
        }
    }

    #[test]
    fn the_config_reads_by_name_and_refuses_unknown_keys() {
        let read = |json| serde_json::from_str::<RewardConfig>(json);
        assert_eq!(read("{}").unwrap(), RewardConfig::default());
        let config = read(r#"{"accuracy_weight": 1, "format_weight": 0, "grader": "mathruler"}"#);
        assert_eq!(config.unwrap().accuracy_weight, 1.0);
        assert!(read(r#"{"accuracy": 1}"#).is_err());
        assert!(read(r#"{"grader": "oracle"}"#).is_err());
        for grader in [Grader::Mathruler, Grader::Exact] {
            let name = serde_json::to_string(&grader).unwrap();
            assert_eq!(name.trim_matches('"').parse::<Grader>().unwrap(), grader);
        }
        assert!(
            "oracle".parse::<Grader>().unwrap_err().to_string().contains("mathruler and exact")
        );
    }

    #[test]
    fn the_exact_grader_reads_prose_and_meaning() {
        let config = RewardConfig { grader: Grader::Exact, ..RewardConfig::default() };
        let cases = [
            ("<think></think>\\boxed{2/4}", "\\frac12", 1.0),
            ("The answer is 5 cm.", "5", 1.0),
            ("The answer is 6 cm.", "5", 0.0),
            ("\\boxed{}", "", 0.0),
            ("None", "\\boxed{3}", 0.0),
        ];
        for (response, truth, accuracy) in cases {
            assert_eq!(reward(response, truth, &config).accuracy, accuracy, "{response}");
        }
    }

    #[test]
    fn programs_add_their_weighted_scores() {
        let program = |name: &str, weight| ProgramConfig {
            name: name.into(),
            weight,
            ..ProgramConfig::default()
        };
        let said = |score| ProgramReward { score, metrics: BTreeMap::new() };
        let mut found = reward("\\boxed{4}", "4", &RewardConfig::default());
        found.add(&program("length", -0.5), said(1.0));
        found.add(&program("style", 2.0), said(0.25));
        assert_eq!(found.score, 0.9 - 0.5 + 0.5);
        assert_eq!((found.accuracy, found.programs.len()), (1.0, 2));
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(json["programs"]["style"], serde_json::json!({"score": 0.25}));
    }

    #[test]
    fn programs_are_checked_and_left_out_where_there_are_none() {
        let json = serde_json::to_string(&RewardConfig::default()).unwrap();
        assert!(!json.contains("programs"), "{json}");
        let valid = r#"{"name": "a", "command": ["judge"]}"#;
        let cases = [
            (format!("[{valid}]"), ""),
            (format!("[{valid}, {valid}]"), "programs[1].name is \"a\" as before"),
            (r#"[{"command": ["judge"]}]"#.into(), "programs[0].name is \"\""),
            (r#"[{"name": "format", "command": ["judge"]}]"#.into(), "name is \"format\""),
            (r#"[{"name": "a/b", "command": ["judge"]}]"#.into(), "name is \"a/b\""),
            (r#"[{"name": "a"}]"#.into(), "command is empty"),
            (r#"[{"name": "a", "command": [""]}]"#.into(), "command is empty"),
            (r#"[{"name": "a", "command": ["x"], "weight": 1e99}]"#.into(), "weight is inf"),
            (r#"[{"name": "a", "command": ["x"], "timeout_s": 0}]"#.into(), "timeout_s is 0"),
            (r#"[{"name": "a", "command": ["x"], "batch": 0}]"#.into(), "batch is 0"),
            (r#"[{"name": "a", "command": ["x"], "restarts": 9999}]"#.into(), "restarts is 9999"),
        ];
        for (programs, expected) in cases {
            let json = format!(r#"{{"programs": {programs}}}"#);
            let config: RewardConfig = serde_json::from_str(&json).unwrap();
            match config.validate() {
                Ok(()) => assert_eq!(expected, "", "{json}"),
                Err(error) => assert!(error.contains(expected) && !expected.is_empty(), "{error}"),
            }
        }
        let config = RewardConfig { format_weight: f32::NAN, ..RewardConfig::default() };
        assert!(config.validate().unwrap_err().contains("format_weight"));
    }

    proptest! {
        #[test]
        fn any_response_gets_a_score_between_0_and_1(response in ".*", truth in ".*") {
            let score = reward(&response, &truth, &RewardConfig::default()).score;
            prop_assert!((0.0..=1.0).contains(&score));
        }
    }
}
