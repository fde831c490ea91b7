//! `cppo bench`

mod size;
mod step;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::DType;
use clap::Args;
use generation::{GenerateOptions, generate_blocking};
use qwen2_5_vl::weights::{Checkpoint, save};
use qwen2_5_vl::{Prompt, Qwen2_5_VL, VisionConfig};
use serde_json::json;

use crate::args::Dtype;
use crate::device::{DeviceChoice, Opened};
use crate::failure::Failure;
use size::Size;

/// Rows and columns of patches of the benchmark's picture, 448 × 448 pixels.
const SIDE: usize = 32;
const PROMPT_TOKENS: usize = 512;
const NEW_TOKENS: usize = 64;

#[derive(Args)]
pub struct Bench {
    /// nano ≈ 3 M parameters, mid ≈ 60 M, shape-3b: the 3B model's sizes with 4 layers each
    #[arg(long, default_value = "nano")]
    size: Size,
    /// auto, cpu, wgpu, vulkan, metal or cuda, with :N for one of several
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    #[arg(long, default_value = "f32")]
    dtype: Dtype,
    /// Timed runs after one warm-up
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Keep the random model in this folder, for other programs to time, or reuse it
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Time training steps instead: rollout and update on this many prompts
    #[arg(long, value_name = "PROMPTS")]
    train_prompts: Option<usize>,
    /// Changes to the training steps, such as algorithm.name=grpo or trainer.recompute=true; the
    /// number format is model.dtype
    #[arg(requires = "train_prompts", value_name = "key.path=value")]
    changes: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Seconds of each run of one part.
struct Seconds(Vec<f64>);

impl Seconds {
    fn measure(
        runs: usize,
        mut part: impl FnMut() -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        part()?;
        let mut seconds = Vec::with_capacity(runs);
        for _ in 0..runs.max(1) {
            let start = Instant::now();
            part()?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        Ok(Self(seconds))
    }

    /// Slowest, median and fastest rate.
    fn rates(&self, count: usize) -> [f64; 3] {
        let last = self.0.len() - 1;
        [last, last / 2, 0].map(|place| count as f64 / self.0[place])
    }
}

impl Bench {
    pub fn run(&self) -> Result<(), Failure> {
        let opened = self.device.open()?;
        let before = memory("VmRSS:");
        let model = self.model(&opened)?;
        if let Some(prompts) = self.train_prompts {
            return step::run(self, model, &opened, prompts, before);
        }
        let (seconds, patches) = vision(&model, self.runs)?;
        let vision = seconds.rates(patches);
        let prefill = prefill(&model, self.runs)?.rates(PROMPT_TOKENS);
        let decode = decode(&model, &opened, self.runs)?;
        let peak = memory("VmHWM:");
        if self.json {
            println!(
                "{}",
                json!({
                    "size": format!("{:?}", self.size).to_lowercase(),
                    "device": opened.name, "backend": opened.backend,
                    "dtype": format!("{:?}", self.dtype).to_lowercase(),
                    "parameters": burn::module::Module::num_params(&model),
                    "rate_order": "min, median, max",
                    "vision_patches_per_s": vision,
                    "prefill_tokens_per_s": prefill,
                    "decode_tokens_per_s": decode,
                    "peak_memory_bytes": peak,
                })
            );
            return Ok(());
        }
        let millions = burn::module::Module::num_params(&model) as f64 / 1e6;
        println!(
            "{:?}, {millions:.1} M parameters, {:?} on {}",
            self.size, self.dtype, opened.name
        );
        for (name, [low, median, high], unit) in [
            ("vision", vision, "patches/s"),
            ("prefill", prefill, "tokens/s"),
            ("decode", decode, "tokens/s"),
        ] {
            println!("{name:<8} {median:>10.1} {unit}  ({low:.1} to {high:.1})");
        }
        if let Some(peak) = peak {
            println!("memory   {:>10.1} MB peak", peak as f64 / 1e6);
        }
        Ok(())
    }

    fn model(&self, opened: &Opened) -> Result<Qwen2_5_VL, Failure> {
        let config = self.size.config();
        config.validate()?;
        let dtype = DType::from(self.dtype);
        let Some(folder) = &self.folder else {
            opened.device.seed(0);
            return Ok(Qwen2_5_VL::init(&config, &opened.device).with_compute_dtype(dtype));
        };
        if !folder.join("model.safetensors").is_file() {
            opened.device.seed(0);
            save(&Qwen2_5_VL::init(&config, &opened.device), folder, DType::F32)?;
        }
        Ok(Checkpoint::open(folder)?.load(&config, dtype, &opened.device)?)
    }
}

/// A picture of 1024 patches.
fn picture(config: &VisionConfig) -> Prompt {
    let numbers = SIDE * SIDE * config.patch_dim();
    Prompt {
        pixel_values: (0..numbers).map(|i| (i * 7 % 13) as f32 / 6.5 - 1.0).collect(),
        image_grid_thw: vec![[1, SIDE, SIDE]],
        ..Default::default()
    }
}

fn prompt(model: &Qwen2_5_VL) -> Prompt {
    let config = model.config();
    let tokens = SIDE * SIDE / config.vision_config.merge_unit();
    let mut prompt = picture(&config.vision_config);
    prompt.input_ids = vec![config.image_token_id; tokens];
    prompt.input_ids.extend((0..PROMPT_TOKENS - tokens).map(|i| (i * 31 % 1000) as u32));
    prompt
}

fn vision(model: &Qwen2_5_VL, runs: usize) -> Result<(Seconds, usize), Failure> {
    let batch = model.batch(&[prompt(model)])?;
    let seconds = Seconds::measure(runs, || {
        if let Some(features) = model.image_features(&batch) {
            features.slice_dim(0, 0..1).into_data();
        }
        Ok(())
    })?;
    Ok((seconds, SIDE * SIDE))
}

/// The decoder over the prompt, its picture already encoded.
fn prefill(model: &Qwen2_5_VL, runs: usize) -> Result<Seconds, Failure> {
    let text = Prompt {
        input_ids: (0..PROMPT_TOKENS).map(|i| (i * 31 % 1000) as u32).collect(),
        ..Default::default()
    };
    let batch = model.batch(&[text])?;
    Seconds::measure(runs, || {
        let (hidden, _) = model.prefill(&batch);
        model.logits(model.last_hidden(hidden, &batch)).into_data();
        Ok(())
    })
}

/// Tokens per second after the first, greedy; slowest, median and fastest.
fn decode(model: &Qwen2_5_VL, opened: &Opened, runs: usize) -> Result<[f64; 3], Failure> {
    let options = GenerateOptions {
        max_new_tokens: NEW_TOKENS + 1,
        read_step: opened.read_step(),
        ..Default::default()
    };
    let prompts = [prompt(model)];
    let mut rates = Vec::new();
    for run in 0..=runs.max(1) {
        let mut first = None;
        generate_blocking(model, &prompts, &options, |_, _| {
            first.get_or_insert_with(Instant::now);
            ControlFlow::Continue(())
        })?;
        let seconds = first.map_or(0.0, |first| first.elapsed().as_secs_f64());
        if run > 0 {
            rates.push(NEW_TOKENS as f64 / seconds);
        }
    }
    rates.sort_by(f64::total_cmp);
    Ok([rates[0], rates[(rates.len() - 1) / 2], rates[rates.len() - 1]])
}

/// Resident memory of this process in bytes, now (`VmRSS:`) or at most (`VmHWM:`), where the
/// system tells.
fn memory(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = text.lines().find_map(|line| line.strip_prefix(name))?;
    kilobytes.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kb| kb * 1024)
}
