//! Time and memory of training steps on random weights and made-up rewards.

use std::time::Instant;

use burn::module::Module;
use cppo::AlgorithmConfig;
use cppo::reward::Reward;
use generation::{GenerateOptions, SamplingParams, generate_blocking};
use image::RgbImage;
use processor::ImageProcessor;
use qwen2_5_vl::{Prompt, Qwen2_5_VL};
use serde_json::json;
use trainer::collective::Single;
use trainer::config::{TrainConfig, load};
use trainer::data::Example;
use trainer::lora::attach;
use trainer::loss_scale::LossScale;
use trainer::optim::Optim;
use trainer::plan::MemoryPlan;
use trainer::rollout::{Group, Response};
use trainer::update::{Moment, gradient, step};

use super::{Bench, memory};
use crate::device::Opened;
use crate::failure::Failure;

/// Side of the square pictures in pixels: 256 patches, 64 visual tokens.
const SIDE: u32 = 224;
/// Lengths unless changed: 64 visual tokens and 64 words.
const PROMPT_TOKENS: usize = 128;
const RESPONSE_TOKENS: usize = 64;

/// Of each group the first responses are right: two of five, as a middling policy has it.
const RIGHT_SHARE: f64 = 0.4;

/// What is timed; an update is a forward of all views, their backward, and the optimizer.
const PHASES: [&str; 6] = ["rollout", "forward", "backward", "optimizer", "update", "step"];

/// Times rollouts of the longest prompts and responses allowed, and updates on them.
pub fn run(
    bench: &Bench,
    model: Qwen2_5_VL,
    opened: &Opened,
    prompts: usize,
    before: Option<u64>,
) -> Result<(), Failure> {
    let mut changes = vec![
        "data.train=none".to_string(),
        format!("trainer.batch_prompts={prompts}"),
        format!("trainer.mini_batch_prompts={prompts}"),
        "trainer.micro_batch_responses=1000".to_string(),
        "trainer.recompute=false".to_string(),
        format!("rollout.max_response_tokens={RESPONSE_TOKENS}"),
        format!("data.max_prompt_tokens={PROMPT_TOKENS}"),
        "algorithm.kl_coef=0.0".to_string(),
        "optim.lr=1e-6".to_string(),
    ];
    changes.extend(bench.changes.iter().cloned());
    let config: TrainConfig = load(None, None, &changes).map_err(Failure::usage)?;
    config.validate().map_err(Failure::usage)?;
    let model = match &config.model.lora {
        Some(lora) => attach(model, lora, "").map_err(Failure::usage)?,
        None => model,
    };
    let plan = MemoryPlan::new(&model, &config, 1);
    let model = model.with_compute_dtype(config.model.dtype.into());
    let mut scale = LossScale::new(config.model.dtype);
    let mut model = model.to_device(&opened.device.clone().autodiff()).train();
    let mut optim = Optim::new(&config.optim);
    let mut times = PHASES.map(|name| (name, Vec::new()));
    for number in 0..=bench.runs.max(1) {
        let started = Instant::now();
        let groups = rollout(&model, opened, prompts, number as u64, &config)?;
        let generated = started.elapsed().as_secs_f64();
        let [forward, backward] =
            learn(&mut model, (&mut optim, &mut scale), &groups, number, &config)?;
        opened.device.sync()?;
        let all = started.elapsed().as_secs_f64();
        let update = all - generated;
        let phases = [generated, forward, backward, update - forward - backward, update, all];
        if number > 0 {
            times.iter_mut().zip(phases).for_each(|((_, times), time)| times.push(time));
        }
    }
    // What the process held before there was a model is not the model's.
    let peak = memory("VmHWM:").zip(before).map(|(peak, before)| peak.saturating_sub(before));
    let spread = times.map(|(name, mut seconds)| {
        seconds.sort_by(f64::total_cmp);
        (name, [seconds[0], seconds[(seconds.len() - 1) / 2], seconds[seconds.len() - 1]])
    });
    let name = format!("{:?}", config.algorithm.name).to_lowercase();
    if bench.json {
        let mut line = json!({
            "algorithm": name, "size": format!("{:?}", bench.size).to_lowercase(),
            "device": opened.name, "prompts": prompts, "n": config.rollout.n,
            "changes": bench.changes, "seconds_order": "min, median, max",
            "peak_memory_bytes": peak, "planned_memory_bytes": plan.peak(),
        });
        for (name, seconds) in spread {
            line[format!("{name}_s")] = json!(seconds);
        }
        println!("{line}");
        return Ok(());
    }
    println!("{name}, {prompts} prompts x {} responses, {}", config.rollout.n, opened.name);
    for (name, [low, median, high]) in spread {
        println!("{name:<9} {median:>8.3} s  ({low:.3} to {high:.3})");
    }
    if let Some(peak) = peak {
        let planned = plan.peak() as f64 / 1e6;
        println!("memory   {:>8.1} MB peak, {planned:.1} MB planned", peak as f64 / 1e6);
    }
    Ok(())
}

/// Responses of one length, with rewards that do not depend on what they say.
fn rollout(
    model: &Qwen2_5_VL,
    opened: &Opened,
    prompts: usize,
    seed: u64,
    config: &TrainConfig,
) -> Result<Vec<Group>, Failure> {
    let plain = model.valid();
    let examples: Vec<Example> =
        (0..prompts).map(|index| example(&plain, index, config)).collect::<Result<_, _>>()?;
    let options = GenerateOptions {
        sampling: SamplingParams { temperature: 1.0, seed, ..Default::default() },
        n: config.rollout.n,
        max_new_tokens: config.rollout.max_response_tokens,
        read_step: opened.read_step(),
        ..Default::default()
    };
    let asked: Vec<Prompt> = examples.iter().map(|example| example.prompt.clone()).collect();
    let completions =
        generate_blocking(&plain, &asked, &options, |_, _| std::ops::ControlFlow::Continue(()))?;
    let right = (RIGHT_SHARE * config.rollout.n as f64).round() as usize;
    let rewards: Vec<f32> = (0..config.rollout.n).map(|n| f32::from(n < right)).collect();
    let advantages = cppo::advantages(&rewards, config.rollout.n, &AlgorithmConfig::default());
    let mut completions = completions.into_iter();
    let group = |example| {
        let responses = completions.by_ref().take(config.rollout.n).enumerate();
        let responses = responses.map(|(n, completion)| Response {
            ids: completion.tokens.iter().map(|token| token.id).collect(),
            text: String::new(),
            ended: true,
            reward: Reward { score: rewards[n], accuracy: rewards[n], ..Reward::default() },
            advantage: advantages[n],
            old_logprobs: Vec::new(),
            ref_logprobs: Vec::new(),
        });
        Group { responses: responses.collect(), example }
    };
    Ok(examples.into_iter().map(group).collect())
}

/// A patterned picture, and words up to the longest prompt.
fn example(model: &Qwen2_5_VL, index: usize, limit: &TrainConfig) -> Result<Example, Failure> {
    let picture = RgbImage::from_fn(SIDE, SIDE, |x, y| {
        image::Rgb([x as u8, y as u8, (x * y + 40 * index as u32) as u8])
    });
    let patches = ImageProcessor::default().preprocess(&picture)?;
    let config = model.config();
    let tokens = patches.grid_thw.iter().product::<usize>() / config.vision_config.merge_unit();
    let mut input_ids = vec![config.image_token_id; tokens];
    let words = limit.data.max_prompt_tokens.saturating_sub(tokens).max(1);
    input_ids.extend((0..words).map(|i| ((i + index) * 31 % 1000) as u32));
    Ok(Example {
        index,
        prompt: Prompt {
            input_ids,
            pixel_values: patches.values,
            image_grid_thw: vec![patches.grid_thw],
            ..Default::default()
        },
        pictures: vec![picture],
        question: String::new(),
        answer: String::new(),
        response: None,
        seen: Vec::new(),
        source: "bench".into(),
    })
}

fn learn(
    model: &mut Qwen2_5_VL,
    (optim, scale): (&mut Optim, &mut LossScale),
    groups: &[Group],
    number: usize,
    config: &TrainConfig,
) -> Result<[f64; 2], Failure> {
    let perturbations = config.algorithm.cpl.perturbations();
    let views = |kind, group: usize| {
        let moment = Moment { step: number, total_steps: 0, first: 0 };
        let seed = moment.seed(0, group);
        let example = &groups[group].example;
        let pictures = perturbations.perturb(kind, &example.pictures, seed);
        let mut prompt = example.prompt.clone();
        prompt.pixel_values = ImageProcessor::default().preprocess(&pictures[0])?.values;
        Ok(prompt)
    };
    let (objective, gradients) = gradient(model, groups, &views, config, scale.factor(), &Single)?;
    let (lr, clip) = (config.optim.lr, config.optim.grad_clip);
    step(model, optim, scale, gradients, lr, clip, &Single)?;
    let seconds = |name| objective.metrics.iter().find(|(n, _)| *n == name).map_or(0.0, |m| m.1);
    Ok(["timing_s/forward", "timing_s/backward"].map(seconds))
}
