//! Contrastive Perception Policy Optimization (CPPO, arXiv 2601.00501), free of any tensor library:
//! image perturbations, perception tokens, the objective with its cotangents, and the reward.
//!
//! All of it is pure functions of arrays, pictures and text, so it runs in a browser as well.

mod advantage;
mod aggregate;
mod baselines;
mod batch;
mod config;
mod contrastive;
mod kl;
mod objective;
mod perception;
pub mod perturbation;
mod policy;
pub mod reward;

pub use advantage::{advantages, is_uniform};
pub use aggregate::token_weights;
pub use batch::{Batch, Cotangent, Objective, ViewScores};
pub use config::{
    Advantage, Algorithm, AlgorithmConfig, CplConfig, Gate, Kl, LossAgg, PapoConfig, VppoConfig,
};
pub use contrastive::contrast;
pub use kl::{KlTerm, kl};
pub use objective::{objective, takes_gradient, takes_views};
pub use perception::{Perception, is_gated_in, perception};
pub use policy::{PolicyTerm, policy_term};
