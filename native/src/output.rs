//! What `infer` prints: streamed text for people, JSON for machines.

use generation::{Completion, Finish};
use processor::{Answer, Tokenizer};
use serde_json::{Value, json};

/// Wall-clock seconds of the parts of one run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    pub load: f64,
    pub first_token: f64,
    pub total: f64,
}

/// Sizes of the prompt in tokens.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub prompt_tokens: usize,
    pub image_tokens: usize,
}

/// The text of a response, without the tokens that end it.
pub fn text(tokenizer: &Tokenizer, completion: &Completion) -> String {
    let ids: Vec<u32> = completion.tokens.iter().map(|token| token.id).collect();
    tokenizer.decode(&ids, true)
}

/// One response as JSON.
pub fn response(
    tokenizer: &Tokenizer,
    index: usize,
    completion: &Completion,
    usage: Usage,
    timing: Timing,
) -> Value {
    let text = text(tokenizer, completion);
    let answer = Answer::parse(&text);
    let tokens: Vec<Value> = completion
        .tokens
        .iter()
        .map(|token| {
            let mut value = json!({
                "id": token.id,
                "text": tokenizer.decode(&[token.id], false),
                "logprob": token.logprob,
                "entropy": token.entropy,
            });
            if !token.top.is_empty() {
                let top = token.top.iter().map(|(id, logprob)| {
                    json!({"id": id, "text": tokenizer.decode(&[*id], false), "logprob": logprob})
                });
                value["top_logprobs"] = top.collect();
            }
            value
        })
        .collect();
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

/// Tokens per second after the first.
fn rate(tokens: usize, timing: Timing) -> Option<f64> {
    let seconds = timing.total - timing.first_token;
    (tokens > 1 && seconds > 0.0).then(|| (tokens - 1) as f64 / seconds)
}
