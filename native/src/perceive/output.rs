//! A response under several kinds of pictures as JSON.

use processor::Answer;
use serde_json::{Value, json};
use trainer::pretrained::Pretrained;

use super::Subject;

/// What `cppo perceive --json` prints.
pub fn json(subject: &Subject, loaded: &Pretrained) -> Value {
    let text = subject.texts.concat();
    let ids: Vec<u32> = subject.perceived.tokens.iter().map(|token| token.id).collect();
    let plain = loaded.processor.tokenizer.decode(&ids, true);
    let answer = Answer::parse(&text);
    let candidates = |top: &[(u32, f32)]| -> Vec<Value> {
        let candidate = |(id, logprob): &(u32, f32)| {
            let text = loaded.processor.tokenizer.decode(&[*id], false);
            json!({"id": id, "text": text, "logprob": logprob})
        };
        top.iter().map(candidate).collect()
    };
    let tokens: Vec<Value> = subject
        .perceived
        .tokens
        .iter()
        .zip(&subject.texts)
        .map(|(token, text)| {
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
                "top_logprobs": candidates(&token.top),
                "top_logprobs_removed": candidates(&token.top_removed),
            })
        })
        .collect();
    json!({
        "text": plain,
        "think": answer.think,
        "answer": answer.answer,
        "tokens": tokens,
    })
}
