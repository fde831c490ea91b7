//! AdamW over a model's parameters, with its state by parameter name.
//!
//! The arithmetic is Burn's; the bookkeeping is ours, because Burn files the state under ids that
//! a checkpoint in Hugging Face's format does not hold.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::{
    AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, GradientsParams, Optimizer,
};
use burn::tensor::{DType, Device, Tensor, TensorData};
use qwen2_5_vl::Qwen2_5_VL;
use qwen2_5_vl::weights::checkpoint_key;

use crate::collective::{Collective, CollectiveError};
use crate::config::{OptimConfig, Schedule};
use crate::zero;

/// The optimizer and its state.
pub struct Optim {
    config: OptimConfig,
    /// First and second moment of each parameter, flattened, and the updates they have seen.
    moments: BTreeMap<String, AdamWState<1>>,
    /// The parameters that this rank updates, where ranks share them out.
    own: Option<BTreeSet<String>>,
}

impl Optim {
    /// An optimizer that has not yet updated anything.
    pub fn new(config: &OptimConfig) -> Self {
        Self { config: config.clone(), moments: BTreeMap::new(), own: None }
    }

    /// One that keeps the state of this rank's share of the parameters only (ZeRO, stage 1,
    /// arXiv 1910.02054).
    pub fn sharded(
        config: &OptimConfig,
        model: &Qwen2_5_VL,
        train_vision: bool,
        ranks: &dyn Collective,
    ) -> Self {
        let own = (ranks.size() > 1).then(|| zero::owned(model, train_vision, ranks));
        Self { own, ..Self::new(config) }
    }

    /// Updates every parameter that has a gradient.
    ///
    /// # Errors
    ///
    /// When another rank fails.
    pub fn step(
        &mut self,
        model: Qwen2_5_VL,
        mut gradients: GradientsParams,
        lr: f64,
        ranks: &dyn Collective,
    ) -> Result<Qwen2_5_VL, CollectiveError> {
        let Some(own) = &self.own else { return Ok(self.update(model, gradients, lr)) };
        let updated = zero::leave_to_others(own, &model, &mut gradients);
        let model = self.update(model, gradients, lr);
        zero::exchange(model, &updated, ranks)
    }

    fn update(&mut self, model: Qwen2_5_VL, gradients: GradientsParams, lr: f64) -> Qwen2_5_VL {
        let adamw = |weight_decay: f64| {
            AdamWConfig::new()
                .with_beta_1(self.config.betas[0] as f32)
                .with_beta_2(self.config.betas[1] as f32)
                .with_epsilon(self.config.eps as f32)
                .with_weight_decay(weight_decay as f32)
                .build()
        };
        let (decaying, plain) = (adamw(self.config.weight_decay), adamw(0.0));
        let moments = &mut self.moments;
        model.map(&mut Update { path: Vec::new(), decaying, plain, moments, gradients, lr })
    }

    /// The state as named arrays: `exp_avg.*` and `exp_avg_sq.*`, and the updates of each.
    pub fn state(&self) -> impl Iterator<Item = (&str, &AdaptiveMomentumState<1>)> {
        self.moments.iter().map(|(name, state)| (name.as_str(), &state.momentum))
    }

    /// The state of all ranks together, in host memory of rank 0; elsewhere nothing.
    ///
    /// # Errors
    ///
    /// When another rank fails.
    pub fn gathered(&self, ranks: &dyn Collective) -> Result<Self, CollectiveError> {
        let moments = match self.own {
            None => self.moments.clone(),
            Some(_) => zero::gather_moments(&self.moments, ranks)?,
        };
        Ok(Self { config: self.config.clone(), moments, own: None })
    }

    /// Whether the state of a parameter is this rank's to keep.
    pub fn keeps(&self, name: &str) -> bool {
        self.own.as_ref().is_none_or(|own| own.contains(name))
    }

    /// Puts back the state of one parameter, where it is this rank's to keep.
    pub fn restore(
        &mut self,
        name: &str,
        updates: usize,
        first: Vec<f32>,
        second: Vec<f32>,
        device: &Device,
    ) {
        if !self.keeps(name) {
            return;
        }
        let tensor = |values: Vec<f32>| {
            let length = values.len();
            Tensor::<1>::from_data(TensorData::new(values, [length]), (device, DType::F32))
        };
        let momentum = AdaptiveMomentumState::new(updates, tensor(first), tensor(second));
        self.moments.insert(name.into(), AdamWState { momentum });
    }
}

struct Update<'a> {
    path: Vec<String>,
    decaying: AdamW,
    plain: AdamW,
    moments: &'a mut BTreeMap<String, AdamWState<1>>,
    gradients: GradientsParams,
    lr: f64,
}

impl ModuleMapper for Update<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let Some(gradient) = self.gradients.remove::<D>(id) else {
            return Param::from_mapped_value(id, tensor, mapper);
        };
        let name = checkpoint_key(&self.path);
        let (shape, tracked) = (tensor.shape(), tensor.is_require_grad());
        let adamw = if D > 1 { &self.decaying } else { &self.plain };
        let state = self.moments.remove(&name);
        let flat: Tensor<1> = tensor.inner().flatten(0, D - 1);
        let (updated, state) = adamw.step(self.lr, flat, gradient.flatten(0, D - 1), state);
        self.moments.insert(name, state.expect("AdamW keeps a state"));
        let tensor = updated.reshape(shape).autodiff().set_require_grad(tracked);
        Param::from_mapped_value(id, tensor, mapper)
    }
}

/// Euclidean norm of all gradients together; one read from the device.
pub fn global_norm(model: &Qwen2_5_VL, gradients: &GradientsParams) -> f64 {
    struct Squares<'a> {
        gradients: &'a GradientsParams,
        sums: Vec<Tensor<1>>,
    }
    impl ModuleVisitor for Squares<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.get::<D>(param.id) {
                self.sums.push(gradient.cast(burn::tensor::FloatDType::F32).square().sum());
            }
        }
    }
    let mut squares = Squares { gradients, sums: Vec::new() };
    model.visit(&mut squares);
    if squares.sums.is_empty() {
        return 0.0;
    }
    let sums = Tensor::cat(squares.sums, 0).into_data();
    sums.iter::<f32>().map(f64::from).sum::<f64>().sqrt()
}

/// Multiplies all gradients.
pub fn scaled(model: &Qwen2_5_VL, gradients: GradientsParams, factor: f64) -> GradientsParams {
    struct Scale<'a> {
        gradients: &'a mut GradientsParams,
        factor: f64,
    }
    impl ModuleVisitor for Scale<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.remove::<D>(param.id) {
                self.gradients.register::<D>(param.id, gradient.mul_scalar(self.factor));
            }
        }
    }
    let mut gradients = gradients;
    model.visit(&mut Scale { gradients: &mut gradients, factor });
    gradients
}

/// The learning rate of a step, counted from 0 (verl's constant and cosine schedules).
pub fn learning_rate(config: &OptimConfig, step: usize, total_steps: usize) -> f64 {
    if step < config.warmup_steps {
        return config.lr * step as f64 / config.warmup_steps as f64;
    }
    match config.schedule {
        Schedule::Constant => config.lr,
        Schedule::Cosine => {
            let course = total_steps.saturating_sub(config.warmup_steps).max(1) as f64;
            let progress = ((step - config.warmup_steps) as f64 / course).min(1.0);
            let cosine = (1.0 + (std::f64::consts::PI * progress).cos()) / 2.0;
            config.lr * (config.min_lr_ratio + (1.0 - config.min_lr_ratio) * cosine)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_rise_and_fall_as_verls_do() {
        let base = OptimConfig { lr: 2.0, warmup_steps: 4, ..Default::default() };
        let cosine = OptimConfig { schedule: Schedule::Cosine, min_lr_ratio: 0.1, ..base.clone() };
        let cases = [
            (&base, 0, 0.0),
            (&base, 2, 1.0),
            (&base, 4, 2.0),
            (&base, 99, 2.0),
            (&cosine, 2, 1.0),
            (&cosine, 4, 2.0),
            (&cosine, 12, 2.0 * (0.1 + 0.45)),
            (&cosine, 20, 0.2),
            (&cosine, 50, 0.2),
        ];
        for (config, step, expected) in cases {
            let found = learning_rate(config, step, 20);
            assert!((found - expected).abs() < 1e-12, "{step}: {found} {expected}");
        }
    }
}
