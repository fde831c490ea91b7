//! Which random numbers a perturbation uses.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// One of the two perturbed views of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// Keeps the information (x⁺ of the paper).
    Preserving,
    /// Removes information (x⁻ of the paper).
    Removing,
}

/// Names one visit to one prompt. The three numbers and the view are the 256-bit key of ChaCha8 as
/// they stand, and the pictures are its streams, so no two visits, views or pictures share numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seed {
    /// The run's seed.
    pub run: u64,
    /// The training step.
    pub step: u64,
    /// The prompt's index within the step or data set.
    pub prompt: u64,
}

impl Seed {
    /// The numbers that choose a view's perturbation.
    pub(super) fn choice(self, view: View) -> ChaCha8Rng {
        self.stream(view as u64, 0)
    }

    /// The numbers that set its parameters for the prompt's picture of this index.
    pub fn parameters(self, view: View, picture: usize) -> ChaCha8Rng {
        self.stream(view as u64, picture as u64 + 1)
    }

    /// The numbers of one cell of a contact sheet.
    pub(super) fn cell(self, cell: usize) -> ChaCha8Rng {
        const SHEET: u64 = u64::MAX;
        self.stream(SHEET, cell as u64)
    }

    fn stream(self, purpose: u64, stream: u64) -> ChaCha8Rng {
        let mut key = [0; 32];
        let numbers = [self.run, self.step, self.prompt, purpose];
        for (bytes, number) in key.chunks_exact_mut(8).zip(numbers) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(stream);
        rng
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::Rng;

    use super::*;

    #[test]
    fn neighbours_never_share_numbers() {
        let mut seen = HashSet::new();
        let mut count = 0;
        for numbers in 0..6 * 6 * 6 {
            let seed = Seed { run: numbers % 6, step: numbers / 6 % 6, prompt: numbers / 36 };
            for view in [View::Preserving, View::Removing] {
                let pictures = (0..3).map(|picture| seed.parameters(view, picture));
                for mut rng in pictures.chain([seed.choice(view)]) {
                    seen.insert(rng.next_u64());
                    count += 1;
                }
            }
            seen.insert(seed.cell(0).next_u64());
            count += 1;
        }
        assert_eq!(seen.len(), count);
    }

    #[test]
    fn the_numbers_of_a_seed_stay_the_same_in_every_release() {
        let seed = Seed { run: 1, step: 2, prompt: 3 };
        assert_eq!(seed.choice(View::Preserving).next_u64(), 14_783_065_802_544_476_936);
        assert_eq!(seed.parameters(View::Removing, 4).next_u64(), 16_339_220_722_071_518_893);
    }
}
