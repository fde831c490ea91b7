//! Ranges of the configuration's values.

use cppo::Kl;

use super::schema::{
    DataConfig, ModelConfig, OptimConfig, RolloutConfig, SftConfig, TrainConfig, TrainerConfig,
};

/// A key, its value as text, whether it holds, and the rule.
type Rule = (&'static str, String, bool, &'static str);

impl TrainConfig {
    /// Checks every value against its range.
    ///
    /// # Errors
    ///
    /// Names the first key whose value is out of range.
    pub fn validate(&self) -> Result<(), String> {
        let (algorithm, cpl) = (&self.algorithm, &self.algorithm.cpl);
        check(&[
            number("algorithm.clip_low", algorithm.clip_low, 0.0, 1.0),
            number("algorithm.clip_high", algorithm.clip_high, 0.0, f64::MAX),
            number("algorithm.clip_c", algorithm.clip_c, 1.0, f64::MAX),
            number("algorithm.pg_coef", algorithm.pg_coef, 0.0, f64::MAX),
            number("algorithm.kl_coef", algorithm.kl_coef, 0.0, f64::MAX),
            number("algorithm.entropy_coef", algorithm.entropy_coef, -f64::MAX, f64::MAX),
            rule(
                "algorithm.kl_kind",
                "full",
                algorithm.kl_kind != Kl::Full,
                "is for algorithm.cpl.kl_kind only; use k1, k2 or k3",
            ),
            number("algorithm.cpl.coef", cpl.coef, 0.0, f64::MAX),
            positive("algorithm.cpl.tau", cpl.tau),
            number("algorithm.cpl.top", cpl.top, 0.0, 1.0),
            number("algorithm.cpl.score_eps", cpl.score_eps, 0.0, f64::MAX),
            number("algorithm.papo.coef", algorithm.papo.coef, 0.0, f64::MAX),
            number("algorithm.papo.entropy_coef", algorithm.papo.entropy_coef, 0.0, f64::MAX),
            number("algorithm.vppo.top", algorithm.vppo.top, 0.0, 1.0),
            number("algorithm.vppo.scale_min", algorithm.vppo.scale_min, 0.0, 1.0),
        ])?;
        let name = |message| format!("algorithm.cpl.{message}");
        cpl.perturbations().validate().map_err(name)?;
        let name = |message| format!("algorithm.reward.{message}");
        algorithm.reward.validate().map_err(name)?;
        let rollout = &self.rollout;
        rollout.validate()?;
        self.data.validate()?;
        self.model.validate()?;
        self.optim.validate()?;
        self.trainer.validate()?;
        let (mini, batch) = (self.trainer.mini_batch_prompts, self.trainer.batch_prompts);
        check(&[rule(
            "trainer.mini_batch_prompts",
            mini,
            mini <= batch,
            "must be at most trainer.batch_prompts",
        )])
    }
}

impl SftConfig {
    /// Checks every value against its range.
    ///
    /// # Errors
    ///
    /// Names the first key whose value is out of range.
    pub fn validate(&self) -> Result<(), String> {
        let augment = &self.augment;
        check(&[
            number("augment.preserving_share", augment.preserving_share, 0.0, 1.0),
            number("augment.removing_share", augment.removing_share, 0.0, 1.0),
            rule(
                "augment.removing_share",
                augment.removing_share,
                augment.preserving_share + augment.removing_share <= 1.0,
                "and augment.preserving_share must add up to at most 1",
            ),
        ])?;
        let name = |message| format!("augment.perturbations.{message}");
        augment.perturbations.validate().map_err(name)?;
        self.data.validate()?;
        self.model.validate()?;
        self.optim.validate()?;
        self.trainer.validate()
    }
}

impl RolloutConfig {
    fn validate(&self) -> Result<(), String> {
        check(&[
            count("rollout.n", self.n),
            positive("rollout.temperature", self.temperature),
            rule(
                "rollout.top_p",
                self.top_p,
                self.top_p > 0.0 && self.top_p <= 1.0,
                "must be above 0 and at most 1",
            ),
            count("rollout.max_response_tokens", self.max_response_tokens),
            count("rollout.batch_responses", self.batch_responses),
        ])
    }
}

impl DataConfig {
    fn validate(&self) -> Result<(), String> {
        check(&[
            rule(
                "data.train",
                "\"\"",
                !self.train.is_empty(),
                "must name a parquet or JSON lines file, a folder of them, OWNER/NAME on the hub, or gym",
            ),
            count("data.max_prompt_tokens", self.max_prompt_tokens),
            rule("data.workers", self.workers, self.workers <= 256, "must be at most 256"),
            count("data.prefetch", self.prefetch),
            rule(
                "data.gym.families",
                "[]",
                !self.gym.families.is_empty(),
                "must name one family or more",
            ),
            number("data.gym.careless_share", self.gym.careless_share, 0.0, 1.0),
        ])
    }
}

impl ModelConfig {
    fn validate(&self) -> Result<(), String> {
        let Some(lora) = &self.lora else {
            let rule = rule(
                "model.quantize",
                "set",
                self.quantize.is_none(),
                "needs model.lora: quantized weights cannot be trained",
            );
            return check(&[rule]);
        };
        check(&[
            count("model.lora.r", lora.r),
            positive("model.lora.lora_alpha", lora.lora_alpha),
            rule(
                "model.lora.vision",
                lora.vision,
                !(lora.vision && self.freeze_vision),
                "and model.freeze_vision cannot both be true",
            ),
            rule(
                "model.init_seed",
                self.init_seed.unwrap_or_default(),
                self.init_seed.is_none(),
                "cannot be set with model.lora: the weights drawn would not be kept",
            ),
        ])
    }
}

impl OptimConfig {
    fn validate(&self) -> Result<(), String> {
        let beta = |value: f64| (0.0..1.0).contains(&value);
        check(&[
            number("optim.lr", self.lr, 0.0, f64::MAX),
            rule(
                "optim.betas",
                format!("{:?}", self.betas),
                self.betas.iter().all(|&value| beta(value)),
                "must be from 0 up to, not including, 1",
            ),
            positive("optim.eps", self.eps),
            number("optim.weight_decay", self.weight_decay, 0.0, f64::MAX),
            number("optim.grad_clip", self.grad_clip, 0.0, f64::MAX),
            number("optim.min_lr_ratio", self.min_lr_ratio, 0.0, 1.0),
        ])
    }
}

impl TrainerConfig {
    fn validate(&self) -> Result<(), String> {
        check(&[
            rule(
                "trainer.run_dir",
                "\"\"",
                !self.run_dir.as_os_str().is_empty(),
                "must name a folder",
            ),
            count("trainer.batch_prompts", self.batch_prompts),
            count("trainer.rank_timeout_s", self.rank_timeout_s as usize),
            count("trainer.mini_batch_prompts", self.mini_batch_prompts),
            count("trainer.micro_batch_responses", self.micro_batch_responses),
            count("trainer.ppo_epochs", self.ppo_epochs),
            count("trainer.eval_n", self.eval_n),
            number("trainer.eval_temperature", self.eval_temperature(), 0.0, f64::MAX),
            rule(
                "trainer.epochs",
                self.epochs,
                self.epochs > 0 || self.total_steps > 0,
                "must be 1 or more where trainer.total_steps is 0",
            ),
        ])
    }
}

fn check(rules: &[Rule]) -> Result<(), String> {
    match rules.iter().find(|(_, _, holds, _)| !holds) {
        Some((key, value, _, rule)) => Err(format!("{key} = {value} {rule}")),
        None => Ok(()),
    }
}

fn rule(key: &'static str, value: impl ToString, holds: bool, rule: &'static str) -> Rule {
    (key, value.to_string(), holds, rule)
}

fn number(key: &'static str, value: f64, low: f64, high: f64) -> Rule {
    let text = match (low, high) {
        (0.0, f64::MAX) => "must be a finite number, 0 or more",
        (1.0, f64::MAX) => "must be a finite number, 1 or more",
        (0.0, 1.0) => "must be between 0 and 1",
        _ => "must be a finite number",
    };
    rule(key, value, (low..=high).contains(&value), text)
}

fn positive(key: &'static str, value: f64) -> Rule {
    rule(key, value, value > 0.0 && value.is_finite(), "must be a finite number above 0")
}

fn count(key: &'static str, value: usize) -> Rule {
    rule(key, value, value > 0, "must be 1 or more")
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::*;

    #[test]
    fn values_out_of_range_are_named_by_key() {
        let cases = [
            ("algorithm.clip_low=1.5", "algorithm.clip_low = 1.5 must be between 0 and 1"),
            ("algorithm.kl_kind=full", "algorithm.cpl.kl_kind only"),
            ("algorithm.cpl.tau=0", "algorithm.cpl.tau = 0 must be a finite number above 0"),
            ("algorithm.cpl.removing=[]", "algorithm.cpl.removing"),
            ("algorithm.reward.programs=[{name: a}]", "algorithm.reward.programs[0].command"),
            ("data.prefetch=0", "data.prefetch = 0 must be 1 or more"),
            ("data.workers=999", "data.workers = 999 must be at most 256"),
            ("rollout.top_p=0", "rollout.top_p"),
            ("rollout.n=0", "rollout.n = 0 must be 1 or more"),
            ("optim.lr=.nan", "optim.lr"),
            ("optim.betas=[0.9, 1.0]", "optim.betas"),
            ("trainer.mini_batch_prompts=9999", "at most trainer.batch_prompts"),
            ("data.train=\"\"", "data.train"),
            ("model.lora.r=0", "model.lora.r = 0 must be 1 or more"),
            ("model.lora={lora_alpha: 0}", "model.lora.lora_alpha"),
            ("model={lora: {vision: true}, freeze_vision: true}", "model.freeze_vision"),
            ("model={lora: {}, init_seed: 3}", "model.init_seed = 3 cannot be set"),
            ("model.quantize=q4", "needs model.lora"),
        ];
        for (change, expected) in cases {
            let overrides = ["data.train=gym".to_string(), change.to_string()];
            let config: TrainConfig = load(None, None, &overrides).unwrap_or_else(|error| {
                panic!("{change}: {error}");
            });
            let error = config.validate().expect_err(change);
            assert!(error.contains(expected), "{change}: {error}");
        }
    }

    #[test]
    fn the_defaults_are_valid_once_data_is_named() {
        let config: TrainConfig = load(None, None, &["data.train=x.parquet".into()]).unwrap();
        assert_eq!(config.validate(), Ok(()));
        let config: SftConfig = load(None, None, &["data.train=x.parquet".into()]).unwrap();
        assert_eq!(config.validate(), Ok(()));
    }
}
