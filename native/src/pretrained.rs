//! `--model`: a folder on disk, a model of the Hugging Face hub brought into the cache, or the demo.

use std::path::{Path, PathBuf};

use burn::tensor::DType;
use hf_hub::RepoType;
use trainer::hub;
use trainer::pretrained::{self, ModelFiles, Pretrained};

use crate::args::ModelArgs;
use crate::demo;
use crate::device::Opened;
use crate::failure::{Failure, about};

/// Opens the device and loads the model that the arguments name; `progress` shows downloads.
pub fn load(args: &ModelArgs, progress: bool) -> Result<(Pretrained, Opened), Failure> {
    let device = args.open_device()?;
    let files = files(args.model.as_deref().unwrap_or(""), progress)?;
    let pretrained = pretrained::load(&files, None, DType::from(args.dtype), &device.device)?;
    Ok((pretrained, device))
}

/// The files of a model by name: a folder, a hub id, or nothing for the embedded demo model.
pub fn files(name: &str, progress: bool) -> Result<ModelFiles, Failure> {
    match name {
        "" => Ok(ModelFiles::Embedded(demo::MODEL)),
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
    if !hub::is_id(name) {
        return Err(Failure::usage(format!("{name}: no such folder, and not a hub id OWNER/NAME")));
    }
    download(name, progress).map_err(about(format_args!("downloading {name}")))
}

/// Downloads what is missing in the cache.
fn download(id: &str, progress: bool) -> Result<PathBuf, hf_hub::api::sync::ApiError> {
    let repo = hub::repo(id, RepoType::Model, progress)?;
    let listed = hub::listing(&repo)?;
    let config = repo.get("config.json")?;
    let wanted = listed.iter().filter(|name| {
        session::FILES.contains(&name.as_str())
            || (!name.contains('/') && name.ends_with(".safetensors"))
            || name.as_str() == "model.safetensors.index.json"
    });
    for name in wanted {
        repo.get(name)?;
    }
    Ok(config.parent().map(Path::to_path_buf).unwrap_or_default())
}
