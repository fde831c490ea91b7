//! What reinforcement learning and the warm start share: a policy on its way through the steps of
//! a run, from opening the data to writing the last checkpoint.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::{DType, Device};
use cppo::AlgorithmConfig;
use gym::Split;
use serde::Serialize;

use crate::checkpoint::TrainerState;
use crate::collective::leads;
use crate::config::{
    ComputeDtype, DataConfig, ModelConfig, OptimConfig, RolloutConfig, TrainerConfig,
};
use crate::data::{Loader, Source, skipped_metrics};
use crate::evaluate::Validation;
use crate::hooks::Hooks;
use crate::loss_scale::LossScale;
use crate::metrics::Metrics;
use crate::optim::Optim;
use crate::pretrained::Pretrained;
use crate::reward::Programs;
use crate::run::Run;
use crate::train::{Outcome, TrainError};

/// How responses are drawn and judged.
pub(crate) struct Judging {
    pub rollout: RolloutConfig,
    pub algorithm: AlgorithmConfig,
    pub programs: Programs,
}

/// A run in progress.
pub(crate) struct Training {
    /// On an autodiff device.
    pub policy: Pretrained,
    pub optim: Optim,
    pub loader: Loader,
    pub state: TrainerState,
    pub run: Run,
    pub total_steps: usize,
    pub scale: LossScale,
    pub judging: Judging,
    /// Some rank was asked to stop.
    stopping: bool,
    trainer: TrainerConfig,
    validation: Option<Validation>,
}

impl Training {
    /// Opens data and run folder, and takes up the run where its last checkpoint left it.
    ///
    /// # Errors
    ///
    /// When there is nothing to train on, or the run folder cannot be used.
    pub fn open(
        policy: Pretrained,
        config: &(impl Serialize + Default),
        (data, model, optim, trainer): (&DataConfig, &ModelConfig, &OptimConfig, &TrainerConfig),
        judging: Judging,
        device: &Device,
        hooks: &Hooks,
    ) -> Result<Self, TrainError> {
        check_dtype(model.dtype, device)?;
        let source = Source::open(&data.train, Split::Train, data)?
            .filter(|source| !source.is_empty())
            .ok_or_else(|| {
                TrainError::Config(format!("data.train: {} holds no examples", data.train))
            })?;
        let mut loader = Loader::new(source, data);
        let total_steps = total_steps(trainer, loader.epoch_len())?;
        let validation = match Source::open(&data.val, Split::Validation, data)? {
            Some(source) if trainer.eval_every > 0 => Some(Validation::new(source, &policy, data)?),
            _ => None,
        };
        let mut optim = match trainer.shard_optimizer {
            true => Optim::sharded(optim, &policy.model, model.trains_vision(), hooks.ranks),
            false => Optim::new(optim),
        };
        let mut run = Run::open(config, trainer, hooks.ranks)?;
        let (mut policy, mut state) = run.resume(policy, &mut optim, device)?;
        policy.model = policy.model.to_device(&device.clone().autodiff()).train();
        policy.model = policy.model.with_compute_dtype(model.dtype.into());
        let scale = state.loss_scale.unwrap_or(LossScale::new(model.dtype));
        loader.place = state.place;
        loader.skipped = std::mem::take(&mut state.skipped);
        let trainer = trainer.clone();
        Ok(Self {
            policy,
            optim,
            loader,
            state,
            run,
            total_steps,
            scale,
            judging,
            stopping: false,
            trainer,
            validation,
        })
    }

    /// Whether there is a step to do.
    pub fn goes_on(&self) -> bool {
        self.state.step < self.total_steps && !self.stopping
    }

    /// Evaluates the policy that a new run starts from.
    ///
    /// # Errors
    ///
    /// When the device or the run folder fails.
    pub fn evaluate_start(&mut self, hooks: &mut Hooks) -> Result<(), TrainError> {
        if self.state.step == 0
            && let Some(metrics) = self.evaluate(hooks)?
        {
            self.run.log(0, &metrics)?;
            if leads(hooks.ranks) {
                (hooks.on_step)(0, &metrics);
            }
        }
        self.stopping = hooks.stopping()?;
        Ok(())
    }

    fn evaluate(&mut self, hooks: &mut Hooks) -> Result<Option<Metrics>, TrainError> {
        let Some(validation) = &self.validation else { return Ok(None) };
        let started = Instant::now();
        let mut metrics =
            validation.evaluate(&self.policy, &mut self.judging, &self.trainer, hooks)?;
        metrics.set("timing_s/testing", started.elapsed().as_secs_f64());
        Ok(Some(metrics))
    }

    /// Counts a step that began at `started`; evaluates, logs and saves as the configuration asks.
    ///
    /// # Errors
    ///
    /// When the device or the run folder fails; the checkpoints before stay whole.
    pub fn end_step(
        &mut self,
        mut metrics: Metrics,
        started: Instant,
        hooks: &mut Hooks,
    ) -> Result<(), TrainError> {
        let state = &mut self.state;
        state.step += 1;
        state.place = self.loader.place;
        state.skipped = self.loader.skipped.clone();
        state.loss_scale = self.scale.is_dynamic().then_some(self.scale);
        let step = state.step;
        metrics.merge(skipped_metrics("data/skipped", &self.loader.skipped));
        let waited = std::mem::take(&mut self.loader.waited);
        metrics.set("timing_s/data", waited.as_secs_f64());
        metrics.set("training/global_step", step as f64);
        if let Some(length) = self.loader.epoch_len() {
            metrics.set("training/epoch", self.loader.place as f64 / length as f64);
        }
        self.stopping = hooks.stopping()?;
        let last = step == self.total_steps || self.stopping;
        let due = |every: usize| every > 0 && step % every == 0;
        let mut is_best = false;
        if (due(self.trainer.eval_every) || last)
            && let Some(found) = self.evaluate(hooks)?
        {
            let name = format!("{}{}", Validation::ACCURACY, self.trainer.eval_n);
            let accuracy = found.get(&name).unwrap_or(0.0);
            // JSON may move the last digit of the best so far, which must not make it beatable.
            is_best = self.state.best.is_none_or(|(best, _)| accuracy > best + 1e-9);
            if is_best {
                self.state.best = Some((accuracy, step));
            }
            metrics.merge(found);
        }
        let seconds = started.elapsed().as_secs_f64();
        metrics.set("timing_s/step", seconds);
        if let Some(tokens) = metrics.get("perf/total_num_tokens") {
            metrics.set("perf/throughput", tokens / seconds);
        }
        self.run.log(step, &metrics)?;
        if due(self.trainer.save_every) || last || is_best {
            self.run.save(&self.policy, &self.optim, &self.state, hooks.ranks)?;
        }
        if leads(hooks.ranks) {
            (hooks.on_step)(step, &metrics);
        }
        Ok(())
    }

    /// How the run ended.
    ///
    /// # Errors
    ///
    /// When the run's metrics cannot be read.
    pub fn outcome(&self) -> Result<Outcome, TrainError> {
        let steps = self.state.step;
        let accuracy = self.run.accuracy()?;
        Ok(Outcome { steps, stopped: steps < self.total_steps, accuracy })
    }
}

fn check_dtype(dtype: ComputeDtype, device: &Device) -> Result<(), TrainError> {
    match device.supports_dtype(DType::from(dtype)) {
        true => Ok(()),
        false => Err(TrainError::Config(format!(
            "model.dtype = {dtype}: this device does not compute in it; use f32, or another \
             trainer.device"
        ))),
    }
}

/// Steps of the whole run.
fn total_steps(trainer: &TrainerConfig, epoch: Option<usize>) -> Result<usize, TrainError> {
    match (trainer.total_steps, epoch) {
        (0, Some(length)) => Ok((trainer.epochs * length).div_ceil(trainer.batch_prompts).max(1)),
        (0, None) => {
            Err(TrainError::Config("trainer.total_steps must be set: data.train has no end".into()))
        }
        (steps, _) => Ok(steps),
    }
}
