//! What a response should be like.

use generation::{Details, GenerateOptions, SamplingParams};
use image::RgbImage;
use processor::Message;
use qwen2_5_vl::Prompt;
use serde::Deserialize;

use crate::{Pretrained, SessionError, Usage};

/// A conversation to go on with; what is None comes from the model's `generation_config.json`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// The turns so far; an `image` part stands for the next picture.
    pub messages: Vec<Message>,
    /// Number of responses; 1 unless given.
    pub n: Option<usize>,
    /// Longest response, in tokens; 1024 unless given, and never more than the model has room for.
    pub max_new_tokens: Option<usize>,
    /// 0 takes the likeliest token.
    pub temperature: Option<f64>,
    /// Draw among the k likeliest tokens.
    pub top_k: Option<usize>,
    /// Draw among the likeliest tokens that reach this probability.
    pub top_p: Option<f64>,
    /// Leave out tokens less likely than this share of the likeliest.
    pub min_p: Option<f64>,
    /// Makes tokens that already occurred less likely.
    pub repetition_penalty: Option<f64>,
    /// The same seed draws the same tokens on the same device.
    pub seed: u64,
    /// Report log-probability and entropy of each token.
    pub details: bool,
    /// Report this many likeliest tokens at each place; implies `details`.
    pub logprobs: usize,
}

/// A request in the model's terms.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Prepared {
    pub prompt: Prompt,
    pub usage: Usage,
    pub options: GenerateOptions,
}

impl Request {
    /// Encodes the conversation and checks the request against the model.
    ///
    /// `read_step` is [`GenerateOptions::read_step`] of the model's device.
    ///
    /// # Errors
    ///
    /// When messages and pictures disagree, an option is out of range, or the prompt leaves no
    /// room for a response.
    pub fn prepare(
        &self,
        pretrained: &Pretrained,
        pictures: &[RgbImage],
        read_step: usize,
    ) -> Result<Prepared, SessionError> {
        let prompt = pretrained.prompt(&self.messages, pictures)?;
        let usage = pretrained.usage(&prompt);
        let options = self.options(pretrained, &prompt, read_step)?;
        Ok(Prepared { prompt, usage, options })
    }

    pub(crate) fn options(
        &self,
        pretrained: &Pretrained,
        prompt: &Prompt,
        read_step: usize,
    ) -> Result<GenerateOptions, SessionError> {
        let text = &pretrained.model.config().text_config;
        let used = prompt.input_ids.len();
        let room = text.max_position_embeddings.saturating_sub(used);
        if room == 0 {
            return Err(SessionError::Request(format!(
                "the prompt has {used} tokens; this model takes at most {}",
                text.max_position_embeddings
            )));
        }
        let default = pretrained.generation.sampling();
        let sampling = SamplingParams {
            temperature: self.temperature.unwrap_or(default.temperature),
            top_k: self.top_k.or(default.top_k),
            top_p: self.top_p.unwrap_or(default.top_p),
            min_p: self.min_p.unwrap_or(default.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(default.repetition_penalty),
            seed: self.seed,
        };
        sampling.validate().map_err(SessionError::Request)?;
        let n = self.n.unwrap_or(1);
        if n == 0 {
            return Err(SessionError::Request("n is 0, must be 1 or more".into()));
        }
        let details = self.details || self.logprobs > 0;
        Ok(GenerateOptions {
            sampling,
            n,
            max_new_tokens: self.max_new_tokens.unwrap_or(1024).min(room),
            eos_token_ids: pretrained.eos_token_ids(),
            never_sampled: pretrained.processor.never_sampled(text.vocab_size),
            details: details.then_some(Details { top_logprobs: self.logprobs }),
            read_step,
            ..Default::default()
        })
    }
}

impl Pretrained {
    /// Sizes of a prompt.
    fn usage(&self, prompt: &Prompt) -> Usage {
        let image_token = self.model.config().image_token_id;
        Usage {
            prompt_tokens: prompt.input_ids.len(),
            image_tokens: prompt.input_ids.iter().filter(|&&id| id == image_token).count(),
        }
    }
}
