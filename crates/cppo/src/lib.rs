//! Contrastive Perception Policy Optimization (CPPO, arXiv 2601.00501), free of any tensor library:
//! image perturbations, perception tokens, the objective with its cotangents, and the reward.

pub mod perturbation;
pub mod reward;
