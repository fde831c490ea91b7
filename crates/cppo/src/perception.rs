//! Which tokens of a response come from the picture (paper, section 3.2).

use crate::config::{CplConfig, Gate};

/// What the entropies with and without the picture's information say about one response.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Perception {
    /// `H⁻ - H` of each token, in nats.
    pub shift: Vec<f32>,
    /// `max(shift, 0) / (H⁻ + score_eps)` of each token.
    pub score: Vec<f32>,
    /// The perception tokens.
    pub selected: Vec<bool>,
}

/// Finds the perception tokens of one response.
///
/// Among the tokens whose entropy rises when information is removed, those with the `k` best
/// scores are taken, `k = max(1, floor(top · count))`; of equal scores the earlier token wins.
///
/// # Shapes
///
/// - entropy, entropy_removed: `[tokens]` in nats, of the response's tokens alone
pub fn perception(entropy: &[f32], entropy_removed: &[f32], config: &CplConfig) -> Perception {
    let shift: Vec<f32> = entropy.iter().zip(entropy_removed).map(|(h, r)| r - h).collect();
    let score: Vec<f32> = shift
        .iter()
        .zip(entropy_removed)
        .map(|(&shift, &removed)| {
            (f64::from(shift.max(0.0)) / (f64::from(removed) + config.score_eps)) as f32
        })
        .collect();
    let mut rising: Vec<usize> = (0..shift.len()).filter(|&token| shift[token] > 0.0).collect();
    let mut selected = vec![false; shift.len()];
    if !rising.is_empty() {
        let count = ((config.top * rising.len() as f64).floor() as usize).max(1);
        rising.sort_by(|&a, &b| score[b].total_cmp(&score[a]).then(a.cmp(&b)));
        rising.iter().take(count).for_each(|&token| selected[token] = true);
    }
    Perception { shift, score, selected }
}

/// Whether the contrastive loss applies to a response.
pub fn is_gated_in(gate: Gate, advantage: f32, correct: bool) -> bool {
    match gate {
        Gate::Advantage => advantage > 0.0,
        Gate::Correct => correct,
        Gate::None => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config(top: f64) -> CplConfig {
        CplConfig { top, ..Default::default() }
    }

    #[test]
    fn the_best_scores_among_rising_tokens_are_taken() {
        let entropy = [0.1, 1.0, 0.5, 2.0, 0.0];
        let removed = [0.4, 0.9, 1.0, 2.5, 0.0];
        let found = perception(&entropy, &removed, &config(0.5));
        // Rising: 0 (0.75), 2 (0.5), 3 (0.2); half of three is one.
        assert_eq!(found.selected, [true, false, false, false, false]);
        assert!((found.score[2] - 0.5).abs() < 1e-5 && found.score[1] == 0.0);
        let found = perception(&entropy, &removed, &config(0.7));
        assert_eq!(found.selected, [true, false, true, false, false]);
    }

    #[test]
    fn ties_go_to_the_earlier_token_and_one_is_always_taken() {
        let found = perception(&[0.5; 4], &[1.0; 4], &config(0.5));
        assert_eq!(found.selected, [true, true, false, false]);
        let found = perception(&[0.5; 4], &[1.0; 4], &config(0.0));
        assert_eq!(found.selected, [true, false, false, false]);
    }

    #[test]
    fn where_nothing_rises_nothing_is_selected() {
        assert_eq!(perception(&[1.0, 2.0], &[1.0, 1.5], &config(0.5)).selected, [false, false]);
        assert_eq!(perception(&[], &[], &config(0.5)), Perception::default());
        assert_eq!(perception(&[f32::NAN], &[1.0], &config(0.5)).selected, [false]);
    }

    #[test]
    fn gates_open_for_the_responses_they_name() {
        let cases = [
            (Gate::Advantage, 0.5, false, true),
            (Gate::Advantage, 0.0, true, false),
            (Gate::Correct, -1.0, true, true),
            (Gate::Correct, 1.0, false, false),
            (Gate::None, -1.0, false, true),
        ];
        for (gate, advantage, correct, expected) in cases {
            assert_eq!(is_gated_in(gate, advantage, correct), expected, "{gate:?}");
        }
    }

    proptest! {
        #[test]
        fn exactly_k_tokens_are_selected_and_none_scores_below_one_left_out(
            pairs in proptest::collection::vec((0f32..4.0, 0f32..4.0), 0..40),
            top in 0f64..1.0,
        ) {
            let (entropy, removed): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let found = perception(&entropy, &removed, &config(top));
            let rising = found.shift.iter().filter(|&&shift| shift > 0.0).count();
            let selected = found.selected.iter().filter(|&&selected| selected).count();
            let expected = if rising == 0 { 0 } else { ((top * rising as f64) as usize).max(1) };
            prop_assert_eq!(selected, expected);
            let worst = (0..entropy.len()).filter(|&t| found.selected[t]);
            let worst = worst.map(|t| found.score[t]).fold(f32::INFINITY, f32::min);
            for token in (0..entropy.len()).filter(|&t| !found.selected[t] && found.shift[t] > 0.0) {
                prop_assert!(found.score[token] <= worst);
            }
        }
    }
}
