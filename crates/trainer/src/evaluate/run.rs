//! Asking a model the questions of a benchmark.

use std::ops::ControlFlow;

use evaluation::{Question, judge};
use generation::{Completion, Finish, GenerateOptions, generate_blocking};
use processor::Processor;
use qwen2_5_vl::Prompt;
use session::Parts;

use super::{EvaluateError, Record, Responses, Settings};
use crate::benchmark::Questions;
use crate::config::{DataConfig, Overlong};
use crate::data::{Example, ExampleError};
use crate::hooks::Hooks;
use crate::pretrained::Pretrained;

/// Batches whose prompts are encoded and sorted by length together.
const WINDOW_BATCHES: usize = 8;

/// Pixel values that a window may hold.
const WINDOW_PIXELS: usize = 1 << 26;

/// A question ready for the model.
struct Asked {
    index: usize,
    prompt: Prompt,
    /// Longest response that the model has room for.
    room: usize,
}

/// Answers the questions that `responses` lack, about `batch` responses at a time; whether all
/// are answered now, or the user stopped it.
///
/// A response depends on its question and number alone, whatever else is in its batch.
///
/// # Errors
///
/// When a question cannot be read or does not fit the model, or the device or the disk fails.
pub fn evaluate(
    policy: &Pretrained,
    questions: &Questions,
    judged: &[Question],
    settings: &Settings,
    batch: usize,
    responses: &mut Responses,
    hooks: &mut Hooks,
) -> Result<bool, EvaluateError> {
    let missing: Vec<usize> =
        (0..judged.len()).filter(|&index| !responses.has(index, settings.n)).collect();
    let mut done = judged.len() - missing.len();
    let at_once = (batch / settings.n).max(1);
    let mut missing = missing.into_iter().peekable();
    while missing.peek().is_some() {
        let (mut window, mut pixels) = (Vec::new(), 0);
        while window.len() < WINDOW_BATCHES * at_once && pixels < WINDOW_PIXELS {
            let Some(index) = missing.next() else { break };
            let limit = policy.model.config().text_config.max_position_embeddings;
            let (prompt, room) =
                encode(&policy.processor, limit, questions, index, settings.instruction)?;
            let asked = Asked { index, prompt, room: room.min(settings.max_new_tokens) };
            pixels += asked.prompt.pixel_values.len();
            window.push(asked);
        }
        window.sort_by_key(|asked| asked.prompt.input_ids.len());
        for asked in window.chunks(at_once) {
            let Some(records) = answer(policy, asked, judged, settings, batch, hooks)? else {
                return Ok(false);
            };
            responses.add(records)?;
            done += asked.len();
            hooks.progress("answering", done, judged.len());
        }
    }
    Ok(true)
}

/// Whether a question can be asked of the model that `parts` belong to.
///
/// # Errors
///
/// When its row is damaged, a picture cannot be decoded, or the model has no room for it.
pub fn check(
    parts: &Parts,
    questions: &Questions,
    index: usize,
    instruction: bool,
) -> Result<(), EvaluateError> {
    let limit = parts.config.text_config.max_position_embeddings;
    encode(&parts.processor, limit, questions, index, instruction).map(|_| ())
}

/// Reads and encodes a question for a model of at most `limit` positions; the prompt, and the
/// tokens that are left for the response.
fn encode(
    processor: &Processor,
    limit: usize,
    questions: &Questions,
    index: usize,
    instruction: bool,
) -> Result<(Prompt, usize), EvaluateError> {
    let config = DataConfig {
        instruction,
        max_prompt_tokens: usize::MAX,
        overlong: Overlong::Error,
        ..Default::default()
    };
    let item = questions.get(index)?;
    let example = Example::new(item.sample, index, processor, &config);
    let example = example.map_err(|error| match error {
        ExampleError::Data(error) => error,
        ExampleError::Picture { source, .. } => questions.fault(index, source.to_string()),
        ExampleError::Processor { source, .. } => questions.fault(index, source.to_string()),
        overlong => questions.fault(index, overlong.to_string()),
    })?;
    let tokens = example.prompt.input_ids.len();
    let room = limit.saturating_sub(tokens);
    if room == 0 {
        let message = format!(
            "the prompt has {tokens} tokens; this model takes at most {limit}: remove the row"
        );
        return Err(questions.fault(index, message).into());
    }
    Ok((example.prompt, room))
}

/// Draws and judges `n` responses to each question; None where the user stopped it.
fn answer(
    policy: &Pretrained,
    asked: &[Asked],
    judged: &[Question],
    settings: &Settings,
    batch: usize,
    hooks: &Hooks,
) -> Result<Option<Vec<Record>>, EvaluateError> {
    let text = &policy.model.config().text_config;
    let prompts: Vec<Prompt> = asked.iter().map(|asked| asked.prompt.clone()).collect();
    let mut options = GenerateOptions {
        sampling: settings.sampling(),
        max_new_tokens: asked.iter().map(|asked| asked.room).max().unwrap_or(0),
        eos_token_ids: policy.eos_token_ids(),
        never_sampled: policy.processor.never_sampled(text.vocab_size),
        read_step: hooks.read_step,
        ..Default::default()
    };
    let mut records = Vec::new();
    let mut first = 0;
    while first < settings.n {
        options.n = (settings.n - first).min(batch.max(1));
        // Whatever `n` is, so that more responses begin with those of fewer.
        let stream = |asked: &Asked| ((asked.index as u64) << 32) + first as u64;
        options.streams = asked.iter().map(stream).collect();
        let go_on = |_, _: &_| match hooks.stopped() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let completions = generate_blocking(&policy.model, &prompts, &options, go_on)?;
        if completions.iter().any(|completion| completion.finish == Finish::Cancelled) {
            return Ok(None);
        }
        for (asked, completions) in asked.iter().zip(completions.chunks(options.n)) {
            for (sample, completion) in completions.iter().enumerate() {
                let question = &judged[asked.index];
                records.push(record(policy, asked, first + sample, completion, question, settings));
            }
        }
        first += options.n;
    }
    Ok(Some(records))
}

fn record(
    policy: &Pretrained,
    asked: &Asked,
    sample: usize,
    completion: &Completion,
    question: &Question,
    settings: &Settings,
) -> Record {
    // Another question of the batch may have had more room.
    let kept = completion.tokens.len().min(asked.room);
    let ids: Vec<u32> = completion.tokens[..kept].iter().map(|token| token.id).collect();
    let response = policy.processor.tokenizer.decode(&ids, true);
    Record {
        index: asked.index,
        id: question.id.clone(),
        sample,
        judgement: judge(&response, question, settings.grader),
        response,
        tokens: kept,
        ended: completion.finish == Finish::Stop && kept == completion.tokens.len(),
    }
}
