//! Advantages: how much better a response is than the others to the same prompt.

use crate::config::{Advantage, AlgorithmConfig};

/// Added to a group's standard deviation before it divides (verl).
const STD_EPS: f64 = 1e-6;

/// Advantage of each response; `rewards` holds the groups one after the other.
///
/// GRPO (DeepSeekMath, section 4.1): `(r - mean) / (std + 1e-6)` with the unbiased standard
/// deviation. A group of one keeps its reward, as in verl; a group of equal rewards gets 0.
///
/// # Panics
///
/// When the rewards do not divide into groups of `group`.
pub fn advantages(rewards: &[f32], group: usize, config: &AlgorithmConfig) -> Vec<f32> {
    assert!(group > 0 && rewards.len() % group == 0, "rewards must come in whole groups");
    rewards.chunks(group).flat_map(|rewards| of_group(rewards, config)).collect()
}

fn of_group(rewards: &[f32], config: &AlgorithmConfig) -> Vec<f32> {
    let count = rewards.len() as f64;
    if rewards.len() == 1 {
        return rewards.to_vec();
    }
    if is_uniform(rewards) {
        return vec![0.0; rewards.len()];
    }
    let mean = rewards.iter().map(|&reward| f64::from(reward)).sum::<f64>() / count;
    let centred = rewards.iter().map(|&reward| f64::from(reward) - mean);
    let scale = match config.advantage {
        Advantage::Grpo if config.norm_by_std => {
            let squares: f64 = centred.clone().map(|x| x * x).sum();
            1.0 / ((squares / (count - 1.0)).sqrt() + STD_EPS)
        }
        Advantage::Grpo | Advantage::DrGrpo => 1.0,
        // r - mean of the others = (r - mean) · n / (n - 1)
        Advantage::Rloo => count / (count - 1.0),
    };
    centred.map(|x| (x * scale) as f32).collect()
}

/// Whether all responses of a group earned the same, so that the group teaches nothing.
pub fn is_uniform(rewards: &[f32]) -> bool {
    rewards.windows(2).all(|pair| pair[0] == pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(advantage: Advantage) -> AlgorithmConfig {
        AlgorithmConfig { advantage, ..Default::default() }
    }

    #[test]
    fn grpo_advantages_equal_the_published_definition() {
        let cases: [(&[f32], &[f32]); 6] = [
            (&[1.0, 0.0, 0.0, 0.0, 0.0], &[1.788850, -0.447213, -0.447213, -0.447213, -0.447213]),
            (&[1.0, 1.0, 0.0, 0.0, 0.0], &[1.095443, 1.095443, -0.730295, -0.730295, -0.730295]),
            (&[1.0, 0.9, 0.1, 0.0, 0.0], &[1.188175, 0.990146, -0.594087, -0.792116, -0.792116]),
            (&[0.1, 0.0, 0.0, 0.0, 0.0], &[1.788814, -0.447204, -0.447204, -0.447204, -0.447204]),
            (&[0.9; 5], &[0.0; 5]),
            (&[0.7], &[0.7]),
        ];
        for (rewards, expected) in cases {
            let found = advantages(rewards, rewards.len(), &config(Advantage::Grpo));
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 2e-6, "{rewards:?}: {found} {expected}");
            }
        }
    }

    #[test]
    fn groups_do_not_see_each_other() {
        let found = advantages(&[1.0, 0.0, 5.0, 5.0], 2, &config(Advantage::DrGrpo));
        assert_eq!(found, [0.5, -0.5, 0.0, 0.0]);
    }

    #[test]
    fn rloo_subtracts_the_mean_of_the_others() {
        let found = advantages(&[1.0, 0.0, 0.5, 0.0], 4, &config(Advantage::Rloo));
        let expected = [1.0 - 0.5 / 3.0, -1.5 / 3.0, 0.5 - 1.0 / 3.0, -1.5 / 3.0];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn dr_grpo_is_grpo_without_the_standard_deviation() {
        let rewards = [1.0, 0.1, 0.9, 0.0];
        let without = AlgorithmConfig { norm_by_std: false, ..config(Advantage::Grpo) };
        assert_eq!(
            advantages(&rewards, 4, &without),
            advantages(&rewards, 4, &config(Advantage::DrGrpo))
        );
    }
}
