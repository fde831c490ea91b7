//! Adapters: what they compute, their gradients, and their files.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, DeviceKind, Tensor, TensorData};
use generation::{Activations, RecordOptions, Recording, ScoreCotangents, score};
use qwen2_5_vl::weights::{Checkpoint, load_adapter, save, save_adapter};
use qwen2_5_vl::{Lora, Prompt, Quantization, Qwen2_5_VL, Qwen2_5_VLConfig};
use trainer::config::LoraConfig;
use trainer::lora::attach;

use crate::reference::{case, distance, folder, model, named, read, relative, text_prompt, values};

/// Every layer that can have one.
pub fn everywhere() -> LoraConfig {
    let names = [
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
        "qkv",
        "attn.proj",
        "mlp.0",
        "mlp.2",
    ];
    LoraConfig {
        r: 4,
        lora_alpha: 6.0,
        vision: true,
        target_modules: names.map(String::from).to_vec(),
        ..Default::default()
    }
}

/// Adapters that change what the model says: numbers without pattern in place of zeros.
pub fn trained(model: Qwen2_5_VL, config: &LoraConfig) -> Qwen2_5_VL {
    let mut model = attach(model, config, "base").unwrap();
    let mut state = 1u32;
    for (_, linear) in model.linears_mut() {
        let Some(lora) = linear.lora.take() else { continue };
        let [outputs, r] = lora.b.dims();
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            0.2 * ((state >> 8) as f32 / (1 << 23) as f32 - 1.0)
        };
        let b = (0..outputs * r).map(|_| next()).collect();
        let b = Tensor::from_data(TensorData::new::<f32, _>(b, [outputs, r]), &lora.b.device());
        linear.lora = Some(Lora::new(lora.a.val(), b, config.lora_alpha / config.r as f64));
    }
    model
}

/// The same function as one weight in each layer.
fn whole(mut model: Qwen2_5_VL) -> Qwen2_5_VL {
    for (_, linear) in model.linears_mut() {
        if let Some(lora) = linear.lora.take() {
            linear.weight = Param::from_tensor(linear.weight.val() + lora.delta());
        }
    }
    model.without_adapters().unfreeze()
}

fn batch() -> ([Prompt; 2], Vec<Vec<u32>>) {
    let responses = vec![vec![5u32, 300, 7, 482], vec![9, 9], vec![411], vec![17, 18, 19]];
    ([case(1), text_prompt("Why?")], responses)
}

fn scores(model: &Qwen2_5_VL) -> Vec<f32> {
    let (prompts, responses) = batch();
    let scores = score(model, &prompts, &responses, 0.8).unwrap();
    [values(scores.logprobs), values(scores.entropies)].concat()
}

fn on_autodiff(model: Qwen2_5_VL) -> Qwen2_5_VL {
    model.to_device(&Device::flex().autodiff()).train()
}

fn gradients(
    model: &Qwen2_5_VL,
    activations: Activations,
    train_vision: bool,
) -> BTreeMap<String, Vec<f32>> {
    let (prompts, responses) = batch();
    let options = RecordOptions { temperature: 0.8, activations, train_vision };
    let recording = Recording::new(model, &prompts, &[2, 2], &responses, options).unwrap();
    let logprobs =
        [0.5, -1.0, 0.25, 2.0, 1.5, -0.5, 0.0, 0.0, -2.0, 0.0, 0.0, 0.0, 0.0, 0.7, -0.2, 0.0];
    let entropies = [0.1; 16];
    let cotangents =
        ScoreCotangents { logprobs: &logprobs, entropies: &entropies, divergences: &[] };
    named(model, &recording.backward(&cotangents))
}

#[test]
fn new_adapters_change_nothing_and_those_taken_off_leave_the_base() {
    let base = model(&Device::flex());
    let fresh = attach(base.clone(), &everywhere(), "base").unwrap();
    assert_eq!(fresh.adapters().len(), fresh.clone().linears_mut().len());
    assert_eq!(scores(&fresh), scores(&base));
    assert_eq!(scores(&on_autodiff(fresh).valid()), scores(&base));
    let trained = trained(base.clone(), &everywhere());
    assert!(distance(&scores(&trained), &scores(&base)) > 0.1);
    assert_eq!(scores(&on_autodiff(trained).valid().without_adapters()), scores(&base));
}

#[test]
fn adapters_compute_what_the_merged_weights_do() {
    let trained = trained(model(&Device::flex()), &everywhere());
    let expected = scores(&whole(trained.clone()));
    assert!(distance(&scores(&trained), &expected) < 1e-4);
    assert!(distance(&scores(&on_autodiff(trained)), &expected) < 1e-4);
}

#[test]
fn gradients_of_the_factors_are_those_of_the_weight_and_frozen_weights_have_none() {
    let text = LoraConfig { r: 4, lora_alpha: 6.0, ..Default::default() };
    let few = LoraConfig {
        target_modules: vec!["v_proj".into(), "layers.1.mlp.up_proj".into()],
        ..text.clone()
    };
    let vision = LoraConfig { target_modules: vec!["qkv".into()], vision: true, ..text.clone() };
    for config in [text, few, vision, everywhere()] {
        let trained = trained(model(&Device::flex()), &config);
        let adapters = trained.adapters();
        let full = gradients(&on_autodiff(whole(trained.clone())), Activations::Stored, true);
        let trained = on_autodiff(trained);
        for activations in [Activations::Stored, Activations::Recomputed] {
            let found = gradients(&trained, activations, config.vision);
            assert_eq!(found.len(), 2 * adapters.len());
            for (name, lora) in &adapters {
                let ([r, inputs], [outputs, _]) = (lora.a.dims(), lora.b.dims());
                let d_weight =
                    TensorData::new(full[&format!("{name}.weight")].clone(), [outputs, inputs]);
                let d_weight = Tensor::<2>::from_data(d_weight, &Device::flex()) * 6.0 / r as f64;
                let expected = [
                    ("a", lora.b.val().transpose().matmul(d_weight.clone())),
                    ("b", d_weight.matmul(lora.a.val().transpose())),
                ];
                for (factor, expected) in expected {
                    let (found, expected) =
                        (&found[&format!("{name}.lora.{factor}")], values(expected));
                    let norm = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>().sqrt();
                    let difference: Vec<f32> =
                        found.iter().zip(&expected).map(|(a, b)| a - b).collect();
                    let (error, norm) = (norm(&difference), norm(&expected));
                    assert!(error <= 1e-4 * norm.max(1e-3), "{name} {factor}: {error} of {norm}");
                }
            }
        }
    }
}

#[test]
fn saved_adapters_load_the_same_and_merged_weights_say_the_same() {
    let target = tempfile::tempdir().unwrap();
    let base = model(&Device::flex());
    for config in [everywhere(), LoraConfig { use_rslora: true, ..Default::default() }] {
        let trained = trained(base.clone(), &config);
        save_adapter(&trained, target.path()).unwrap();
        let loaded = load_adapter(base.clone(), target.path()).unwrap();
        assert_eq!(loaded.adapter(), trained.adapter());
        if !config.use_rslora {
            assert_eq!(scores(&loaded), scores(&trained));
        }
        save(&loaded, target.path(), DType::F32).unwrap();
        let merged = crate::reference::model_at(target.path(), &Device::flex());
        assert!(merged.adapter().is_none() && merged.num_params() == base.num_params());
        assert!(distance(&scores(&merged), &scores(&loaded)) < 1e-4);
    }
}

#[test]
fn adapters_that_do_not_fit_are_refused_by_name() {
    let base = model(&Device::flex());
    let target = tempfile::tempdir().unwrap();
    let written = |change: &dyn Fn(&Path)| {
        save_adapter(&trained(base.clone(), &everywhere()), target.path()).unwrap();
        change(target.path());
        load_adapter(base.clone(), target.path()).unwrap_err().to_string()
    };
    let weights = "adapter_model.safetensors";
    let error = written(&|folder| std::fs::remove_file(folder.join(weights)).unwrap());
    assert!(error.contains(weights), "{error}");
    let error =
        written(&|folder| std::fs::remove_file(folder.join("adapter_config.json")).unwrap());
    assert!(error.contains("adapter_config.json"), "{error}");
    let error = written(&|folder| {
        let path = folder.join(weights);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    });
    assert!(error.contains("not a whole safetensors file"), "{error}");
    let error = written(&|folder| {
        let path = folder.join("adapter_config.json");
        let json = std::fs::read_to_string(&path).unwrap().replace("\"r\": 4", "\"r\": 5");
        std::fs::write(path, json).unwrap();
    });
    assert!(
        error.contains("misshapen: model.layers.0.self_attn.q_proj.lora_A is [4, 64]"),
        "{error}"
    );
    for (config, expected) in [
        (
            LoraConfig { target_modules: vec!["q_prj".into()], ..everywhere() },
            "did you mean q_proj?",
        ),
        (
            LoraConfig { target_modules: vec!["qkv".into()], ..Default::default() },
            "no layer is called qkv",
        ),
        (LoraConfig { r: 65, ..everywhere() }, "model.lora.r = 65 must be at most"),
    ] {
        let error = attach(base.clone(), &config, "base").unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_reference_model_with_an_adapter_is_written_for_peft() {
    // CPPO_PEFT names a folder for `tests/python/check_peft_loads.py`.
    let temporary = tempfile::tempdir().unwrap();
    let target =
        std::env::var("CPPO_PEFT").map_or(temporary.path().into(), std::path::PathBuf::from);
    let trained = trained(model(&Device::flex()), &everywhere());
    let mut config = trained.adapter().unwrap().clone();
    config.base_model_name_or_path = Some(folder().join("model").display().to_string());
    let trained = trained.with_adapter(config);
    save_adapter(&trained, &target).unwrap();
    let batch = trained.batch(&[case(3)]).unwrap();
    let (hidden, _) = trained.prefill(&batch);
    let [_, tokens, width] = hidden.dims();
    let logits = values(trained.logits(hidden.reshape([tokens, width])));
    let bytes: Vec<u8> = logits.iter().flat_map(|x| x.to_le_bytes()).collect();
    std::fs::write(target.join("logits.f32"), bytes).unwrap();
    assert_eq!(logits.len(), tokens * trained.config().text_config.vocab_size);
}

/// The reference model with quantized matrices.
fn quantized(quantization: Quantization, device: &Device) -> Qwen2_5_VL {
    let model = folder().join("model");
    let config = Qwen2_5_VLConfig::from_json(&read("model/config.json")).unwrap();
    let files = Checkpoint::open(&model).unwrap();
    files.load_quantized(&config, quantization, DType::F32, device).unwrap()
}

#[test]
fn adapters_on_quantized_weights_have_the_gradient_of_those_on_the_same_weights_in_floats() {
    let gpu = Device::wgpu(DeviceKind::DefaultDevice);
    let config = LoraConfig { r: 4, lora_alpha: 6.0, ..Default::default() };
    let cases =
        [(Quantization::Q8, Activations::Recomputed), (Quantization::Q4, Activations::Stored)];
    for (quantization, activations) in cases {
        let floats = quantized(quantization, &Device::flex());
        assert_eq!(floats.num_quantized(), (0, 0), "a CPU keeps floats");
        let packed = quantized(quantization, &gpu);
        let (weights, bytes) = packed.num_quantized();
        assert!(weights > packed.num_params() / 2 && bytes < weights * 5 / 4, "{weights} {bytes}");
        let [expected, found] = [floats.to_device(&gpu), packed].map(|model| {
            let model = trained(model, &config);
            let scores = scores(&model);
            let model = model.to_device(&gpu.clone().autodiff()).train();
            (scores, gradients(&model, activations, false))
        });
        assert!(distance(&found.0, &expected.0) < 1e-4);
        assert_eq!(found.1.keys().collect::<Vec<_>>(), expected.1.keys().collect::<Vec<_>>());
        for (name, expected) in &expected.1 {
            let error = relative(&found.1[name], expected);
            assert!(error < 1e-3, "{quantization:?} {activations:?} {name}: {error}");
        }
    }
}
