//! A model with its processor, from a folder in Hugging Face layout or from memory.

use std::borrow::Cow;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use generation::GenerationConfig;
use processor::{PretrainedFiles, Processor, ProcessorError};
use qwen2_5_vl::weights::{Checkpoint, Shard, checkpoint_key};
use qwen2_5_vl::{ConfigError, Qwen2_5_VL, Qwen2_5_VLConfig, WeightsError};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Files of a model folder besides its weights; a checkpoint takes over those that are there.
const COMPANIONS: [&str; 9] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "vocab.json",
    "merges.txt",
];

/// Where the files of a model are.
#[derive(Clone, Debug)]
pub enum ModelFiles {
    /// A folder in Hugging Face layout.
    Folder(PathBuf),
    /// Names and contents, compiled into the program.
    Embedded(&'static [(&'static str, &'static [u8])]),
}

/// Why a model cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum PretrainedError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("the embedded model has no {0}")]
    NotEmbedded(String),
    #[error("{file} is not UTF-8 text")]
    NotText { file: String },
    #[error("generation_config.json: {0}")]
    Generation(serde_json::Error),
    #[error("{place}: {source}")]
    Config { place: String, source: ConfigError },
    #[error("{place}: {source}")]
    Processor { place: String, source: ProcessorError },
    #[error("{place}: {source}")]
    Weights { place: String, source: WeightsError },
    #[error("{place}: {message}")]
    Tokens { place: String, message: String },
}

impl ModelFiles {
    /// What to call the model in messages.
    pub fn name(&self) -> String {
        match self {
            Self::Folder(path) => path.display().to_string(),
            Self::Embedded(_) => "the embedded demo model".into(),
        }
    }

    /// The content of a file, None where there is none.
    ///
    /// # Errors
    ///
    /// When the file is there but cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<Cow<'static, [u8]>>, PretrainedError> {
        match self {
            Self::Embedded(files) => Ok(files
                .iter()
                .find(|(other, _)| *other == name)
                .map(|(_, bytes)| Cow::Borrowed(*bytes))),
            Self::Folder(folder) => {
                let path = folder.join(name);
                match std::fs::read(&path) {
                    Ok(bytes) => Ok(Some(bytes.into())),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                    Err(source) => Err(PretrainedError::Io { path, source }),
                }
            }
        }
    }

    fn required(&self, name: &str) -> Result<Cow<'static, [u8]>, PretrainedError> {
        let missing = || match self {
            Self::Embedded(_) => PretrainedError::NotEmbedded(name.into()),
            Self::Folder(folder) => PretrainedError::Io {
                path: folder.join(name),
                source: std::io::ErrorKind::NotFound.into(),
            },
        };
        self.read(name)?.ok_or_else(missing)
    }

    fn text(&self, name: &str) -> Result<Option<String>, PretrainedError> {
        let not_text = |_| PretrainedError::NotText { file: name.into() };
        self.read(name)?
            .map(|bytes| String::from_utf8(bytes.into_owned()).map_err(not_text))
            .transpose()
    }

    /// What makes model input of pictures and text.
    ///
    /// # Errors
    ///
    /// When a file is missing or damaged.
    pub fn processor(&self) -> Result<Processor, PretrainedError> {
        Processor::new(&PretrainedFiles {
            tokenizer_json: self.required("tokenizer.json")?.into_owned(),
            tokenizer_config_json: self.text("tokenizer_config.json")?,
            preprocessor_config_json: self.text("preprocessor_config.json")?,
            chat_template_jinja: self.text("chat_template.jinja")?,
            chat_template_json: self.text("chat_template.json")?,
        })
        .map_err(|source| PretrainedError::Processor { place: self.name(), source })
    }

    fn weights(
        &self,
        config: &Qwen2_5_VLConfig,
        dtype: DType,
        device: &Device,
    ) -> Result<Qwen2_5_VL, PretrainedError> {
        let loaded = match self {
            Self::Folder(folder) => Checkpoint::open(folder)
                .and_then(|checkpoint| checkpoint.load(config, dtype, device)),
            Self::Embedded(_) => {
                let name = "model.safetensors";
                Shard::open(name, Cursor::new(self.required(name)?))
                    .and_then(|shard| Checkpoint::new(vec![shard]).load(config, dtype, device))
            }
        };
        loaded.map_err(|source| PretrainedError::Weights { place: self.name(), source })
    }
}

/// A model with all that is needed to talk to it.
#[derive(Debug)]
pub struct Pretrained {
    /// The model, on the device it was loaded to.
    pub model: Qwen2_5_VL,
    /// Pictures and text to model input.
    pub processor: Processor,
    /// The model's own defaults for sampling.
    pub generation: GenerationConfig,
    /// What to call it in messages.
    pub name: String,
    /// Contents of the files besides the weights; a checkpoint of this model takes them along,
    /// also when the folder they came from is gone.
    companions: Vec<(&'static str, Cow<'static, [u8]>)>,
}

impl Pretrained {
    /// Loads a model, or draws its weights from `init_seed`.
    ///
    /// # Errors
    ///
    /// When a file is missing, damaged, or does not fit the others.
    pub fn load(
        files: ModelFiles,
        init_seed: Option<u64>,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, PretrainedError> {
        let place = files.name();
        let json = files.required("config.json")?;
        let json = String::from_utf8(json.into_owned())
            .map_err(|_| PretrainedError::NotText { file: "config.json".into() })?;
        let config = Qwen2_5_VLConfig::from_json(&json)
            .map_err(|source| PretrainedError::Config { place: place.clone(), source })?;
        let processor = files.processor()?;
        check_tokens(&processor, &config)
            .map_err(|message| PretrainedError::Tokens { place, message })?;
        let generation = match files.text("generation_config.json")? {
            Some(json) => {
                GenerationConfig::from_json(&json).map_err(PretrainedError::Generation)?
            }
            None => GenerationConfig::default(),
        };
        let model = match init_seed {
            Some(seed) => random(&config, seed, device),
            None => files.weights(&config, dtype, device)?,
        };
        let mut companions = Vec::new();
        for name in COMPANIONS {
            companions.extend(files.read(name)?.map(|bytes| (name, bytes)));
        }
        Ok(Self { model, processor, generation, name: files.name(), companions })
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

    /// Writes the model as a folder that transformers loads: weights in f32 and the companions.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written to.
    pub fn save(&self, folder: &Path) -> Result<(), PretrainedError> {
        qwen2_5_vl::weights::save(&self.model.valid(), folder, DType::F32)
            .map_err(|source| PretrainedError::Weights { place: self.name.clone(), source })?;
        for (name, bytes) in &self.companions {
            let path = folder.join(name);
            std::fs::write(&path, bytes).map_err(|source| PretrainedError::Io { path, source })?;
        }
        Ok(())
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

/// Weights drawn on the host, the same on every device: matrices with variance `1 / (2 · inputs)`,
/// embeddings with `initializer_range`, norms 1 and biases 0.
fn random(config: &Qwen2_5_VLConfig, seed: u64, device: &Device) -> Qwen2_5_VL {
    struct Draw<'a> {
        path: Vec<String>,
        stream: ChaCha8Rng,
        embedding_std: f64,
        device: &'a Device,
    }
    impl ModuleMapper for Draw<'_> {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.path.push(name.into());
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.pop();
        }

        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let shape = param.lazy_shape().to_vec();
            let count = shape.iter().product();
            let name = checkpoint_key(&self.path);
            let values = match D {
                1 if name.ends_with("bias") => vec![0.0; count],
                1 => vec![1.0; count],
                _ => {
                    let inputs = count / shape[0];
                    let std = match name.contains("embed_tokens") {
                        true => self.embedding_std,
                        false => (2.0 * inputs as f64).powf(-0.5),
                    };
                    normal(&mut self.stream, count, std)
                }
            };
            let data = TensorData::new(values, shape);
            let tensor = Tensor::from_data(data, (self.device, DType::F32));
            let id = param.id;
            param.transform_for_load(tensor, id)
        }
    }
    Qwen2_5_VL::init(config, device).map(&mut Draw {
        path: Vec::new(),
        stream: ChaCha8Rng::seed_from_u64(seed),
        embedding_std: config.text_config.initializer_range,
        device,
    })
}

/// Normal numbers by Box and Muller's transform, which gives the same ones everywhere.
fn normal(stream: &mut ChaCha8Rng, count: usize, std: f64) -> Vec<f32> {
    use rand::Rng;
    let mut uniform = || (stream.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let radius = (-2.0 * (1.0 - uniform()).ln()).sqrt() * std;
        let angle = 2.0 * std::f64::consts::PI * uniform();
        values.extend([(radius * angle.cos()) as f32, (radius * angle.sin()) as f32]);
    }
    values.truncate(count);
    values
}
