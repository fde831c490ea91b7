//! The run folder: configuration, metrics, responses and checkpoints.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use burn::tensor::Device;
use serde::Serialize;
use serde_json::{Value, json};

use crate::atomic;
use crate::checkpoint::{CheckpointError, Checkpoints, TrainerState, load_optimizer, load_policy};
use crate::collective::{Collective, CollectiveError, agree, from_leader, leads};
use crate::config::{Logger, Resume, TrainerConfig, to_yaml};
use crate::evaluate::Validation;
use crate::metrics::Metrics;
use crate::metrics::jsonl::{JsonlWriter, truncate_after};
use crate::metrics::tensorboard::EventWriter;
use crate::optim::Optim;
use crate::pretrained::Pretrained;
use crate::rollout::Group;

/// Why a run folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RunError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error(
        "{} holds a run already; choose another trainer.run_dir, or trainer.resume=auto to go on",
        path.display()
    )]
    Occupied { path: PathBuf },
    #[error(
        "{} holds a run with another configuration ({keys}); choose another trainer.run_dir, or \
         the configuration in its config.yaml",
        path.display()
    )]
    Changed { path: PathBuf, keys: String },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Collective(#[from] CollectiveError),
}

/// Keys that a run may change when it goes on: they change where it computes and when it ends. The
/// cosine schedule follows the new end.
const FREE_KEYS: [&str; 15] = [
    "data.workers",
    "data.prefetch",
    "trainer.run_dir",
    "trainer.device",
    "trainer.total_steps",
    "trainer.epochs",
    "trainer.save_every",
    "trainer.eval_every",
    "trainer.keep",
    "trainer.resume",
    "trainer.recompute",
    "trainer.dump_rollouts",
    "trainer.shard_optimizer",
    "trainer.rank_timeout_s",
    "trainer.loggers",
];

/// An open run folder; only rank 0 writes there.
pub struct Run {
    folder: PathBuf,
    checkpoints: Checkpoints,
    resume: Option<(PathBuf, TrainerState)>,
    keep: usize,
    leads: bool,
    metrics: Option<JsonlWriter>,
    events: Option<EventWriter>,
}

impl Run {
    /// Opens or makes the folder, and finds the checkpoint to go on from, which all ranks read.
    ///
    /// # Errors
    ///
    /// When it cannot be written to, or holds a run of another configuration.
    pub fn open(
        config: &(impl Serialize + Default),
        trainer: &TrainerConfig,
        ranks: &dyn Collective,
    ) -> Result<Self, RunError> {
        let folder = trainer.run_dir.clone();
        agree(ranks, "configuration", shared(config))?;
        let resume =
            from_leader(ranks, "the checkpoint to go on from", || prepare(config, trainer))?;
        let mut run = Self {
            checkpoints: Checkpoints::new(&folder),
            folder,
            resume,
            keep: trainer.keep,
            leads: leads(ranks),
            metrics: None,
            events: None,
        };
        if run.leads {
            run.open_logs(trainer)?;
        }
        Ok(run)
    }

    fn open_logs(&mut self, trainer: &TrainerConfig) -> Result<(), RunError> {
        let step = self.resume.as_ref().map_or(0, |(_, state)| state.step);
        let logs = |logger| trainer.loggers.contains(&logger);
        if logs(Logger::Jsonl) {
            let path = self.folder.join("metrics.jsonl");
            // Without a checkpoint the run starts anew, and so do its metrics.
            let opened = match (&self.resume, path.exists()) {
                (Some(_), true) => truncate_after(&path, step as u64),
                (None, true) => std::fs::remove_file(&path),
                (_, false) => Ok(()),
            };
            let opened = opened.and_then(|()| JsonlWriter::open(&path));
            self.metrics = Some(opened.map_err(failed(&path))?);
        }
        if logs(Logger::Tensorboard) {
            let opened = EventWriter::create(&self.folder, wall_time(), step as u64);
            self.events = Some(opened.map_err(failed(&self.folder))?);
        }
        Ok(())
    }

    /// Loads the checkpoint to go on from; without one, `policy` is what the run starts with.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn resume(
        &mut self,
        policy: Pretrained,
        optim: &mut Optim,
        device: &Device,
    ) -> Result<(Pretrained, TrainerState), CheckpointError> {
        let Some((path, state)) = self.resume.take() else {
            return Ok((policy, TrainerState::default()));
        };
        load_optimizer(optim, &path, device)?;
        Ok((load_policy(policy, &path, device)?, state))
    }

    /// Writes the metrics of a step.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written to.
    pub fn log(&mut self, step: usize, metrics: &Metrics) -> Result<(), RunError> {
        let failed = |source| RunError::Io { path: self.folder.clone(), source };
        if let Some(writer) = &mut self.metrics {
            writer.write(step as u64, metrics).map_err(failed)?;
        }
        if let Some(writer) = &mut self.events {
            writer.write(step as u64, wall_time(), metrics).map_err(failed)?;
        }
        Ok(())
    }

    /// Writes the responses of a step to `rollouts/step_N.jsonl`, in verl's columns.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written to.
    pub fn dump(&self, step: usize, groups: &[Group]) -> Result<(), RunError> {
        if !self.leads {
            return Ok(());
        }
        let folder = self.folder.join("rollouts");
        let path = folder.join(format!("step_{step}.jsonl"));
        let write = || {
            std::fs::create_dir_all(&folder)?;
            let mut writer = std::io::BufWriter::new(atomic::file_beside(&path)?);
            for line in groups.iter().flat_map(|group| dump_lines(step, group)) {
                writeln!(writer, "{line}")?;
            }
            atomic::persist(writer.into_inner().map_err(|error| error.into_error())?, &path)
        };
        write().map_err(|source| RunError::Io { path: path.clone(), source })
    }

    /// Writes a checkpoint, which does not tell how many ranks there are, and removes those no
    /// longer kept.
    ///
    /// # Errors
    ///
    /// When the disk is full or not writable, or another rank fails; the checkpoints before it
    /// stay.
    pub fn save(
        &self,
        policy: &Pretrained,
        optim: &Optim,
        state: &TrainerState,
        ranks: &dyn Collective,
    ) -> Result<(), RunError> {
        let optim = optim.gathered(ranks)?;
        if !self.leads {
            return Ok(());
        }
        self.checkpoints.save(policy, &optim, state)?;
        let best = state.best.map(|(_, step)| step);
        if best == Some(state.step) {
            self.checkpoints.point("best", state.step)?;
        }
        Ok(self.checkpoints.prune(self.keep, best)?)
    }

    /// The first and the last validation accuracy of `metrics.jsonl`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn accuracy(&self) -> Result<Option<(f64, f64)>, RunError> {
        if self.metrics.is_none() {
            return Ok(None);
        }
        let path = self.folder.join("metrics.jsonl");
        let text = std::fs::read_to_string(&path)
            .map_err(|source| RunError::Io { path: path.clone(), source })?;
        let mut found = text.lines().filter_map(|line| {
            let metrics: Value = serde_json::from_str(line).ok()?;
            let is_accuracy = |name: &String| name.starts_with(Validation::ACCURACY);
            metrics.as_object()?.iter().find(|(name, _)| is_accuracy(name))?.1.as_f64()
        });
        let first = found.next();
        Ok(first.map(|first| (first, found.next_back().unwrap_or(first))))
    }
}

/// The part of the configuration that is the same on all ranks: each has a device of its own.
fn shared(config: &impl Serialize) -> Value {
    let mut config = serde_json::to_value(config).expect("plain data");
    config["trainer"]["device"].take();
    config
}

/// Makes the folder, compares the configuration with that of a run that is there, writes it, and
/// finds the checkpoint to go on from.
fn prepare<C: Serialize + Default>(
    config: &C,
    trainer: &TrainerConfig,
) -> Result<Option<(PathBuf, TrainerState)>, RunError> {
    let (config, defaults) = (to_yaml(config), to_yaml(&C::default()));
    let folder = &trainer.run_dir;
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    let checkpoints = Checkpoints::new(folder);
    let path = folder.join("config.yaml");
    let mut resume = None;
    // Before its first checkpoint a run has nothing to go on from, and may change at will.
    let before = std::fs::read_to_string(&path);
    if let Some(before) = before.ok().filter(|_| !checkpoints.steps().is_empty()) {
        if trainer.resume == Resume::Never {
            return Err(RunError::Occupied { path: folder.clone() });
        }
        let keys = changed_keys(&before, &config, &defaults);
        if !keys.is_empty() {
            return Err(RunError::Changed { path: folder.clone(), keys: keys.join(", ") });
        }
        let (found, damaged) = checkpoints.newest()?;
        for error in damaged {
            eprintln!("warning: {error}; taking the one before it");
        }
        resume = found;
    }
    atomic::write(&path, config).map_err(failed(&path))?;
    Ok(resume)
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> RunError {
    let path = path.to_path_buf();
    move |source| RunError::Io { path, source }
}

fn dump_lines(step: usize, group: &Group) -> impl Iterator<Item = Value> {
    group.responses.iter().map(move |response| {
        let mut line = json!({
            "step": step,
            "index": group.example.index,
            "input": group.example.question,
            "output": response.text,
            "gts": group.example.answer,
            "answer": response.reward.answer,
            "score": response.reward.score,
            "acc": response.reward.accuracy,
            "format": response.reward.format,
            "advantage": response.advantage,
            "tokens": response.ids.len(),
        });
        if !response.reward.programs.is_empty() {
            line["programs"] = json!(response.reward.programs);
        }
        line
    })
}

fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// Dotted keys whose values differ between two configurations and may not. A key that an older
/// version did not know had its default value.
fn changed_keys(before: &str, now: &str, defaults: &str) -> Vec<String> {
    let parse = |text: &str| yaml_serde::from_str::<Value>(text).unwrap_or(Value::Null);
    let mut keys = Vec::new();
    differences("", &parse(before), &parse(now), &parse(defaults), &mut keys);
    keys.retain(|key| !FREE_KEYS.contains(&key.as_str()));
    keys
}

fn differences(path: &str, before: &Value, now: &Value, defaults: &Value, keys: &mut Vec<String>) {
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => {
            let names: std::collections::BTreeSet<&String> =
                before.keys().chain(now.keys()).collect();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let default = &defaults[name.as_str()];
                let (before, now) = (before.get(name), now.get(name));
                let (before, now) = (before.unwrap_or(default), now.unwrap_or(&Value::Null));
                differences(&path, before, now, default, keys);
            }
        }
        _ if before != now => keys.push(path.to_string()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_change_the_computation_are_named() {
        let before = "optim: {lr: 1.0, betas: [1, 2]}\ntrainer: {total_steps: 3, batch_prompts: 4}";
        let cases = [
            (
                "optim: {lr: 1.0, betas: [1, 2]}\ntrainer: {total_steps: 9, batch_prompts: 4}",
                vec![],
            ),
            (
                "optim: {lr: 2.0, betas: [1, 3]}\ntrainer: {total_steps: 3, batch_prompts: 5}",
                vec!["optim.betas", "optim.lr", "trainer.batch_prompts"],
            ),
        ];
        for (now, expected) in cases {
            assert_eq!(changed_keys(before, now, ""), expected);
        }
        // Older runs did not know all keys, and did what is the default now.
        let (before, defaults) = ("data: {seed: 1}", "trainer: {eval_n: 1}\nmodel: {lora: null}");
        let cases = [
            ("data: {seed: 1, workers: 2}\ntrainer: {eval_n: 1}", vec![]),
            ("data: {seed: 1}\ntrainer: {eval_n: 2}", vec!["trainer.eval_n"]),
            ("data: {seed: 1}\nmodel: {lora: null}", vec![]),
        ];
        for (now, expected) in cases {
            assert_eq!(changed_keys(before, now, defaults), expected, "{now}");
        }
    }
}
