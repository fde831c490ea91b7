//! A response under several kinds of pictures, asked for and as JSON.

use std::ops::ControlFlow;

use cppo::CplConfig;
use generation::{GenerateError, generate};
use image::RgbImage;
use perceive::{Passes, PerceiveOptions, Perceived, perceive};
use processor::{Answer, Message};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::response::candidates;
use crate::{Pretrained, Request, SessionError};

/// Which response to look at, and how.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PerceiveRequest {
    /// The turns before the response; an `image` part stands for the next picture.
    pub messages: Vec<Message>,
    /// The response; the likeliest one unless given.
    pub response: Option<String>,
    /// The response as token ids, in place of text.
    pub response_ids: Option<Vec<u32>>,
    /// Longest response to generate, in tokens.
    pub max_new_tokens: usize,
    /// Perturbed pictures of each kind to average over.
    pub draws: usize,
    /// Seed of the perturbations.
    pub seed: u64,
    /// Likeliest tokens reported at each place.
    pub top_logprobs: usize,
    /// Selection and perturbations.
    pub cpl: CplConfig,
}

impl Default for PerceiveRequest {
    fn default() -> Self {
        Self {
            messages: Vec::new(),
            response: None,
            response_ids: None,
            max_new_tokens: 512,
            draws: 4,
            seed: 0,
            top_logprobs: 5,
            cpl: CplConfig::default(),
        }
    }
}

impl PerceiveRequest {
    /// Options of [`perceive()`] with drawn pictures.
    pub fn options(&self) -> PerceiveOptions {
        PerceiveOptions {
            config: self.cpl.clone(),
            draws: self.draws,
            seed: self.seed,
            top: self.top_logprobs,
            ..Default::default()
        }
    }
}

impl Pretrained {
    /// Scores the response that the request gives, or else the likeliest one, with and without
    /// the pictures' information.
    ///
    /// `read_step` is [`generation::GenerateOptions::read_step`] of the model's device, and
    /// `on_pass` is asked at each generated token and before each pass; see [`perceive()`].
    ///
    /// # Errors
    ///
    /// When the request does not fit the model, the response is empty, `on_pass` stops, or the
    /// device fails.
    pub async fn perceive(
        &self,
        request: &PerceiveRequest,
        options: &PerceiveOptions,
        pictures: &[RgbImage],
        read_step: usize,
        mut on_pass: impl AsyncFnMut(Passes) -> ControlFlow<()>,
    ) -> Result<Perceived, SessionError> {
        let mut prompt = self.prompt(&request.messages, pictures)?;
        let response = match (&request.response, &request.response_ids) {
            (_, Some(ids)) => ids.clone(),
            (Some(text), None) => self.processor.tokenizer.encode(text)?,
            (None, None) => {
                let asked = Request {
                    max_new_tokens: Some(request.max_new_tokens),
                    temperature: Some(0.0),
                    ..Default::default()
                };
                let asked = asked.options(self, &prompt, read_step)?;
                self.encode_images(&mut prompt, pictures).map_err(GenerateError::from)?;
                let on_token = async |_: usize, _: &_| on_pass(options.passes()).await;
                let prompts = std::slice::from_ref(&prompt);
                let completions = generate(&self.model, prompts, &asked, on_token).await?;
                completions[0].tokens.iter().map(|token| token.id).collect()
            }
        };
        if response.is_empty() {
            return Err(SessionError::Request("the response is empty".into()));
        }
        self.encode_images(&mut prompt, pictures).map_err(GenerateError::from)?;
        let (model, processor) = (&self.model, &self.processor);
        Ok(perceive(model, processor, &prompt, pictures, &response, options, on_pass).await?)
    }

    /// A perceived response as JSON.
    pub fn perceived(&self, perceived: &Perceived) -> Value {
        let tokenizer = &self.processor.tokenizer;
        let ids: Vec<u32> = perceived.tokens.iter().map(|token| token.id).collect();
        let texts = pieces(tokenizer, &ids);
        let answer = Answer::parse(&texts.concat());
        let tokens = perceived.tokens.iter().zip(&texts).map(|(token, text)| {
            json!({
                "id": token.id,
                "text": text,
                "logprob": token.original.logprob,
                "logprob_preserved": token.preserved.logprob,
                "logprob_removed": token.removed.logprob,
                "entropy": token.original.entropy,
                "entropy_preserved": token.preserved.entropy,
                "entropy_removed": token.removed.entropy,
                "shift": token.shift,
                "score": token.score,
                "perception": token.perception,
                "top_logprobs": candidates(tokenizer, &token.top),
                "top_logprobs_removed": candidates(tokenizer, &token.top_removed),
            })
        });
        json!({
            "text": tokenizer.decode(&ids, true),
            "think": answer.think,
            "answer": answer.answer,
            "tokens": tokens.collect::<Vec<_>>(),
        })
    }
}

/// The text that each token adds; a character split over tokens stands at its last one.
pub fn pieces(tokenizer: &processor::Tokenizer, ids: &[u32]) -> Vec<String> {
    let mut stream = tokenizer.decode_stream(false);
    let mut pieces: Vec<String> = ids.iter().map(|&id| stream.push(id)).collect();
    if let Some(last) = pieces.last_mut() {
        last.push_str(&stream.finish());
    }
    pieces
}
