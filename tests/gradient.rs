//! Scoring with gradient against the plain backward.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use generation::{score, score_backward};
use qwen2_5_vl::Qwen2_5_VL;

use crate::reference::{case, distance, model, text_prompt, values};

/// Gradients by path in the module tree.
struct Named<'a> {
    gradients: &'a GradientsParams,
    path: Vec<String>,
    found: BTreeMap<String, Vec<f32>>,
}

impl ModuleVisitor for Named<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.found.insert(self.path.join("."), values(gradient));
        }
    }
}

fn named(model: &Qwen2_5_VL, gradients: &GradientsParams) -> BTreeMap<String, Vec<f32>> {
    let mut named = Named { gradients, path: Vec::new(), found: BTreeMap::new() };
    model.visit(&mut named);
    named.found
}

#[test]
fn the_layer_by_layer_gradient_equals_the_plain_one() {
    let device = Device::flex();
    let model = model(&device.clone().autodiff());
    let prompts = [case(1), text_prompt("Why?")];
    let responses = [vec![5u32, 300, 7, 482], vec![9, 9], vec![411], vec![17, 18, 19]];
    let cotangent: Vec<f32> = vec![
        0.5, -1.0, 0.25, 2.0, //
        1.5, -0.5, 0.0, 0.0, //
        -2.0, 0.0, 0.0, 0.0, //
        0.0, 0.75, -0.25, 0.0,
    ];
    let cotangent = Tensor::<2>::from_data(TensorData::new(cotangent, [4, 4]), &device);

    let plain = score(&model, &prompts, &responses, 0.8).unwrap();
    let loss = (plain.logprobs.clone() * cotangent.clone().autodiff()).sum();
    let expected = GradientsParams::from_grads(loss.backward(), &model);
    let (scores, found) = score_backward(&model, &prompts, &responses, 0.8, cotangent).unwrap();

    assert!(distance(&values(scores.logprobs), &values(plain.logprobs)) < 1e-5);
    assert!(distance(&values(scores.entropies), &values(plain.entropies)) < 1e-5);
    let (expected, found) = (named(&model, &expected), named(&model, &found));
    assert_eq!(expected.len(), 80);
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, expected) in expected {
        let norm = expected.iter().map(|x| x * x).sum::<f32>().sqrt();
        let difference: Vec<f32> = found[&name].iter().zip(&expected).map(|(a, b)| a - b).collect();
        let difference = difference.iter().map(|x| x * x).sum::<f32>().sqrt();
        // A key bias shifts all scores of a query alike, so its true gradient is 0.
        assert!(difference <= 1e-4 * norm.max(1e-3), "{name}: {difference} of {norm}");
    }
}
