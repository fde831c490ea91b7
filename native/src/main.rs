//! The `cppo` command: one file per subcommand, and what they share.

mod args;
mod bench;
mod device;
mod devices;
mod failure;
mod infer;
mod output;
mod pretrained;

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
    /// Answer a question about pictures
    Infer(infer::Infer),
    /// List the devices found and the number formats they support
    Devices(devices::Devices),
    /// Time vision encoding, prefill and decoding on random weights
    Bench(bench::Bench),
}

fn main() {
    let result = match Cli::parse().command {
        Command::Infer(command) => command.run(),
        Command::Devices(command) => command.run(),
        Command::Bench(command) => command.run(),
    };
    if let Err(Failure { message, code }) = result {
        eprintln!("cppo: {message}");
        std::process::exit(code);
    }
}
