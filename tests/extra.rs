//! More reference values: several images, text alone, batches, another model in the older form,
//! scores and gradients at a temperature.

use std::ops::ControlFlow;

use burn::tensor::Device;
use generation::{
    Activations, GenerateOptions, RecordOptions, Recording, ScoreCotangents, generate_blocking,
};
use qwen2_5_vl::{Prompt, Qwen2_5_VL};

use crate::reference::{
    Arrays, case, distance, ids, model, model_in, named, read, relative, transformers_key, values,
};

fn extra() -> (serde_json::Value, Arrays) {
    (serde_json::from_str(&read("extra.json")).unwrap(), Arrays::named("extra.safetensors"))
}

/// The prompt with the given ids and the pictures of the given cases.
fn prompt(ids: &[i64], cases: &serde_json::Value) -> Prompt {
    let mut prompt =
        Prompt { input_ids: ids.iter().map(|&id| id as u32).collect(), ..Default::default() };
    for index in cases.as_array().unwrap() {
        let picture = case(index.as_u64().unwrap() as usize);
        prompt.pixel_values.extend(picture.pixel_values);
        prompt.image_grid_thw.extend(picture.image_grid_thw);
    }
    prompt
}

/// Positions, visual tokens and some rows of logits of one prompt.
fn check(model: &Qwen2_5_VL, prompt: &Prompt, arrays: &Arrays, name: &str) {
    let index = prompt.rope_index(model.config()).unwrap();
    let positions: Vec<i64> = index.positions.iter().flatten().map(|&p| i64::from(p)).collect();
    assert_eq!(positions, arrays.integers(&format!("{name}.position_ids")).0, "{name}");

    let batch = model.batch(std::slice::from_ref(prompt)).unwrap();
    if let Some(features) = model.image_features(&batch) {
        let worst = distance(&values(features), &arrays.floats(&format!("{name}.vision")).0);
        assert!(worst < 1e-4, "{name}: vision {worst}");
    }
    let (rows, _) = arrays.integers(&format!("{name}.rows"));
    let (hidden, _) = model.prefill(&batch);
    let [_, tokens, width] = hidden.dims();
    let logits = values(model.logits(hidden.reshape([tokens, width])));
    let vocab_size = model.config().text_config.vocab_size;
    let found: Vec<f32> = rows
        .iter()
        .flat_map(|&row| logits[row as usize * vocab_size..][..vocab_size].to_vec())
        .collect();
    let worst = distance(&found, &arrays.floats(&format!("{name}.logits")).0);
    assert!(worst < 1e-4, "{name}: logits {worst}");
}

#[test]
fn several_images_and_text_alone_equal_the_reference() {
    let (json, arrays) = extra();
    let model = model(&Device::flex());
    for name in ["two_images", "text_only"] {
        let (ids, _) = arrays.integers(&format!("{name}.input_ids"));
        check(&model, &prompt(&ids, &json[name]["cases"]), &arrays, name);
    }
}

#[test]
fn a_sharded_bf16_model_in_the_hubs_older_form_equals_the_reference() {
    let (json, arrays) = extra();
    let model = model_in("model_flat", &Device::flex());
    assert!(model.lm_head.is_some());
    for name in ["one", "two"] {
        let (ids, _) = arrays.integers(&format!("flat.{name}.input_ids"));
        let prompt = prompt(&ids, &json["flat"][name]["cases"]);
        check(&model, &prompt, &arrays, &format!("flat.{name}"));
    }
    let (prompt_ids, _) = arrays.integers("flat.one.input_ids");
    let expected = ids(&json["flat"]["greedy_ids"]);
    let options = GenerateOptions {
        max_new_tokens: expected.len(),
        never_sampled: ids(&json["flat"]["never_sampled"]),
        ..Default::default()
    };
    let prompts = [prompt(&prompt_ids, &json["flat"]["one"]["cases"])];
    let found =
        generate_blocking(&model, &prompts, &options, |_, _| ControlFlow::Continue(())).unwrap();
    let found: Vec<u32> = found[0].tokens.iter().map(|token| token.id).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_padded_batch_equals_the_reference() {
    let (json, arrays) = extra();
    let model = model(&Device::flex());
    let (padded, shape) = arrays.integers("batch.right.input_ids");
    let (mask, _) = arrays.integers("batch.right.attention_mask");
    let prompts: Vec<Prompt> = (0..shape[0])
        .map(|row| {
            let span = row * shape[1]..(row + 1) * shape[1];
            let kept: Vec<i64> = padded[span.clone()]
                .iter()
                .zip(&mask[span])
                .filter_map(|(&id, &mask)| (mask == 1).then_some(id))
                .collect();
            prompt(&kept, &json["batch"][row]["cases"])
        })
        .collect();
    let batch = model.batch(&prompts).unwrap();
    let (hidden, _) = model.prefill(&batch);
    let mut found = Vec::new();
    for (row, &length) in batch.lengths.iter().enumerate() {
        let last = hidden.clone().slice([row..row + 1, length - 8..length]).reshape([8, -1]);
        found.extend(values(model.logits(last)));
    }
    let worst = distance(&found, &arrays.floats("batch.logits").0);
    assert!(worst < 1e-4, "{worst}");
}

#[test]
fn scores_and_every_gradient_at_a_temperature_equal_pytorch() {
    let (json, arrays) = extra();
    let device = Device::flex();
    let model = model(&device.clone().autodiff());
    let scoring = &json["scoring"];
    let temperature = scoring["temperature"].as_f64().unwrap();
    let lengths = ids(&scoring["lengths"]);
    let (padded, shape) = arrays.integers("scoring.responses");
    let responses: Vec<Vec<u32>> = padded
        .chunks(shape[1])
        .zip(&lengths)
        .map(|(row, &length)| row[..length as usize].iter().map(|&id| id as u32).collect())
        .collect();
    let (cotangents, _) = arrays.floats("scoring.cotangents");
    let (mask, _) = arrays.integers("scoring.response_mask");
    let cotangents: Vec<f32> = cotangents.iter().zip(&mask).map(|(c, &m)| c * m as f32).collect();
    let zeros = vec![0.0; cotangents.len()];
    let options =
        RecordOptions { temperature, activations: Activations::Recomputed, train_vision: true };
    let recording =
        Recording::new(&model, &[case(1)], &[responses.len()], &responses, options).unwrap();
    let scores = recording.scores();
    let cotangents = ScoreCotangents { logprobs: &cotangents, entropies: &zeros, divergences: &[] };
    let gradients = recording.backward(&cotangents);
    for (found, name) in [(scores.logprobs, "logprobs"), (scores.entropies, "entropy")] {
        let (expected, found) = (arrays.floats(&format!("scoring.{name}")).0, values(found));
        for (row, &length) in lengths.iter().enumerate() {
            let span = row * shape[1]..row * shape[1] + length as usize;
            let worst = distance(&found[span.clone()], &expected[span]);
            assert!(worst < 1e-4, "{name} of response {row}: {worst}");
        }
    }
    let found = named(&model, &gradients);
    assert_eq!(found.len(), 80);
    for (name, found) in found {
        let name = format!("scoring.grad.{}", transformers_key(&name));
        let error = relative(&found, &arrays.floats(&name).0);
        assert!(error <= 1e-4, "{name}: {error}");
    }
}
