//! New adapters for a run.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData};
use qwen2_5_vl::weights::{AdapterConfig, Names};
use qwen2_5_vl::{Linear, Lora, Qwen2_5_VL};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::config::LoraConfig;

/// Linear layers of the decoder.
const TEXT: [&str; 7] =
    ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/// Those of the vision tower's blocks that are called otherwise.
const VISION: [&str; 2] = ["qkv", "attn.proj"];

/// What PEFT leaves out whatever the names: the vision tower, or its convolution.
const NO_VISION: &str = r".*\bvisual\..*";
const NO_CONVOLUTION: &str = r".*\bpatch_embed\..*";

/// Freezes a model and puts new adapters on it, which change nothing yet; `base` is where the model
/// will be found again.
///
/// `A` is drawn uniformly from ±1/√in_features (Kaiming's with a = √5, as PEFT does), on the host, so
/// that it is the same on every device; `B` is 0.
///
/// # Errors
///
/// When a target names no layer, or the rank is larger than a layer.
pub fn attach(model: Qwen2_5_VL, config: &LoraConfig, base: &str) -> Result<Qwen2_5_VL, String> {
    let mut model = model.without_adapters().freeze();
    let names = target_modules(config);
    let mut stream = ChaCha8Rng::seed_from_u64(config.init_seed);
    let adapter = adapter(config, &names, base);
    let mut unused: Vec<&String> = names.iter().collect();
    let mut known = Vec::new();
    for (name, linear) in model.linears_mut() {
        if name.starts_with("visual.") && !config.vision {
            continue;
        }
        let targets = |target: &str| {
            name == target || name.strip_suffix(target).is_some_and(|rest| rest.ends_with('.'))
        };
        unused.retain(|target| !targets(target));
        if !names.iter().any(|target| targets(target)) {
            known.push(name);
            continue;
        }
        let [outputs, inputs] = [0, 1].map(|axis| linear.weight.lazy_shape()[axis]);
        let smaller = outputs.min(inputs);
        if config.r > smaller {
            return Err(format!(
                "model.lora.r = {} must be at most {smaller}, the smaller side of {name}",
                config.r
            ));
        }
        linear.lora =
            Some(drawn(linear, [outputs, inputs], adapter.r, adapter.scale(), &mut stream));
        known.push(name);
    }
    match unused.first() {
        Some(target) => Err(unknown(target, &known)),
        None => Ok(model.with_adapter(adapter)),
    }
}

/// Ends of the names of the layers that get an adapter.
fn target_modules(config: &LoraConfig) -> Vec<String> {
    if !config.target_modules.is_empty() {
        return config.target_modules.clone();
    }
    let vision = VISION.iter().filter(|_| config.vision);
    TEXT.iter().chain(vision).map(ToString::to_string).collect()
}

fn adapter(config: &LoraConfig, names: &[String], base: &str) -> AdapterConfig {
    let excluded = if config.vision { NO_CONVOLUTION } else { NO_VISION };
    AdapterConfig {
        base_model_name_or_path: Some(base.into()),
        exclude_modules: Some(Names::Pattern(excluded.into())),
        lora_alpha: config.lora_alpha,
        r: config.r,
        target_modules: Some(Names::Ends(names.to_vec())),
        use_rslora: config.use_rslora,
        ..Default::default()
    }
}

fn drawn(
    linear: &Linear,
    [outputs, inputs]: [usize; 2],
    r: usize,
    scale: f64,
    stream: &mut ChaCha8Rng,
) -> Lora {
    let bound = (inputs as f64).powf(-0.5);
    let mut uniform = || (stream.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let a = (0..r * inputs).map(|_| ((2.0 * uniform() - 1.0) * bound) as f32).collect();
    let device = linear.weight.lazy_device();
    let b = vec![0.0; outputs * r];
    Lora::new(tensor(a, [r, inputs], &device), tensor(b, [outputs, r], &device), scale)
}

fn tensor(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

/// Says which name is meant.
fn unknown(target: &str, known: &[String]) -> String {
    let own = |name: &String| name.rsplit('.').next().unwrap_or(name).to_string();
    let mut names: Vec<String> = known.iter().map(own).collect();
    names.sort();
    names.dedup();
    let similarity = |name: &String| strsim::jaro_winkler(target, name);
    let nearest = names.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    let hint = match nearest.filter(|name| similarity(name) > 0.75) {
        Some(name) => format!("did you mean {name}?"),
        None => format!("there are {}", names.join(", ")),
    };
    format!("model.lora.target_modules: no layer is called {target}; {hint}")
}
