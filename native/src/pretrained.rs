//! `--model`: a folder on disk, a model of the Hugging Face hub brought into the cache, or the demo;
//! and `--adapter`, or a folder that holds nothing but an adapter and names its model.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use hf_hub::RepoType;
use qwen2_5_vl::weights::{adapter_config, is_adapter};
use trainer::hub::{self, HubError};
use trainer::pretrained::{self, ModelFiles, Pretrained, PretrainedError};

use crate::args::ModelArgs;
use crate::demo;
use crate::device::Opened;
use crate::failure::{Failure, about};

/// Opens the device and loads the model that the arguments name; `progress` shows downloads.
pub fn load(args: &ModelArgs, progress: bool) -> Result<(Pretrained, Opened), Failure> {
    let device = args.open_device()?;
    let named = named(args.model.as_deref(), args.adapter.as_deref(), progress)?;
    let pretrained = named.load(DType::from(args.dtype), &device.device)?;
    Ok((pretrained, device))
}

/// A model's files, and the folder of the adapter that goes on it.
pub struct Named {
    /// The model's folder or hub id; empty for the embedded demo model.
    pub name: String,
    pub files: ModelFiles,
    pub adapter: Option<PathBuf>,
}

impl Named {
    /// Loads the model with its adapter.
    pub fn load(&self, dtype: DType, device: &Device) -> Result<Pretrained, PretrainedError> {
        let pretrained = pretrained::load(&self.files, None, dtype, device)?;
        match &self.adapter {
            Some(folder) => pretrained::with_adapter(pretrained, folder),
            None => Ok(pretrained),
        }
    }
}

/// Finds the files of `--model` and `--adapter`.
pub fn named(
    model: Option<&str>,
    adapter: Option<&Path>,
    progress: bool,
) -> Result<Named, Failure> {
    let name = model.unwrap_or("");
    let (name, adapter) = match (is_adapter_only(name), adapter) {
        (true, Some(_)) => {
            return Err(Failure::usage(format!(
                "{name} is an adapter itself; give its model as --model"
            )));
        }
        (true, None) => (base(Path::new(name))?, Some(name.into())),
        (false, Some(folder)) if model.is_none() => (base(folder)?, Some(folder.into())),
        (false, adapter) => (name.into(), adapter.map(Into::into)),
    };
    Ok(Named { files: files(&name, progress)?, name, adapter })
}

/// The name of the model that an adapter was made for.
fn base(adapter: &Path) -> Result<String, Failure> {
    let config = adapter_config(adapter).map_err(Failure::from)?;
    match config.base_model_name_or_path {
        Some(name) if name == demo::NAME => Ok(String::new()),
        Some(name) if !name.is_empty() => Ok(name),
        _ => Err(Failure::usage(format!(
            "{} does not say which model it is for; give --model and --adapter",
            adapter.display()
        ))),
    }
}

/// What an adapter for the model of this name calls it; the opposite of [`base`].
pub fn base_name(name: &str) -> String {
    match Path::new(name).canonicalize() {
        _ if name.is_empty() => demo::NAME.into(),
        Ok(folder) => folder.display().to_string(),
        Err(_) => name.into(),
    }
}

/// Whether a folder holds an adapter and no model.
fn is_adapter_only(name: &str) -> bool {
    let folder = Path::new(name);
    !name.is_empty() && is_adapter(folder) && !folder.join("config.json").is_file()
}

/// The files of a model by name: a folder, a hub id, or nothing for the embedded demo model.
pub fn files(name: &str, progress: bool) -> Result<ModelFiles, Failure> {
    match name {
        "" => Ok(ModelFiles::Embedded(demo::MODEL)),
        name if is_adapter_only(name) => Err(Failure::usage(format!(
            "{name} is an adapter; `cppo export --merge --model {name} --out FOLDER` makes a model \
             of it"
        ))),
        name => folder(name, progress).map(ModelFiles::Folder),
    }
}

/// What to call a model where its place does not matter: its folder's own name, or its hub id.
pub fn short_name(name: &str) -> String {
    let folder = Path::new(name).canonicalize().ok();
    match folder.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()) {
        _ if name.is_empty() => "demo".into(),
        Some(folder) => folder.into(),
        None => name.into(),
    }
}

fn folder(name: &str, progress: bool) -> Result<PathBuf, Failure> {
    if Path::new(name).is_dir() {
        return Ok(name.into());
    }
    if !is_on_hub(name) {
        return Err(Failure::usage(format!("{name}: no such folder, and not a hub id OWNER/NAME")));
    }
    download(name, progress).map_err(about(format_args!("downloading {name}")))
}

/// Whether a name means a model of the hub: what is on disk goes before.
pub fn is_on_hub(name: &str) -> bool {
    !Path::new(name).is_dir() && hub::is_id(name)
}

/// Downloads what is missing in the cache.
fn download(id: &str, progress: bool) -> Result<PathBuf, HubError> {
    let snapshot = hub::newest(id, RepoType::Model, progress)?;
    let config = snapshot.get("config.json")?;
    let wanted = snapshot.names.iter().filter(|name| {
        session::FILES.contains(&name.as_str())
            || (!name.contains('/') && name.ends_with(".safetensors"))
            || name.as_str() == "model.safetensors.index.json"
    });
    for name in wanted {
        snapshot.get(name)?;
    }
    Ok(config.parent().map(Path::to_path_buf).unwrap_or_default())
}
