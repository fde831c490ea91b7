//! `algorithm.*`: what is optimized. Names are verl's, defaults the paper's 3B recipe.

use serde::{Deserialize, Serialize};

use crate::perturbation::{Perturbations, Weighted};
use crate::reward::RewardConfig;

/// The objective and everything that shapes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlgorithmConfig {
    /// Which objective.
    pub name: Algorithm,
    /// How a response's reward is compared with its group's.
    pub advantage: Advantage,
    /// Divide GRPO's advantages by the group's standard deviation; Dr.GRPO does not.
    pub norm_by_std: bool,
    /// Leave out groups whose rewards are all equal, and draw other prompts instead.
    pub filter_groups: bool,
    /// How token losses become one number.
    pub loss_agg: LossAgg,
    /// The probability ratio is clipped to `1 - clip_low ..= 1 + clip_high`.
    pub clip_low: f64,
    /// See `clip_low`.
    pub clip_high: f64,
    /// Dual clip: the loss of a token with negative advantage is at most `-clip_c * advantage`.
    pub clip_c: f64,
    /// Weight of the policy loss; 0 leaves the other terms alone.
    pub pg_coef: f64,
    /// Weight of the KL term to the reference policy; 0 needs no reference.
    pub kl_coef: f64,
    /// Its estimator.
    pub kl_kind: Kl,
    /// Weight of the entropy bonus.
    pub entropy_coef: f64,
    /// Contrastive perception loss.
    pub cpl: CplConfig,
    /// Perception-aware policy optimization, for `name: papo`.
    pub papo: PapoConfig,
    /// Visually-perceptive policy optimization, for `name: vppo`.
    pub vppo: VppoConfig,
    /// How responses are judged.
    pub reward: RewardConfig,
}

/// An objective by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// GRPO with the contrastive perception loss (arXiv 2601.00501).
    #[default]
    Cppo,
    /// Group relative policy optimization (arXiv 2402.03300).
    Grpo,
    /// GRPO that pushes the distributions with and without the picture apart (arXiv 2507.06448).
    Papo,
    /// GRPO on the tokens that depend on the picture most (arXiv 2510.09285).
    Vppo,
}

/// How advantages are made of the rewards of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advantage {
    /// Reward minus the group's mean, over the group's standard deviation.
    #[default]
    Grpo,
    /// Reward minus the group's mean (arXiv 2503.20783).
    DrGrpo,
    /// Reward minus the mean of the others (arXiv 2402.14740).
    Rloo,
}

/// How a loss per token becomes one number; verl's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossAgg {
    /// Mean over all response tokens of the batch.
    #[default]
    TokenMean,
    /// Mean over responses of the sum over tokens.
    SeqMeanTokenSum,
    /// Mean over responses of the mean over tokens.
    SeqMeanTokenMean,
    /// Mean over responses of the sum over tokens divided by the longest response allowed
    /// (Dr.GRPO).
    SeqMeanTokenSumNorm,
}

/// An estimate of `KL(p ‖ q)` from the log-probabilities of one sampled token, or the exact value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kl {
    /// `ln p - ln q`
    #[serde(alias = "kl")]
    K1,
    /// `(ln p - ln q)² / 2`
    #[serde(alias = "mse")]
    K2,
    /// `q/p - 1 - ln(q/p)`, clamped as in verl
    #[default]
    #[serde(alias = "low_var_kl")]
    K3,
    /// The sum over the whole vocabulary; for the contrastive term only.
    Full,
}

/// The contrastive perception loss (paper, section 3.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CplConfig {
    /// Weight of the term.
    pub coef: f64,
    /// Temperature of the contrast.
    pub tau: f64,
    /// Share of the tokens whose entropy rose that count as perception tokens.
    pub top: f64,
    /// Which responses take part.
    pub gate: Gate,
    /// How the distance between two distributions is measured.
    pub kl_kind: Kl,
    /// Added to the entropy that divides the shift, in nats; raises precision where entropies
    /// are tiny.
    pub score_eps: f64,
    /// Perturbations that keep what the answer needs; one is drawn per prompt.
    pub preserving: Vec<Weighted>,
    /// Perturbations that remove it.
    pub removing: Vec<Weighted>,
}

impl CplConfig {
    /// Both lists of perturbations.
    pub fn perturbations(&self) -> Perturbations {
        Perturbations { preserving: self.preserving.clone(), removing: self.removing.clone() }
    }
}

/// Which responses the contrastive loss is applied to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Those with positive advantage, as in the official code.
    #[default]
    Advantage,
    /// Those with the right answer, as in the paper's text.
    Correct,
    /// All.
    None,
}

/// Settings of PAPO; the perturbation is `cpl.removing`, `patch_mask` in the paper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PapoConfig {
    /// Weight of the KL divergence that is maximized (γ).
    pub coef: f64,
    /// Weight of the entropies under both pictures, which are minimized (η).
    pub entropy_coef: f64,
}

/// Settings of VPPO; the perturbation is `cpl.removing`, `patch_mask` in the paper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VppoConfig {
    /// Share of each response's tokens that the policy loss keeps.
    pub top: f64,
    /// Smallest factor of a response's advantage; the mean factor is 1.
    pub scale_min: f64,
}

impl Default for AlgorithmConfig {
    fn default() -> Self {
        Self {
            name: Algorithm::Cppo,
            advantage: Advantage::Grpo,
            norm_by_std: true,
            filter_groups: false,
            loss_agg: LossAgg::TokenMean,
            clip_low: 0.2,
            clip_high: 0.2,
            clip_c: 3.0,
            pg_coef: 1.0,
            kl_coef: 0.01,
            kl_kind: Kl::K3,
            entropy_coef: 0.0,
            cpl: CplConfig::default(),
            papo: PapoConfig::default(),
            vppo: VppoConfig::default(),
            reward: RewardConfig::default(),
        }
    }
}

impl Default for CplConfig {
    fn default() -> Self {
        let Perturbations { preserving, removing } = Perturbations::default();
        Self {
            coef: 0.01,
            tau: 0.1,
            top: 0.5,
            gate: Gate::Advantage,
            kl_kind: Kl::K3,
            score_eps: 1e-6,
            preserving,
            removing,
        }
    }
}

impl Default for PapoConfig {
    fn default() -> Self {
        Self { coef: 0.01, entropy_coef: 0.03 }
    }
}

impl Default for VppoConfig {
    fn default() -> Self {
        Self { top: 0.4, scale_min: 0.9 }
    }
}
