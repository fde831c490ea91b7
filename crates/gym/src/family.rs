//! The kinds of questions.

use serde::{Deserialize, Serialize};

use crate::named::named;

named! {
    /// A kind of picture and question.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Family: "family" {
        /// "How many red shapes?": 0 to 3.
        CountColor = "count_color",
        /// "How many cross shapes?": 0 to 3.
        CountShape = "count_shape",
        /// "What color is top left?"; an object is there.
        ColorAt = "color_at",
        /// "What shape is top left?"; an object is there.
        ShapeAt = "shape_at",
        /// "What color is the circle?"; there is one circle.
        ColorOf = "color_of",
        /// "What shape is red?"; one object is red.
        ShapeOf = "shape_of",
        /// "What shape is leftmost?"; one object is further left than all others.
        Leftmost = "leftmost",
        /// "Is the red circle left of the blue square?", or above: yes or no.
        Relation = "relation",
        /// "Which bar is tallest?": the colour of the tallest bar of a chart.
        CompareBars = "compare_bars",
        /// "What is the sum?": of two drawn digits.
        AddDigits = "add_digits",
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, StrDeserializer};

    use super::*;

    #[test]
    fn names_read_back_from_text_and_from_serde() {
        for &family in Family::ALL {
            let name = family.to_string();
            assert_eq!(name.parse(), Ok(family));
            let text: StrDeserializer<'_, Error> = name.as_str().into_deserializer();
            assert_eq!(Family::deserialize(text), Ok(family));
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = "count_colour".parse::<Family>().unwrap_err();
        assert!(error.contains("count_colour"), "{error}");
        for family in Family::ALL {
            assert!(error.contains(family.name()), "{error}");
        }
    }
}
