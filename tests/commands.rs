//! The `cppo` command as a user types it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::reference::{folder, ids, json};

pub fn cppo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cppo"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    cppo(arguments).output().unwrap()
}

fn path(name: &str) -> String {
    folder().join(name).to_str().unwrap().to_string()
}

/// The usual arguments before those of a test.
fn infer(arguments: &[&str]) -> Output {
    let model = path("model");
    let mut all = vec!["infer", "--model", &model, "--device", "cpu"];
    all.extend(arguments);
    run(&all)
}

#[test]
fn infer_prints_the_reference_answers() {
    for case in json()["cases"].as_array().unwrap() {
        let image = path(case["image"].as_str().unwrap());
        let question = case["question"].as_str().unwrap();
        let output =
            infer(&["--image", &image, "--max-new-tokens", "24", "--logprobs", "2", question]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let tokens = found["tokens"].as_array().unwrap();
        let found_ids: Vec<u32> =
            tokens.iter().map(|token| token["id"].as_u64().unwrap() as u32).collect();
        assert_eq!(found_ids, ids(&case["greedy_ids"]));
        assert_eq!(found["text"], case["greedy_text"]);
        assert_eq!(found["usage"]["prompt_tokens"], case["input_ids"].as_array().unwrap().len());
        for token in tokens {
            // Ids that are never drawn still count: scores are over the full distribution.
            let best = token["top_logprobs"][0]["logprob"].as_f64().unwrap();
            assert!(best >= token["logprob"].as_f64().unwrap() - 1e-6);
            assert!(token["entropy"].as_f64().unwrap() > 0.0);
        }
    }
}

#[test]
fn text_is_streamed_and_several_answers_are_numbered() {
    let case = &json()["cases"][3];
    let image = std::fs::read(folder().join("image3.png")).unwrap();
    let model = path("model");
    let mut child = cppo(&["infer", "-m", &model, "--device", "cpu", "-i", "-"])
        .args(["--max-new-tokens", "24", "x^2 + 1 = ?"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&image).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.strip_suffix('\n').unwrap(), case["greedy_text"].as_str().unwrap());

    let output = infer(&["--n", "2", "--max-new-tokens", "2", "--plain", "--quiet", "hi"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("[0] ") && text.contains("\n[1] "), "{text}");
}

#[test]
fn a_seed_repeats_and_responses_of_one_prompt_differ() {
    let sample = |seed: &str| {
        let arguments =
            ["--n", "3", "--temperature", "1", "--top-p", "0.9", "--max-new-tokens", "12"];
        infer(&[&arguments[..], &["--seed", seed, "--json", "hi"]].concat()).stdout
    };
    let texts = |bytes: &[u8]| -> Vec<String> {
        let lines = std::str::from_utf8(bytes).unwrap().lines();
        let json = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        json.map(|value| value["text"].to_string()).collect()
    };
    let (first, again, other) = (sample("1"), sample("1"), sample("2"));
    assert_eq!(texts(&first), texts(&again));
    assert_ne!(texts(&first), texts(&other));
    let texts = texts(&first);
    assert!(texts[0] != texts[1] && texts[1] != texts[2]);
}

#[test]
fn devices_lists_the_cpu() {
    let output = run(&["devices", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains(r#""id":"cpu""#), "{text}");
}

#[test]
fn devices_plans_the_memory_of_training_without_the_weights() {
    // The sizes of Qwen2.5-VL-3B; there is no weight in the folder.
    let folder = tempfile::tempdir().unwrap();
    let config = serde_json::json!({
        "model_type": "qwen2_5_vl", "vocab_size": 151_936, "hidden_size": 2048,
        "intermediate_size": 11_008, "num_hidden_layers": 36, "num_attention_heads": 16,
        "num_key_value_heads": 2, "hidden_act": "silu", "rms_norm_eps": 1e-6,
        "max_position_embeddings": 128_000, "rope_theta": 1e6, "tie_word_embeddings": true,
        "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
        "image_token_id": 151_655, "video_token_id": 151_656, "vision_start_token_id": 151_652,
        "vision_end_token_id": 151_653,
        "vision_config": {
            "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16,
            "out_hidden_size": 2048, "patch_size": 14, "spatial_merge_size": 2,
            "temporal_patch_size": 2, "window_size": 112, "in_chans": 3, "hidden_act": "silu",
            "fullatt_block_indexes": [7, 15, 23, 31],
        },
    });
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let name = folder.path().to_str().unwrap();
    let output = run(&["devices", "--plan", name, "--json", "rollout.batch_responses=32"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plans: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let plans = plans.as_array().unwrap();
    // As published: 3.75 billion parameters.
    assert_eq!(plans[0]["parameters"], 3_754_622_976u64);
    let number = |plan: &serde_json::Value, name: &str| plan[name].as_u64().unwrap();
    assert_eq!(number(&plans[0], "optimizer"), 8 * 3_754_622_976);
    assert_eq!(number(&plans[3], "optimizer"), number(&plans[0], "optimizer") / 4);
    let peaks: Vec<u64> = plans.iter().map(|plan| number(plan, "peak")).collect();
    assert!(peaks.is_sorted_by(|a, b| a > b), "{peaks:?}");
    let text =
        String::from_utf8(run(&["devices", "--plan", name, "--memory", "1"]).stdout).unwrap();
    assert!(text.contains("LoRA of rank 16") && text.contains("none fits"), "{text}");
    fails(&run(&["devices", "--plan", "no/such/folder/here"]), 2, "no such folder");
    fails(&run(&["devices", "--plan", name, "optim.lrr=1"]), 2, "optim.lr");
    fails(&run(&["devices", "--plan", name, "rollout.n=0"]), 2, "rollout.n");
    let output = run(&["devices", "--plan", name, "--json", "model.quantize=q4"]).stdout;
    let quantized: serde_json::Value = serde_json::from_slice(&output).unwrap();
    assert!(number(&quantized[4], "weights") < number(&plans[4], "weights") / 3, "{quantized}");
}

/// A copy of the reference model with one file changed.
fn changed(name: &str, change: impl Fn(Vec<u8>) -> Option<Vec<u8>>) -> tempfile::TempDir {
    let target = tempfile::tempdir().unwrap();
    for entry in folder().join("model").read_dir().unwrap() {
        let entry = entry.unwrap();
        let bytes = std::fs::read(entry.path()).unwrap();
        let bytes = if entry.file_name() == name { change(bytes) } else { Some(bytes) };
        if let Some(bytes) = bytes {
            std::fs::write(target.path().join(entry.file_name()), bytes).unwrap();
        }
    }
    target
}

fn fails(output: &Output, code: i32, expected: &str) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(message.contains(expected), "{expected:?} not in {message:?}");
    assert!(!message.contains("panicked"), "{message}");
}

#[test]
fn wrong_usage_is_said_with_exit_code_2() {
    let model = path("model");
    let cases: [(&[&str], &str); 9] = [
        (&["infer", "-m", &model, "  "], "question is empty"),
        (&["infer", "-m", &model, "--device", "tpu", "hi"], "use auto, cpu"),
        (&["infer", "-m", &model, "--device", "cuda", "hi"], "cuda"),
        (&["infer", "-m", &model, "--device", "wgpu:99", "hi"], "not found"),
        (&["infer", "-m", "no/such/folder", "hi"], "no such folder"),
        (&["infer", "-m", &model, "--device", "cpu", "--top-p", "2", "hi"], "top_p"),
        (&["infer", "-m", &model, "--device", "cpu", "--n", "0", "hi"], "--n"),
        (&["infer", "-m", &model, "-i", "-", "-i", "-", "hi"], "standard input"),
        (&["infer", "-m", &model, "-i", "-", "-"], "standard input"),
    ];
    for (arguments, expected) in cases {
        fails(&run(arguments), 2, expected);
    }
}

#[test]
fn a_question_from_standard_input_may_be_of_any_length() {
    let ask = |question: String| {
        let model = path("model");
        let mut child = cppo(&["infer", "-m", &model, "--device", "cpu", "--plain", "-"])
            .args(["--max-new-tokens", "2"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || input.write_all(question.as_bytes()));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        output
    };
    let short = ask("hi".into());
    let argument = infer(&["--plain", "--max-new-tokens", "2", "hi"]);
    assert_eq!((short.status.code(), short.stdout), (Some(0), argument.stdout));
    fails(&ask("how many red circles? ".repeat(10_000_000 / 22)), 2, "this model takes at most");
    fails(&ask(" ".repeat(1000)), 2, "question is empty");
}

#[test]
fn no_driver_complains_about_a_missing_runtime_folder() {
    let output = cppo(&["devices"]).env_remove("XDG_RUNTIME_DIR").output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && message.is_empty(), "{message}");
}

#[test]
fn bad_pictures_are_named() {
    let target = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let file = target.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        file.to_str().unwrap().to_string()
    };
    let png = std::fs::read(folder().join("image1.png")).unwrap();
    // Width and height stand at bytes 16 to 24 of a PNG, before the header's checksum.
    let cases = [
        (path("missing.png"), "No such file"),
        (write("text.png", b"just text"), "not a picture"),
        (write("half.png", &png[..png.len() / 2]), "cannot be decoded"),
        (write("empty.png", b""), "not a picture"),
        (write("thin.bmp", &thin_bmp()), "factor of at most 200"),
        (write("zero.bmp", &bmp(0, 0)), "zero.bmp"),
    ];
    for (image, expected) in cases {
        let output = infer(&["--image", &image, "hi"]);
        fails(&output, 1, expected);
    }
}

/// A white BMP of 24 bits.
fn bmp(width: u32, height: u32) -> Vec<u8> {
    let row = (width * 3).next_multiple_of(4);
    let mut bytes = b"BM".to_vec();
    bytes.extend((54 + row * height).to_le_bytes());
    bytes.extend([0; 4]);
    for number in [54, 40, width, height, 0x18_0001, 0, row * height, 0, 0, 0, 0] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(vec![255; (row * height) as usize]);
    bytes
}

fn thin_bmp() -> Vec<u8> {
    bmp(1, 5000)
}

#[test]
fn bad_model_folders_are_named() {
    let half = |bytes: Vec<u8>| Some(bytes[..bytes.len() / 2].to_vec());
    let config = |from: &'static str, to: &'static str| {
        changed("config.json", move |bytes| {
            Some(String::from_utf8(bytes).unwrap().replace(from, to).into_bytes())
        })
    };
    let cases = [
        (changed("model.safetensors", half), "not a whole safetensors file"),
        (changed("model.safetensors", |_| None), "no weights"),
        (changed("tokenizer.json", half), "tokenizer.json"),
        (changed("tokenizer.json", |_| None), "tokenizer.json"),
        (changed("preprocessor_config.json", half), "preprocessor_config.json"),
        (changed("chat_template.jinja", |_| Some(b"{% if".to_vec())), "chat template"),
        (config("qwen2_5_vl\"", "llama\""), "llama"),
        (config("\"vocab_size\": 496", "\"vocab_size\": 493"), "vocab_size 493"),
        (config("\"vocab_size\": 496", "\"vocab_size\": 512"), "misshapen: model.embed_tokens"),
    ];
    for (target, expected) in cases {
        let model = target.path().to_str().unwrap();
        fails(&run(&["infer", "-m", model, "--device", "cpu", "hi"]), 1, expected);
    }
}

#[test]
fn a_prompt_of_ten_megabytes_is_refused_in_time() {
    let mut child = cppo(&["infer", "-m", &path("model"), "--device", "cpu"]);
    // A single argument may hold 128 KB; the processor itself is tested with more.
    let question = "many words ".repeat(11_000);
    fails(&child.arg(question).output().unwrap(), 2, "takes at most 2048");
}

#[test]
fn a_full_disk_leaves_no_half_written_model() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let target = tempfile::tempdir().unwrap();
    let file = target.path().join("occupied");
    std::fs::write(&file, "a file where the folder should be").unwrap();
    let output =
        run(&["bench", "--device", "cpu", "--runs", "1", "--folder", file.to_str().unwrap()]);
    fails(&output, 1, "occupied");
    assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 1);
}
