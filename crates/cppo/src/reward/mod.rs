//! Verifiable rewards: answer format and accuracy.

mod boxed;
mod exact;
mod format;
mod mathruler;
mod symbolic;

use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use boxed::extract_boxed_content;
pub use exact::extract_answer;
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
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Reward {
    /// Weighted sum of accuracy and format.
    pub score: f32,
    /// 1 where the boxed answer is right, else 0.
    pub accuracy: f32,
    /// 1 where the response has the required format, else 0.
    pub format: f32,
    /// The answer that was judged, see [`Grader::extract`].
    pub answer: Option<String>,
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

    proptest! {
        #[test]
        fn any_response_gets_a_score_between_0_and_1(response in ".*", truth in ".*") {
            let score = reward(&response, &truth, &RewardConfig::default()).score;
            prop_assert!((0.0..=1.0).contains(&score));
        }
    }
}
