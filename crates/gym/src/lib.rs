//! The perception gym: generated pictures with questions, answers, rationales and the words that name what is seen.
//!
//! Every item is a pure function of seed, split and index, so a training set needs no files and never runs out.

mod difficulty;
mod draw;
mod family;
mod gym;
mod named;
mod puzzle;
mod scene;
mod split;
mod words;

pub use difficulty::Difficulty;
pub use family::Family;
pub use gym::{Gym, Item};
pub use split::Split;
pub use words::{seen_words, vocabulary};
