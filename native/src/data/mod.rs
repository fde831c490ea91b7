//! `cppo data`

mod convert;
pub mod faults;
mod files;
mod generate;
mod inspect;
mod page;
mod progress;
mod sheet;
mod survey;
mod tokenizer;

use clap::{Args, Subcommand};

use crate::failure::Failure;

/// Arguments of `cppo data`.
#[derive(Args)]
pub struct Data {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write questions of the perception gym as a data set
    Generate(generate::Generate),
    /// Rewrite a data set as parquet or JSON lines
    Convert(convert::Convert),
    /// Show what a data set holds, or what perturbations do to a picture
    Inspect(inspect::Inspect),
    /// Train a small tokenizer in Qwen2.5's form on the texts of the perception gym
    Tokenizer(tokenizer::Tokenizer),
}

impl Data {
    pub fn run(&self) -> Result<(), Failure> {
        match &self.command {
            Command::Generate(command) => command.run(),
            Command::Convert(command) => command.run(),
            Command::Inspect(command) => command.run(),
            Command::Tokenizer(command) => command.run(),
        }
    }
}
