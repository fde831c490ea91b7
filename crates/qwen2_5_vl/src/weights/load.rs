//! From safetensors files into a model, tensor by tensor.

use std::collections::{BTreeMap, BTreeSet};
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
}

impl<R: Read + Seek> Checkpoint<R> {
    /// Collects files.
    pub fn new(shards: Vec<Shard<R>>) -> Self {
        Self { shards }
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
        let mut assembly = Assembly::new(config, dtype, device);
        let slots: BTreeMap<String, TensorSlot> =
            self.shards.iter().flat_map(|shard| assembly.slots(shard)).collect();
        let mut problems = assembly.missing(|key| slots.contains_key(key));
        problems.extend(assembly.misfits(&slots));
        if !problems.is_empty() {
            return Err(WeightsError::Mismatch { problems });
        }
        for shard in &mut self.shards {
            assembly.add(shard)?;
        }
        assembly.finish()
    }
}

/// A model that gets its weights file by file, in any order.
#[derive(Debug)]
pub struct Assembly {
    model: Qwen2_5_VL,
    /// Shapes of all parameters, by key in the hub's layout.
    shapes: BTreeMap<String, Vec<usize>>,
    loaded: BTreeSet<String>,
    dtype: DType,
    device: Device,
}

impl Assembly {
    /// A model without weights; they will be stored, and computation done, in `dtype`.
    pub fn new(config: &Qwen2_5_VLConfig, dtype: DType, device: &Device) -> Self {
        let model = Qwen2_5_VL::init(config, device).with_compute_dtype(dtype);
        let mut shapes = Shapes::default();
        // Mapping with lazy parameters touches shapes only.
        let model = model.map(&mut shapes);
        let (shapes, loaded) = (shapes.found, BTreeSet::new());
        Self { model, shapes, loaded, dtype, device: device.clone() }
    }

    /// Reads all tensors of a file, one at a time, to the device.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or one of its tensors is not the model's or of another shape.
    pub fn add<R: Read + Seek>(&mut self, shard: &mut Shard<R>) -> Result<(), WeightsError> {
        let slots = self.slots(shard);
        let problems = self.misfits(&slots);
        if !problems.is_empty() {
            return Err(WeightsError::Mismatch { problems });
        }
        let device = &self.device;
        let mut loader = Loader {
            shard,
            slots: &slots,
            path: Vec::new(),
            dtype: self.dtype,
            device,
            error: None,
        };
        self.model = self.model.clone().map(&mut loader);
        loader.error.map_or(Ok(()), Err)?;
        self.loaded.extend(slots.into_keys());
        Ok(())
    }

    /// The model.
    ///
    /// # Errors
    ///
    /// Names the tensors that no file had.
    pub fn finish(self) -> Result<Qwen2_5_VL, WeightsError> {
        match self.missing(|key| self.loaded.contains(key)) {
            problems if problems.is_empty() => Ok(self.model),
            problems => Err(WeightsError::Mismatch { problems }),
        }
    }

    /// The file's tensors by key in the hub's layout, without a head that is tied to the embedding.
    fn slots<R: Read + Seek>(&self, shard: &Shard<R>) -> BTreeMap<String, TensorSlot> {
        let tied = self.model.config().tie_word_embeddings;
        let tensors = shard.header().tensors.iter();
        let slots = tensors.map(|(name, slot)| (canonical_key(name), slot.clone()));
        slots.filter(|(key, _)| !(tied && key == "lm_head.weight")).collect()
    }

    fn missing(&self, is_there: impl Fn(&str) -> bool) -> Vec<String> {
        let absent = self.shapes.iter().filter(|(key, _)| !is_there(key));
        absent.map(|(key, shape)| format!("missing: {key} {shape:?}")).collect()
    }

    fn misfits(&self, slots: &BTreeMap<String, TensorSlot>) -> Vec<String> {
        let problem = |(key, slot): (&String, &TensorSlot)| match self.shapes.get(key) {
            None => Some(format!("unexpected: {key}")),
            Some(expected) if slot.shape != *expected => {
                Some(format!("misshapen: {key} is {:?}, not {expected:?}", slot.shape))
            }
            Some(_) => None,
        };
        slots.iter().filter_map(problem).collect()
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

/// Replaces every parameter that the file has.
struct Loader<'a, R> {
    shard: &'a mut Shard<R>,
    slots: &'a BTreeMap<String, TensorSlot>,
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
        let Some(slot) = self.slots.get(&checkpoint_key(&self.path)) else { return param };
        match self.shard.tensor(slot, self.dtype) {
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
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    match names.iter().find(|name| name.contains(['/', '\\']) || name.as_str() == "..") {
        Some(name) => Err(format!("shard {name:?} is not a file name")),
        None => Ok(names.into_iter().collect()),
    }
}
