//! What a question is to its evaluation: the truth, and how an answer is held against it.

use serde::{Deserialize, Serialize};

/// A question without its pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Its name in the benchmark.
    pub id: String,
    /// The right answer; of a multiple choice its letter.
    pub truth: String,
    /// How an answer is compared with the truth.
    pub rule: Rule,
    /// Questions that are forms of one problem; they are drawn together when resampling.
    pub family: Option<String>,
    /// Which part of its family it is, as in We-Math's `2steps_1`.
    pub part: Option<String>,
    /// Names it is grouped under, by dimension: `("subject", "algebra")`.
    pub groups: Vec<(String, String)>,
}

/// How an answer is compared with the truth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Rule {
    /// By the grader.
    Free,
    /// By the grader, or as numbers rounded to so many decimals.
    Rounded(usize),
    /// By the grader, or as numbers at most this far apart.
    Within(f64),
    /// By letter, where these are the texts of the options A, B, …; a text not known is empty.
    Choice(Vec<String>),
    /// As a set of letters.
    Letters,
    /// By the grader, or as some of the words of the truth.
    Contained,
}
