//! What can go wrong outside the arithmetic: configurations, prompts, weight files.

use std::path::PathBuf;

/// A `config.json` that does not describe a model this crate can run.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ConfigError {
    #[error("config.json is not valid: {message}")]
    Json { message: String },
    #[error("config.json is for model type {found}; only qwen2_5_vl is supported")]
    ModelType { found: String },
    #[error("config.json: {section}: {message}")]
    Section { section: &'static str, message: String },
    #[error("config.json: {key} = {value} {rule}")]
    Value { key: String, value: String, rule: &'static str },
}

/// A prompt whose token ids and images do not fit together.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum PromptError {
    #[error("the prompt is empty")]
    Empty,
    #[error("token id {id} at position {position} is outside the vocabulary of {vocab_size}")]
    TokenId { id: u32, position: usize, vocab_size: usize },
    #[error(
        "the prompt holds {tokens} image tokens but its {images} images make {features}: \
         expand each image placeholder to its number of visual tokens"
    )]
    ImageTokens { tokens: usize, images: usize, features: usize },
    #[error("image grid {grid:?} (frames, rows, columns of patches) {rule}")]
    Grid { grid: [usize; 3], rule: &'static str },
    #[error("pixel values hold {found} numbers but the image grids make {expected}")]
    PixelValues { found: usize, expected: usize },
    #[error("visual tokens have the shape {found:?} but the image grids make {expected:?}")]
    ImageEmbeds { found: [usize; 2], expected: [usize; 2] },
    #[error("the prompt's images are encoded already; training needs their pixel values")]
    Encoded,
    #[error("the prompt holds a video token; video input is not supported")]
    Video,
}

/// Weight files that cannot be read, do not fit the model, or cannot be written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum WeightsError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{file}: not a whole safetensors file: {message}")]
    Format { file: String, message: String },
    #[error("no weights in {}: expected model.safetensors or model.safetensors.index.json", path.display())]
    NotFound { path: PathBuf },
    #[error("weights do not fit config.json:\n  {}", problems.join("\n  "))]
    Mismatch { problems: Vec<String> },
    #[error("{}: {message}", path.display())]
    Adapter { path: PathBuf, message: String },
    #[error("the adapter {} does not fit the model:\n  {}", folder.display(), problems.join("\n  "))]
    AdapterMismatch { folder: PathBuf, problems: Vec<String> },
    #[error("exported weights are for inference; train or save the model they were made from")]
    Exported,
    #[error(transparent)]
    Config(#[from] ConfigError),
}
