//! Training on two processes that `mpirun` starts, one of which dies or hangs.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const STEPS: usize = 6;

fn run(folder: &Path, changes: &[&str]) -> Command {
    run_on("2", folder, changes)
}

fn run_on(ranks: &str, folder: &Path, changes: &[&str]) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["--oversubscribe", "--allow-run-as-root", "-np", ranks]);
    command.arg(env!("CARGO_BIN_EXE_cppo")).args([
        "train",
        "--device=cpu",
        "trainer.total_steps=6",
        "trainer.batch_prompts=6",
        "trainer.mini_batch_prompts=3",
        "trainer.save_every=1",
        "trainer.keep=0",
        "trainer.eval_every=0",
        "trainer.shard_optimizer=true",
        "rollout.n=4",
    ]);
    command.arg(format!("trainer.run_dir={}", folder.display())).args(changes);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    // Each process has a core of its own.
    command.env("RAYON_NUM_THREADS", "1");
    command
}

fn weights(folder: &Path) -> Vec<u8> {
    std::fs::read(checkpoint(folder, STEPS).join("model.safetensors")).unwrap()
}

fn checkpoint(folder: &Path, step: usize) -> PathBuf {
    folder.join(format!("checkpoints/step_{step}"))
}

/// Starts a run and waits for its second checkpoint; the run and the process of a rank.
fn started(mut run: Command, folder: &Path, rank: &str) -> (Child, String) {
    let child = run.spawn().unwrap();
    let started = Instant::now();
    while !checkpoint(folder, 2).exists() {
        assert!(started.elapsed() < Duration::from_secs(120), "no second checkpoint");
        std::thread::sleep(Duration::from_millis(2));
    }
    (child, process_of(folder, rank).expect("the rank runs"))
}

/// The process of a rank of the run in `folder`.
fn process_of(folder: &Path, rank: &str) -> Option<String> {
    let (run, rank) = (folder.to_str()?, format!("OMPI_COMM_WORLD_RANK={rank}\0"));
    let holds = |path: PathBuf, part: &str| {
        std::fs::read(path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(part))
    };
    let found = std::fs::read_dir("/proc")
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| holds(path.join("cmdline"), run) && holds(path.join("environ"), &rank))?;
    Some(found.file_name()?.to_str()?.to_string())
}

fn signal(name: &str, process: &str) {
    assert!(Command::new("kill").args([name, process]).status().unwrap().success());
}

#[test]
fn two_processes_train_as_one_does_and_a_killed_one_ends_both() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let output = run(&whole, &[]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (child, lost) = started(run(&broken, &[]), &broken, "1");
    signal("-KILL", &lost);
    let killed = Instant::now();
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && message.contains("rank 1"), "{message}");
    assert!(killed.elapsed() < Duration::from_secs(30));
    let output = run(&broken, &[]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(weights(&broken) == weights(&whole));
}

#[test]
fn a_process_that_hangs_is_named_and_the_run_ends() {
    for (ranks, hanging) in [("2", "0"), ("2", "1"), ("3", "2")] {
        let folder = tempfile::tempdir().unwrap();
        let run = run_on(ranks, folder.path(), &["trainer.rank_timeout_s=2"]);
        let (child, stopped) = started(run, folder.path(), hanging);
        signal("-STOP", &stopped);
        let since = Instant::now();
        let message = {
            // The launcher waits for a stopped process to end: it goes on to be ended.
            let waiting = std::thread::spawn(move || child.wait_with_output().unwrap());
            while !waiting.is_finished() && since.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(100));
            }
            let _ = Command::new("kill").args(["-CONT", &stopped]).status();
            let output = waiting.join().unwrap();
            assert!(!output.status.success());
            String::from_utf8_lossy(&output.stderr).to_string()
        };
        let expected = format!("rank {hanging} did not come to exchange");
        assert!(message.contains(&expected), "{message}");
        assert!(checkpoint(folder.path(), 2).exists());
    }
}
