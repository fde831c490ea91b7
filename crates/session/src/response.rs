//! A response as JSON.

use generation::{Completion, Finish, Token};
use processor::{Answer, Tokenizer};
use serde_json::{Value, json};

use crate::Pretrained;

/// Wall-clock seconds of the parts of one run.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Timing {
    pub load: f64,
    pub first_token: f64,
    pub total: f64,
}

/// Sizes of the prompt in tokens.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Usage {
    pub prompt_tokens: usize,
    pub image_tokens: usize,
}

impl Pretrained {
    /// The text of a response, without the tokens that end it.
    pub fn text(&self, completion: &Completion) -> String {
        let ids: Vec<u32> = completion.tokens.iter().map(|token| token.id).collect();
        self.processor.tokenizer.decode(&ids, true)
    }

    /// One response as JSON.
    pub fn response(
        &self,
        index: usize,
        completion: &Completion,
        usage: Usage,
        timing: Timing,
    ) -> Value {
        let tokenizer = &self.processor.tokenizer;
        let text = self.text(completion);
        let answer = Answer::parse(&text);
        let token = |token: &Token| {
            let mut value = json!({"id": token.id, "text": tokenizer.decode(&[token.id], false)});
            if !token.logprob.is_nan() {
                value["logprob"] = token.logprob.into();
                value["entropy"] = token.entropy.into();
            }
            if !token.top.is_empty() {
                value["top_logprobs"] = candidates(tokenizer, &token.top);
            }
            value
        };
        let tokens: Vec<Value> = completion.tokens.iter().map(token).collect();
        let completion_tokens = tokens.len();
        json!({
            "index": index,
            "text": text,
            "think": answer.think,
            "answer": answer.answer,
            "finish_reason": match completion.finish {
                Finish::Stop => "stop",
                Finish::Length => "length",
                Finish::Cancelled => "cancelled",
            },
            "tokens": tokens,
            "usage": {
                "prompt_tokens": usage.prompt_tokens,
                "image_tokens": usage.image_tokens,
                "completion_tokens": completion_tokens,
            },
            "timing": {
                "load_s": timing.load,
                "first_token_s": timing.first_token,
                "total_s": timing.total,
                "tokens_per_s": rate(completion_tokens, timing),
            },
        })
    }
}

/// Tokens with their log-probabilities.
pub(crate) fn candidates(tokenizer: &Tokenizer, top: &[(u32, f32)]) -> Value {
    let candidate = |(id, logprob): &(u32, f32)| json!({"id": id, "text": tokenizer.decode(&[*id], false), "logprob": logprob});
    top.iter().map(candidate).collect()
}

/// Tokens per second after the first.
fn rate(tokens: usize, timing: Timing) -> Option<f64> {
    let seconds = timing.total - timing.first_token;
    (tokens > 1 && seconds > 0.0).then(|| (tokens - 1) as f64 / seconds)
}
