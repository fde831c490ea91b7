//! Responses in the form of OpenAI's chat completions.

use std::time::{SystemTime, UNIX_EPOCH};

use generation::Token;
use processor::Tokenizer;
use serde_json::{Value, json};
use session::Usage;

/// A finished response.
#[derive(Clone, Debug)]
pub struct Choice {
    pub text: String,
    pub finish_reason: &'static str,
    pub logprobs: Option<Vec<Value>>,
    pub tokens: usize,
}

/// What all parts of a reply have in common.
#[derive(Clone, Debug)]
pub struct Reply {
    id: String,
    created: u64,
    model: String,
}

impl Reply {
    /// The frame of the reply to one request.
    pub fn new(model: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = format!("chatcmpl-{:x}", now.as_nanos());
        Self { id, created: now.as_secs(), model: model.into() }
    }

    fn frame(&self, object: &str, choices: Vec<Value>) -> Value {
        json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model,
            "choices": choices,
        })
    }

    /// The whole reply.
    pub fn whole(&self, choices: &[Choice], usage: Usage) -> Value {
        let choice = |(index, choice): (usize, &Choice)| {
            json!({
                "index": index,
                "message": {"role": "assistant", "content": choice.text, "refusal": null},
                "logprobs": choice.logprobs.as_ref().map(|content| json!({"content": content})),
                "finish_reason": choice.finish_reason,
            })
        };
        let listed = choices.iter().enumerate().map(choice).collect();
        let mut reply = self.frame("chat.completion", listed);
        reply["usage"] = usage_json(choices, usage);
        reply
    }

    /// A part of a streamed reply.
    pub fn part(&self, index: usize, delta: Value, logprobs: Option<Value>) -> Value {
        self.chunk(json!({
            "index": index, "delta": delta, "finish_reason": null,
            "logprobs": logprobs.map(|token| json!({"content": [token]})),
        }))
    }

    /// The end of one response of a streamed reply.
    pub fn end(&self, index: usize, choice: &Choice) -> Value {
        let reason = choice.finish_reason;
        self.chunk(json!({"index": index, "delta": {}, "finish_reason": reason, "logprobs": null}))
    }

    /// The last part of a streamed reply whose usage was asked for.
    pub fn usage(&self, choices: &[Choice], usage: Usage) -> Value {
        let mut reply = self.frame("chat.completion.chunk", Vec::new());
        reply["usage"] = usage_json(choices, usage);
        reply
    }

    fn chunk(&self, choice: Value) -> Value {
        self.frame("chat.completion.chunk", vec![choice])
    }
}

fn usage_json(choices: &[Choice], usage: Usage) -> Value {
    let completion: usize = choices.iter().map(|choice| choice.tokens).sum();
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": usage.prompt_tokens + completion,
        "prompt_tokens_details": {"image_tokens": usage.image_tokens},
    })
}

/// A token with its log-probability and the likeliest others.
pub fn token_json(tokenizer: &Tokenizer, token: &Token) -> Value {
    let entry = |id: u32, logprob: f32| {
        let text = tokenizer.decode(&[id], false);
        json!({"token": text, "logprob": logprob, "bytes": text.as_bytes()})
    };
    let top: Vec<Value> = token.top.iter().map(|&(id, logprob)| entry(id, logprob)).collect();
    let mut value = entry(token.id, token.logprob);
    value["top_logprobs"] = top.into();
    value
}
