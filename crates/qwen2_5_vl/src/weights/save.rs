//! From a model to files that transformers loads unchanged.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, FloatDType, Tensor};
use safetensors::{Dtype, View};

use super::checkpoint_key;
use crate::error::WeightsError;
use crate::linear::cast;
use crate::lora::Lora;
use crate::model::Qwen2_5_VL;

/// Writes `config.json` and `model.safetensors` into `folder`, the weights in `dtype`; adapters are
/// merged into them.
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
    let name = |(name, lora)| (format!("{name}.weight"), lora);
    let adapters = model.adapters().into_iter().map(name).collect();
    let mut collector = Collector { path: Vec::new(), tensors: Vec::new(), adapters, dtype };
    model.visit(&mut collector);
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    write(folder, "model.safetensors", |file| {
        safetensors::serialize_to_file(collector.tensors, Some(metadata), file)
            .map_err(std::io::Error::other)
    })?;
    let config = model.config().to_json();
    write(folder, "config.json", |file| std::fs::write(file, config))
}

pub(super) fn write(
    folder: &Path,
    name: &str,
    fill: impl FnOnce(&Path) -> std::io::Result<()>,
) -> Result<(), WeightsError> {
    let path = folder.join(name);
    let mut builder = tempfile::Builder::new();
    builder.prefix(name).suffix(".part");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let result = std::fs::create_dir_all(folder)
        .and_then(|()| builder.tempfile_in(folder))
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
    /// By the name of the weight that they belong to.
    adapters: BTreeMap<String, Lora>,
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
        if self.path.iter().any(|name| name == "lora") {
            return;
        }
        let name = checkpoint_key(&self.path);
        let lora = self.adapters.remove(&name);
        self.tensors.push((name, Weight { lora, ..Weight::new(param.val(), self.dtype) }));
    }
}

/// A parameter that is read from the device when its turn comes.
pub(super) struct Weight {
    flat: Tensor<1>,
    shape: Vec<usize>,
    lora: Option<Lora>,
    dtype: DType,
}

impl Weight {
    /// A tensor to be written in `dtype`.
    pub fn new<const D: usize>(tensor: Tensor<D>, dtype: DType) -> Self {
        let shape = tensor.dims().to_vec();
        Self { flat: tensor.flatten(0, D - 1), shape, lora: None, dtype }
    }
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
        let flat = match &self.lora {
            Some(lora) => cast(self.flat.clone(), DType::F32) + lora.delta().flatten(0, 1),
            None => self.flat.clone(),
        };
        let tensor = flat.cast(FloatDType::from(self.dtype));
        Cow::Owned(tensor.into_data().as_bytes().to_vec())
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }
}
