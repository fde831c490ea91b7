//! `cppo data tokenizer`

use std::path::PathBuf;

use clap::Args;
use gym::{Difficulty, Family, Gym};

use crate::failure::{Failure, about};

/// Arguments of `cppo data tokenizer`.
#[derive(Args)]
pub struct Tokenizer {
    /// Questions and responses to learn from
    #[arg(long, default_value_t = 20_000)]
    items: u64,
    /// Most tokens besides the 256 bytes and the special ones
    #[arg(long, default_value_t = 768)]
    max_tokens: usize,
    /// Where to write
    #[arg(value_name = "TOKENIZER.json")]
    path: PathBuf,
}

impl Tokenizer {
    pub fn run(&self) -> Result<(), Failure> {
        let gym = Gym { families: Family::ALL.to_vec(), difficulty: Difficulty::Standard, seed: 0 };
        let texts = gym.corpus(self.items).collect::<Vec<_>>().into_iter();
        let json = trainer::train_tokenizer(texts, self.max_tokens).map_err(about("tokenizer"))?;
        std::fs::write(&self.path, json).map_err(about(self.path.display()))
    }
}
