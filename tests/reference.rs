//! The reference model and the values that PyTorch and transformers computed with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor};
use processor::{Message, PretrainedFiles, Processor};
use qwen2_5_vl::weights::{Checkpoint, checkpoint_key};
use qwen2_5_vl::{Prompt, Qwen2_5_VL, Qwen2_5_VLConfig};
use safetensors::SafeTensors;

/// `tests/reference` in the repository.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/reference")
}

pub fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

pub fn model(device: &Device) -> Qwen2_5_VL {
    model_in("model", device)
}

/// A model of the reference folder, computing in f32.
pub fn model_in(name: &str, device: &Device) -> Qwen2_5_VL {
    model_at(&folder().join(name), device)
}

/// A model of any folder, computing in f32.
pub fn model_at(folder: &Path, device: &Device) -> Qwen2_5_VL {
    let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let config = Qwen2_5_VLConfig::from_json(&config).unwrap();
    Checkpoint::open(folder).unwrap().load(&config, DType::F32, device).unwrap()
}

pub fn json() -> serde_json::Value {
    serde_json::from_str(&read("reference.json")).unwrap()
}

/// Named arrays of numbers with their shapes.
pub struct Arrays(Vec<u8>);

impl Arrays {
    pub fn open() -> Self {
        Self::named("reference.safetensors")
    }

    pub fn named(file: &str) -> Self {
        Self(std::fs::read(folder().join(file)).unwrap())
    }

    pub fn floats(&self, name: &str) -> (Vec<f32>, Vec<usize>) {
        let arrays = SafeTensors::deserialize(&self.0).unwrap();
        let array = arrays.tensor(name).unwrap();
        let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
        (array.data().chunks(4).map(number).collect(), array.shape().to_vec())
    }

    pub fn integers(&self, name: &str) -> (Vec<i64>, Vec<usize>) {
        let arrays = SafeTensors::deserialize(&self.0).unwrap();
        let array = arrays.tensor(name).unwrap();
        let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().unwrap());
        (array.data().chunks(8).map(number).collect(), array.shape().to_vec())
    }
}

pub fn ids(value: &serde_json::Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// The prompt of a case, with the reference's own pixel values.
pub fn case(index: usize) -> Prompt {
    let case = &json()["cases"][index];
    let grid = ids(&case["grid_thw"]);
    Prompt {
        input_ids: ids(&case["input_ids"]),
        pixel_values: Arrays::open().floats(&format!("case{index}.pixel_values")).0,
        image_grid_thw: vec![[grid[0], grid[1], grid[2]].map(|side| side as usize)],
        ..Default::default()
    }
}

pub fn processor() -> Processor {
    Processor::new(&PretrainedFiles {
        tokenizer_json: read("model/tokenizer.json").into_bytes(),
        preprocessor_config_json: Some(read("model/preprocessor_config.json")),
        chat_template_jinja: Some(read("model/chat_template.jinja")),
        ..Default::default()
    })
    .unwrap()
}

/// A prompt without image.
pub fn text_prompt(question: &str) -> Prompt {
    let input = processor().encode(&[Message::user(0, question)], &[]).unwrap();
    Prompt { input_ids: input.input_ids, ..Default::default() }
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Largest absolute difference.
pub fn distance(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(found.iter().all(|value| value.is_finite()), "not finite");
    worst
}

/// Gradients by name in the checkpoint.
pub fn named(model: &Qwen2_5_VL, gradients: &GradientsParams) -> BTreeMap<String, Vec<f32>> {
    struct Named<'a> {
        gradients: &'a GradientsParams,
        path: Vec<String>,
        found: BTreeMap<String, Vec<f32>>,
    }
    impl ModuleVisitor for Named<'_> {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.path.push(name.into());
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.get::<D>(param.id) {
                self.found.insert(checkpoint_key(&self.path), values(gradient));
            }
        }
    }
    let mut named = Named { gradients, path: Vec::new(), found: BTreeMap::new() };
    model.visit(&mut named);
    named.found
}

/// transformers' name of a parameter in the checkpoint.
pub fn transformers_key(name: &str) -> String {
    match name.strip_prefix("model.") {
        Some(rest) => format!("model.language_model.{rest}"),
        None => format!("model.{name}"),
    }
}

/// `‖found - expected‖ / ‖expected‖`; the gradient of a key bias is 0 but for rounding.
pub fn relative(found: &[f32], expected: &[f32]) -> f32 {
    let norm = |x: &mut dyn Iterator<Item = f32>| x.map(|x| x * x).sum::<f32>().sqrt();
    let difference = norm(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    difference / norm(&mut expected.iter().copied()).max(1e-2)
}
