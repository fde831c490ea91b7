//! From a model to files that transformers loads unchanged.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, FloatDType, Tensor};
use safetensors::{Dtype, View};

use super::checkpoint_key;
use crate::error::WeightsError;
use crate::model::Qwen2_5_VL;

/// Writes `config.json` and `model.safetensors` into `folder`, the weights in `dtype`.
///
/// Each file is written under a temporary name and renamed, so that a reader sees it whole or
/// not at all. Weights leave the device one at a time.
///
/// # Errors
///
/// When the folder cannot be written to, or the weights are quantized or in parts.
pub fn save(model: &Qwen2_5_VL, folder: &Path, dtype: DType) -> Result<(), WeightsError> {
    if model.is_exported() {
        return Err(WeightsError::Exported);
    }
    let mut collector = Collector { path: Vec::new(), tensors: Vec::new(), dtype };
    model.visit(&mut collector);
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    write(folder, "model.safetensors", |file| {
        safetensors::serialize_to_file(collector.tensors, Some(metadata), file)
            .map_err(std::io::Error::other)
    })?;
    let config = model.config().to_json();
    write(folder, "config.json", |file| std::fs::write(file, config))
}

fn write(
    folder: &Path,
    name: &str,
    fill: impl FnOnce(&Path) -> std::io::Result<()>,
) -> Result<(), WeightsError> {
    let path = folder.join(name);
    let result = std::fs::create_dir_all(folder)
        .and_then(|()| tempfile::Builder::new().prefix(name).tempfile_in(folder))
        .and_then(|temporary| {
            fill(temporary.path())?;
            temporary.as_file().sync_all()?;
            temporary.persist(&path).map_err(|error| error.error)?;
            Ok(())
        });
    result.map_err(|source| WeightsError::Io { path, source })
}

/// Collects the parameters by name, as handles.
struct Collector {
    path: Vec<String>,
    tensors: Vec<(String, Weight)>,
    dtype: DType,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let shape = tensor.dims().to_vec();
        let weight = Weight { flat: tensor.flatten(0, D - 1), shape, dtype: self.dtype };
        self.tensors.push((checkpoint_key(&self.path), weight));
    }
}

/// A parameter that is read from the device when its turn comes.
struct Weight {
    flat: Tensor<1>,
    shape: Vec<usize>,
    dtype: DType,
}

impl View for Weight {
    fn dtype(&self) -> Dtype {
        match self.dtype {
            DType::F16 => Dtype::F16,
            DType::BF16 => Dtype::BF16,
            _ => Dtype::F32,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let tensor = self.flat.clone().cast(FloatDType::from(self.dtype));
        Cow::Owned(tensor.into_data().as_bytes().to_vec())
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }
}
