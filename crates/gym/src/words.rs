//! The words of questions and responses.

use crate::named::named;

named! {
    /// A colour of objects, bars and digits.
    pub(crate) enum Color: "color" {
        Red = "red",
        Green = "green",
        Blue = "blue",
        Yellow = "yellow",
        Purple = "purple",
        Black = "black",
    }
}

named! {
    /// A shape of objects.
    pub(crate) enum Shape: "shape" {
        Circle = "circle",
        Square = "square",
        Triangle = "triangle",
        Cross = "cross",
        Diamond = "diamond",
        Ring = "ring",
    }
}

pub(crate) const ROWS: [&str; 3] = ["top", "middle", "bottom"];
pub(crate) const COLUMNS: [&str; 3] = ["left", "center", "right"];

/// Heights of bars and drawn digits, as words so that each is one token.
pub(crate) const NUMBERS: [&str; 10] =
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

/// Counts and sums.
const ANSWERS: [&str; 19] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
    "17", "18",
];

/// Words that name nothing seen.
const OTHERS: [&str; 21] = [
    "How", "many", "shapes", "What", "color", "is", "the", "shape", "leftmost", "Is", "of",
    "above", "Which", "bar", "tallest", "sum", "yes", "no", "plus", "think", "boxed",
];

/// The words that name something seen: rows, columns, colours, shapes, and digits or heights.
pub fn seen_words() -> Vec<&'static str> {
    let mut words = [&ROWS[..], &COLUMNS, &NUMBERS].concat();
    words.extend(Color::ALL.iter().map(|color| color.name()));
    words.extend(Shape::ALL.iter().map(|shape| shape.name()));
    words
}

/// Every word, that is every run of letters or digits, that questions and responses may hold, each once.
pub fn vocabulary() -> Vec<&'static str> {
    [&seen_words()[..], &ANSWERS, &OTHERS].concat()
}
