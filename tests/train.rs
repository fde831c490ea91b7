//! `cppo train` as a user runs it: it goes on exactly where it was stopped, and says what is wrong.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::commands::cppo;

/// A short run of the embedded demo: small batches, but every part of a step takes part.
const SHORT: [&str; 15] = [
    "train",
    "--device=cpu",
    "trainer.total_steps=5",
    "trainer.batch_prompts=6",
    "trainer.mini_batch_prompts=4",
    "trainer.micro_batch_responses=5",
    "trainer.recompute=true",
    "trainer.save_every=1",
    "trainer.eval_every=2",
    "trainer.keep=2",
    "data.val_max_samples=8",
    "algorithm.kl_coef=0.01",
    "algorithm.cpl.gate=none",
    "rollout.n=3",
    "optim.lr=1e-4",
];

fn short(folder: &Path, changes: &[&str]) -> std::process::Command {
    let mut command = cppo(&SHORT);
    command.arg(format!("trainer.run_dir={}", folder.display())).args(changes);
    command
}

fn finished(mut command: std::process::Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The metrics of every step, without those that measure time.
fn metrics(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let line = |line| {
        let mut metrics: Value = serde_json::from_str(line).unwrap();
        let timed = |name: &String| name.starts_with("timing_s/") || name == "perf/throughput";
        metrics.as_object_mut().unwrap().retain(|name, _| !timed(name));
        metrics
    };
    text.lines().map(line).collect()
}

fn checkpoint(folder: &Path, step: usize) -> PathBuf {
    folder.join(format!("checkpoints/step_{step}"))
}

/// Weights, optimizer, responses and metrics are the same to the last bit.
fn assert_same_run(found: &Path, expected: &Path) {
    assert_eq!(metrics(found), metrics(expected));
    for name in ["model.safetensors", "optimizer.safetensors", "trainer_state.json", "config.json"]
    {
        let read = |folder: &Path| std::fs::read(checkpoint(folder, 5).join(name)).unwrap();
        assert!(read(found) == read(expected), "{name} differs");
    }
    for step in 1..=5 {
        let read = |folder: &Path| {
            std::fs::read_to_string(folder.join(format!("rollouts/step_{step}.jsonl"))).unwrap()
        };
        assert_eq!(read(found), read(expected));
    }
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_as_the_unbroken_one() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let started = Instant::now();
    finished(short(&whole, &[]));
    let duration = started.elapsed();
    assert_eq!(metrics(&whole).len(), 6, "a line for each step and one for the start");
    let latest = std::fs::read_to_string(whole.join("checkpoints/latest")).unwrap();
    assert_eq!(latest.trim(), "step_5");

    // CPPO_KILLS asks for more; the moments spread over the run, saving included.
    let kills = std::env::var("CPPO_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    for kill in 0..kills {
        let share = (kill as f64 * 0.618 + 0.35).fract();
        let mut child =
            short(&broken, &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_secs_f64(duration.as_secs_f64() * share));
        let _ = child.kill();
        child.wait().unwrap();
    }
    finished(short(&broken, &[]));
    assert_same_run(&broken, &whole);
    let leftovers = std::fs::read_dir(broken.join("checkpoints"))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("step_"));
    assert!(leftovers.count() <= 3, "two checkpoints and the best one are kept");
}

/// A program whose score is the last digit of the length of what it is told, less the id.
#[cfg(unix)]
#[test]
fn a_run_with_a_reward_program_goes_on_as_the_unbroken_one() {
    let folder = tempfile::tempdir().unwrap();
    let judge = folder.path().join("judge.sh");
    let script = r#"while IFS= read -r line; do
        id=${line#*:}; id=${id%%,*}; rest=${line#*,}
        echo "{\"id\": $id, \"score\": 0.$((${#rest} % 10)), \"metrics\": {\"bytes\": ${#rest}}}"
    done"#;
    std::fs::write(&judge, script).unwrap();
    let program = |command: &str| {
        format!(
            "algorithm.reward.programs=[{{name: length, command: {command}, batch: 7, restarts: 1}}]"
        )
    };
    let good = program(&format!("[sh, {}]", judge.display()));
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    finished(short(&whole, &[&good]));
    finished(short(&broken, &[&good, "trainer.total_steps=2"]));
    finished(short(&broken, &[&good, "data.workers=0", "data.prefetch=1"]));
    assert_same_run(&broken, &whole);
    for line in &metrics(&whole)[1..] {
        let value = |name: &str| line[name].as_f64().unwrap();
        let expected = 0.9 * value("reward/accuracy")
            + 0.1 * value("reward/format")
            + value("reward/length/mean");
        assert!((value("critic/score/mean") - expected).abs() < 1e-5, "{line}");
        assert!(value("reward/length/bytes/mean") > 50.0);
    }
    // Validation reports the whole reward and the program's part; accuracy is as without it.
    let validation = |folder: &Path| metrics(folder).remove(0);
    let (with, without) = (validation(&whole), folder.path().join("without"));
    let value = |name: &str| with[format!("val-aux/all/reward/{name}")].as_f64().unwrap();
    assert!(value("length/bytes/mean@1") > 50.0, "{with}");
    finished(short(&without, &["trainer.total_steps=1"]));
    let without = validation(&without);
    let (name, reward) = ("val-core/all/acc/mean@1", "val-aux/all/reward/mean@1");
    assert_eq!(with[name], without[name]);
    let added = value("mean@1") - without[reward].as_f64().unwrap();
    assert!((added - value("length/mean@1")).abs() < 1e-5 && added > 0.0, "{with}");
    let rollouts = std::fs::read_to_string(whole.join("rollouts/step_1.jsonl")).unwrap();
    let first: Value = serde_json::from_str(rollouts.lines().next().unwrap()).unwrap();
    assert!(first["programs"]["length"]["score"].is_number(), "{first}");

    let bad = program("[sh, -c, \"read -r line; echo out of luck >&2; exit 9\"]");
    let output =
        short(&folder.path().join("bad"), &[&bad, "trainer.eval_every=0"]).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).to_string();
    assert_eq!(output.status.code(), Some(1), "{message}");
    for expected in
        ["the reward program length", "restarted 1 times", "exit status: 9", "out of luck"]
    {
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

#[test]
fn several_validation_responses_have_a_mean_a_best_and_a_majority() {
    let folder = tempfile::tempdir().unwrap();
    let output = finished(short(folder.path(), &["trainer.total_steps=1", "trainer.eval_n=4"]));
    let last = metrics(folder.path()).pop().unwrap();
    let value = |name: &str| last[format!("val-core/all/acc/{name}")].as_f64().unwrap();
    let (mean, best, majority) = (value("mean@4"), value("best@4/mean"), value("maj@4/mean"));
    assert!(mean < best && majority <= best, "{last}");
    // Of 8 examples with 4 responses each, which differ at the default temperature of 1.
    assert!(mean * 32.0 % 1.0 == 0.0 && best * 8.0 % 1.0 == 0.0, "{last}");
    let text = String::from_utf8_lossy(&output.stdout).to_string();
    assert!(text.contains("validation accuracy"), "{text}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_run_with_a_checkpoint_from_which_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    finished(short(&whole, &["trainer.save_every=0"]));
    let child = short(&broken, &["trainer.save_every=0"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !broken.join("rollouts/step_1.jsonl").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).to_string();
    assert_eq!(output.status.code(), Some(130), "{message}");
    assert!(message.contains("the same command goes on"), "{message}");
    let done = metrics(&broken).len() - 1;
    assert!((1..5).contains(&done) && checkpoint(&broken, done).is_dir(), "{done}");
    finished(short(&broken, &["trainer.save_every=0"]));
    // The interrupt saved, and the stop evaluated, one step more than the unbroken run did.
    let weights = |folder: &Path| std::fs::read(checkpoint(folder, 5).join("model.safetensors"));
    assert!(weights(&broken).unwrap() == weights(&whole).unwrap());
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, damaged) = (folder.path().join("whole"), folder.path().join("damaged"));
    finished(short(&whole, &[]));
    finished(short(&damaged, &["trainer.total_steps=4"]));
    let path = checkpoint(&damaged, 4).join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let output = finished(short(&damaged, &[]));
    let message = String::from_utf8_lossy(&output.stderr).to_string();
    assert!(message.contains("step_4 is damaged: model.safetensors"), "{message}");
    let weights = |folder: &Path| std::fs::read(checkpoint(folder, 5).join("model.safetensors"));
    assert!(weights(&damaged).unwrap() == weights(&whole).unwrap());
}

/// A limit on the size of files stands in for a full disk: writes fail in the same way.
#[cfg(unix)]
#[test]
fn a_full_disk_ends_the_run_and_leaves_whole_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, full) = (folder.path().join("whole"), folder.path().join("full"));
    finished(short(&whole, &[]));
    finished(short(&full, &["trainer.total_steps=2"]));
    let limited = short(&full, &[]);
    // Without the trap the signal, not the failed write, would end the program.
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1000; exec \"$@\"", "sh"])
        .arg(limited.get_program())
        .args(limited.get_args())
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr).to_string();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("model.safetensors") && !message.contains("panicked"), "{message}");
    let names = std::fs::read_dir(full.join("checkpoints")).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["best", "latest", "step_1", "step_2"]);
    finished(short(&full, &[]));
    assert_same_run(&full, &whole);
}

#[test]
fn a_dry_run_shows_the_demo_or_the_papers_recipe_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = format!("trainer.run_dir={}", folder.path().join("run").display());
    let model = format!("model.path={}", crate::reference::folder().join("model").display());
    let shown = |changes: &[&str]| {
        let mut command = cppo(&["train", "--dry-run", "--device=cpu", &run_dir]);
        command.args(changes);
        String::from_utf8(finished(command).stdout).unwrap()
    };
    let demo = shown(&["optim.lr=3e-5"]);
    assert!(demo.contains("instruction: false") && demo.contains("lr: 0.00003\n"), "{demo}");
    assert!(demo.contains("0.9") && demo.contains("M parameters"), "{demo}");
    let paper = shown(&[&model, "data.train=gym", "trainer.total_steps=1"]);
    assert!(paper.contains("instruction: true") && paper.contains("lr: 1e-6\n"), "{paper}");
    assert!(!folder.path().join("run").exists());
}

#[test]
fn wrong_configurations_are_refused_with_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("train.yaml");
    std::fs::write(&file, "optim:\n  lrr: 1\n").unwrap();
    let file = file.to_str().unwrap();
    let cases: [(&[&str], &str); 7] = [
        (&["train", file], "did you mean `optim.lr`"),
        (&["train", "optim.lr=fast"], "optim.lr"),
        (&["train", "rollout.n=0"], "rollout.n = 0 must be 1 or more"),
        (&["train", "missing.yaml"], "missing.yaml"),
        (&["train", "trainer.device=tpu"], "use auto, cpu"),
        (&["train", "algorithm.name=ppo"], "algorithm.name"),
        (&["train", "algorithm.cpl.removing=[{kind: zoom}]"], "zoom_crop"),
    ];
    for (arguments, expected) in cases {
        let output = cppo(arguments).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).to_string();
        assert!(message.contains(expected), "{arguments:?}: {message}");
        assert!(matches!(output.status.code(), Some(1 | 2)), "{message}");
        assert!(!message.contains("panicked"), "{message}");
    }
}

#[test]
fn a_run_folder_of_another_configuration_or_without_rights_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    finished(short(&run, &["trainer.total_steps=1", "trainer.eval_every=0"]));
    let occupied = folder.path().join("file");
    std::fs::write(&occupied, "not a folder").unwrap();
    let cases: [(&Path, &str, &str); 3] = [
        (&run, "optim.lr=1e-3", "optim.lr"),
        (&run, "trainer.resume=never", "holds a run already"),
        (&occupied, "trainer.keep=0", "file"),
    ];
    for (folder, change, expected) in cases {
        let output = short(folder, &["trainer.eval_every=0", change]).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).to_string();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}

/// What `--dry-run` plans against what an update of the planned size takes.
#[cfg(target_os = "linux")]
#[test]
fn the_planned_memory_is_within_a_tenth_of_what_a_step_takes() {
    let changes: [&[&str]; 4] = [
        &["trainer.recompute=false"],
        &["trainer.recompute=true"],
        &["trainer.recompute=false", "model.lora.r=8"],
        &["trainer.recompute=true", "model.lora.r=8"],
    ];
    for change in changes {
        let arguments = ["bench", "--device=cpu", "--train-prompts=4", "--runs=1", "--json"];
        let arguments = [&arguments, change].concat();
        let found: Value = serde_json::from_slice(&finished(cppo(&arguments)).stdout).unwrap();
        let bytes = |name: &str| found[name].as_f64().unwrap();
        let (peak, planned) = (bytes("peak_memory_bytes"), bytes("planned_memory_bytes"));
        assert!(
            (0.9..1.1).contains(&(planned / peak)),
            "{change:?}: {planned} planned, {peak} taken"
        );
    }
}

#[test]
fn computing_in_half_precision_trains_and_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let changes = ["model.dtype=f16", "trainer.eval_every=0", "trainer.total_steps=3"];
    finished(short(&whole, &changes));
    finished(short(&broken, &[&changes[..2], &["trainer.total_steps=2"]].concat()));
    finished(short(&broken, &changes));
    let state = |folder: &Path| std::fs::read(checkpoint(folder, 3).join("trainer_state.json"));
    assert!(state(&whole).unwrap() == state(&broken).unwrap());
    let state: Value = serde_json::from_slice(&state(&whole).unwrap()).unwrap();
    assert!(state["loss_scale"]["factor"].as_f64().unwrap() >= 1.0, "{state}");
    for line in metrics(&whole) {
        assert!(line["actor/loss_scale"].as_f64().unwrap() >= 1.0, "{line}");
        assert!(line["critic/score/mean"].is_number(), "{line}");
    }
}
