//! `cppo train` with adapters, as a user runs it.

use std::path::Path;

use serde_json::Value;

use crate::commands::cppo;

const SHORT: [&str; 13] = [
    "train",
    "--device=cpu",
    "model.lora.r=4",
    "trainer.total_steps=3",
    "trainer.batch_prompts=6",
    "trainer.mini_batch_prompts=4",
    "trainer.micro_batch_responses=5",
    "trainer.eval_every=0",
    "trainer.save_every=1",
    "algorithm.kl_coef=0.01",
    "algorithm.cpl.gate=none",
    "rollout.n=3",
    "optim.lr=1e-2",
];

/// The program's output; it must succeed.
fn run(arguments: &[&str]) -> String {
    let output = cppo(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Its message; it must fail.
fn refused(arguments: &[&str]) -> String {
    let output = cppo(arguments).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).to_string();
    assert!(
        matches!(output.status.code(), Some(1 | 2)) && !message.contains("panicked"),
        "{message}"
    );
    message
}

fn train(folder: &Path, changes: &[&str]) -> String {
    let run_dir = format!("trainer.run_dir={}", folder.display());
    run(&[&SHORT[..], &[&run_dir], changes].concat())
}

/// The tokens of a greedy answer.
fn tokens(model: &[&str]) -> Value {
    let picture = crate::reference::folder().join("../../docs/shapes.png");
    let question = ["--image", picture.to_str().unwrap(), "--temperature=0", "--max-new-tokens=24"];
    let rest = ["--device=cpu", "--json", "--plain", "How many red shapes?"];
    let found = run(&[&["infer"], model, &question, &rest].concat());
    let found: Value = serde_json::from_str(&found).unwrap();
    found["tokens"].as_array().unwrap().iter().map(|token| token["id"].clone()).collect()
}

#[test]
fn a_run_with_adapters_goes_on_exactly_and_its_merged_model_answers_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, broken, merged] =
        ["whole", "broken", "merged"].map(|name| folder.path().join(name));
    train(&whole, &[]);
    train(&broken, &["trainer.total_steps=1"]);
    train(&broken, &[]);
    let checkpoint = |run: &Path| run.join("checkpoints/step_3");
    let mut names: Vec<_> = std::fs::read_dir(checkpoint(&whole))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = [
        "adapter_config.json",
        "adapter_model.safetensors",
        "optimizer.safetensors",
        "trainer_state.json",
    ];
    assert_eq!(names, expected);
    for name in names {
        let read = |run: &Path| std::fs::read(checkpoint(run).join(&name)).unwrap();
        assert!(read(&broken) == read(&whole), "{name} differs");
    }
    let config = std::fs::read_to_string(checkpoint(&whole).join("adapter_config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!((&config["peft_type"], &config["r"]), (&"LORA".into(), &4.into()));
    assert_eq!(config["base_model_name_or_path"], "cppo-demo");

    let adapter = checkpoint(&whole);
    let (adapter, merged) = (adapter.to_str().unwrap(), merged.to_str().unwrap());
    run(&["export", "--merge", "--model", adapter, "--out", merged]);
    let found = tokens(&["--model", adapter]);
    assert_eq!(tokens(&["--adapter", adapter]), found);
    assert_eq!(tokens(&["--model", merged]), found);
    assert_ne!(tokens(&[]), found, "three steps at this rate change the answer");
    let web = folder.path().join("web");
    run(&["export", "--model", adapter, "--dtype=f32", "--out", web.to_str().unwrap()]);
    assert_eq!(tokens(&["--model", web.to_str().unwrap()]), found);

    // An evaluation is of the model with its adapter, however it is named.
    let out = folder.path().join("eval");
    let out = out.to_str().unwrap();
    let eval = ["eval", "--device=cpu", "--limit=2", "--n=1", "--max-new-tokens=4", "--out", out];
    let table = run(&[&eval[..], &["--model", adapter]].concat());
    assert!(table.starts_with(&format!("demo with {adapter} on gym")), "{table}");
    run(&[&eval[..], &["--adapter", adapter]].concat());
    let message = refused(&eval);
    assert!(message.contains("another adapter"), "{message}");
    let settings = std::fs::read_to_string(folder.path().join("eval/settings.json")).unwrap();
    assert!(settings.contains("\"instruction\": false"), "{settings}");

    let other = crate::reference::folder().join("model");
    let other = other.to_str().unwrap();
    for (arguments, expected) in [
        (&["infer", "--model", other, "--adapter", adapter, "hi"][..], "misshapen: model.layers.0"),
        (&["infer", "--model", adapter, "--adapter", adapter, "hi"], "is an adapter itself"),
        (&["infer", "--adapter", other, "hi"], "adapter_config.json"),
        (&["export", "--merge", "--model", other, "--out", "x"], "--merge needs an adapter"),
        (&["train", "data.train=gym", &format!("model.path={adapter}")], "export --merge"),
        (&["train", "model.lora.target_modules=[q_prj]"], "did you mean q_proj?"),
        (&["train", "model.lora.rank=4"], "unknown key `model.lora.rank`"),
    ] {
        let message = refused(arguments);
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
}

#[test]
fn a_warm_start_can_train_adapters() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = format!("trainer.run_dir={}", folder.path().display());
    let changes =
        ["data.train=gym", "trainer.total_steps=1", "trainer.batch_prompts=2", "optim.lr=1e-3"];
    let lora = "model.lora={r: 2, vision: true}";
    run(&[&["sft", "--device=cpu", &run_dir, lora], &changes[..]].concat());
    let adapter = folder.path().join("checkpoints/step_1");
    assert_ne!(tokens(&["--model", adapter.to_str().unwrap()]), Value::Null);
}
