//! Items by split and index.

use std::ops::Range;

use image::RgbImage;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::draw::draw;
use crate::puzzle::Puzzle;
use crate::{Difficulty, Family, Split};

/// A picture with a question and the response a perfect reader would give.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// 84×84 pixels: with patches of 14 and a merge of 2, one visual token per cell of the 3×3 grid.
    pub picture: RgbImage,
    /// A short question.
    pub question: String,
    /// A number, a colour, a shape, yes or no.
    pub answer: String,
    /// The scene in words, then the answer: `<think> … </think> \boxed{answer}`.
    pub response: String,
    /// Byte spans of the words in `response` that name something seen, in order: positions, colours, shapes,
    /// heights, digits.
    pub seen: Vec<Range<usize>>,
    /// The kind of question.
    pub family: Family,
}

/// An endless source of items.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gym {
    /// Kinds of questions, taken in turn; empty for all.
    pub families: Vec<Family>,
    /// How hard the pictures are to read.
    pub difficulty: Difficulty,
    /// Another seed draws other items.
    pub seed: u64,
}

impl Gym {
    /// Item `index` of a split: the same whenever it is asked for.
    pub fn item(&self, split: Split, index: u64) -> Item {
        let family = self.family(index);
        let mut rng = self.stream(split, family, index);
        let puzzle = Puzzle::draw(family, self.difficulty, split, &mut rng);
        let picture = draw(&puzzle.scene, self.difficulty, &mut rng);
        let (response, seen) = respond(&puzzle);
        Item { picture, question: puzzle.question, answer: puzzle.answer, response, seen, family }
    }

    /// Question and response of the first training items in turn, for training a tokenizer; draws no pictures.
    pub fn corpus(&self, items: u64) -> impl Iterator<Item = String> {
        (0..items).flat_map(|index| {
            let family = self.family(index);
            let mut rng = self.stream(Split::Train, family, index);
            let puzzle = Puzzle::draw(family, self.difficulty, Split::Train, &mut rng);
            let (response, _) = respond(&puzzle);
            [puzzle.question, response]
        })
    }

    fn family(&self, index: u64) -> Family {
        let families = if self.families.is_empty() { Family::ALL } else { &self.families };
        families[(index % families.len() as u64) as usize]
    }

    /// One ChaCha stream per item; seed, split and family are its key.
    fn stream(&self, split: Split, family: Family, index: u64) -> ChaCha8Rng {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..10].copy_from_slice(&[split as u8, family as u8]);
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(index);
        rng
    }
}

/// The response and the spans of its seen words.
fn respond(puzzle: &Puzzle) -> (String, Vec<Range<usize>>) {
    const OPEN: &str = "<think> ";
    let thought = puzzle.scene.description();
    let response = format!("{OPEN}{}. </think> \\boxed{{{}}}", thought.text, puzzle.answer);
    let seen = thought.seen.iter().map(|span| span.start + OPEN.len()..span.end + OPEN.len());
    (response, seen.collect())
}
