//! Verifiable rewards: answer format and accuracy.

mod boxed;
mod format;
mod mathruler;
mod symbolic;

use serde::{Deserialize, Serialize};

pub use boxed::extract_boxed_content;
pub use format::follows_format;
pub use mathruler::grade;

/// How much each part of the reward counts, and who judges the answer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RewardConfig {
    /// Share of a right answer.
    pub accuracy_weight: f32,
    /// Share of the required format.
    pub format_weight: f32,
    /// Judge of the answer.
    pub grader: Grader,
}

impl Default for RewardConfig {
    fn default() -> Self {
        Self { accuracy_weight: 0.9, format_weight: 0.1, grader: Grader::default() }
    }
}

/// Judges whether an answer equals the ground truth.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grader {
    /// The verdicts of the Python package mathruler, see [`grade`].
    #[default]
    Mathruler,
}

impl Grader {
    /// Whether `given` answers as `truth` does.
    pub fn grade(self, given: &str, truth: &str) -> bool {
        match self {
            Self::Mathruler => grade(given, truth),
        }
    }
}

/// The reward of one response and its parts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reward {
    /// Weighted sum of accuracy and format.
    pub score: f32,
    /// 1 where the boxed answer is right, else 0.
    pub accuracy: f32,
    /// 1 where the response has the required format, else 0.
    pub format: f32,
    /// Content of the last `\boxed{…}`.
    pub answer: Option<String>,
}

/// Rewards a response, decoded without special tokens, against the ground truth (verl's `geo3k`).
///
/// A response without a box, or with an empty one, never scores accuracy.
pub fn reward(response: &str, truth: &str, config: &RewardConfig) -> Reward {
    let answer = extract_boxed_content(response);
    let right =
        answer.is_some_and(|answer| !answer.is_empty() && config.grader.grade(answer, truth));
    let accuracy = f32::from(u8::from(right));
    let format = f32::from(u8::from(follows_format(response)));
    Reward {
        score: config.accuracy_weight * accuracy + config.format_weight * format,
        accuracy,
        format,
        answer: answer.map(str::to_owned),
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
            let expected = Reward { score, accuracy, format, answer: answer.map(str::to_owned) };
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
    }

    proptest! {
        #[test]
        fn any_response_gets_a_score_between_0_and_1(response in ".*", truth in ".*") {
            let score = reward(&response, &truth, &RewardConfig::default()).score;
            prop_assert!((0.0..=1.0).contains(&score));
        }
    }
}
