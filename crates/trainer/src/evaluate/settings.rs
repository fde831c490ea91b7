//! What decides the responses and verdicts of an evaluation.

use std::path::{Path, PathBuf};

use cppo::reward::Grader;
use generation::SamplingParams;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::EvaluateError;
use crate::atomic;
use crate::pretrained::{ModelFiles, PretrainedError};

/// All that an evaluation's numbers depend on; one that goes on must have the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Folder or hub id of the model.
    pub model: String,
    /// Checksum of parts of its weights.
    pub weights: u32,
    /// What is put on it.
    pub adapter: Option<Adapter>,
    /// Number format of weights and computation.
    pub dtype: String,
    /// Name of the benchmark.
    pub benchmark: String,
    /// Files of the questions.
    pub data: Vec<PathBuf>,
    /// Number of questions.
    pub questions: usize,
    /// Checksum of what they show, their texts and answers.
    pub questions_crc32c: u32,
    /// Responses to each.
    pub n: usize,
    /// 0 takes the likeliest token.
    pub temperature: f64,
    /// Draws among the k likeliest tokens.
    pub top_k: Option<usize>,
    /// Draws among the likeliest tokens that reach this probability.
    pub top_p: f64,
    /// Leaves out tokens less likely than this share of the likeliest.
    pub min_p: f64,
    /// Makes tokens that already occurred less likely.
    pub repetition_penalty: f64,
    /// Longest response in tokens.
    pub max_new_tokens: usize,
    /// Seed of the draws and of the resampling.
    pub seed: u64,
    /// Judge of free answers.
    pub grader: Grader,
    /// Whether CPPO's instruction to think first stands behind the question.
    pub instruction: bool,
}

/// An adapter in PEFT's format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adapter {
    /// Its folder.
    pub name: String,
    /// Checksum of its configuration and of parts of its weights.
    pub weights: u32,
}

impl Adapter {
    /// The adapter of a folder.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn new(folder: &Path) -> Result<Self, PretrainedError> {
        let files = ModelFiles::Folder(folder.to_path_buf());
        let config = files.read("adapter_config.json")?.unwrap_or_default();
        let weights = crc32c::crc32c_append(files.fingerprint()?, &config);
        Ok(Self { name: folder.display().to_string(), weights })
    }
}

impl Settings {
    /// What to call the model, with its adapter.
    pub fn title(&self) -> String {
        match &self.adapter {
            Some(adapter) => format!("{} with {}", self.model, adapter.name),
            None => self.model.clone(),
        }
    }

    /// How tokens are drawn.
    pub fn sampling(&self) -> SamplingParams {
        SamplingParams {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
        }
    }

    /// Writes the settings to `folder`, or compares them with those that stand there.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written to, or holds other settings; names the first that differs.
    pub(super) fn settle(&self, folder: &Path) -> Result<(), EvaluateError> {
        let path = folder.join("settings.json");
        let now = serde_json::to_value(self).expect("settings are plain values");
        match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                write(&path, format!("{now:#}\n").as_bytes())
            }
            Err(error) => Err(EvaluateError::io(&path)(error)),
            Ok(bytes) => {
                let before: Value = serde_json::from_slice(&bytes).map_err(|error| {
                    let message = format!("not JSON: {error}; choose another folder");
                    EvaluateError::damaged(&path, message)
                })?;
                let names = now.as_object().into_iter().flat_map(|now| now.keys());
                match names.into_iter().find(|name| before[*name] != now[*name]) {
                    None => Ok(()),
                    Some(key) => Err(EvaluateError::Changed {
                        path: folder.to_path_buf(),
                        key: key.clone(),
                        before: before[key].to_string(),
                        now: now[key].to_string(),
                    }),
                }
            }
        }
    }
}

/// Writes a file under a temporary name and renames it.
///
/// # Errors
///
/// When its folder cannot be written to; an older file then stays.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), EvaluateError> {
    atomic::write(path, bytes).map_err(EvaluateError::io(path))
}
