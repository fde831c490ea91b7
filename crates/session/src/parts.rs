//! Everything of a model but its weights.

use std::borrow::Cow;

use generation::GenerationConfig;
use processor::{PretrainedFiles, Processor, ProcessorError};
use qwen2_5_vl::{ConfigError, Qwen2_5_VLConfig};

/// Files of a model folder besides its weights; all but `config.json` and `tokenizer.json` may be
/// absent.
pub const FILES: [&str; 7] = [
    "config.json",
    "tokenizer.json",
    "generation_config.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "chat_template.jinja",
    "chat_template.json",
];

/// Files that older programs read in place of `tokenizer.json`; a copy of a model takes them along.
pub const OLDER_FILES: [&str; 2] = ["vocab.json", "merges.txt"];

/// A file's name and content.
pub type Companion = (&'static str, Cow<'static, [u8]>);

/// Configuration, processor and sampling defaults of a model.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Parts {
    pub config: Qwen2_5_VLConfig,
    pub processor: Processor,
    pub generation: GenerationConfig,
    pub name: String,
    pub companions: Vec<Companion>,
}

/// Why the files of a model cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum PartsError {
    #[error("no {0}")]
    Missing(&'static str),
    #[error("{0} is not UTF-8 text")]
    NotText(&'static str),
    #[error("generation_config.json: {0}")]
    Generation(serde_json::Error),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Processor(#[from] ProcessorError),
    #[error("{0}")]
    Tokens(String),
}

impl Parts {
    /// Reads the files, some of [`FILES`] and [`OLDER_FILES`].
    ///
    /// # Errors
    ///
    /// When one is missing, damaged, or does not fit the others.
    pub fn new(name: String, companions: Vec<Companion>) -> Result<Self, PartsError> {
        let bytes = |wanted: &str| {
            companions.iter().find(|(name, _)| *name == wanted).map(|(_, bytes)| bytes.to_vec())
        };
        let text = |name: &'static str| {
            bytes(name)
                .map(|bytes| String::from_utf8(bytes).map_err(|_| PartsError::NotText(name)))
                .transpose()
        };
        let missing = |name| move || PartsError::Missing(name);
        let json = text("config.json")?.ok_or_else(missing("config.json"))?;
        let config = Qwen2_5_VLConfig::from_json(&json)?;
        let processor = Processor::new(&PretrainedFiles {
            tokenizer_json: bytes("tokenizer.json").ok_or_else(missing("tokenizer.json"))?,
            tokenizer_config_json: text("tokenizer_config.json")?,
            preprocessor_config_json: text("preprocessor_config.json")?,
            chat_template_jinja: text("chat_template.jinja")?,
            chat_template_json: text("chat_template.json")?,
        })?;
        check_tokens(&processor, &config).map_err(PartsError::Tokens)?;
        let generation = match text("generation_config.json")? {
            Some(json) => GenerationConfig::from_json(&json).map_err(PartsError::Generation)?,
            None => GenerationConfig::default(),
        };
        Ok(Self { config, processor, generation, name, companions })
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
