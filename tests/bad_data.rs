//! Training on data and weights that are not what they should be.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use crate::commands::cppo;
use crate::reference::folder as reference;

/// One small step of the embedded demo on the given data.
pub fn train(folder: &Path, data: &str, changes: &[&str]) -> Output {
    let run_dir = format!("trainer.run_dir={}", folder.join("run").display());
    let data = format!("data.train={data}");
    let small = [
        "train",
        "--device=cpu",
        "data.instruction=false",
        "trainer.total_steps=1",
        "trainer.batch_prompts=2",
        "trainer.mini_batch_prompts=2",
        "trainer.eval_every=0",
        "rollout.n=2",
        "rollout.max_response_tokens=4",
        &run_dir,
        &data,
    ];
    cppo(&[&small[..], changes].concat()).output().unwrap()
}

fn fails(output: &Output, expected: &str) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{expected}: {message}");
    let errors: Vec<&str> = message.lines().filter(|line| line.starts_with("cppo: ")).collect();
    assert!(errors.len() == 1 && errors[0].contains(expected), "{expected:?} not in {message:?}");
    assert!(!message.contains("panicked"), "{message}");
}

/// The metrics of a run that ended well, and how often its gradient was skipped.
pub fn metrics(folder: &Path, output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(folder.join("run/metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn good() -> Value {
    json!({"prompt": "How many red shapes?", "images": ["whole.png"], "answer": "2"})
}

fn with(key: &str, value: Value) -> Value {
    let mut row = good();
    row[key] = value;
    row
}

/// A folder with a picture, half of one, and the rows as `data.jsonl`.
pub fn folder(rows: &[Value]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let png = std::fs::read(reference().join("image1.png")).unwrap();
    std::fs::write(folder.path().join("whole.png"), &png).unwrap();
    std::fs::write(folder.path().join("half.png"), &png[..png.len() / 2]).unwrap();
    let path = folder.path().join("data.jsonl");
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(&path, lines).unwrap();
    (folder, path.to_str().unwrap().to_string())
}

fn long() -> Value {
    with("prompt", json!("How many red shapes are there? ".repeat(20)))
}

#[test]
fn rows_that_cannot_be_used_end_the_run_or_are_counted() {
    let cases = [
        (with("images", json!(["gone.png"])), "gone.png: No such file", "unreadable"),
        (with("answer", json!(null)), "line 2: column reward_model.ground_truth or", "unreadable"),
        (with("images", json!(["half.png"])), "half.png: the picture cannot be", "picture"),
        (long(), "tokens, data.max_prompt_tokens is 64; raise it", "overlong"),
    ];
    for (bad, expected, reason) in cases {
        let limit = "data.max_prompt_tokens=64";
        let (folder, data) = folder(&[good(), bad.clone()]);
        // The other reason's key does not matter.
        let (key, other) = match reason {
            "overlong" => ("overlong", "unreadable"),
            _ => ("unreadable", "overlong"),
        };
        let keys = [format!("data.{key}=error"), format!("data.{key}=skip")];
        let other = format!("data.{other}=error");
        let output = train(folder.path(), &data, &[limit, &keys[0]]);
        fails(&output, expected);
        fails(&output, "data.jsonl, line 2: ");
        // One good row of two is found again and again, whatever the order of an epoch.
        let validation = format!("data.val={data}");
        let validated = [&validation, "trainer.eval_every=1"];
        let run = [&[limit, &keys[0]], &validated[..]].concat();
        fails(&train(folder.path(), "gym", &run), expected);
        let changes =
            [&[limit, &keys[1], &other, "trainer.total_steps=3"], &validated[..]].concat();
        let found = metrics(folder.path(), &train(folder.path(), &data, &changes));
        let last = found.last().unwrap();
        assert_eq!(last["val/skipped"], 1.0);
        assert_eq!(last[format!("val/skipped/{reason}")], 1.0);
        assert!(last["data/skipped"].as_f64().unwrap() >= 3.0, "{last}");
        assert_eq!(last["data/skipped"], last[format!("data/skipped/{reason}")]);

        let (folder, data) = self::folder(&[bad.clone(), bad]);
        let expected = expected.replace("line 2: ", "");
        fails(&train(folder.path(), &data, &[limit, &keys[1]]), &expected);
    }
}

#[test]
fn validation_needs_examples() {
    let (folder, data) = folder(&[good()]);
    let empty = folder.path().join("empty.jsonl");
    std::fs::write(&empty, "").unwrap();
    let validation = format!("data.val={}", empty.display());
    let output = train(folder.path(), &data, &[&validation, "trainer.eval_every=1"]);
    fails(&output, "holds no examples; name other files");
}

#[test]
fn long_questions_are_cut_where_asked_for() {
    let (folder, data) = folder(&[long(), long()]);
    let changes = ["data.max_prompt_tokens=64", "data.overlong=truncate"];
    let found = metrics(folder.path(), &train(folder.path(), &data, &changes));
    assert_eq!(found[0]["data/skipped"], 0.0);
    let rollouts = std::fs::read_to_string(folder.path().join("run/rollouts/step_1.jsonl"));
    for line in rollouts.unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let (asked, whole) = (line["input"].as_str().unwrap(), long());
        let whole = whole["prompt"].as_str().unwrap();
        assert!(whole.starts_with(asked) && asked.len() < whole.len() / 2, "{asked}");
    }
    // The picture alone is longer than this.
    let changes = ["data.max_prompt_tokens=8", "data.overlong=truncate"];
    let run = folder.path().join("other");
    std::fs::create_dir(&run).unwrap();
    fails(&train(&run, &data, &changes), "data.max_prompt_tokens is 8");
}

#[test]
fn questions_without_end_none_of_which_fits_end_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let output = train(folder.path(), "gym", &["data.max_prompt_tokens=5"]);
    fails(&output, "data.max_prompt_tokens is 5");
}

#[test]
fn data_sets_that_are_none_are_named() {
    let (empty, data) = folder(&[]);
    fails(&train(empty.path(), &data, &[]), "data.jsonl holds no examples");
    let (labels, data) = folder(&[json!({"prompt": "q", "label": 1})]);
    fails(&train(labels.path(), &data, &[]), "data.jsonl: no column reward_model.ground_truth");
    let missing = empty.path().join("none.parquet");
    fails(&train(empty.path(), missing.to_str().unwrap(), &[]), "none.parquet: No such file");

    let generated = empty.path().join("gym.parquet");
    let out = generated.to_str().unwrap();
    let generate = ["data", "generate", "--out", out, "--split", "train", "--items", "20"];
    assert!(cppo(&generate).output().unwrap().status.success());
    let whole = std::fs::read(&generated).unwrap();
    std::fs::write(&generated, &whole[..whole.len() / 2]).unwrap();
    fails(&train(empty.path(), out, &[]), "gym.parquet: not a whole parquet file");
    // The columns damaged, what describes them whole.
    let mut damaged = whole;
    damaged[8..4000].iter_mut().for_each(|byte| *byte = !*byte);
    std::fs::write(&generated, &damaged).unwrap();
    let output = train(empty.path(), out, &["data.unreadable=error"]);
    fails(&output, "the parquet data here cannot be read");
}

#[test]
fn a_step_in_which_all_responses_earn_the_same_changes_nothing() {
    let (folder, data) = folder(&[good(), good()]);
    let weights = |run: &Path| std::fs::read(run.join("checkpoints/step_2/model.safetensors"));
    // Two tokens hold no box, so that no response earns anything.
    let changes = ["rollout.max_response_tokens=2", "trainer.total_steps=2", "algorithm.kl_coef=0"];
    for (name, more) in [
        ("cppo", vec!["optim.lr=1"]),
        ("grpo", vec!["algorithm.name=grpo"]),
        (
            "papo",
            vec!["algorithm.name=papo", "algorithm.papo.coef=0", "algorithm.papo.entropy_coef=0"],
        ),
        ("filtered", vec!["algorithm.filter_groups=true"]),
    ] {
        let place = folder.path().join(name);
        std::fs::create_dir(&place).unwrap();
        let found = metrics(&place, &train(&place, &data, &[&changes[..], &more].concat()));
        assert_eq!(found.len(), 2, "{name}");
        for line in found {
            assert_eq!(line["critic/frac_reward_zero_std"], 1.0, "{name}: {line}");
            if name == "filtered" {
                // Ten times as many prompts are asked before a step goes without.
                assert_eq!(line["train/num_gen_batches"], 10.0, "{line}");
                assert_eq!(line["critic/score/max"], 0.0, "{line}");
            } else {
                assert_eq!(line["actor/pg_loss"], 0.0, "{name}: {line}");
                assert_eq!(line["actor/loss"], 0.0, "{name}: {line}");
                assert_eq!(line["actor/grad_norm"], 0.0, "{name}: {line}");
                assert_eq!(line["actor/skipped_updates"], 0.0, "{name}: {line}");
            }
        }
    }
    let unchanged = weights(&folder.path().join("filtered/run")).unwrap();
    assert!(unchanged == weights(&folder.path().join("cppo/run")).unwrap());
}

/// The demo model with weights that are no numbers.
fn broken_model(folder: &Path) -> PathBuf {
    let model = folder.join("model");
    std::fs::create_dir(&model).unwrap();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/model");
    for entry in demo.read_dir().unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), model.join(entry.file_name())).unwrap();
    }
    let path = model.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let tensors: Value = serde_json::from_slice(&bytes[8..header]).unwrap();
    let offsets = &tensors["model.layers.0.input_layernorm.weight"]["data_offsets"];
    let offset = |index: usize| header + offsets[index].as_u64().unwrap() as usize;
    bytes[offset(0)..offset(1)]
        .chunks_mut(4)
        .for_each(|value| value.copy_from_slice(&f32::NAN.to_le_bytes()));
    std::fs::write(&path, bytes).unwrap();
    model
}

#[test]
fn updates_by_gradients_that_are_not_finite_are_skipped_and_counted() {
    let (folder, data) = folder(&[good(), with("answer", json!("3"))]);
    let model = format!("model.path={}", broken_model(folder.path()).display());
    let changes = [&model, "trainer.total_steps=2", "algorithm.kl_coef=0.01"];
    let found = metrics(folder.path(), &train(folder.path(), &data, &changes));
    assert_eq!(found.len(), 2);
    for line in found {
        assert_eq!(line["actor/skipped_updates"], 1.0, "{line}");
        assert_eq!(line["actor/grad_norm"], Value::Null, "{line}");
    }
    assert!(folder.path().join("run/checkpoints/step_2/model.safetensors").exists());
}
