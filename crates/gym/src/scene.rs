//! What is where in a picture.

use std::ops::Range;

use crate::words::{COLUMNS, Color, NUMBERS, ROWS, Shape};

/// A place of the 3×3 grid, in raster order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell(usize);

impl Cell {
    pub fn all() -> [Self; 9] {
        std::array::from_fn(Self)
    }

    pub fn row(self) -> usize {
        self.0 / 3
    }

    pub fn column(self) -> usize {
        self.0 % 3
    }

    pub fn name(self) -> String {
        self.words().join(" ")
    }

    fn words(self) -> [&'static str; 2] {
        [ROWS[self.row()], COLUMNS[self.column()]]
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Object {
    pub cell: Cell,
    pub color: Color,
    pub shape: Shape,
}

impl Object {
    pub fn name(&self) -> String {
        format!("{} {}", self.color, self.shape)
    }

    fn words(&self) -> [&'static str; 4] {
        let [row, column] = self.cell.words();
        [row, column, self.color.name(), self.shape.name()]
    }
}

/// A bar of a chart, `height` 1 to 9; or a drawn digit, 0 to 9.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantity {
    pub color: Color,
    pub value: usize,
}

impl Quantity {
    fn words(&self) -> [&'static str; 2] {
        [self.color.name(), NUMBERS[self.value]]
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Scene {
    /// In any order, each in its own cell.
    Objects(Vec<Object>),
    /// From left to right.
    Bars(Vec<Quantity>),
    Digits([Quantity; 2]),
}

impl Scene {
    /// The scene in words: objects in raster order, bars and digits from left to right.
    pub fn description(&self) -> Marked {
        match self {
            Self::Objects(objects) => {
                let mut objects: Vec<&Object> = objects.iter().collect();
                objects.sort_by_key(|object| object.cell.0);
                Marked::list("; ", objects.into_iter().map(Object::words))
            }
            Self::Bars(bars) => Marked::list("; ", bars.iter().map(Quantity::words)),
            Self::Digits(digits) => Marked::list(" plus ", digits.iter().map(Quantity::words)),
        }
    }
}

/// Text with the byte spans of the words that name something seen.
pub(crate) struct Marked {
    pub text: String,
    pub seen: Vec<Range<usize>>,
}

impl Marked {
    fn list<const N: usize>(
        separator: &str,
        items: impl Iterator<Item = [&'static str; N]>,
    ) -> Self {
        let mut marked = Self { text: String::new(), seen: Vec::new() };
        for (place, words) in items.enumerate() {
            marked.text.push_str(if place > 0 { separator } else { "" });
            for (place, word) in words.iter().enumerate() {
                marked.text.push_str(if place > 0 { " " } else { "" });
                let start = marked.text.len();
                marked.text.push_str(word);
                marked.seen.push(start..marked.text.len());
            }
        }
        marked
    }
}
