//! How hard the pictures are to read.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::named::named;
use crate::words::Shape;

named! {
    /// How hard the pictures are to read.
    #[derive(Default, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Difficulty: "difficulty" {
        /// 3 large objects of 4 shapes; bars that differ clearly; digits up to 4.
        Easy = "easy",
        /// 3 objects of 6 shapes, small ones too; digits up to 9.
        #[default]
        Standard = "standard",
        /// 4 or 5 objects or bars.
        Hard = "hard",
    }
}

impl Difficulty {
    /// How many objects or bars a picture shows.
    pub(crate) const fn objects(self) -> RangeInclusive<usize> {
        match self {
            Self::Easy | Self::Standard => 3..=3,
            Self::Hard => 4..=5,
        }
    }

    pub(crate) fn shapes(self) -> &'static [Shape] {
        match self {
            Self::Easy => &Shape::ALL[..4],
            Self::Standard | Self::Hard => Shape::ALL,
        }
    }

    /// Width and height of objects, width of digits, in pixels.
    pub(crate) const fn sizes(self) -> RangeInclusive<f32> {
        match self {
            Self::Easy => 17.0..=22.0,
            Self::Standard | Self::Hard => 12.0..=22.0,
        }
    }

    pub(crate) const fn max_digit(self) -> usize {
        match self {
            Self::Easy => 4,
            Self::Standard | Self::Hard => 9,
        }
    }

    /// The least difference in height between the tallest bar and the next.
    pub(crate) const fn min_lead(self) -> usize {
        match self {
            Self::Easy => 2,
            Self::Standard | Self::Hard => 1,
        }
    }
}
