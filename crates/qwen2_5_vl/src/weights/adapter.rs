//! Adapters in the folder format of Hugging Face's PEFT.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{DType, Tensor};

use super::adapter_config::{AdapterConfig, CONFIG};
use super::canonical_key;
use super::file::{Shard, TensorSlot};
use super::save::{Weight, write};
use crate::error::WeightsError;
use crate::lora::Lora;
use crate::model::Qwen2_5_VL;

const WEIGHTS: &str = "adapter_model.safetensors";

/// What stands before the layer's name in [`WEIGHTS`].
const PREFIX: &str = "base_model.model.";

/// transformers' name of a module for its name in a checkpoint.
fn transformers_name(name: &str) -> String {
    match name.strip_prefix("model.") {
        Some(rest) => format!("model.language_model.{rest}"),
        None => format!("model.{name}"),
    }
}

/// Whether a folder holds an adapter.
pub fn is_adapter(folder: &Path) -> bool {
    folder.join(CONFIG).is_file()
}

/// Reads what the adapter of a folder is.
///
/// # Errors
///
/// When its file cannot be read, or asks for what is not supported.
pub fn adapter_config(folder: &Path) -> Result<AdapterConfig, WeightsError> {
    let path = folder.join(CONFIG);
    let json =
        std::fs::read(&path).map_err(|source| WeightsError::Io { path: path.clone(), source })?;
    AdapterConfig::from_json(&json).map_err(|message| WeightsError::Adapter { path, message })
}

/// Writes a model's adapters into `folder`, in f32.
///
/// # Errors
///
/// When the folder cannot be written to.
///
/// # Panics
///
/// When the model has no adapters.
pub fn save_adapter(model: &Qwen2_5_VL, folder: &Path) -> Result<(), WeightsError> {
    let config = model.adapter().expect("a model with adapters has their configuration");
    let mut tensors = Vec::new();
    for (name, lora) in model.adapters() {
        for (factor, param) in [("lora_A", &lora.a), ("lora_B", &lora.b)] {
            let key = format!("{PREFIX}{}.{factor}.weight", transformers_name(&name));
            tensors.push((key, Weight::new(param.val(), DType::F32)));
        }
    }
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    write(folder, WEIGHTS, |file| {
        safetensors::serialize_to_file(tensors, Some(metadata), file).map_err(std::io::Error::other)
    })?;
    write(folder, CONFIG, |file| std::fs::write(file, config.to_json()))
}

/// Puts the adapters of a folder on a model in place of its own, and freezes its weights.
///
/// # Errors
///
/// When a file is missing or damaged; one error names every tensor that does not fit the model.
pub fn load_adapter(model: Qwen2_5_VL, folder: &Path) -> Result<Qwen2_5_VL, WeightsError> {
    let config = adapter_config(folder)?;
    let path = folder.join(WEIGHTS);
    let file =
        File::open(&path).map_err(|source| WeightsError::Io { path: path.clone(), source })?;
    let mut shard = Shard::open(path.display().to_string(), file)?;
    let mut problems = Vec::new();
    let mut factors: BTreeMap<String, [Option<TensorSlot>; 2]> = BTreeMap::new();
    for (key, slot) in &shard.header().tensors {
        match layer_and_factor(key) {
            Some((name, factor)) => {
                factors.entry(name).or_default()[factor] = Some(slot.clone());
            }
            None => problems.push(format!("unexpected: {key}")),
        }
    }
    if factors.is_empty() && problems.is_empty() {
        problems.push(format!("{WEIGHTS} holds none"));
    }
    let mut model = model.without_adapters().freeze();
    let mut pairs = Vec::new();
    for (name, linear) in model.linears_mut() {
        let Some(slots) = factors.remove(&name) else { continue };
        let [outputs, inputs] = [0, 1].map(|axis| linear.weight.lazy_shape()[axis]);
        let [Some(a), Some(b)] = slots else {
            problems.push(format!("missing: one of lora_A and lora_B of {name}"));
            continue;
        };
        let expected = [("lora_A", &a, [config.r, inputs]), ("lora_B", &b, [outputs, config.r])];
        for (factor, slot, shape) in expected {
            if slot.shape != shape {
                let found = &slot.shape;
                problems.push(format!("misshapen: {name}.{factor} is {found:?}, not {shape:?}"));
            }
        }
        pairs.push((linear, a, b));
    }
    problems.extend(factors.keys().map(|name| format!("unexpected: {name}")));
    if !problems.is_empty() {
        return Err(WeightsError::AdapterMismatch { folder: folder.into(), problems });
    }
    for (linear, a, b) in pairs {
        let device = linear.weight.lazy_device();
        let mut factor = |slot| {
            let data = shard.tensor(slot, DType::F32)?;
            Ok::<_, WeightsError>(Tensor::from_data(data, (&device, DType::F32)))
        };
        linear.lora = Some(Lora::new(factor(&a)?, factor(&b)?, config.scale()));
    }
    Ok(model.with_adapter(config))
}

/// The layer, by its name in a checkpoint, and 0 for `A` or 1 for `B`.
fn layer_and_factor(key: &str) -> Option<(String, usize)> {
    let name = key.strip_prefix(PREFIX)?;
    let (name, factor) = match name.strip_suffix(".lora_A.weight") {
        Some(name) => (name, 0),
        None => (name.strip_suffix(".lora_B.weight")?, 1),
    };
    Some((canonical_key(name), factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_have_the_names_of_transformers_old_and_new() {
        let layer = "layers.3.self_attn.q_proj";
        for (key, expected) in [
            (format!("{PREFIX}model.language_model.{layer}.lora_A.weight"), Some(("model", 0))),
            (format!("{PREFIX}model.{layer}.lora_B.weight"), Some(("model", 1))),
            (format!("{PREFIX}model.{layer}.lora_C.weight"), None),
            (format!("model.{layer}.lora_A.weight"), None),
        ] {
            let expected = expected.map(|(prefix, factor)| (format!("{prefix}.{layer}"), factor));
            assert_eq!(layer_and_factor(&key), expected, "{key}");
        }
        for name in ["model.layers.0.mlp.up_proj", "visual.merger.mlp.2"] {
            assert_eq!(canonical_key(&transformers_name(name)), name);
        }
    }
}
