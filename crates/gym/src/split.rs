//! Which scenes are for training, which for validation and test.

use serde::{Deserialize, Serialize};

use crate::named::named;

named! {
    /// A part of all scenes: 80, 10 and 10 of 100.
    ///
    /// A scene is what is where: position, colour and shape of each object, without its exact place, size and shade.
    /// The hash of its description decides its split, whatever the seed, family and difficulty, so no scene
    /// of one split ever appears in another.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Split: "split" {
        /// Scenes to learn from.
        Train = "train",
        /// Scenes to choose settings by.
        Validation = "validation",
        /// Scenes to report.
        Test = "test",
    }
}

impl Split {
    /// The split of the scene with this description.
    pub(crate) fn of(description: &str) -> Self {
        match hash(description) % 10 {
            0 => Self::Validation,
            1 => Self::Test,
            _ => Self::Train,
        }
    }
}

/// FNV-1a, then MurmurHash3's finalizer, since FNV's lowest bits mix poorly; the same on every machine.
fn hash(text: &str) -> u64 {
    let mut hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}
