//! Our numbers against those of PyTorch and transformers.

use std::ops::ControlFlow;

use burn::tensor::{DType, Device, Tensor, TensorData};
use generation::{Details, GenerateOptions, SamplingParams, Token, generate_blocking, score};
use qwen2_5_vl::Prompt;

use crate::reference::{Arrays, case, distance, ids, json, model, processor, values};

#[test]
fn positions_equal_the_reference() {
    let model = model(&Device::flex());
    for (index, expected) in json()["cases"].as_array().unwrap().iter().enumerate() {
        let found = case(index).rope_index(model.config()).unwrap();
        assert_eq!(serde_json::json!(found.positions), expected["position_ids"], "case {index}");
        assert_eq!(serde_json::json!(found.rope_delta()), expected["rope_delta"], "case {index}");
    }
}

#[test]
fn vision_embeddings_and_logits_equal_the_reference() {
    let (model, arrays) = (model(&Device::flex()), Arrays::open());
    for index in 0..4 {
        let batch = model.batch(&[case(index)]).unwrap();
        let vision = values(model.image_features(&batch).unwrap());
        let worst = distance(&vision, &arrays.floats(&format!("case{index}.vision")).0);
        assert!(worst < 1e-4, "case {index}: vision {worst}");
        let (hidden, _) = model.prefill(&batch);
        let [_, tokens, width] = hidden.dims();
        let logits = values(model.logits(hidden.reshape([tokens, width])));
        let worst = distance(&logits, &arrays.floats(&format!("case{index}.logits")).0);
        assert!(worst < 1e-4, "case {index}: logits {worst}");
    }
}

fn greedy() -> GenerateOptions {
    GenerateOptions {
        max_new_tokens: 24,
        eos_token_ids: vec![482],
        never_sampled: processor().never_sampled(496),
        ..Default::default()
    }
}

fn greedy_ids(model: &qwen2_5_vl::Qwen2_5_VL, prompts: &[Prompt], n: usize) -> Vec<Vec<u32>> {
    let options = GenerateOptions { n, ..greedy() };
    generate_blocking(model, prompts, &options, |_, _| ControlFlow::Continue(()))
        .unwrap()
        .into_iter()
        .map(|completion| completion.tokens.iter().map(|token| token.id).collect())
        .collect()
}

#[test]
fn greedy_tokens_and_text_equal_the_reference() {
    let (model, processor) = (model(&Device::flex()), processor());
    for (index, expected) in json()["cases"].as_array().unwrap().iter().enumerate() {
        let found = greedy_ids(&model, &[case(index)], 1).remove(0);
        assert_eq!(found, ids(&expected["greedy_ids"]), "case {index}");
        let mut stream = processor.tokenizer.decode_stream(true);
        let mut text: String = found.iter().map(|&id| stream.push(id)).collect();
        text += &stream.finish();
        assert_eq!(text, expected["greedy_text"], "case {index}");
    }
}

#[test]
fn a_batch_of_prompts_and_several_responses_each_answer_as_one_alone() {
    let model = model(&Device::flex());
    let prompts = [case(0), case(2), crate::reference::text_prompt("What?"), case(1)];
    let together = greedy_ids(&model, &prompts, 2);
    for (index, prompt) in prompts.iter().enumerate() {
        let alone = greedy_ids(&model, std::slice::from_ref(prompt), 1).remove(0);
        assert_eq!(together[2 * index], alone, "prompt {index}");
        assert_eq!(together[2 * index + 1], alone, "prompt {index}");
    }
}

#[test]
fn responses_that_end_leave_the_batch_and_the_others_go_on_as_if_alone() {
    let model = model(&Device::flex());
    let prompts = [case(0), case(2), crate::reference::text_prompt("What?"), case(1)];
    // One id in twelve ends a response, so that most end early and at different places.
    let options = |streams: Vec<u64>, n: usize| GenerateOptions {
        sampling: SamplingParams {
            temperature: 1.0,
            repetition_penalty: 1.1,
            seed: 5,
            ..Default::default()
        },
        n,
        max_new_tokens: 40,
        eos_token_ids: (0..model.config().text_config.vocab_size as u32).step_by(12).collect(),
        details: Some(Details { top_logprobs: 0 }),
        streams,
        ..Default::default()
    };
    let go_on = |_: usize, _: &Token| ControlFlow::Continue(());
    let together = generate_blocking(&model, &prompts, &options(Vec::new(), 5), go_on).unwrap();
    let lengths: Vec<usize> = together.iter().map(|found| found.tokens.len()).collect();
    assert!(lengths.iter().min() < Some(&8) && lengths.iter().max() > Some(&16), "{lengths:?}");
    for (row, found) in together.iter().enumerate() {
        let prompt = std::slice::from_ref(&prompts[row / 5]);
        let alone =
            generate_blocking(&model, prompt, &options(vec![row as u64], 1), go_on).unwrap();
        assert_eq!(found.finish, alone[0].finish, "response {row}");
        assert_eq!(found.tokens.len(), alone[0].tokens.len(), "response {row}");
        for (found, alone) in found.tokens.iter().zip(&alone[0].tokens) {
            assert_eq!(found.id, alone.id, "response {row}");
            assert!((found.logprob - alone.logprob).abs() < 1e-4, "response {row}");
        }
    }
}

#[test]
fn scores_of_the_objective_equal_the_reference() {
    let (model, arrays) = (model(&Device::flex()), Arrays::open());
    let (responses, _) = arrays.integers("objective.responses");
    let lengths = ids(&json()["objective"]["lengths"]);
    let responses: Vec<Vec<u32>> = responses
        .chunks(14)
        .zip(&lengths)
        .map(|(row, &length)| row[..length as usize].iter().map(|&id| id as u32).collect())
        .collect();
    let scores = score(&model, &[case(1)], &responses, 1.0).unwrap();
    for (found, name) in [(scores.logprobs, "logprobs"), (scores.entropies, "entropy")] {
        let (expected, _) = arrays.floats(&format!("objective.original.{name}"));
        let found = values(found);
        for (row, &length) in lengths.iter().enumerate() {
            let span = row * 14..row * 14 + length as usize;
            let worst = distance(&found[span.clone()], &expected[span]);
            assert!(worst < 1e-4, "{name} of response {row}: {worst}");
        }
    }
}

#[test]
fn a_software_gpu_gives_the_same_logits_and_tokens() {
    let device = Device::wgpu(burn::tensor::DeviceKind::DefaultDevice);
    let (model, arrays) = (model(&device), Arrays::open());
    let batch = model.batch(&[case(3)]).unwrap();
    let (hidden, _) = model.prefill(&batch);
    let [_, tokens, width] = hidden.dims();
    let logits = values(model.logits(hidden.reshape([tokens, width])));
    let worst = distance(&logits, &arrays.floats("case3.logits").0);
    assert!(worst < 1e-4, "logits {worst}");
    let options = GenerateOptions { max_new_tokens: 6, read_step: 64, ..greedy() };
    let completions =
        generate_blocking(&model, &[case(3)], &options, |_, _| ControlFlow::Continue(())).unwrap();
    let found: Vec<u32> = completions[0].tokens.iter().map(|token| token.id).collect();
    assert_eq!(found, ids(&json()["cases"][3]["greedy_ids"])[..found.len()]);
}

/// One row of tokens at a time through the whole model, as one would first write it.
#[test]
fn shared_prefix_scores_equal_the_plain_forward() {
    let model = model(&Device::flex());
    let prompt = case(0);
    let responses = [vec![5u32, 300, 7, 482], vec![9, 9], vec![411]];
    let scores = score(&model, std::slice::from_ref(&prompt), &responses, 0.7).unwrap();
    let found = values(scores.logprobs);
    for (row, response) in responses.iter().enumerate() {
        let mut whole = prompt.clone();
        whole.input_ids.extend(response);
        let batch = model.batch(&[whole]).unwrap();
        let (hidden, _) = model.prefill(&batch);
        let [_, tokens, width] = hidden.dims();
        let logits = model.logits(hidden.reshape([tokens, width])).div_scalar(0.7);
        let logprobs = burn::tensor::activation::log_softmax(logits, 1);
        let start = prompt.input_ids.len() - 1;
        for (place, &id) in response.iter().enumerate() {
            let index = [start + place..start + place + 1, id as usize..id as usize + 1];
            let expected = values(logprobs.clone().slice(index))[0];
            let found = found[row * 4 + place];
            assert!((found - expected).abs() < 1e-5, "{row} {place}: {found} {expected}");
        }
    }
}

#[test]
fn token_scores_know_simple_distributions() {
    let device = Device::flex();
    let logits = Tensor::<2>::from_data(
        TensorData::new(vec![0f32, 0.0, 0.0, 0.0, 100.0, 0.0, 0.0, 0.0], [2, 4]),
        (&device, DType::F32),
    );
    let targets = Tensor::<1, burn::tensor::Int>::from_data([2, 0], &device);
    let (logprobs, entropies) = generation::token_scores(logits, targets, 1.0);
    assert!(distance(&values(logprobs), &[-4f32.ln(), 0.0]) < 1e-6);
    assert!(distance(&values(entropies), &[4f32.ln(), 0.0]) < 1e-6);
}
