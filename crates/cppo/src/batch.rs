//! The arrays that the objective works on, and what it gives back.

/// Scores of the response tokens under one view of the pictures; row-major `[responses, tokens]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ViewScores {
    /// ln p of each token.
    pub logprobs: Vec<f32>,
    /// Entropy of the distribution it was drawn from, in nats.
    pub entropies: Vec<f32>,
    /// `KL(original ‖ this view)` over the vocabulary; empty unless `kl_kind: full`.
    pub kl: Vec<f32>,
}

/// One optimizer batch; arrays are row-major `[responses, tokens]`, padded on the right.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Padded length of a response.
    pub tokens: usize,
    /// Longest response allowed.
    pub max_response_tokens: usize,
    /// Tokens of each response.
    pub lengths: &'a [usize],
    /// Advantage of each response.
    pub advantages: &'a [f32],
    /// Whether each response has the right answer.
    pub correct: &'a [bool],
    /// Whether each response was scored; the others ([`crate::takes_gradient`]) only count in the
    /// normalization.
    pub scored: &'a [bool],
    /// ln p when the responses were drawn.
    pub old_logprobs: &'a [f32],
    /// ln p under the reference policy; needed where `kl_coef` is not 0.
    pub ref_logprobs: Option<&'a [f32]>,
    /// Under the pictures as they are.
    pub original: &'a ViewScores,
    /// Under information-preserving perturbations; rows that [`crate::takes_views`] leaves out
    /// are not read.
    pub preserving: Option<&'a ViewScores>,
    /// Under information-removing perturbations; likewise.
    pub removing: Option<&'a ViewScores>,
}

impl Batch<'_> {
    /// Places of a response's tokens in the arrays.
    pub fn row(&self, response: usize) -> std::ops::Range<usize> {
        let start = response * self.tokens;
        start..start + self.lengths[response]
    }
}

/// Derivatives of the loss by the scores of one view, `[responses, tokens]`; 0 where nothing flows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cotangent {
    /// By the log-probabilities.
    pub logprobs: Vec<f32>,
    /// By the entropies.
    pub entropies: Vec<f32>,
    /// By `KL(original ‖ this view)`.
    pub kl: Vec<f32>,
}

impl Cotangent {
    /// All zero.
    pub fn zeros(length: usize) -> Self {
        let zeros = vec![0.0; length];
        Self { logprobs: zeros.clone(), entropies: zeros.clone(), kl: zeros }
    }

    /// Times a factor.
    pub fn scaled(mut self, factor: f64) -> Self {
        for values in [&mut self.logprobs, &mut self.entropies, &mut self.kl] {
            values.iter_mut().for_each(|value| *value *= factor as f32);
        }
        self
    }

    /// Whether nothing flows through these places.
    pub fn is_zero(&self, places: std::ops::Range<usize>) -> bool {
        [&self.logprobs, &self.entropies, &self.kl]
            .iter()
            .all(|values| values[places.clone()].iter().all(|&value| value == 0.0))
    }
}

/// The loss of an optimizer batch, its derivatives by the scores of each view, and its parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objective {
    /// What is minimized.
    pub loss: f64,
    /// Through the pictures as they are.
    pub original: Cotangent,
    /// Through the information-preserving perturbations.
    pub preserving: Cotangent,
    /// Through the information-removing perturbations.
    pub removing: Cotangent,
    /// The perception tokens that took part, `[responses, tokens]`.
    pub perception: Vec<bool>,
    /// Parts of the loss and diagnostics, by verl's names.
    pub metrics: Vec<(&'static str, f64)>,
}
