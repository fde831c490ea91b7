//! Responses to a batch of prompts, and how they were judged.

use std::ops::{ControlFlow, Range};

use burn::module::Module;
use cppo::AlgorithmConfig;
use cppo::reward::{Reward, reward};
use generation::{Finish, GenerateOptions, SamplingParams, generate_blocking};
use qwen2_5_vl::Prompt;
use serde::{Deserialize, Serialize};

use crate::collective::{gather, share};
use crate::config::RolloutConfig;
use crate::data::Example;
use crate::hooks::Hooks;
use crate::pretrained::Pretrained;
use crate::train::TrainError;

/// A prompt with the responses drawn to it.
#[derive(Clone, Debug)]
pub struct Group {
    /// What was asked.
    pub example: Example,
    /// The responses.
    pub responses: Vec<Response>,
}

impl Group {
    /// The responses' rewards.
    pub fn rewards(&self) -> Vec<f32> {
        self.responses.iter().map(|response| response.reward.score).collect()
    }

    /// Sets the responses' advantages by their rewards.
    pub fn compare(&mut self, algorithm: &AlgorithmConfig) {
        let advantages = cppo::advantages(&self.rewards(), self.responses.len(), algorithm);
        for (response, advantage) in self.responses.iter_mut().zip(advantages) {
            response.advantage = advantage;
        }
    }
}

/// Numbers of each group's responses, counted over all groups; none for groups not in `own`.
pub fn members_of(groups: &[Group], own: &Range<usize>) -> Vec<Vec<usize>> {
    let mut next = 0;
    let of_group = |(place, group): (usize, &Group)| {
        let rows = next..next + group.responses.len();
        next = rows.end;
        if own.contains(&place) { rows.collect() } else { Vec::new() }
    };
    groups.iter().enumerate().map(of_group).collect()
}

/// One response.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Response {
    /// Its tokens, the end-of-sequence token included.
    pub ids: Vec<u32>,
    /// Its text, without special tokens.
    pub text: String,
    /// Whether it ended before the limit.
    pub ended: bool,
    /// What it earned.
    pub reward: Reward,
    /// How much better it is than the others of its group.
    pub advantage: f32,
    /// ln p of each token when it was drawn; empty where the policy has not changed since.
    pub old_logprobs: Vec<f32>,
    /// ln p of each token under the reference policy; empty without one.
    pub ref_logprobs: Vec<f32>,
}

/// Which draws a rollout makes; a draw depends on nothing else, so batches may be cut anywhere.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    /// Seed of the run.
    pub seed: u64,
    /// Training step.
    pub step: u64,
    /// Place of the first prompt in the step's batch.
    pub first: usize,
}

/// Draws `rollout.n` responses to each prompt and judges them; ranks share out the prompts, and
/// each gets the responses of all.
///
/// # Errors
///
/// When a prompt does not fit the model, the device fails or another rank does.
pub fn rollout(
    policy: &Pretrained,
    examples: Vec<Example>,
    draws: Draws,
    config: &RolloutConfig,
    algorithm: &AlgorithmConfig,
    hooks: &mut Hooks,
) -> Result<Vec<Group>, TrainError> {
    let model = policy.model.valid();
    let mut options = GenerateOptions {
        sampling: SamplingParams {
            temperature: config.temperature,
            top_k: (config.top_k > 0).then_some(config.top_k),
            top_p: config.top_p,
            seed: mixed(draws.seed, draws.step),
            ..Default::default()
        },
        n: config.n,
        max_new_tokens: config.max_response_tokens,
        eos_token_ids: policy.eos_token_ids(),
        never_sampled: policy.processor.never_sampled(model.config().text_config.vocab_size),
        read_step: hooks.read_step,
        ..Default::default()
    };
    let own = share(hooks.ranks, examples.len());
    let mut drawn: Vec<Vec<Response>> = Vec::with_capacity(own.len());
    for chunk in examples[own.clone()].chunks((config.batch_responses / config.n).max(1)) {
        let prompts: Vec<Prompt> = chunk.iter().map(|example| example.prompt.clone()).collect();
        let first = draws.first + own.start + drawn.len();
        options.streams =
            (first..first + chunk.len()).map(|prompt| (prompt * config.n) as u64).collect();
        let completions =
            generate_blocking(&model, &prompts, &options, |_, _| ControlFlow::Continue(()))?;
        let mut completions = completions.into_iter();
        for example in chunk {
            let responses = completions.by_ref().take(config.n).map(|completion| {
                let ids: Vec<u32> = completion.tokens.iter().map(|token| token.id).collect();
                let text = policy.processor.tokenizer.decode(&ids, true);
                let reward = reward(&text, &example.answer, &algorithm.reward);
                let ended = completion.finish == Finish::Stop;
                Response {
                    ids,
                    text,
                    ended,
                    reward,
                    advantage: 0.0,
                    old_logprobs: Vec::new(),
                    ref_logprobs: Vec::new(),
                }
            });
            drawn.push(responses.collect());
        }
        hooks.progress("rollout", drawn.len(), own.len());
    }
    let all = gather(hooks.ranks, "responses", drawn)?.into_iter().flatten();
    let compared = |(example, responses): (Example, Vec<Response>)| {
        let mut group = Group { example, responses };
        group.compare(algorithm);
        group
    };
    Ok(examples.into_iter().zip(all).map(compared).collect())
}

/// One seed of two, such that neighbours share nothing (SplitMix64's finalizer).
pub(crate) fn mixed(seed: u64, step: u64) -> u64 {
    let mut x = seed.wrapping_add(step.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
