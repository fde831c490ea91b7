//! The `cppo` command: one file per subcommand, and what they share.

mod allocator;
mod args;
mod bench;
mod data;
mod demo;
mod device;
mod devices;
mod eval;
mod export;
mod failure;
mod infer;
mod interrupt;
mod mesa;
mod perceive;
mod pretrained;
mod ranks;
mod reward_program;
mod score;
mod serve;
mod train;

use clap::{Parser, Subcommand};

use crate::failure::Failure;

/// Contrastive Perception Policy Optimization for Qwen2.5-VL, natively in Rust.
#[derive(Parser)]
#[command(name = "cppo", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train by reinforcement learning; without arguments the demo, on the best device found
    Train(train::Train),
    /// Warm-start a model on worked responses
    Sft(train::Sft),
    /// Answer a question about pictures
    Infer(infer::Infer),
    /// Measure a model on a benchmark: avg@n, pass@n and maj@n with 95 % intervals
    Eval(Box<eval::Eval>),
    /// Show which words of an answer come from the picture
    Perceive(perceive::Perceive),
    /// Reward responses: JSON lines {"response", "answer"} on standard input
    Score(score::Score),
    /// Make data sets and look into them
    Data(data::Data),
    /// Write a model for the browser: files of limited size, quantized, with a manifest
    Export(export::ExportCommand),
    /// Serve the page, exported models and an OpenAI-compatible endpoint on localhost
    Serve(serve::Serve),
    /// List the devices found and the number formats they support
    Devices(devices::Devices),
    /// Time vision encoding, prefill and decoding on random weights
    Bench(bench::Bench),
}

fn main() {
    allocator::keep_freed_memory();
    mesa::provide_runtime_folder();
    let result = match Cli::parse().command {
        Command::Train(command) => command.run(),
        Command::Sft(command) => command.run(),
        Command::Infer(command) => command.run(),
        Command::Eval(command) => command.run(),
        Command::Perceive(command) => command.run(),
        Command::Score(command) => command.run(),
        Command::Data(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Serve(command) => command.run(),
        Command::Devices(command) => command.run(),
        Command::Bench(command) => command.run(),
    };
    if let Err(Failure { message, code }) = result {
        if !message.is_empty() {
            eprintln!("cppo: {message}");
        }
        std::process::exit(code);
    }
}
