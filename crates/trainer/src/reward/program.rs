//! A program of the user's own that scores responses: one JSON line each way.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use cppo::reward::{ProgramConfig, ProgramReward};
use serde::{Deserialize, Serialize};

use super::process::{NoLine, Process};
use crate::data::json_problem;

/// What a program is told of a response.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Asked<'a> {
    /// The question.
    pub prompt: &'a str,
    /// The response, without special tokens.
    pub response: &'a str,
    /// The right answer.
    pub answer: &'a str,
    /// Where the question comes from.
    pub data_source: &'a str,
}

/// Why a program's scores cannot be had.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RewardError {
    #[error("the reward program {name} cannot be started: {command}: {source}; check its command")]
    Start { name: String, command: String, source: std::io::Error },
    #[error(
        "the reward program {name}, restarted {restarts} times, {fault}; mend it, or raise its \
         timeout_s or restarts{said}"
    )]
    Failed { name: String, restarts: usize, fault: String, said: String },
}

/// A line to the program.
#[derive(Serialize)]
struct Request<'a> {
    id: u64,
    #[serde(flatten)]
    asked: Asked<'a>,
}

/// A line from the program; other keys may stand beside these.
#[derive(Deserialize)]
struct Reply {
    id: u64,
    score: f64,
    #[serde(default)]
    metrics: BTreeMap<String, f64>,
}

/// A program that is started once, and again where it fails.
pub struct Program {
    config: ProgramConfig,
    process: Option<Process>,
    /// The number of the next request; never used twice.
    next: u64,
}

impl Program {
    /// Starts the program.
    ///
    /// # Errors
    ///
    /// When there is no such program, or it cannot be run.
    pub fn start(config: &ProgramConfig) -> Result<Self, RewardError> {
        let mut program = Self { config: config.clone(), process: None, next: 0 };
        program.process = Some(program.spawn()?);
        Ok(program)
    }

    /// Its configuration.
    pub fn config(&self) -> &ProgramConfig {
        &self.config
    }

    /// What the program says of each response.
    ///
    /// # Errors
    ///
    /// When it fails at the same batch more often than it may be started again.
    pub fn judge(&mut self, asked: &[Asked]) -> Result<Vec<ProgramReward>, RewardError> {
        let mut judged = Vec::with_capacity(asked.len());
        for batch in asked.chunks(self.config.batch.max(1)) {
            judged.extend(self.batch(batch)?);
        }
        Ok(judged)
    }

    fn batch(&mut self, batch: &[Asked]) -> Result<Vec<ProgramReward>, RewardError> {
        let first = self.next;
        self.next += batch.len() as u64;
        let name = self.config.name.clone();
        let mut restarts = 0;
        loop {
            let process = match self.process.take() {
                Some(process) => process,
                None => self.spawn()?,
            };
            let failed = match exchange(&process, batch, first, &self.config) {
                Ok(judged) => {
                    self.process = Some(process);
                    return Ok(judged);
                }
                Err(fault) => fault,
            };
            let (status, said) = process.end();
            let fault = failed.text(status);
            let said = match said.as_str() {
                "" => said,
                said => format!("; its last line on standard error: {said}"),
            };
            if restarts == self.config.restarts {
                return Err(RewardError::Failed { name, restarts, fault, said });
            }
            restarts += 1;
            eprintln!("warning: the reward program {name} {fault}; starting it again{said}");
        }
    }

    fn spawn(&self) -> Result<Process, RewardError> {
        Process::start(&self.config.command).map_err(|source| RewardError::Start {
            name: self.config.name.clone(),
            command: self.config.command.first().cloned().unwrap_or_default(),
            source,
        })
    }
}

/// What a program did wrong.
enum Fault {
    /// It left so many responses unanswered for so long.
    Late(usize, f64),
    /// It closed its output.
    Closed,
    /// It wrote something else than it should.
    Line(String),
}

impl Fault {
    /// Follows the program's name.
    fn text(&self, status: Option<ExitStatus>) -> String {
        match (self, status) {
            (Self::Late(open, seconds), _) => {
                format!("left {open} responses without a score for {seconds} s")
            }
            (Self::Closed, Some(status)) => format!("ended ({status})"),
            (Self::Closed, None) => "was killed or closed its output".into(),
            (Self::Line(what), _) => what.clone(),
        }
    }
}

/// Asks about a batch whose first number is `first`, and waits for all replies.
fn exchange(
    process: &Process,
    batch: &[Asked],
    first: u64,
    config: &ProgramConfig,
) -> Result<Vec<ProgramReward>, Fault> {
    let seconds = config.timeout_s;
    let deadline = Instant::now() + Duration::from_secs_f64(seconds);
    let mut text = Vec::new();
    for (id, &asked) in (first..).zip(batch) {
        serde_json::to_writer(&mut text, &Request { id, asked })
            .map_err(|error| Fault::Line(format!("cannot be asked: {error}")))?;
        text.push(b'\n');
    }
    process.write(text);
    let mut judged = vec![None; batch.len()];
    let mut open = batch.len();
    while open > 0 {
        let line = process.line(deadline).map_err(|none| match none {
            NoLine::Late => Fault::Late(open, seconds),
            NoLine::Closed => Fault::Closed,
            NoLine::Long => Fault::Line("wrote a line of more than 1 MiB".into()),
        })?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let (id, reward) = reply(&line, config.weight).map_err(|what| wrong(&line, &what))?;
        let place = id.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        let slot = place.and_then(|place| judged.get_mut(place));
        match slot {
            Some(slot @ None) => *slot = Some(reward),
            Some(_) => return Err(wrong(&line, "a second reply to the same id")),
            None => return Err(wrong(&line, "no such id was asked")),
        }
        open -= 1;
    }
    Ok(judged.into_iter().flatten().collect())
}

fn reply(line: &[u8], weight: f32) -> Result<(u64, ProgramReward), String> {
    let Reply { id, score, metrics } =
        serde_json::from_slice(line).map_err(|error| match error.is_data() {
            true => json_problem(&error),
            false => format!("not JSON: {}", json_problem(&error)),
        })?;
    let score = score as f32;
    match (score * weight).is_finite() && score.is_finite() {
        true => Ok((id, ProgramReward { score, metrics })),
        false => Err(format!("the score, with the weight {weight}, is not finite")),
    }
}

fn wrong(line: &[u8], what: &str) -> Fault {
    let text = String::from_utf8_lossy(line);
    let shown: String = text.chars().filter(|c| !c.is_control()).take(100).collect();
    Fault::Line(format!("wrote {shown:?}: {what}; a reply is {{\"id\": …, \"score\": …}}"))
}
