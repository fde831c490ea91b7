//! Evaluation without a judge model: verdicts on responses, and numbers that stand up.
//!
//! Data walks one way: [`Question`] → response → [`Judgement`] → [`Report`]. Nothing here reads
//! files, draws from the system's randomness or knows a model.

pub mod benchmark;
mod judge;
mod options;
mod question;
mod report;
pub mod statistics;

pub use judge::{Judgement, judge};
pub use options::{infer_option, letter, read_lettered, read_list};
pub use question::{Question, Rule};
pub use report::{Group, Measure, Report};
