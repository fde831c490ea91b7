//! Exported models: what the files hold, and what comes of them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::{DType, Device, DeviceKind};
use generation::{GenerateOptions, generate_blocking};
use qwen2_5_vl::weights::{Checkpoint, Export, Storage, save};
use qwen2_5_vl::{BLOCK, Quantization, Qwen2_5_VL, Qwen2_5_VLConfig};
use safetensors::{Dtype, SafeTensors, serialize_to_file, tensor::TensorView};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::commands::cppo;
use crate::reference::{case, distance, folder, ids, model, read, text_prompt, values};

const FORMATS: [Storage; 4] = [
    Storage::F32,
    Storage::F16,
    Storage::Quantized(Quantization::Q8),
    Storage::Quantized(Quantization::Q4),
];

fn config() -> Qwen2_5_VLConfig {
    Qwen2_5_VLConfig::from_json(&read("model/config.json")).unwrap()
}

/// Exports the weights of a folder.
fn export(
    source: &Path,
    config: &Qwen2_5_VLConfig,
    storage: Storage,
    file_bytes: u64,
    target: &Path,
) -> Export {
    let mut checkpoint = Checkpoint::open(source).unwrap();
    let export = checkpoint.export(config, storage, file_bytes).unwrap();
    for file in &export.files {
        let mut bytes = Vec::new();
        checkpoint.write(file, &mut bytes, |_| Ok(())).unwrap();
        assert_eq!(bytes.len() as u64, file.bytes);
        assert!(file.bytes <= file_bytes, "{}: {} bytes", file.name, file.bytes);
        std::fs::write(target.join(&file.name), bytes).unwrap();
    }
    let shards: Vec<_> = export.files.iter().map(|file| json!({"name": file.name})).collect();
    std::fs::write(target.join("manifest.json"), json!({"shards": shards}).to_string()).unwrap();
    export
}

fn load(folder: &Path, config: &Qwen2_5_VLConfig, device: &Device) -> Qwen2_5_VL {
    Checkpoint::open(folder).unwrap().load(config, DType::F32, device).unwrap()
}

fn logits(model: &Qwen2_5_VL, index: usize) -> Vec<f32> {
    let (hidden, _) = model.prefill(&model.batch(&[case(index)]).unwrap());
    let [_, tokens, width] = hidden.dims();
    values(model.logits(hidden.reshape([tokens, width])))
}

/// The reference weights after a way through a format, in f32 files.
fn rounded(storage: Storage, target: &Path) {
    let bytes = std::fs::read(folder().join("model/model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let round = |view: &TensorView| -> Vec<u8> {
        let weights: Vec<f32> = view
            .data()
            .chunks(4)
            .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        let weights = match storage {
            Storage::Quantized(format)
                if view.shape().len() == 2 && view.shape()[1] % BLOCK == 0 =>
            {
                let (bytes, scales) = format.quantize(&weights);
                format.dequantize(&bytes, &scales)
            }
            Storage::F16 => {
                weights.iter().map(|&weight| half::f16::from_f32(weight).to_f32()).collect()
            }
            _ => weights,
        };
        weights.iter().flat_map(|weight| weight.to_le_bytes()).collect()
    };
    let tensors: Vec<_> = file
        .iter()
        .map(|(name, view)| (name.to_string(), view.shape().to_vec(), round(&view)))
        .collect();
    let views = tensors.iter().map(|(name, shape, data)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), data).unwrap())
    });
    serialize_to_file(views, None, &target.join("model.safetensors")).unwrap();
}

#[test]
fn an_export_is_the_rounded_model_on_every_device_in_whatever_slices() {
    let config = config();
    for storage in FORMATS {
        let target = tempfile::tempdir().unwrap();
        rounded(storage, target.path());
        let expected = logits(&load(target.path(), &config, &Device::flex()), 3);
        for file_bytes in [64 << 20, 10_000] {
            let target = tempfile::tempdir().unwrap();
            let export =
                export(&folder().join("model"), &config, storage, file_bytes, target.path());
            assert_eq!(export.files.len() > 1, file_bytes == 10_000);
            let gpu = Device::wgpu(DeviceKind::DefaultDevice);
            for device in [Device::flex(), gpu] {
                let found = logits(&load(target.path(), &config, &device), 3);
                let worst = distance(&found, &expected);
                assert!(worst < 1e-4, "{storage:?} {file_bytes} {device:?}: {worst}");
            }
        }
    }
}

#[test]
fn greedy_tokens_of_a_quantized_model_are_the_same_on_every_device() {
    let target = tempfile::tempdir().unwrap();
    let (config, storage) = (config(), Storage::Quantized(Quantization::Q4));
    export(&folder().join("model"), &config, storage, 20_000, target.path());
    let options = GenerateOptions { max_new_tokens: 6, read_step: 64, ..Default::default() };
    let answers: Vec<_> = [Device::flex(), Device::wgpu(DeviceKind::DefaultDevice)]
        .iter()
        .map(|device| {
            let model = load(target.path(), &config, device);
            generate_blocking(&model, &[case(3)], &options, |_, _| ControlFlow::Continue(()))
                .unwrap()[0]
                .tokens
                .iter()
                .map(|token| token.id)
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].len(), 6);
}

#[test]
fn quantized_logits_are_close_to_those_of_the_model() {
    let (config, device) = (config(), Device::flex());
    let whole = model(&device);
    // Root mean square of the error over that of the logits, and agreement on the likeliest token.
    let bounds = [(Quantization::Q8, 0.05, 0.9), (Quantization::Q4, 0.5, 0.4)];
    for (quantization, largest_error, least_agreement) in bounds {
        let target = tempfile::tempdir().unwrap();
        let storage = Storage::Quantized(quantization);
        export(&folder().join("model"), &config, storage, 64 << 20, target.path());
        let quantized = load(target.path(), &config, &device);
        let (mut error, mut size, mut agreed, mut tokens) = (0f64, 0f64, 0, 0);
        for index in 0..4 {
            let (expected, found) = (logits(&whole, index), logits(&quantized, index));
            for (expected, found) in expected.chunks(496).zip(found.chunks(496)) {
                let likeliest = |row: &[f32]| (0..496).max_by(|&a, &b| row[a].total_cmp(&row[b]));
                agreed += usize::from(likeliest(expected) == likeliest(found));
                tokens += 1;
                for (expected, found) in expected.iter().zip(found) {
                    error += f64::from(found - expected).powi(2);
                    size += f64::from(*expected).powi(2);
                }
            }
        }
        let (error, agreement) = ((error / size).sqrt(), agreed as f64 / tokens as f64);
        println!("{quantization:?}: relative error {error:.4}, same token {agreement:.3}");
        assert!(error < largest_error, "{quantization:?}: {error}");
        assert!(agreement > least_agreement, "{quantization:?}: {agreement}");
    }
}

#[test]
fn a_real_vocabulary_fits_into_small_files_and_buffers() {
    let json = read("model/config.json")
        .replace("\"vocab_size\": 496", "\"vocab_size\": 151936")
        .replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
    let mut config = Qwen2_5_VLConfig::from_json(&json).unwrap();
    config.text_config.hidden_size = 1024;
    config.text_config.num_attention_heads = 8;
    config.text_config.rope_parameters.mrope_section = [16, 24, 24];
    config.vision_config.out_hidden_size = 1024;
    let device = Device::wgpu(DeviceKind::DefaultDevice);
    config.tie_word_embeddings = false;
    config.validate().unwrap();
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    save(&Qwen2_5_VL::init(&config, &Device::flex()), source.path(), DType::BF16).unwrap();
    let storage = Storage::Quantized(Quantization::Q4);
    let export = export(source.path(), &config, storage, 64 << 20, target.path());
    assert!(export.files.len() > 2);
    assert!(export.largest_buffer_bytes <= 128 << 20, "{}", export.largest_buffer_bytes);
    assert!(export.device_bytes > 2 * 151_936 * 1024 * 5 / 8);
    let model = load(target.path(), &config, &device);
    let options = GenerateOptions { max_new_tokens: 3, read_step: 64, ..Default::default() };
    let completions =
        generate_blocking(&model, &[text_prompt("Hi")], &options, |_, _| ControlFlow::Continue(()));
    assert_eq!(completions.unwrap()[0].tokens.len(), 3);
}

fn run(arguments: &[&str]) -> std::process::Output {
    cppo(&[&["export"], arguments].concat()).output().unwrap()
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = folder.read_dir().unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_manifest_describes_every_file() {
    let target = tempfile::tempdir().unwrap();
    let out = target.path().join("some/demo");
    let (path, source) = (out.to_str().unwrap(), folder().join("model"));
    let source = source.to_str().unwrap();
    let output = run(&["-m", source, "--out", path, "--dtype", "f32", "--shard-mb", "1", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let manifest: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let written = std::fs::read(out.join("manifest.json")).unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&written).unwrap(), manifest);
    assert_eq!(manifest["format"], "cppo-web-1");
    assert_eq!(manifest["name"], "model");
    assert_eq!(manifest["dtype"], "f32");
    let (mut listed, mut total) = (BTreeSet::from(["manifest.json".to_string()]), 0);
    for kind in ["files", "shards"] {
        for file in manifest[kind].as_array().unwrap() {
            let name = file["name"].as_str().unwrap();
            let bytes = std::fs::read(out.join(name)).unwrap();
            let hash: String =
                Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(file["sha256"], hash, "{name}");
            assert_eq!(file["bytes"], bytes.len(), "{name}");
            total += bytes.len();
            listed.insert(name.into());
            if kind == "files" {
                assert_eq!(bytes, std::fs::read(folder().join("model").join(name)).unwrap());
            }
        }
    }
    assert_eq!(listed, names(&out));
    assert_eq!(names(&target.path().join("some")), BTreeSet::from(["demo".to_string()]));
    assert_eq!(manifest["requirements"]["download_bytes"], total);
    let parameters = manifest["parameters"].as_u64().unwrap();
    assert_eq!(manifest["requirements"]["device_bytes"], parameters * 4);

    let question = ["infer", "-m", path, "--device", "cpu", "--max-new-tokens", "24", "--json"];
    let image = folder().join("image3.png");
    let question = [&question[..], &["-i", image.to_str().unwrap(), "x^2 + 1 = ?"]].concat();
    let output = cppo(&question).output().unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = answer["tokens"].as_array().unwrap().iter().map(|token| &token["id"]);
    let found: Vec<u32> = found.map(|id| id.as_u64().unwrap() as u32).collect();
    assert_eq!(found, ids(&crate::reference::json()["cases"][3]["greedy_ids"]));
}

#[test]
fn what_is_there_is_replaced_only_when_asked_for() {
    let target = tempfile::tempdir().unwrap();
    let path = target.path().to_str().unwrap();
    std::fs::write(target.path().join("precious.txt"), "kept").unwrap();
    let output = run(&["--out", path, "--quiet"]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("not empty"), "{message}");
    assert_eq!(names(target.path()), BTreeSet::from(["precious.txt".to_string()]));
    let output = run(&["--out", path, "--quiet", "--overwrite"]);
    assert!(output.status.success() && output.stdout.is_empty());
    let names = names(target.path());
    assert!(names.contains("manifest.json") && !names.contains("precious.txt"), "{names:?}");
}

#[test]
fn what_cannot_be_exported_is_said_and_leaves_nothing() {
    let target = tempfile::tempdir().unwrap();
    let file = target.path().join("file");
    std::fs::write(&file, "").unwrap();
    let demo = target.path().join("demo");
    assert!(run(&["--out", demo.to_str().unwrap(), "--quiet"]).status.success());
    let broken = target.path().join("broken");
    std::fs::create_dir(&broken).unwrap();
    for name in names(&folder().join("model")) {
        std::fs::copy(folder().join("model").join(&name), broken.join(&name)).unwrap();
    }
    let weights = broken.join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&weights, bytes).unwrap();
    let [file, demo, broken] = [file, demo, broken].map(|path| path.display().to_string());
    let out = target.path().join("out").display().to_string();
    let under_file = format!("{file}/out");
    let cases: [(&[&str], i32, &str); 6] = [
        (&["-m", &demo, "--out", &out], 1, "exported already"),
        (&["-m", &broken, "--out", &out], 1, "holds NaN"),
        (&["-m", "no/such/folder", "--out", &out], 2, "no such folder"),
        (&["--out", &under_file], 1, "file"),
        (&["--out", &file], 1, "file"),
        (&["--out", &out, "--shard-mb", "0"], 2, "shard-mb"),
    ];
    for (arguments, code, expected) in cases {
        let output = run(arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(message.contains(expected), "{expected:?} not in {message:?}");
        assert!(!message.contains("panicked"), "{message}");
    }
    let left = BTreeSet::from(["broken", "demo", "file"].map(String::from));
    assert_eq!(names(target.path()), left);
}

#[test]
fn exported_weights_are_neither_trained_nor_saved() {
    let target = tempfile::tempdir().unwrap();
    let (config, storage) = (config(), Storage::Quantized(Quantization::Q8));
    for file_bytes in [64 << 20, 20_000] {
        export(&folder().join("model"), &config, storage, file_bytes, target.path());
        let model = load(target.path(), &config, &Device::wgpu(DeviceKind::DefaultDevice));
        let error = save(&model, target.path(), DType::F32).unwrap_err().to_string();
        assert!(error.contains("for inference"), "{error}");
    }
}

#[test]
fn damaged_exports_are_refused_by_name() {
    let (config, device) = (config(), Device::flex());
    let target = tempfile::tempdir().unwrap();
    let storage = Storage::Quantized(Quantization::Q4);
    let export = export(&folder().join("model"), &config, storage, 10_000, target.path());
    let manifest = |names: &[&str]| {
        let shards: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
        std::fs::write(target.path().join("manifest.json"), json!({"shards": shards}).to_string())
            .unwrap();
        let checkpoint = Checkpoint::open(target.path()).map_err(|error| error.to_string())?;
        checkpoint.load(&config, DType::F32, &device).map_err(|error| error.to_string())
    };
    let names: Vec<&str> = export.files.iter().map(|file| file.name.as_str()).collect();
    assert!(manifest(&names).is_ok());
    assert!(manifest(&names[1..]).unwrap_err().contains("missing: "));
    std::fs::copy(target.path().join(names[1]), target.path().join("again.safetensors")).unwrap();
    let twice: Vec<&str> = names.iter().copied().chain(["again.safetensors"]).collect();
    assert!(manifest(&twice).unwrap_err().contains("twice: "));
    assert!(manifest(&["../up.safetensors"]).unwrap_err().contains("not a file name"));
    std::fs::write(target.path().join("manifest.json"), "{}").unwrap();
    let error = Checkpoint::open(target.path()).unwrap_err().to_string();
    assert!(error.contains("manifest.json"), "{error}");
}
