//! From a loss per token to one number: the weight of each token.

use crate::config::LossAgg;

/// Weight of every token of each response, such that the loss is `Σ weight · token loss`.
///
/// Weights are those of the whole optimizer batch, so that they do not depend on how the batch is
/// cut into micro-batches.
///
/// # Shapes
///
/// - lengths: tokens of each response
/// - output: one weight per response, shared by its tokens; 0 for empty responses
pub fn token_weights(agg: LossAgg, lengths: &[usize], max_response_tokens: usize) -> Vec<f64> {
    let tokens: usize = lengths.iter().sum();
    let responses = lengths.iter().filter(|&&length| length > 0).count();
    let weight = |length: usize| match agg {
        LossAgg::TokenMean => 1.0 / tokens as f64,
        LossAgg::SeqMeanTokenSum => 1.0 / responses as f64,
        LossAgg::SeqMeanTokenMean => 1.0 / (responses * length) as f64,
        LossAgg::SeqMeanTokenSumNorm => 1.0 / (responses * max_response_tokens) as f64,
    };
    lengths.iter().map(|&length| if length == 0 { 0.0 } else { weight(length) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_aggregation_weighs_tokens_as_its_name_says() {
        let lengths = [4, 0, 1];
        let cases = [
            (LossAgg::TokenMean, [0.2, 0.0, 0.2]),
            (LossAgg::SeqMeanTokenSum, [0.5, 0.0, 0.5]),
            (LossAgg::SeqMeanTokenMean, [0.125, 0.0, 0.5]),
            (LossAgg::SeqMeanTokenSumNorm, [0.05, 0.0, 0.05]),
        ];
        for (agg, expected) in cases {
            assert_eq!(token_weights(agg, &lengths, 10), expected, "{agg:?}");
        }
        assert_eq!(token_weights(LossAgg::TokenMean, &[0, 0], 10), [0.0, 0.0]);
    }
}
