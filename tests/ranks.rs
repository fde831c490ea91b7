//! A run does not depend on how many ranks it has; here they are threads of this process.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use burn::tensor::{DType, Device};
use safetensors::SafeTensors;
use trainer::collective::{Collective, threads};
use trainer::config::{TrainConfig, load};
use trainer::hooks::Hooks;
use trainer::lora::attach;
use trainer::pretrained::{self, ModelFiles};

/// Runs `work` on ranks that are threads; the results by rank.
pub fn on_ranks<T: Send>(size: usize, work: impl Fn(&dyn Collective) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let started = threads(size, Duration::from_secs(120)).into_iter();
        let work = &work;
        let running: Vec<_> = started.map(|rank| scope.spawn(move || work(&rank))).collect();
        running.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

/// Trains the demo model on some ranks, three steps of two updates by default.
fn train(folder: &Path, size: usize, changes: &[&str]) {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
    let recipe = std::fs::read_to_string(demo.join("train.yaml")).unwrap();
    let base = [
        "trainer.total_steps=3",
        "trainer.batch_prompts=6",
        "trainer.mini_batch_prompts=3",
        "trainer.micro_batch_responses=8",
        "trainer.eval_every=3",
        "trainer.save_every=1",
        "trainer.loggers=[jsonl]",
        "data.val_max_samples=7",
        "algorithm.kl_coef=0.01",
        "rollout.n=4",
    ];
    let run_dir = format!("trainer.run_dir={}", folder.display());
    let changes = base.iter().chain(changes).map(ToString::to_string);
    let changes: Vec<String> = changes.chain([run_dir]).collect();
    let config: TrainConfig = load(None, Some(&recipe), &changes).unwrap();
    on_ranks(size, |ranks| {
        let device = Device::flex();
        let files = ModelFiles::Folder(demo.join("model"));
        let mut policy = pretrained::load(&files, None, DType::F32, &device).unwrap();
        if let Some(lora) = &config.model.lora {
            policy.model = attach(policy.model, lora, "cppo-demo").unwrap();
        }
        let mut hooks = Hooks {
            on_progress: &mut |_, _, _| {},
            on_step: &mut |_, _| assert_eq!(ranks.rank(), 0),
            stop: &AtomicBool::new(false),
            read_step: 1,
            ranks,
        };
        trainer::train(policy, &config, &device, &mut hooks).unwrap();
    });
}

fn checkpoint(folder: &Path, name: &str) -> PathBuf {
    folder.join("checkpoints/step_3").join(name)
}

/// Largest difference between the arrays of two files, which hold the same ones.
fn difference(found: &Path, expected: &Path) -> f32 {
    let [found, expected] = [found, expected].map(|path| std::fs::read(path).unwrap());
    let [found, expected] = [&found, &expected].map(|b| SafeTensors::deserialize(b).unwrap());
    assert_eq!(found.len(), expected.len());
    let floats = |bytes: &[u8]| -> Vec<f32> {
        bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let mut largest = 0f32;
    for (name, expected) in expected.iter() {
        let found = found.tensor(name).unwrap();
        if expected.dtype() != safetensors::Dtype::F32 {
            assert_eq!(found.data(), expected.data(), "{name}");
            continue;
        }
        for (found, expected) in floats(found.data()).iter().zip(floats(expected.data())) {
            largest = largest.max((found - expected).abs());
        }
    }
    largest
}

/// Responses, rewards and the weights after them.
fn assert_same_run(found: &Path, expected: &Path, what: &str) {
    for step in 1..=3 {
        let name = format!("rollouts/step_{step}.jsonl");
        let read = |folder: &Path| std::fs::read_to_string(folder.join(&name)).unwrap();
        assert_eq!(read(found), read(expected), "{what}");
    }
    for name in ["model.safetensors", "optimizer.safetensors"] {
        let error = difference(&checkpoint(found, name), &checkpoint(expected, name));
        assert!(error < 1e-6, "{what}, {name}: {error}");
    }
}

#[test]
fn ranks_draw_the_same_responses_and_learn_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let single = folder.path().join("single");
    train(&single, 1, &[]);
    let cases: [(usize, &[&str]); 4] = [
        (2, &[]),
        (2, &["trainer.shard_optimizer=true"]),
        (3, &["trainer.shard_optimizer=true"]),
        // More ranks than prompts in an update: some have nothing to do.
        (5, &[]),
    ];
    for (size, changes) in cases {
        let run = folder.path().join(format!("{size}{}", changes.len()));
        train(&run, size, changes);
        assert_same_run(&run, &single, &format!("{size} ranks {changes:?}"));
    }
}

#[test]
fn ranks_without_a_prompt_of_their_own_compare_whole_distributions_too() {
    let folder = tempfile::tempdir().unwrap();
    let (single, five) = (folder.path().join("single"), folder.path().join("five"));
    let full = ["algorithm.cpl.kl_kind=full", "algorithm.cpl.gate=none"];
    train(&single, 1, &full);
    train(&five, 5, &full);
    assert_same_run(&five, &single, "5 ranks, full divergence");
}

#[test]
fn ranks_learn_the_same_adapters() {
    let folder = tempfile::tempdir().unwrap();
    let (single, three) = (folder.path().join("single"), folder.path().join("three"));
    let lora = ["model.lora.r=4", "trainer.shard_optimizer=true"];
    train(&single, 1, &lora);
    train(&three, 3, &lora);
    for name in ["adapter_model.safetensors", "optimizer.safetensors"] {
        let error = difference(&checkpoint(&three, name), &checkpoint(&single, name));
        assert!(error < 1e-6, "{name}: {error}");
    }
}

#[test]
fn a_checkpoint_of_some_ranks_goes_on_with_any_other_number() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    train(&whole, 2, &["trainer.shard_optimizer=true"]);
    for size in [1, 3] {
        let run = folder.path().join(size.to_string());
        train(&run, 2, &["trainer.shard_optimizer=true", "trainer.total_steps=1"]);
        train(&run, size, &[&format!("trainer.shard_optimizer={}", size > 1)]);
        assert_same_run(&run, &whole, &format!("from 2 to {size} ranks"));
    }
}
