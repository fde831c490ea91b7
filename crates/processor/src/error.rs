//! What can be wrong with the files, pictures and messages a processor is given.

/// One error for the whole crate; each says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ProcessorError {
    #[error("not a picture this program reads: use PNG, JPEG, WebP, GIF or BMP")]
    UnknownFormat,
    #[error("the picture cannot be decoded: {message}")]
    Decode { message: String },
    #[error("the picture has {width}×{height} pixels; at most {limit} pixels are read")]
    TooLarge { width: u32, height: u32, limit: u64 },
    #[error("the picture has {width}×{height} pixels; both sides must be at least 1")]
    EmptyPicture { width: u32, height: u32 },
    #[error(
        "the picture has {width}×{height} pixels; its sides may differ by a factor of at most 200"
    )]
    AspectRatio { width: u32, height: u32 },
    #[error("{file}: {message}")]
    File { file: &'static str, message: String },
    #[error("preprocessor_config.json: {key} {rule}")]
    Preprocessor { key: &'static str, rule: &'static str },
    #[error("the chat template failed: {message}")]
    Template { message: String },
    #[error("the text cannot be tokenized: {message}")]
    Tokenize { message: String },
    #[error("the messages hold {placeholders} images but {images} were given")]
    ImageCount { placeholders: usize, images: usize },
    #[error("the chat template wrote {found} image placeholders for {expected} images")]
    TemplateImages { found: usize, expected: usize },
    #[error("video input is not supported; pass pictures")]
    Video,
    #[error("tokenizer.json lacks the token {token}")]
    MissingToken { token: &'static str },
}
