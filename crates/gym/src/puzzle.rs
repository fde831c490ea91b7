//! Scenes with a question and its answer.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use crate::scene::{Cell, Object, Quantity, Scene};
use crate::words::{Color, NUMBERS};
use crate::{Difficulty, Family, Split};

/// A scene, a question about it and the answer.
pub(crate) struct Puzzle {
    pub scene: Scene,
    pub question: String,
    pub answer: String,
}

impl Puzzle {
    /// Draws the answer first, so that all are equally frequent, then scenes until one has this answer and
    /// belongs to the split. Every answer has scenes in every split, so the search ends.
    pub fn draw(family: Family, difficulty: Difficulty, split: Split, rng: &mut impl Rng) -> Self {
        let mut answers = answers(family, difficulty);
        let answer = rng.random_range(0..answers.len());
        loop {
            let attempt = match family {
                Family::CompareBars => bars(difficulty, answer, rng),
                Family::AddDigits => Some(digits(difficulty, answer, rng)),
                _ => objects(family, difficulty, answer, rng),
            };
            if let Some((scene, question)) = attempt
                && Split::of(&scene.description().text) == split
            {
                return Self { scene, question, answer: answers.swap_remove(answer) };
            }
        }
    }
}

/// The answers of a family.
fn answers(family: Family, difficulty: Difficulty) -> Vec<String> {
    match family {
        Family::CountColor | Family::CountShape => (0..=3).map(|n| n.to_string()).collect(),
        Family::ColorAt | Family::ColorOf | Family::CompareBars => {
            Color::ALL.iter().map(Color::to_string).collect()
        }
        Family::ShapeAt | Family::ShapeOf | Family::Leftmost => {
            difficulty.shapes().iter().map(ToString::to_string).collect()
        }
        Family::Relation => vec!["yes".into(), "no".into()],
        Family::AddDigits => (0..=2 * difficulty.max_digit()).map(|n| n.to_string()).collect(),
    }
}

/// Objects for which the question has the answer of this index; none if the draw does not fit.
fn objects(
    family: Family,
    difficulty: Difficulty,
    answer: usize,
    rng: &mut impl Rng,
) -> Option<(Scene, String)> {
    let shapes = difficulty.shapes();
    let mut cells = Cell::all();
    cells.shuffle(rng);
    let count = rng.random_range(difficulty.objects());
    let mut objects: Vec<Object> = cells[..count]
        .iter()
        .map(|&cell| Object { cell, color: pick(Color::ALL, rng), shape: pick(shapes, rng) })
        .collect();
    if family == Family::CountColor || family == Family::CountShape {
        let (color, shape) = (pick(Color::ALL, rng), pick(shapes, rng));
        for (place, object) in objects.iter_mut().enumerate() {
            match (family, place < answer) {
                (Family::CountColor, true) => object.color = color,
                (Family::CountColor, false) => object.color = other(Color::ALL, color, rng),
                (_, true) => object.shape = shape,
                (_, false) => object.shape = other(shapes, shape, rng),
            }
        }
        let counted = if family == Family::CountColor { color.name() } else { shape.name() };
        return Some((Scene::Objects(objects), format!("How many {counted} shapes?")));
    }
    let (asked, others) = objects.split_first_mut()?;
    let (fits, question) = match family {
        Family::ColorAt => {
            asked.color = Color::ALL[answer];
            (true, format!("What color is {}?", asked.cell.name()))
        }
        Family::ShapeAt => {
            asked.shape = shapes[answer];
            (true, format!("What shape is {}?", asked.cell.name()))
        }
        Family::ColorOf => {
            asked.color = Color::ALL[answer];
            let unique = others.iter().all(|other| other.shape != asked.shape);
            (unique, format!("What color is the {}?", asked.shape))
        }
        Family::ShapeOf => {
            asked.shape = shapes[answer];
            let unique = others.iter().all(|other| other.color != asked.color);
            (unique, format!("What shape is {}?", asked.color))
        }
        Family::Leftmost => {
            asked.shape = shapes[answer];
            let first = others.iter().all(|other| other.cell.column() > asked.cell.column());
            (first, "What shape is leftmost?".into())
        }
        _ => return relation(objects, answer == 0, rng),
    };
    fits.then_some((Scene::Objects(objects), question))
}

/// Asks for the order of the first two objects; none if they are level or their names are not unique.
fn relation(objects: Vec<Object>, holds: bool, rng: &mut impl Rng) -> Option<(Scene, String)> {
    let [first, second, rest @ ..] = &objects[..] else { return None };
    let (words, before, after) = if rng.random() {
        ("left of", first.cell.column(), second.cell.column())
    } else {
        ("above", first.cell.row(), second.cell.row())
    };
    let names = [first.name(), second.name()];
    let unique = names[0] != names[1] && rest.iter().all(|other| !names.contains(&other.name()));
    let fits = if holds { before < after } else { before > after };
    let question = format!("Is the {} {words} the {}?", names[0], names[1]);
    (unique && fits).then_some((Scene::Objects(objects), question))
}

/// A chart whose tallest bar has the colour of this index; none if the draw does not fit.
fn bars(difficulty: Difficulty, answer: usize, rng: &mut impl Rng) -> Option<(Scene, String)> {
    let mut colors: Vec<Color> = Color::ALL.to_vec();
    colors.shuffle(rng);
    colors.truncate(rng.random_range(difficulty.objects()));
    let bars: Vec<Quantity> = colors
        .into_iter()
        .map(|color| Quantity { color, value: rng.random_range(1..NUMBERS.len()) })
        .collect();
    let tallest = *bars.iter().find(|bar| bar.color == Color::ALL[answer])?;
    let leads = bars.iter().all(|bar| {
        bar.color == tallest.color || bar.value + difficulty.min_lead() <= tallest.value
    });
    leads.then_some((Scene::Bars(bars), "Which bar is tallest?".into()))
}

/// Two digits with this sum.
fn digits(difficulty: Difficulty, sum: usize, rng: &mut impl Rng) -> (Scene, String) {
    let max = difficulty.max_digit();
    let left = rng.random_range(sum.saturating_sub(max)..=sum.min(max));
    let digits = [left, sum - left].map(|value| Quantity { color: pick(Color::ALL, rng), value });
    (Scene::Digits(digits), "What is the sum?".into())
}

fn pick<T: Copy>(all: &[T], rng: &mut impl Rng) -> T {
    all[rng.random_range(0..all.len())]
}

fn other<T: Copy + PartialEq>(all: &[T], not: T, rng: &mut impl Rng) -> T {
    loop {
        let drawn = pick(all, rng);
        if drawn != not {
            return drawn;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn answers_are_balanced_in_every_split() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        for &difficulty in Difficulty::ALL {
            for (&split, total) in Split::ALL.iter().zip([1000, 400, 400]) {
                for &family in Family::ALL {
                    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
                    for _ in 0..total {
                        let puzzle = Puzzle::draw(family, difficulty, split, &mut rng);
                        *counts.entry(puzzle.answer).or_default() += 1.0;
                    }
                    let kinds = answers(family, difficulty).len() as f64;
                    let expected = f64::from(total) / kinds;
                    let missing = (kinds - counts.len() as f64) * expected;
                    let chi2: f64 =
                        counts.values().map(|n| (n - expected).powi(2) / expected).sum();
                    // Four standard deviations above the mean of the chi-square distribution.
                    let bound = kinds - 1.0 + 4.0 * (2.0 * (kinds - 1.0)).sqrt();
                    assert!(chi2 + missing < bound, "{family} {difficulty} {split}: {counts:?}");
                }
            }
        }
    }

    #[test]
    fn questions_ask_for_every_color_and_every_count_alike() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut counts: BTreeMap<(String, String), u32> = BTreeMap::new();
        for _ in 0..4800 {
            let (family, difficulty) = (Family::CountColor, Difficulty::Standard);
            let puzzle = Puzzle::draw(family, difficulty, Split::Train, &mut rng);
            *counts.entry((puzzle.question, puzzle.answer)).or_default() += 1;
        }
        assert_eq!(counts.len(), 24);
        // Expected are 200 each, with a standard deviation of 14.
        assert!(counts.values().all(|count| (144..256).contains(count)), "{counts:?}");
    }

    #[test]
    fn every_sum_has_scenes_in_every_split() {
        for sum in 0..=18usize {
            for split in Split::ALL {
                let found = (sum.saturating_sub(9)..=sum.min(9)).any(|left| {
                    Color::ALL.iter().any(|&first| {
                        Color::ALL.iter().any(|&second| {
                            let digits = [
                                Quantity { color: first, value: left },
                                Quantity { color: second, value: sum - left },
                            ];
                            Split::of(&Scene::Digits(digits).description().text) == *split
                        })
                    })
                });
                assert!(found, "{sum} {split}");
            }
        }
    }
}
