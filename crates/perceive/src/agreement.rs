//! How well detected perception tokens agree with known ones.

/// Agreement over the tokens of many responses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// Share of the detected tokens that are known to be seen.
    pub precision: f64,
    /// Share of the seen tokens that were detected.
    pub recall: f64,
    /// Chance that a seen token scores higher than another one; ties count half.
    pub auroc: f64,
    /// Share of seen tokens among all.
    pub base_rate: f64,
    /// Tokens in all.
    pub tokens: usize,
}

/// Compares scores and selections with what is known; one entry per token: score, detected, seen.
pub fn agreement(tokens: &[(f32, bool, bool)]) -> Agreement {
    let count = |wanted: &dyn Fn(&(f32, bool, bool)) -> bool| {
        tokens.iter().filter(|token| wanted(token)).count() as f64
    };
    let (detected, seen) = (count(&|t| t.1), count(&|t| t.2));
    let both = count(&|t| t.1 && t.2);
    Agreement {
        precision: both / detected,
        recall: both / seen,
        auroc: auroc(tokens),
        base_rate: seen / tokens.len() as f64,
        tokens: tokens.len(),
    }
}

/// Mann and Whitney's statistic by ranks, in `n log n`.
fn auroc(tokens: &[(f32, bool, bool)]) -> f64 {
    let mut sorted: Vec<(f32, bool)> =
        tokens.iter().map(|&(score, _, seen)| (score, seen)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut rank_sum, mut start) = (0.0, 0);
    while start < sorted.len() {
        let end = start + sorted[start..].partition_point(|(score, _)| *score <= sorted[start].0);
        let rank = (start + end + 1) as f64 / 2.0;
        rank_sum += rank * sorted[start..end].iter().filter(|(_, seen)| *seen).count() as f64;
        start = end;
    }
    let seen = sorted.iter().filter(|(_, seen)| *seen).count() as f64;
    let other = sorted.len() as f64 - seen;
    (rank_sum - seen * (seen + 1.0) / 2.0) / (seen * other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_counts_what_its_names_say() {
        let tokens = [
            (0.9, true, true),
            (0.8, true, false),
            (0.7, false, true),
            (0.1, false, false),
            (0.1, false, false),
        ];
        let found = agreement(&tokens);
        assert_eq!((found.precision, found.recall, found.base_rate), (0.5, 0.5, 0.4));
        // Pairs won: 0.9 beats all three others, 0.7 beats two of three.
        assert!((found.auroc - 5.0 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn ties_count_half() {
        let found = agreement(&[(0.5, true, true), (0.5, true, false), (0.5, false, true)]);
        assert_eq!(found.auroc, 0.5);
        let perfect = agreement(&[(0.2, false, false), (0.3, true, true)]);
        assert_eq!(perfect.auroc, 1.0);
    }
}
