//! A model with its processor, from a folder in Hugging Face layout or from memory.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use qwen2_5_vl::weights::{Checkpoint, Shard, Source, checkpoint_key, load_adapter, save_adapter};
use qwen2_5_vl::{Quantization, Qwen2_5_VL, Qwen2_5_VLConfig, WeightsError};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
pub use session::Pretrained;
use session::{Parts, PartsError};

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
    #[error("{place}: {source}")]
    Parts { place: String, source: PartsError },
    #[error("{place}: {source}")]
    Weights { place: String, source: WeightsError },
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

    /// Everything but the weights.
    ///
    /// # Errors
    ///
    /// When a file is missing or damaged.
    pub fn parts(&self) -> Result<Parts, PretrainedError> {
        let mut companions = Vec::new();
        for name in session::FILES.into_iter().chain(session::OLDER_FILES) {
            companions.extend(self.read(name)?.map(|bytes| (name, bytes)));
        }
        Parts::new(self.name(), companions)
            .map_err(|source| PretrainedError::Parts { place: self.name(), source })
    }

    /// A checksum of the beginning and the end of each file of weights and of its length: other
    /// weights have another one.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn fingerprint(&self) -> Result<u32, PretrainedError> {
        const ENDS: u64 = 1 << 20;
        let mut checksum = 0;
        let mut add = |bytes: &[u8]| checksum = crc32c::crc32c_append(checksum, bytes);
        match self {
            Self::Embedded(files) => files
                .iter()
                .filter(|(name, _)| name.ends_with(".safetensors"))
                .for_each(|(_, bytes)| add(bytes)),
            Self::Folder(folder) => {
                let failed = |path: &Path| {
                    let path = path.to_path_buf();
                    move |source| PretrainedError::Io { path, source }
                };
                let mut paths = Vec::new();
                for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
                    paths.push(entry.map_err(failed(folder))?.path());
                }
                paths.retain(|path| path.extension().is_some_and(|name| name == "safetensors"));
                paths.sort();
                for path in paths {
                    let mut file = File::open(&path).map_err(failed(&path))?;
                    let length = file.metadata().map_err(failed(&path))?.len();
                    add(&length.to_le_bytes());
                    for start in [0, length.saturating_sub(ENDS)] {
                        let mut bytes = Vec::new();
                        file.seek(SeekFrom::Start(start))
                            .and_then(|_| file.by_ref().take(ENDS).read_to_end(&mut bytes))
                            .map_err(failed(&path))?;
                        add(&bytes);
                    }
                }
            }
        }
        Ok(checksum)
    }

    /// The weights, to be read.
    ///
    /// # Errors
    ///
    /// When there are none, or a file is damaged.
    pub fn checkpoint(&self) -> Result<Checkpoint<Box<dyn Source>>, PretrainedError> {
        let opened = match self {
            Self::Folder(folder) => Checkpoint::open(folder).map(Checkpoint::boxed),
            Self::Embedded(_) => {
                let name = "model.safetensors";
                let bytes = self.read(name)?;
                let bytes = bytes.ok_or_else(|| PretrainedError::NotEmbedded(name.into()))?;
                let source: Box<dyn Source> = Box::new(Cursor::new(bytes));
                Shard::open(name, source).map(|shard| Checkpoint::new(vec![shard]))
            }
        };
        opened.map_err(|source| PretrainedError::Weights { place: self.name(), source })
    }
}

/// Loads a model, or draws its weights from `init_seed`.
///
/// # Errors
///
/// When a file is missing, damaged, or does not fit the others.
pub fn load(
    files: &ModelFiles,
    init_seed: Option<u64>,
    dtype: DType,
    device: &Device,
) -> Result<Pretrained, PretrainedError> {
    let parts = files.parts()?;
    let model = match init_seed {
        Some(seed) => random(&parts.config, seed, device),
        None => files
            .checkpoint()?
            .load(&parts.config, dtype, device)
            .map_err(|source| PretrainedError::Weights { place: files.name(), source })?,
    };
    Ok(Pretrained::new(model, parts))
}

/// Loads a model whose matrices are quantized while they are read, for adapters to be trained on.
///
/// # Errors
///
/// As [`load`].
pub fn load_quantized(
    files: &ModelFiles,
    quantization: Quantization,
    device: &Device,
) -> Result<Pretrained, PretrainedError> {
    let parts = files.parts()?;
    let model = files
        .checkpoint()?
        .load_quantized(&parts.config, quantization, DType::F32, device)
        .map_err(|source| PretrainedError::Weights { place: files.name(), source })?;
    Ok(Pretrained::new(model, parts))
}

/// Puts the adapters of a folder on a model.
///
/// # Errors
///
/// When a file is missing, damaged, or does not fit the model.
pub fn with_adapter(mut policy: Pretrained, folder: &Path) -> Result<Pretrained, PretrainedError> {
    policy.model = load_adapter(policy.model, folder)
        .map_err(|source| PretrainedError::Weights { place: policy.name.clone(), source })?;
    Ok(policy)
}

/// Writes the model as a folder that transformers loads: weights in f32 and the companions; or its
/// adapters, as PEFT does, where it has some.
///
/// # Errors
///
/// When the folder cannot be written to.
pub fn save(policy: &Pretrained, folder: &Path) -> Result<(), PretrainedError> {
    let failed = |source| PretrainedError::Weights { place: policy.name.clone(), source };
    let model = policy.model.valid();
    if model.adapter().is_some() {
        return save_adapter(&model, folder).map_err(failed);
    }
    save_merged(policy, folder)
}

/// Writes the model as a folder that transformers loads, its adapters merged into the weights.
///
/// # Errors
///
/// When the folder cannot be written to.
pub fn save_merged(policy: &Pretrained, folder: &Path) -> Result<(), PretrainedError> {
    qwen2_5_vl::weights::save(&policy.model.valid(), folder, DType::F32)
        .map_err(|source| PretrainedError::Weights { place: policy.name.clone(), source })?;
    for (name, bytes) in &policy.companions {
        let path = folder.join(name);
        std::fs::write(&path, bytes).map_err(|source| PretrainedError::Io { path, source })?;
    }
    Ok(())
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
