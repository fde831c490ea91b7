//! Checkpoints: a Hugging Face model folder, or PEFT's adapter folder, with the optimizer and the
//! place in the data.
//!
//! A checkpoint is written beside its place and renamed, and `latest` moves last, so that whatever
//! happens there is a whole one. Each file's length and checksum are kept, so that a damaged
//! checkpoint is noticed and the one before it is taken.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use safetensors::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::data::Skipped;
use crate::loss_scale::LossScale;
use crate::optim::Optim;
use crate::pretrained::{self, ModelFiles, Pretrained, PretrainedError};

/// What a run needs besides weights and optimizer to go on exactly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    /// Steps done.
    pub step: usize,
    /// Examples visited.
    pub place: usize,
    /// Examples left out, by reason.
    pub skipped: Skipped,
    /// Best validation score so far, and the step it was reached at.
    pub best: Option<(f64, usize)>,
    /// Where the loss is scaled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<LossScale>,
    /// Length and CRC-32C of every other file of the checkpoint.
    #[serde(default)]
    files: BTreeMap<String, (u64, u32)>,
}

/// Why a checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum CheckpointError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{} is damaged: {message}", path.display())]
    Damaged { path: PathBuf, message: String },
    #[error(transparent)]
    Pretrained(#[from] PretrainedError),
    #[error("no whole checkpoint in {}", path.display())]
    NoneWhole { path: PathBuf },
}

const STATE: &str = "trainer_state.json";
const OPTIMIZER: &str = "optimizer.safetensors";
const LATEST: &str = "latest";

/// The checkpoints of a run folder.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// Those in `run_dir/checkpoints`.
    pub fn new(run_dir: &Path) -> Self {
        Self { folder: run_dir.join("checkpoints") }
    }

    /// The folder of a step.
    pub fn path(&self, step: usize) -> PathBuf {
        self.folder.join(format!("step_{step}"))
    }

    /// Steps that have a checkpoint, the newest first.
    pub fn steps(&self) -> Vec<usize> {
        let mut steps: Vec<usize> = std::fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("step_")?.parse().ok())
            .collect();
        steps.sort_unstable_by_key(|&step| std::cmp::Reverse(step));
        steps
    }

    /// Writes a checkpoint and points `latest` at it.
    ///
    /// # Errors
    ///
    /// When the disk is full or not writable; what was there before stays.
    pub fn save(
        &self,
        policy: &Pretrained,
        optim: &Optim,
        state: &TrainerState,
    ) -> Result<(), CheckpointError> {
        let target = self.path(state.step);
        let failed = |source| CheckpointError::Io { path: target.clone(), source };
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        self.sweep().map_err(failed)?;
        let temporary = atomic::folder_beside(&target).map_err(failed)?;
        pretrained::save(policy, temporary.path())?;
        save_optimizer(optim, &temporary.path().join(OPTIMIZER)).map_err(failed)?;
        let state =
            TrainerState { files: checksums(temporary.path()).map_err(failed)?, ..state.clone() };
        let json = serde_json::to_vec_pretty(&state).expect("plain data");
        std::fs::write(temporary.path().join(STATE), json).map_err(failed)?;
        sync(temporary.path()).map_err(failed)?;
        if target.exists() {
            std::fs::remove_dir_all(&target).map_err(failed)?;
        }
        std::fs::rename(temporary.keep(), &target).map_err(failed)?;
        self.point(LATEST, state.step)
    }

    /// Writes a file that names the checkpoint of a step.
    ///
    /// # Errors
    ///
    /// When the disk is full or not writable.
    pub fn point(&self, name: &str, step: usize) -> Result<(), CheckpointError> {
        let path = self.folder.join(name);
        atomic::write(&path, format!("step_{step}\n"))
            .map_err(|source| CheckpointError::Io { path, source })
    }

    /// Removes what a killed run left half-written.
    fn sweep(&self) -> std::io::Result<()> {
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "part") && path.is_dir() {
                std::fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }

    /// Removes all but the newest `keep` checkpoints and that of step `best`; 0 keeps all.
    ///
    /// # Errors
    ///
    /// When a folder cannot be removed.
    pub fn prune(&self, keep: usize, best: Option<usize>) -> Result<(), CheckpointError> {
        let old = self.steps().into_iter().skip(if keep == 0 { usize::MAX } else { keep });
        for step in old.filter(|&step| Some(step) != best) {
            let path = self.path(step);
            std::fs::remove_dir_all(&path)
                .map_err(|source| CheckpointError::Io { path, source })?;
        }
        Ok(())
    }

    /// The newest whole checkpoint, and the damaged ones that were passed over.
    ///
    /// # Errors
    ///
    /// When there are checkpoints but none is whole.
    #[allow(clippy::type_complexity)]
    pub fn newest(
        &self,
    ) -> Result<(Option<(PathBuf, TrainerState)>, Vec<CheckpointError>), CheckpointError> {
        let mut damaged = Vec::new();
        for step in self.steps() {
            let path = self.path(step);
            match verified(&path) {
                Ok(state) => return Ok((Some((path, state)), damaged)),
                Err(message) => damaged.push(CheckpointError::Damaged { path, message }),
            }
        }
        match damaged.is_empty() {
            true => Ok((None, damaged)),
            false => Err(CheckpointError::NoneWhole { path: self.folder.clone() }),
        }
    }
}

/// Reads the model of a checkpoint; where it holds adapters, they replace those of `policy`.
///
/// # Errors
///
/// When its files cannot be read.
pub fn load_policy(
    policy: Pretrained,
    path: &Path,
    device: &Device,
) -> Result<Pretrained, PretrainedError> {
    if policy.model.adapter().is_none() {
        let files = ModelFiles::Folder(path.into());
        return pretrained::load(&files, None, burn::tensor::DType::F32, device);
    }
    pretrained::with_adapter(policy, path)
}

/// Reads the optimizer of a checkpoint.
///
/// # Errors
///
/// When its file cannot be read.
pub fn load_optimizer(
    optim: &mut Optim,
    path: &Path,
    device: &Device,
) -> Result<(), CheckpointError> {
    let path = path.join(OPTIMIZER);
    let bytes = std::fs::read(&path)
        .map_err(|source| CheckpointError::Io { path: path.clone(), source })?;
    let damaged = |message: String| CheckpointError::Damaged { path: path.clone(), message };
    let arrays = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
    for name in arrays.names() {
        let parameter = name.strip_prefix("exp_avg.").filter(|name| optim.keeps(name));
        let Some(parameter) = parameter else { continue };
        let array = |prefix: &str| {
            arrays
                .tensor(&format!("{prefix}.{parameter}"))
                .map_err(|error| damaged(error.to_string()))
        };
        let floats = |bytes: &[u8]| -> Vec<f32> { bytemuck::pod_collect_to_vec(bytes) };
        let updates: Vec<i64> = bytemuck::pod_collect_to_vec(array("step")?.data());
        let (first, second) =
            (floats(array("exp_avg")?.data()), floats(array("exp_avg_sq")?.data()));
        let updates = updates.first().copied().unwrap_or(0) as usize;
        optim.restore(parameter, updates, first, second, device);
    }
    Ok(())
}

/// One array of the optimizer's file.
struct Array {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for Array {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Names are PyTorch's: `exp_avg`, `exp_avg_sq` and `step` of each parameter.
fn save_optimizer(optim: &Optim, path: &Path) -> std::io::Result<()> {
    let mut arrays = Vec::new();
    for (name, state) in optim.state() {
        for (prefix, tensor) in [("exp_avg", &state.moment_1), ("exp_avg_sq", &state.moment_2)] {
            let data = tensor.clone().into_data();
            let shape = vec![tensor.dims()[0]];
            let bytes = data.as_bytes().to_vec();
            arrays.push((format!("{prefix}.{name}"), Array { dtype: Dtype::F32, shape, bytes }));
        }
        let bytes = (state.time as i64).to_le_bytes().to_vec();
        arrays.push((format!("step.{name}"), Array { dtype: Dtype::I64, shape: vec![], bytes }));
    }
    safetensors::serialize_to_file(arrays, None, path).map_err(std::io::Error::other)
}

/// Length and CRC-32C of each file of a folder.
fn checksums(folder: &Path) -> std::io::Result<BTreeMap<String, (u64, u32)>> {
    let mut sums = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if let Some(name) = entry.file_name().to_str().filter(|name| *name != STATE) {
            sums.insert(name.to_string(), checksum(&entry.path())?);
        }
    }
    Ok(sums)
}

fn checksum(path: &Path) -> std::io::Result<(u64, u32)> {
    let mut file = std::fs::File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    let (mut length, mut sum) = (0, 0);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((length, sum));
        }
        length += read as u64;
        sum = crc32c::crc32c_append(sum, &buffer[..read]);
    }
}

/// The state of a checkpoint whose files are all as they were written.
fn verified(folder: &Path) -> Result<TrainerState, String> {
    let json = std::fs::read(folder.join(STATE)).map_err(|error| format!("{STATE}: {error}"))?;
    let state: TrainerState =
        serde_json::from_slice(&json).map_err(|error| format!("{STATE}: {error}"))?;
    if state.files.is_empty() {
        return Err(format!("{STATE} names no files"));
    }
    for (name, expected) in &state.files {
        let found = checksum(&folder.join(name)).map_err(|error| format!("{name}: {error}"))?;
        if found.0 != expected.0 {
            return Err(format!("{name} has {} bytes instead of {}", found.0, expected.0));
        }
        if found != *expected {
            return Err(format!("{name} is not as it was written"));
        }
    }
    Ok(state)
}

/// Brings a folder and its files to the disk.
fn sync(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        std::fs::File::open(entry?.path())?.sync_all()?;
    }
    // Folders can be synchronized on Unix only; elsewhere the rename is all there is.
    if cfg!(unix) {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}
