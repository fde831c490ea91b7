//! `--reward-program`: a program that scores responses, as in training.

use clap::Args;
use cppo::reward::ProgramConfig;
use trainer::reward::Program;

use crate::failure::Failure;

#[derive(Args, Default)]
pub struct ProgramArgs {
    /// A program that scores the responses too, as in training: it and its arguments, split at
    /// spaces, or a JSON list of them
    #[arg(long, value_name = "COMMAND")]
    reward_program: Option<String>,
    /// Seconds that the program may take for a batch of responses
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, requires = "reward_program")]
    reward_timeout: f64,
}

impl ProgramArgs {
    /// Starts the program, where one is named.
    pub fn start(&self) -> Result<Option<Program>, Failure> {
        let Some(command) = &self.reward_program else { return Ok(None) };
        let list = command.trim_start().starts_with('[').then(|| serde_json::from_str(command));
        let command = list
            .unwrap_or_else(|| Ok(command.split_whitespace().map(String::from).collect()))
            .map_err(|error| Failure::usage(format!("--reward-program {command}: {error}")))?;
        let config = ProgramConfig {
            name: "program".into(),
            command,
            timeout_s: self.reward_timeout,
            ..ProgramConfig::default()
        };
        config.validate().map_err(|error| Failure::usage(format!("--reward-program: {error}")))?;
        Ok(Some(Program::start(&config)?))
    }
}
