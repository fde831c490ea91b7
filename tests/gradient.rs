//! Scoring with gradient against the plain backward.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use generation::{Activations, Divergence, RecordOptions, Recording, ScoreCotangents, score};
use qwen2_5_vl::Prompt;

use crate::reference::{case, distance, model, named, text_prompt, values};

/// Two prompts with two responses each, and numbers to pull back.
fn batch() -> ([Prompt; 2], Vec<Vec<u32>>, Vec<f32>, Vec<f32>) {
    let prompts = [case(1), text_prompt("Why?")];
    let responses = vec![vec![5u32, 300, 7, 482], vec![9, 9], vec![411], vec![17, 18, 19]];
    let logprobs = vec![
        0.5, -1.0, 0.25, 2.0, //
        1.5, -0.5, 0.0, 0.0, //
        -2.0, 0.0, 0.0, 0.0, //
        0.0, 0.75, -0.25, 0.0,
    ];
    let entropies = vec![
        0.0, 0.0, 0.0, -0.5, //
        0.0, 1.0, 0.0, 0.0, //
        0.25, 0.0, 0.0, 0.0, //
        0.0, 0.0, 0.0, 0.0,
    ];
    (prompts, responses, logprobs, entropies)
}

fn options(activations: Activations, train_vision: bool) -> RecordOptions {
    RecordOptions { temperature: 0.8, activations, train_vision }
}

fn constant(values: &[f32]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [4, 4]), &Device::flex())
}

/// Every gradient within 1e-4 of its norm.
fn assert_equal(found: &BTreeMap<String, Vec<f32>>, expected: &BTreeMap<String, Vec<f32>>) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, expected) in expected {
        let norm = expected.iter().map(|x| x * x).sum::<f32>().sqrt();
        let difference: Vec<f32> = found[name].iter().zip(expected).map(|(a, b)| a - b).collect();
        let difference = difference.iter().map(|x| x * x).sum::<f32>().sqrt();
        // A key bias shifts all scores of a query alike, so its true gradient is 0.
        assert!(difference <= 1e-4 * norm.max(1e-3), "{name}: {difference} of {norm}");
    }
}

#[test]
fn both_ways_to_keep_activations_give_the_plain_gradient() {
    let model = model(&Device::flex().autodiff());
    let (prompts, responses, logprobs, entropies) = batch();
    let plain = score(&model, &prompts, &responses, 0.8).unwrap();
    let loss = (plain.logprobs.clone() * constant(&logprobs)).sum()
        + (plain.entropies.clone() * constant(&entropies)).sum();
    let expected = named(&model, &GradientsParams::from_grads(loss.backward(), &model));
    assert_eq!(expected.len(), 80);
    let cotangents =
        ScoreCotangents { logprobs: &logprobs, entropies: &entropies, divergences: &[] };
    for activations in [Activations::Stored, Activations::Recomputed] {
        for train_vision in [true, false] {
            let options = options(activations, train_vision);
            let recording = Recording::new(&model, &prompts, &[2, 2], &responses, options).unwrap();
            let scores = recording.scores();
            assert!(distance(&values(scores.logprobs), &values(plain.logprobs.clone())) < 1e-5);
            assert!(distance(&values(scores.entropies), &values(plain.entropies.clone())) < 1e-5);
            let found = named(&model, &recording.backward(&cotangents));
            let mut expected = expected.clone();
            expected.retain(|name, _| train_vision || !name.starts_with("visual."));
            assert_equal(&found, &expected);
        }
    }
}

#[test]
fn a_full_divergence_has_the_plain_value_and_gradient_on_both_sides() {
    let model = model(&Device::flex().autodiff());
    let (mut prompts, responses, logprobs, _) = batch();
    let zeros = vec![0.0; 16];
    let log = |prompts: &[Prompt]| {
        let batch = model.batch(prompts).unwrap();
        let ids: Vec<i32> = responses
            .iter()
            .flat_map(|row| (0..4).map(|place| row.get(place).copied().unwrap_or(0) as i32))
            .collect();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [4, 4]), &Device::flex());
        let (hidden, prefix) = model.prefill(&batch);
        let last = model.last_hidden(hidden, &batch).reshape([2, 1, 1, 64]).expand([2, 2, 1, 64]);
        let hidden = model.respond(ids, &prefix).reshape([2, 2, 4, 64]).slice_dim(2, 0..3);
        let hidden = Tensor::cat(vec![last, hidden], 2).reshape([16, 64]);
        log_softmax(model.logits(hidden).div_scalar(0.8), 1)
    };
    let original = prompts.clone();
    prompts[0].pixel_values.iter_mut().for_each(|value| *value *= 0.25);
    for activations in [Activations::Stored, Activations::Recomputed] {
        let record = |prompts| {
            Recording::new(&model, prompts, &[2, 2], &responses, options(activations, true))
        };
        let (p, q) = (record(&original).unwrap(), record(&prompts).unwrap());
        let ends = (p.predicting().clone(), q.predicting().clone());
        let found = values(generation::divergence(&model.valid(), ends.0, ends.1, 0.8));
        let (log_p, log_q) = (log(&original), log(&prompts));
        let kl = (log_p.clone().exp() * (log_p - log_q)).sum_dim(1).reshape([4, 4]);
        assert!(distance(&found, &values(kl.clone())) < 1e-5);
        let plain = (kl * constant(&logprobs)).sum().backward();
        let expected = named(&model, &GradientsParams::from_grads(plain, &model));
        let (p_end, q_end) = (p.predicting().clone(), q.predicting().clone());
        let mut sum: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for (recording, other, reverse) in [(p, q_end, false), (q, p_end, true)] {
            let divergences = [Divergence { other: &other, reverse, cotangents: &logprobs }];
            let cotangents =
                ScoreCotangents { logprobs: &zeros, entropies: &zeros, divergences: &divergences };
            for (name, part) in named(&model, &recording.backward(&cotangents)) {
                let total = sum.entry(name).or_insert_with(|| vec![0.0; part.len()]);
                total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
            }
        }
        assert_equal(&sum, &expected);
    }
}
