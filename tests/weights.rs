//! Checkpoints on disk.

use burn::tensor::{DType, Device};
use qwen2_5_vl::Qwen2_5_VLConfig;
use qwen2_5_vl::weights::{Checkpoint, save};
use safetensors::{SafeTensors, serialize_to_file};

use crate::reference::{case, distance, folder, model, read, values};

fn config() -> Qwen2_5_VLConfig {
    Qwen2_5_VLConfig::from_json(&read("model/config.json")).unwrap()
}

fn logits(model: &qwen2_5_vl::Qwen2_5_VL) -> Vec<f32> {
    let (hidden, _) = model.prefill(&model.batch(&[case(3)]).unwrap());
    let [_, tokens, width] = hidden.dims();
    values(model.logits(hidden.reshape([tokens, width])))
}

#[test]
fn a_saved_model_loads_the_same() {
    let device = Device::flex();
    let model = model(&device);
    let expected = logits(&model);
    for (dtype, tolerance) in [(DType::F32, 0.0), (DType::BF16, 0.3), (DType::F16, 0.03)] {
        let target = tempfile::tempdir().unwrap();
        save(&model, target.path(), dtype).unwrap();
        let mut names: Vec<_> =
            target.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["config.json", "model.safetensors"]);
        let json = std::fs::read_to_string(target.path().join("config.json")).unwrap();
        let config = Qwen2_5_VLConfig::from_json(&json).unwrap();
        let loaded =
            Checkpoint::open(target.path()).unwrap().load(&config, DType::F32, &device).unwrap();
        let worst = distance(&logits(&loaded), &expected);
        assert!(worst <= tolerance, "{dtype:?}: {worst}");
    }
}

#[test]
fn saved_names_and_shapes_are_those_of_the_original_file() {
    let target = tempfile::tempdir().unwrap();
    save(&model(&Device::flex()), target.path(), DType::F32).unwrap();
    let list = |path: std::path::PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut list: Vec<_> = file
            .iter()
            .map(|(name, view)| (name.to_string(), view.shape().to_vec(), view.data().to_vec()))
            .collect();
        list.sort();
        list
    };
    let saved = list(target.path().join("model.safetensors"));
    assert!(saved == list(folder().join("model/model.safetensors")));
}

/// Writes the reference weights in another arrangement.
fn rewrite(target: &std::path::Path, shards: usize, rename: impl Fn(&str) -> Option<String>) {
    let bytes = std::fs::read(folder().join("model/model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut parts = vec![Vec::new(); shards];
    let mut map = serde_json::Map::new();
    for (index, (name, view)) in file.iter().enumerate() {
        let Some(name) = rename(name) else { continue };
        let part = index % shards;
        map.insert(name.clone(), format!("part-{part}.safetensors").into());
        parts[part].push((name, view));
    }
    if shards == 1 {
        serialize_to_file(parts.remove(0), None, &target.join("model.safetensors")).unwrap();
        return;
    }
    for (index, part) in parts.into_iter().enumerate() {
        serialize_to_file(part, None, &target.join(format!("part-{index}.safetensors"))).unwrap();
    }
    let index = serde_json::json!({ "weight_map": map }).to_string();
    std::fs::write(target.join("model.safetensors.index.json"), index).unwrap();
}

#[test]
fn sharded_weights_and_todays_names_load_like_the_whole_file() {
    let device = Device::flex();
    let expected = logits(&model(&device));
    let today = |name: &str| {
        Some(match name.strip_prefix("model.") {
            Some(rest) => format!("model.language_model.{rest}"),
            None => format!("model.{name}"),
        })
    };
    for shards in [1, 3] {
        let target = tempfile::tempdir().unwrap();
        rewrite(target.path(), shards, today);
        let checkpoint = Checkpoint::open(target.path()).unwrap();
        let loaded = checkpoint.load(&config(), DType::F32, &device).unwrap();
        assert_eq!(logits(&loaded), expected, "{shards} shards");
    }
}

#[test]
fn one_error_names_every_tensor_that_does_not_fit() {
    let target = tempfile::tempdir().unwrap();
    rewrite(target.path(), 1, |name| match name {
        "model.norm.weight" => None,
        "model.layers.1.mlp.up_proj.weight" => Some("model.layers.9.mlp.up_proj.weight".into()),
        name => Some(name.into()),
    });
    let mut config = config();
    config.vision_config.intermediate_size = 48;
    let error = Checkpoint::open(target.path())
        .unwrap()
        .load(&config, DType::F32, &Device::flex())
        .unwrap_err()
        .to_string();
    for expected in [
        "missing: model.norm.weight [64]",
        "missing: model.layers.1.mlp.up_proj.weight",
        "unexpected: model.layers.9.mlp.up_proj.weight",
        "misshapen: visual.blocks.0.mlp.up_proj.weight is [64, 32], not [48, 32]",
    ] {
        assert!(error.contains(expected), "{expected} not in {error}");
    }
}

#[test]
fn damaged_weight_files_are_named() {
    let whole = std::fs::read(folder().join("model/model.safetensors")).unwrap();
    let cases: [(&[u8], &str); 5] = [
        (&[], "shorter than 8"),
        (&whole[..5], "shorter than 8"),
        (&whole[..100], "claims"),
        (&whole[..whole.len() - 1], "should have"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xffxx", "claims"),
    ];
    for (bytes, expected) in cases {
        let target = tempfile::tempdir().unwrap();
        std::fs::write(target.path().join("model.safetensors"), bytes).unwrap();
        let error = Checkpoint::open(target.path()).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("model.safetensors"), "{error}");
    }
    let empty = tempfile::tempdir().unwrap();
    assert!(Checkpoint::open(empty.path()).unwrap_err().to_string().contains("no weights"));
}
