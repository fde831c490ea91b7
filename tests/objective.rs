//! The gradient of the whole objective: against PyTorch, and every way to compute it alike.

use burn::module::Module;
use burn::tensor::{DType, Device};
use cppo::perturbation::View;
use cppo::reward::Reward;
use cppo::{Algorithm, AlgorithmConfig, CplConfig, Gate, Kl, advantages};
use qwen2_5_vl::{Prompt, Qwen2_5_VL};
use trainer::collective::Single;
use trainer::config::{ComputeDtype, OptimConfig, RolloutConfig, TrainConfig, TrainerConfig};
use trainer::data::Example;
use trainer::loss_scale::LossScale;
use trainer::optim::Optim;
use trainer::rollout::{Group, Response};
use trainer::update::{gradient, step};

use crate::lora::{everywhere, trained};
use crate::ranks::on_ranks;
use crate::reference::{
    Arrays, case, folder, ids, json, model, named, processor, relative, transformers_key,
};

/// The prompt of the reference's objective with a picture in place of its own.
fn prompt(picture: &str) -> Prompt {
    let picture = std::fs::read(folder().join(picture)).unwrap();
    let picture = processor::decode(&picture).unwrap();
    let patches = processor().image_processor.preprocess(&picture).unwrap();
    Prompt { pixel_values: patches.values, image_grid_thw: vec![patches.grid_thw], ..case(1) }
}

fn view(kind: View) -> Prompt {
    prompt(match kind {
        View::Preserving => "view_preserving.png",
        View::Removing => "view_removing.png",
    })
}

/// The reference's four responses as one group.
fn group() -> Group {
    let (arrays, json) = (Arrays::open(), json());
    let objective = &json["objective"];
    let lengths = ids(&objective["lengths"]);
    let rewards: Vec<f32> = objective["rewards"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r.as_f64().unwrap() as f32)
        .collect();
    let advantages = advantages(&rewards, 4, &AlgorithmConfig::default());
    let (tokens, _) = arrays.integers("objective.responses");
    let (old, _) = arrays.floats("objective.old_logprobs");
    let (reference, _) = arrays.floats("objective.ref_logprobs");
    let responses = (0..4).map(|row| {
        let places = row * 14..row * 14 + lengths[row] as usize;
        let (score, accuracy) = (rewards[row], f32::from(rewards[row] >= 0.9));
        Response {
            ids: tokens[places.clone()].iter().map(|&id| id as u32).collect(),
            text: String::new(),
            ended: true,
            reward: Reward { score, accuracy, ..Reward::default() },
            advantage: advantages[row],
            old_logprobs: old[places.clone()].to_vec(),
            ref_logprobs: reference[places].to_vec(),
        }
    });
    Group {
        example: Example {
            index: 0,
            prompt: case(1),
            pictures: Vec::new(),
            question: String::new(),
            answer: String::new(),
            response: None,
            seen: Vec::new(),
            source: String::new(),
        },
        responses: responses.collect(),
    }
}

fn config(algorithm: AlgorithmConfig, recompute: bool, micro_batch: usize) -> TrainConfig {
    TrainConfig {
        algorithm,
        rollout: RolloutConfig { max_response_tokens: 14, ..Default::default() },
        trainer: TrainerConfig {
            recompute,
            micro_batch_responses: micro_batch,
            ..Default::default()
        },
        ..Default::default()
    }
}

#[test]
fn the_whole_objective_has_pytorchs_loss_and_gradient_of_every_parameter() {
    let (arrays, json) = (Arrays::open(), json());
    let model = model(&Device::flex().autodiff());
    for (recompute, micro_batch) in [(false, 64), (true, 64), (true, 1)] {
        let config = config(AlgorithmConfig::default(), recompute, micro_batch);
        let views = |kind, _| Ok(view(kind));
        let (objective, gradients) =
            gradient(&model, &[group()], &views, &config, 1.0, &Single).unwrap();
        let expected = json["objective"]["loss"].as_f64().unwrap();
        assert!((objective.loss - expected).abs() < 1e-4, "{} {expected}", objective.loss);
        let found = named(&model, &gradients);
        assert_eq!(found.len(), 80);
        for (name, found) in found {
            let (expected, _) = arrays.floats(&format!("grad.{}", transformers_key(&name)));
            let error = relative(&found, &expected);
            assert!(error < 1e-3, "{name}, recompute {recompute}: {error}");
        }
    }
}

/// The reference model as it is, and with adapters in all layers.
fn models() -> [Qwen2_5_VL; 2] {
    let adapted = trained(model(&Device::flex()), &everywhere());
    [model(&Device::flex().autodiff()), adapted.to_device(&Device::flex().autodiff()).train()]
}

#[test]
fn every_way_to_compute_gives_the_same_gradient() {
    let [model, adapted] = models();
    let mut groups = [group(), group(), group()];
    // A prompt without picture has nothing to perturb; the third group teaches nothing.
    groups[1].example.prompt = crate::reference::text_prompt("Why?");
    groups[1].responses.truncate(3);
    groups[2].responses.iter_mut().for_each(|response| response.advantage = 0.0);
    let views = |kind, group: usize| match group {
        1 => Ok(groups[1].example.prompt.clone()),
        _ => Ok(view(kind)),
    };
    let base = AlgorithmConfig { entropy_coef: 0.02, ..Default::default() };
    let cpl = |kl_kind, gate| AlgorithmConfig {
        cpl: CplConfig { kl_kind, gate, ..Default::default() },
        ..base.clone()
    };
    let algorithms = [
        AlgorithmConfig { kl_coef: 0.0, ..Default::default() },
        cpl(Kl::K3, Gate::None),
        cpl(Kl::K1, Gate::Advantage),
        cpl(Kl::Full, Gate::Correct),
        AlgorithmConfig { name: Algorithm::Papo, ..base.clone() },
        AlgorithmConfig { name: Algorithm::Vppo, ..base.clone() },
        AlgorithmConfig { name: Algorithm::Grpo, ..base },
    ];
    let first = (algorithms[0].clone(), &adapted);
    for (algorithm, model) in algorithms.into_iter().map(|a| (a, &model)).chain([first]) {
        let run = |recompute, micro_batch| {
            let config = config(algorithm.clone(), recompute, micro_batch);
            let (objective, gradients) =
                gradient(model, &groups, &views, &config, 1.0, &Single).unwrap();
            (objective, named(model, &gradients))
        };
        let (expected_objective, expected) = run(false, 64);
        let split = on_ranks(2, |ranks| {
            let config = config(algorithm.clone(), true, 64);
            let (objective, gradients) =
                gradient(model, &groups, &views, &config, 1.0, ranks).unwrap();
            (objective, named(model, &gradients))
        });
        for (objective, found) in split {
            assert!((objective.loss - expected_objective.loss).abs() < 1e-5);
            assert_eq!(objective.perception, expected_objective.perception);
            assert_eq!(found.len(), expected.len());
            for (key, expected) in &expected {
                let error = relative(&found[key], expected);
                assert!(error < 1e-5, "{:?} on ranks, {key}: {error}", algorithm.name);
            }
        }
        for (recompute, micro_batch) in [(false, 1), (false, 3), (true, 64), (true, 2), (true, 1)] {
            let (objective, found) = run(recompute, micro_batch);
            let name = algorithm.name;
            assert!((objective.loss - expected_objective.loss).abs() < 1e-5, "{name:?}");
            assert_eq!(objective.perception, expected_objective.perception);
            assert_eq!(found.len(), expected.len());
            for (key, expected) in &expected {
                let error = relative(&found[key], expected);
                assert!(error < 1e-5, "{name:?} {recompute} {micro_batch} {key}: {error}");
            }
        }
    }
}

/// Distance of all gradients together from those in f32, by their norm.
fn deviation(dtype: DType, recompute: bool, loss_scale: f64) -> (f64, f64) {
    let run = |dtype, scale: f64| {
        let model = model(&Device::flex().autodiff()).with_compute_dtype(dtype);
        let algorithm = AlgorithmConfig { name: Algorithm::Grpo, ..Default::default() };
        let config = config(algorithm, recompute, 64);
        let views = |kind, _| Ok(view(kind));
        // On the policy nothing is near the clip's edge, where a rounding would change the sides.
        let mut group = group();
        group.responses.iter_mut().for_each(|response| response.old_logprobs.clear());
        let (objective, gradients) =
            gradient(&model, &[group], &views, &config, scale, &Single).unwrap();
        let gradients: Vec<f64> = named(&model, &gradients)
            .into_values()
            .flatten()
            .map(|value| f64::from(value) / scale)
            .collect();
        (objective.loss, gradients)
    };
    let ((expected_loss, expected), (loss, found)) = (run(DType::F32, 1.0), run(dtype, loss_scale));
    assert_eq!(found.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let difference = norm(&mut found.iter().zip(&expected).map(|(a, b)| a - b));
    ((loss - expected_loss).abs(), difference / norm(&mut expected.into_iter()))
}

#[test]
fn half_precision_has_the_loss_and_gradient_of_f32_up_to_its_rounding() {
    // bf16 has 8 bits, f16 11; some ten roundings follow one another in each layer.
    let cases = [(DType::BF16, 1.0, 5e-2, 5e-2), (DType::F16, 1024.0, 5e-3, 1e-2)];
    let mut failures = Vec::new();
    for (dtype, loss_scale, loss_tolerance, tolerance) in cases {
        for recompute in [false, true] {
            let (loss, gradients) = deviation(dtype, recompute, loss_scale);
            // No deviation at all would mean that the format took no part.
            if loss > loss_tolerance || !(1e-5..tolerance).contains(&gradients) {
                failures.push(format!("{dtype:?}, recompute {recompute}: {loss:e} {gradients:e}"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn a_loss_scale_that_overflows_skips_the_update_and_is_halved() {
    let mut model = model(&Device::flex().autodiff()).with_compute_dtype(DType::F16);
    let config = config(AlgorithmConfig::default(), false, 64);
    let views = |kind, _| Ok(view(kind));
    let mut scale = LossScale::new(ComputeDtype::F16);
    let first = scale.factor();
    let (_, gradients) = gradient(&model, &[group()], &views, &config, 1e12, &Single).unwrap();
    let before = named_weights(&model);
    let mut optim = Optim::new(&OptimConfig { lr: 0.1, ..Default::default() });
    let report = step(&mut model, &mut optim, &mut scale, gradients, 0.1, 1.0, &Single).unwrap();
    assert!(report.skipped && !report.norm.is_finite());
    assert_eq!(scale.factor(), first / 2.0);
    assert!(named_weights(&model) == before);
    let (_, gradients) =
        gradient(&model, &[group()], &views, &config, scale.factor(), &Single).unwrap();
    let report = step(&mut model, &mut optim, &mut scale, gradients, 0.1, 1.0, &Single).unwrap();
    assert!(!report.skipped && report.norm.is_finite(), "{report:?}");
    assert!(named_weights(&model) != before);
}

fn named_weights(model: &Qwen2_5_VL) -> Vec<f32> {
    model.model.norm.weight.val().into_data().iter::<f32>().collect()
}
