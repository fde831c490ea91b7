//! Loss scaling: gradients that f16 would round to 0 are computed larger than they are.

use serde::{Deserialize, Serialize};

use crate::config::ComputeDtype;

/// The first factor, as PyTorch's `GradScaler` has it.
const FIRST: f64 = 65_536.0;

/// Updates without overflow after which the factor doubles.
const PATIENCE: usize = 2000;

/// The factor of the loss, found while training: halved when a gradient overflows, doubled when
/// none has for long (`torch.amp.GradScaler`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    factor: f64,
    /// Updates since the factor last changed; None where it stays 1.
    updates: Option<usize>,
}

impl LossScale {
    /// What computation in `dtype` needs.
    pub fn new(dtype: ComputeDtype) -> Self {
        match dtype {
            ComputeDtype::F16 => Self { factor: FIRST, updates: Some(0) },
            ComputeDtype::F32 | ComputeDtype::Bf16 => Self { factor: 1.0, updates: None },
        }
    }

    /// What the loss is to be multiplied with, and gradients divided by.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// Whether the factor changes.
    pub fn is_dynamic(&self) -> bool {
        self.updates.is_some()
    }

    /// Notes whether a gradient was finite.
    pub fn note(&mut self, finite: bool) {
        let Some(updates) = &mut self.updates else { return };
        *updates += 1;
        if !finite {
            (self.factor, *updates) = ((self.factor / 2.0).max(1.0), 0);
        } else if *updates == PATIENCE {
            (self.factor, *updates) = (self.factor * 2.0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_halves_at_an_overflow_and_doubles_after_long_calm() {
        let mut scale = LossScale::new(ComputeDtype::F16);
        scale.note(false);
        assert_eq!(scale.factor(), 32_768.0);
        (1..PATIENCE).for_each(|_| scale.note(true));
        assert_eq!(scale.factor(), 32_768.0);
        scale.note(true);
        assert_eq!(scale.factor(), 65_536.0);
        (0..40).for_each(|_| scale.note(false));
        assert_eq!(scale.factor(), 1.0);
        let text = serde_json::to_string(&scale).unwrap();
        assert_eq!(serde_json::from_str::<LossScale>(&text).unwrap(), scale);
    }

    #[test]
    fn other_dtypes_need_none() {
        for dtype in [ComputeDtype::F32, ComputeDtype::Bf16] {
            let mut scale = LossScale::new(dtype);
            scale.note(false);
            assert_eq!((scale.factor(), scale.is_dynamic()), (1.0, false));
        }
    }
}
