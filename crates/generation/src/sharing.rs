//! Which prompt each response answers.

use burn::tensor::{Int, Tensor};
use qwen2_5_vl::{KeyValues, Mask, Prefix, PromptError, Qwen2_5_VL, indices};

/// How responses share prompts, in the form that attention takes: the same number of responses to
/// each prefix. Where prompts have different numbers of responses, a prompt runs once all the
/// same, and its keys and values are repeated, each time for as many responses as divide all the
/// numbers.
#[derive(Clone, Debug)]
pub(crate) struct Sharing {
    /// Responses to each prefix.
    #[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "only recordings ask"))]
    pub responses: usize,
    /// The prompt of each prefix; None where they are the prompts themselves.
    owners: Option<Vec<usize>>,
}

impl Sharing {
    /// `counts[i]` responses to prompt `i`.
    ///
    /// # Errors
    ///
    /// When a prompt has no responses.
    pub fn new(counts: &[usize]) -> Result<Self, PromptError> {
        if counts.is_empty() || counts.contains(&0) {
            return Err(PromptError::Empty);
        }
        let responses = counts.iter().copied().fold(0, greatest_common_divisor);
        let repeat = |(prompt, &count)| std::iter::repeat_n(prompt, count / responses);
        let owners = counts
            .iter()
            .any(|&count| count != responses)
            .then(|| counts.iter().enumerate().flat_map(repeat).collect());
        Ok(Self { responses, owners })
    }

    /// Repeats the prompts' keys and values, of `longest` tokens, and what is known of them.
    pub fn prefix(&self, prefix: Prefix, longest: usize, model: &Qwen2_5_VL) -> Prefix {
        let Some(owners) = &self.owners else { return prefix };
        let lengths: Vec<usize> = owners.iter().map(|&prompt| prefix.lengths[prompt]).collect();
        Prefix {
            layers: prefix.layers.into_iter().map(|layer| self.keys(layer, model)).collect(),
            mask: Mask::padding(&lengths, longest, &model.device()),
            lengths,
            next_positions: owners.iter().map(|&prompt| prefix.next_positions[prompt]).collect(),
        }
    }

    /// Repeats one layer's keys and values.
    pub fn keys(&self, shared: KeyValues, model: &Qwen2_5_VL) -> KeyValues {
        let Some(owners) = self.owners(model) else { return shared };
        let keys = shared.keys.select(0, owners.clone());
        KeyValues { keys, values: shared.values.select(0, owners) }
    }

    /// Repeats what there is one row of per prompt.
    pub fn rows(&self, x: Tensor<2>, model: &Qwen2_5_VL) -> Tensor<2> {
        match self.owners(model) {
            Some(owners) => x.select(0, owners),
            None => x,
        }
    }

    fn owners(&self, model: &Qwen2_5_VL) -> Option<Tensor<1, Int>> {
        self.owners.as_ref().map(|owners| indices(owners, &model.device()))
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_repeated_only_where_their_responses_differ_in_number() {
        type Case = (&'static [usize], usize, Option<Vec<usize>>);
        let cases: [Case; 4] = [
            (&[5, 5, 5], 5, None),
            (&[1], 1, None),
            (&[4, 2, 6], 2, Some(vec![0, 0, 1, 2, 2, 2])),
            (&[3, 2], 1, Some(vec![0, 0, 0, 1, 1])),
        ];
        for (counts, responses, owners) in cases {
            let found = Sharing::new(counts).unwrap();
            assert_eq!((found.responses, found.owners), (responses, owners), "{counts:?}");
        }
        for counts in [&[][..], &[2, 0]] {
            assert!(Sharing::new(counts).is_err());
        }
    }
}
