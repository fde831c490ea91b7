//! Parameters shared out over ranks: each rank keeps the optimizer's state of its own and updates
//! them, and all exchange the weights (ZeRO, stage 1, arXiv 1910.02054).

use std::collections::{BTreeMap, BTreeSet};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::{AdamWState, AdaptiveMomentumState, GradientsParams};
use burn::tensor::{Device, Tensor};
use qwen2_5_vl::Qwen2_5_VL;
use qwen2_5_vl::weights::checkpoint_key;

use crate::collective::{Addend, Collective, CollectiveError, gather, leads, sum_tensors};

/// The names of this rank's parameters: a block of them with about as many numbers as the others'.
pub fn owned(model: &Qwen2_5_VL, train_vision: bool, ranks: &dyn Collective) -> BTreeSet<String> {
    let adapted = model.adapter().is_some();
    let mut sizes = Sizes { adapted, train_vision, ..Sizes::default() };
    model.visit(&mut sizes);
    let total: usize = sizes.found.iter().map(|(_, size)| size).sum();
    let mut before = 0;
    let mut own = BTreeSet::new();
    for (name, size) in sizes.found {
        // A parameter is its middle's owner's.
        let owner = (before + size / 2) * ranks.size() / total.max(1);
        before += size;
        if owner == ranks.rank() {
            own.insert(name);
        }
    }
    own
}

/// What an update changes on any rank.
pub struct Updated {
    /// Whether each float parameter has a gradient, and is this rank's, in the model's order.
    parameters: Vec<(bool, bool)>,
}

/// Takes the gradients of the others' parameters away.
pub fn leave_to_others(
    own: &BTreeSet<String>,
    model: &Qwen2_5_VL,
    gradients: &mut GradientsParams,
) -> Updated {
    let mut leave = Leave { path: Vec::new(), own, gradients, parameters: Vec::new() };
    model.visit(&mut leave);
    Updated { parameters: leave.parameters }
}

/// Brings each updated parameter from the rank that updated it to all.
///
/// # Errors
///
/// When another rank fails.
pub fn exchange(
    model: Qwen2_5_VL,
    updated: &Updated,
    ranks: &dyn Collective,
) -> Result<Qwen2_5_VL, CollectiveError> {
    let device = model.device().inner();
    let mut taken = Take { parameters: updated.parameters.iter(), addends: Vec::new() };
    model.visit(&mut taken);
    let weights = sum_tensors(ranks, "weights", taken.addends, &device)?;
    let parameters = updated.parameters.iter();
    Ok(model.map(&mut Put { parameters, weights: weights.into_iter() }))
}

/// The moments of all ranks in host memory of rank 0, parameter after parameter; elsewhere none.
///
/// # Errors
///
/// When another rank fails.
pub fn gather_moments(
    moments: &BTreeMap<String, AdamWState<1>>,
    ranks: &dyn Collective,
) -> Result<BTreeMap<String, AdamWState<1>>, CollectiveError> {
    let own: Vec<(&str, usize, usize)> = moments
        .iter()
        .map(|(name, AdamWState { momentum })| {
            (name.as_str(), momentum.time, momentum.moment_1.dims()[0])
        })
        .collect();
    let own = own.into_iter().map(|(name, time, length)| (name.to_string(), time, length));
    let all = gather(ranks, "names of moments", own.collect::<Vec<_>>())?;
    let mut whole = BTreeMap::new();
    for (name, time, length) in all.into_iter().flatten() {
        let momentum = moments.get(&name).map(|state| &state.momentum);
        let own = [momentum.map(|m| m.moment_1.clone()), momentum.map(|m| m.moment_2.clone())];
        let addends = own.map(|own| Addend { own, length });
        let sums = sum_tensors(ranks, "moments", addends.into(), &Device::flex())?;
        if let (true, Ok([first, second])) = (leads(ranks), <[Tensor<1>; 2]>::try_from(sums)) {
            let momentum = AdaptiveMomentumState::new(time, first, second);
            whole.insert(name, AdamWState { momentum });
        }
    }
    Ok(whole)
}

#[derive(Default)]
struct Sizes {
    adapted: bool,
    train_vision: bool,
    path: Vec<String>,
    found: Vec<(String, usize)>,
}

impl ModuleVisitor for Sizes {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // What is not learnt has no state.
        let name = |part: &str| self.path.iter().any(|name| name == part);
        if (!self.adapted || name("lora")) && (self.train_vision || !name("visual")) {
            self.found.push((checkpoint_key(&self.path), param.lazy_shape().num_elements()));
        }
    }
}

struct Leave<'a> {
    path: Vec<String>,
    own: &'a BTreeSet<String>,
    gradients: &'a mut GradientsParams,
    parameters: Vec<(bool, bool)>,
}

impl ModuleVisitor for Leave<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let own = self.own.contains(&checkpoint_key(&self.path));
        let gradient = self.gradients.remove::<D>(param.id);
        self.parameters.push((gradient.is_some(), own));
        if let (Some(gradient), true) = (gradient, own) {
            self.gradients.register::<D>(param.id, gradient);
        }
    }
}

struct Take<I> {
    parameters: I,
    addends: Vec<Addend>,
}

impl<'a, I: Iterator<Item = &'a (bool, bool)>> ModuleVisitor for Take<I> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some((true, own)) = self.parameters.next() {
            let own = own.then(|| param.val().inner().flatten(0, D - 1));
            self.addends.push(Addend { own, length: param.lazy_shape().num_elements() });
        }
    }
}

struct Put<I, W> {
    parameters: I,
    weights: W,
}

impl<'a, I, W> ModuleMapper for Put<I, W>
where
    I: Iterator<Item = &'a (bool, bool)>,
    W: Iterator<Item = Tensor<1>>,
{
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !matches!(self.parameters.next(), Some((true, _))) {
            return param;
        }
        let (id, tensor, mapper) = param.consume();
        let weights = self.weights.next().expect("weights for every updated parameter");
        let tracked = tensor.is_require_grad();
        let weights = weights.reshape(tensor.shape()).autodiff().set_require_grad(tracked);
        Param::from_mapped_value(id, weights, mapper)
    }
}
