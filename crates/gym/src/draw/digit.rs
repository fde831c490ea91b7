//! Seven-segment digits.

/// The segments of a display in the usual order, a to g: top, upper right, lower right, bottom, lower left,
/// upper left, middle; right and down from the upper left corner, in widths and heights.
const SEGMENTS: [[(f32, f32); 2]; 7] = [
    [(0.0, 0.0), (1.0, 0.0)],
    [(1.0, 0.0), (1.0, 0.5)],
    [(1.0, 0.5), (1.0, 1.0)],
    [(0.0, 1.0), (1.0, 1.0)],
    [(0.0, 0.5), (0.0, 1.0)],
    [(0.0, 0.0), (0.0, 0.5)],
    [(0.0, 0.5), (1.0, 0.5)],
];

/// The letters of the segments lit for 0 to 9.
const LIT: [&str; 10] =
    ["abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg"];

/// The ends of the segments lit for a digit.
pub(super) fn segments(digit: usize) -> impl Iterator<Item = [(f32, f32); 2]> {
    LIT[digit].bytes().map(|letter| SEGMENTS[usize::from(letter - b'a')])
}
