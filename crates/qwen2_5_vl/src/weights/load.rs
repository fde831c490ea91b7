//! From safetensors files into a model, tensor by tensor.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor};

use super::file::{Shard, TensorSlot};
use super::{canonical_key, checkpoint_key};
use crate::config::Qwen2_5_VLConfig;
use crate::error::WeightsError;
use crate::model::Qwen2_5_VL;

/// The weight files of one model.
#[derive(Debug)]
pub struct Checkpoint<R> {
    shards: Vec<Shard<R>>,
    /// By key in the hub's layout: the shard and the place in it.
    slots: BTreeMap<String, (usize, TensorSlot)>,
}

impl<R: Read + Seek> Checkpoint<R> {
    /// Collects the tensors of all files.
    pub fn new(shards: Vec<Shard<R>>) -> Self {
        let mut slots = BTreeMap::new();
        for (index, shard) in shards.iter().enumerate() {
            for (name, slot) in &shard.header().tensors {
                slots.insert(canonical_key(name), (index, slot.clone()));
            }
        }
        Self { shards, slots }
    }

    /// Builds the model with weights stored, and computation done, in `dtype`.
    ///
    /// Weights are read, converted and sent to the device one at a time.
    ///
    /// # Errors
    ///
    /// One error names every tensor that is missing, unexpected or of another shape.
    pub fn load(
        mut self,
        config: &Qwen2_5_VLConfig,
        dtype: DType,
        device: &Device,
    ) -> Result<Qwen2_5_VL, WeightsError> {
        if config.tie_word_embeddings {
            self.slots.remove("lm_head.weight");
        }
        let model = Qwen2_5_VL::init(config, device).with_compute_dtype(dtype);
        let problems = self.problems(&model);
        if !problems.is_empty() {
            return Err(WeightsError::Mismatch { problems });
        }
        let mut loader = Loader { checkpoint: self, path: Vec::new(), dtype, device, error: None };
        let model = model.map(&mut loader);
        loader.error.map_or(Ok(model), Err)
    }

    /// All the ways in which the files do not fit the model, found before anything is read.
    fn problems(&self, model: &Qwen2_5_VL) -> Vec<String> {
        let mut shapes = Shapes::default();
        // Mapping with lazy parameters touches shapes only.
        let _ = model.clone().map(&mut shapes);
        let mut problems = Vec::new();
        for (key, expected) in &shapes.found {
            match self.slots.get(key) {
                None => problems.push(format!("missing: {key} {expected:?}")),
                Some((_, slot)) if slot.shape != *expected => {
                    problems.push(format!("misshapen: {key} is {:?}, not {expected:?}", slot.shape))
                }
                Some(_) => {}
            }
        }
        for key in self.slots.keys().filter(|key| !shapes.found.contains_key(*key)) {
            problems.push(format!("unexpected: {key}"));
        }
        problems
    }
}

/// Collects the key and shape of every parameter.
#[derive(Default)]
struct Shapes {
    path: Vec<String>,
    found: BTreeMap<String, Vec<usize>>,
}

impl ModuleMapper for Shapes {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.found.insert(checkpoint_key(&self.path), param.lazy_shape().to_vec());
        param
    }
}

/// Replaces every parameter by its tensor in the files.
struct Loader<'a, R> {
    checkpoint: Checkpoint<R>,
    path: Vec<String>,
    dtype: DType,
    device: &'a Device,
    error: Option<WeightsError>,
}

impl<R: Read + Seek> ModuleMapper for Loader<'_, R> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.error.is_some() {
            return param;
        }
        let (shard, slot) = &self.checkpoint.slots[&checkpoint_key(&self.path)];
        match self.checkpoint.shards[*shard].tensor(slot, self.dtype) {
            Ok(data) => {
                let id = param.id;
                let tensor = self.device.memory_persistent_allocations(data, |data| {
                    Tensor::from_data(data, (self.device, self.dtype))
                });
                param.transform_for_load(tensor, id)
            }
            Err(error) => {
                self.error = Some(error);
                param
            }
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Checkpoint<std::fs::File> {
    /// Opens the weight files of a Hugging Face model folder: `model.safetensors.index.json`
    /// and its shards, or `model.safetensors`.
    ///
    /// # Errors
    ///
    /// When there are none, or one of them is not a whole safetensors file.
    pub fn open(folder: &std::path::Path) -> Result<Self, WeightsError> {
        let names = match std::fs::read(folder.join("model.safetensors.index.json")) {
            Ok(index) => shard_names(&index).map_err(|message| WeightsError::Format {
                file: "model.safetensors.index.json".into(),
                message,
            })?,
            Err(_) if folder.join("model.safetensors").is_file() => {
                vec!["model.safetensors".to_string()]
            }
            Err(_) => return Err(WeightsError::NotFound { path: folder.into() }),
        };
        let open = |name: String| {
            let path = folder.join(&name);
            let file =
                std::fs::File::open(&path).map_err(|source| WeightsError::Io { path, source })?;
            Shard::open(name, file)
        };
        Ok(Self::new(names.into_iter().map(open).collect::<Result<_, _>>()?))
    }
}

/// The files that an index names, each once.
#[cfg(not(target_arch = "wasm32"))]
fn shard_names(index: &[u8]) -> Result<Vec<String>, String> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_slice(index).map_err(|error| error.to_string())?;
    let names: std::collections::BTreeSet<String> = index.weight_map.into_values().collect();
    match names.iter().find(|name| name.contains(['/', '\\']) || name.as_str() == "..") {
        Some(name) => Err(format!("shard {name:?} is not a file name")),
        None => Ok(names.into_iter().collect()),
    }
}
