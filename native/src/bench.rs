//! `cppo bench`

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::DType;
use clap::{Args, ValueEnum};
use generation::{GenerateOptions, generate_blocking};
use qwen2_5_vl::weights::{Checkpoint, save};
use qwen2_5_vl::{Prompt, Qwen2_5_VL, Qwen2_5_VLConfig, RopeParameters, TextConfig, VisionConfig};
use serde_json::json;

use crate::args::Dtype;
use crate::device::{DeviceChoice, Opened};
use crate::failure::Failure;

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
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Size {
    Nano,
    Mid,
    #[value(name = "shape-3b")]
    Shape3b,
}

impl Size {
    fn config(self) -> Qwen2_5_VLConfig {
        let (hidden, inner, layers, heads, kv_heads, vocab) = match self {
            Self::Nano => (192, 512, 4, 6, 2, 2048),
            Self::Mid => (512, 2048, 12, 8, 2, 8192),
            Self::Shape3b => (2048, 11_008, 4, 16, 2, 151_936),
        };
        let (width, vision_inner, depth, vision_heads) = match self {
            Self::Nano => (128, 256, 4, 4),
            Self::Mid => (384, 1024, 8, 6),
            Self::Shape3b => (1280, 3420, 4, 16),
        };
        let half = hidden / heads / 2;
        let section = [half / 4, (half - half / 4) / 2, half - half / 4 - (half - half / 4) / 2];
        Qwen2_5_VLConfig {
            text_config: TextConfig {
                vocab_size: vocab,
                hidden_size: hidden,
                intermediate_size: inner,
                num_hidden_layers: layers,
                num_attention_heads: heads,
                num_key_value_heads: kv_heads,
                hidden_act: "silu".into(),
                rms_norm_eps: 1e-6,
                initializer_range: 0.02,
                max_position_embeddings: 4096,
                use_sliding_window: false,
                rope_parameters: RopeParameters {
                    rope_type: "default".into(),
                    rope_theta: 1e6,
                    mrope_section: section,
                },
            },
            vision_config: VisionConfig {
                depth,
                hidden_size: width,
                intermediate_size: vision_inner,
                num_heads: vision_heads,
                out_hidden_size: hidden,
                fullatt_block_indexes: vec![depth - 1],
                hidden_act: "silu".into(),
                in_channels: 3,
                patch_size: 14,
                spatial_merge_size: 2,
                temporal_patch_size: 2,
                window_size: 112,
                initializer_range: 0.02,
            },
            image_token_id: vocab as u32 - 1,
            video_token_id: vocab as u32 - 2,
            vision_start_token_id: vocab as u32 - 3,
            vision_end_token_id: vocab as u32 - 4,
            tie_word_embeddings: true,
        }
    }
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
        let model = self.model(&opened)?;
        let (seconds, patches) = vision(&model, self.runs)?;
        let vision = seconds.rates(patches);
        let prefill = prefill(&model, self.runs)?.rates(PROMPT_TOKENS);
        let decode = decode(&model, &opened, self.runs)?;
        let peak = peak_memory();
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

/// Peak resident memory of this process in bytes, where the system tells.
fn peak_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    kilobytes.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kb| kb * 1024)
}
