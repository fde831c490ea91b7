//! `cppo devices --plan`: the memory that training a model takes, and what makes it fit.

use std::fmt::Write;

use burn::tensor::Device;
use hf_hub::RepoType;
use qwen2_5_vl::{Qwen2_5_VL, Qwen2_5_VLConfig};
use serde_json::{Value, json};
use trainer::config::{TrainConfig, load};
use trainer::hub;
use trainer::lora::attach;
use trainer::plan::MemoryPlan;

use crate::failure::{Failure, about};
use crate::pretrained::{files, is_on_hub};

/// A way to train, by what it changes in the configuration.
struct Way {
    name: &'static str,
    changes: &'static [&'static str],
    /// Processes that share the optimizer's state and the prompts of an update.
    ranks: usize,
}

/// From what needs most to what needs least.
const WAYS: [Way; 5] = [
    Way { name: "activations kept", changes: &["trainer.recompute=false"], ranks: 1 },
    Way { name: "layers recomputed", changes: &["trainer.recompute=true"], ranks: 1 },
    Way { name: "one response at a time", changes: SMALLEST, ranks: 1 },
    Way { name: "so, optimizer of 4 ranks", changes: SMALLEST, ranks: 4 },
    Way { name: "so, LoRA of rank 16", changes: LORA, ranks: 1 },
];
const SMALLEST: &[&str] = &["trainer.recompute=true", "trainer.micro_batch_responses=1"];
const LORA: &[&str] =
    &["trainer.recompute=true", "trainer.micro_batch_responses=1", "model.lora.r=16"];

/// The memory of each way to train a model.
pub struct Plans(Vec<(&'static str, MemoryPlan)>);

impl Plans {
    /// Plans for the model of this name, the demo where it is empty, on a GPU under `changes` of
    /// the paper's recipe. Weights are neither read nor allocated.
    pub fn new(model: &str, changes: &[String]) -> Result<Self, Failure> {
        let model = config_of(model)?;
        let plan = |way: &Way| {
            let own = way.changes.iter().chain(&["data.train=none"]).map(ToString::to_string);
            let changes: Vec<String> = own.chain(changes.iter().cloned()).collect();
            let mut config: TrainConfig = load(None, None, &changes).map_err(Failure::usage)?;
            if config.model.lora.is_none() {
                config.model.quantize = None;
            }
            config.validate().map_err(Failure::usage)?;
            config.trainer.shard_optimizer |= way.ranks > 1;
            let mut skeleton = Qwen2_5_VL::init(&model, &Device::flex());
            if let Some(lora) = &config.model.lora {
                skeleton = attach(skeleton, lora, "").map_err(Failure::usage)?;
            }
            Ok((way.name, MemoryPlan::on_gpu(&skeleton, &config, way.ranks)))
        };
        WAYS.iter().map(plan).collect::<Result<_, Failure>>().map(Self)
    }

    /// One object per way, in bytes.
    pub fn to_json(&self) -> Value {
        let plan = |(way, plan): &(&str, MemoryPlan)| {
            let mut value = serde_json::to_value(plan).expect("plain data");
            value["way"] = (*way).into();
            value["peak"] = plan.peak().into();
            value
        };
        json!(self.0.iter().map(plan).collect::<Vec<_>>())
    }

    /// A table in GB, and the first way that fits into `memory` bytes.
    pub fn table(&self, memory: Option<u64>) -> String {
        let mut text = format!(
            "{:<26}{:>9}{:>11}{:>11}{:>11}{:>9}{:>11}{:>9}\n",
            "GB", "weights", "reference", "gradients", "optimizer", "update", "kv cache", "peak"
        );
        for (way, plan) in &self.0 {
            let gigabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e9);
            let fits = match memory {
                Some(memory) if plan.peak() <= memory => "  fits",
                _ => "",
            };
            let _ = writeln!(
                text,
                "{way:<26}{:>9}{:>11}{:>11}{:>11}{:>9}{:>11}{:>9}{fits}",
                gigabytes(plan.weights),
                gigabytes(plan.reference),
                gigabytes(plan.gradients),
                gigabytes(plan.optimizer),
                gigabytes(plan.update),
                gigabytes(plan.kv_cache),
                gigabytes(plan.peak()),
            );
        }
        if let Some(memory) = memory
            && self.0.iter().all(|(_, plan)| plan.peak() > memory)
        {
            text += "none fits: lower rollout.batch_responses, rollout.max_response_tokens, or \
                     quantize with model.quantize=q4 on top of LoRA\n";
        }
        text
    }
}

/// A model's sizes; of the hub's models nothing but the configuration is downloaded.
fn config_of(name: &str) -> Result<Qwen2_5_VLConfig, Failure> {
    const CONFIG: &str = "config.json";
    let json = match is_on_hub(name) {
        true => {
            let path =
                hub::newest(name, RepoType::Model, false).and_then(|found| found.get(CONFIG));
            let path = path.map_err(about(format_args!("downloading {name}")))?;
            std::fs::read(&path).map_err(about(path.display()))?.into()
        }
        false => {
            let json = files(name, false)?.read(CONFIG)?;
            json.ok_or_else(|| Failure::usage(format!("{name}: no {CONFIG} in this folder")))?
        }
    };
    Qwen2_5_VLConfig::from_json(&String::from_utf8_lossy(&json)).map_err(about(name))
}
