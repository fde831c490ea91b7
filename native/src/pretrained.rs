//! `--model`: a folder on disk, or a model of the Hugging Face hub brought into the cache.

use std::path::{Path, PathBuf};

use burn::tensor::DType;
use generation::GenerationConfig;
use hf_hub::api::sync::{ApiBuilder, ApiRepo};
use hf_hub::{Repo, RepoType};
use processor::Processor;
use qwen2_5_vl::weights::Checkpoint;
use qwen2_5_vl::{Qwen2_5_VL, Qwen2_5_VLConfig};

use crate::args::{ModelArgs, processor_files};
use crate::device::Opened;
use crate::failure::{Failure, about};

/// A model with all that is needed to talk to it.
pub struct Pretrained {
    pub model: Qwen2_5_VL,
    pub processor: Processor,
    pub generation: GenerationConfig,
    pub device: Opened,
}

impl Pretrained {
    /// Loads the model that the arguments name; `progress` shows downloads.
    pub fn load(args: &ModelArgs, progress: bool) -> Result<Self, Failure> {
        let Some(name) = &args.model else {
            return Err(Failure::usage(
                "no model given; pass --model FOLDER (Hugging Face layout) or --model HUB/ID, \
                 such as Qwen/Qwen2.5-VL-3B-Instruct",
            ));
        };
        let device = args.open_device()?;
        let folder = folder(name, progress)?;
        let path = folder.join("config.json");
        let json = std::fs::read_to_string(&path).map_err(about(path.display()))?;
        let config = Qwen2_5_VLConfig::from_json(&json).map_err(about(folder.display()))?;
        let processor =
            Processor::new(&processor_files(&folder)?).map_err(about(folder.display()))?;
        check_tokens(&processor, &config).map_err(about(folder.display()))?;
        let generation = match std::fs::read_to_string(folder.join("generation_config.json")) {
            Ok(json) => {
                GenerationConfig::from_json(&json).map_err(about("generation_config.json"))?
            }
            Err(_) => GenerationConfig::default(),
        };
        let model = Checkpoint::open(&folder)
            .and_then(|checkpoint| {
                checkpoint.load(&config, DType::from(args.dtype), &device.device)
            })
            .map_err(about(folder.display()))?;
        Ok(Self { model, processor, generation, device })
    }

    /// Ids that end a response: the configuration's, else the chat template's own.
    pub fn eos_token_ids(&self) -> Vec<u32> {
        let mut ids = self.generation.eos_token_id.clone();
        if ids.is_empty() {
            let names = ["<|im_end|>", "<|endoftext|>"];
            ids.extend(names.iter().filter_map(|name| self.processor.tokenizer.token_to_id(name)));
        }
        ids
    }
}

/// The tokenizer and the model must mean the same by a picture, and by the largest id.
fn check_tokens(processor: &Processor, config: &Qwen2_5_VLConfig) -> Result<(), String> {
    let vocab_size = config.text_config.vocab_size;
    let found = processor.tokenizer.token_to_id("<|image_pad|>");
    if found != Some(config.image_token_id) {
        return Err(format!(
            "tokenizer.json gives <|image_pad|> the id {found:?}, config.json {}",
            config.image_token_id
        ));
    }
    match processor.tokenizer.special_tokens().iter().find(|(_, id)| **id as usize >= vocab_size) {
        Some((token, id)) => Err(format!(
            "tokenizer.json gives {token} the id {id}, but config.json has vocab_size {vocab_size}"
        )),
        None => Ok(()),
    }
}

/// Files that a model may have besides its weights; all but the first two may be absent.
const FILES: [&str; 7] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "generation_config.json",
    "chat_template.jinja",
    "chat_template.json",
];

fn folder(name: &str, progress: bool) -> Result<PathBuf, Failure> {
    if Path::new(name).is_dir() {
        return Ok(name.into());
    }
    let is_id = name.split('/').count() == 2
        && !name.starts_with(['.', '/'])
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && name.split('/').all(|part| !part.is_empty());
    if !is_id {
        return Err(Failure::usage(format!("{name}: no such folder, and not a hub id OWNER/NAME")));
    }
    download(name, progress).map_err(about(format_args!("downloading {name}")))
}

/// Downloads what is missing in the cache; interrupted downloads go on where they stopped.
fn download(id: &str, progress: bool) -> Result<PathBuf, hf_hub::api::sync::ApiError> {
    let mut builder = ApiBuilder::from_env().with_progress(progress).with_retries(3);
    if let Ok(token) = std::env::var("HF_TOKEN") {
        builder = builder.with_token(Some(token));
    }
    let (id, revision) = (id.to_string(), "main".to_string());
    let repo: ApiRepo = builder.build()?.repo(Repo::with_revision(id, RepoType::Model, revision));
    let listed: Vec<String> =
        repo.info()?.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
    let config = repo.get("config.json")?;
    let wanted = listed.iter().filter(|name| {
        FILES[1..].contains(&name.as_str())
            || (!name.contains('/') && name.ends_with(".safetensors"))
            || name.as_str() == "model.safetensors.index.json"
    });
    for name in wanted {
        repo.get(name)?;
    }
    Ok(config.parent().map(Path::to_path_buf).unwrap_or_default())
}
