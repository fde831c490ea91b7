//! Items as a user sees them: the answer follows from the rationale, and the rationale from the picture.

use std::collections::{HashMap, HashSet};

use gym::{Difficulty, Family, Gym, Item, Split, seen_words, vocabulary};
use image::Rgb;
use proptest::prelude::*;

const COLORS: [(&str, [u8; 3]); 6] = [
    ("red", [215, 50, 50]),
    ("green", [50, 165, 75]),
    ("blue", [40, 90, 215]),
    ("yellow", [225, 200, 50]),
    ("purple", [150, 60, 175]),
    ("black", [38, 38, 42]),
];
const ROWS: [&str; 3] = ["top", "middle", "bottom"];
const COLUMNS: [&str; 3] = ["left", "center", "right"];
const NUMBERS: [&str; 10] =
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

fn items(gym: &Gym, split: Split, count: u64) -> impl Iterator<Item = Item> {
    (0..count).map(move |index| gym.item(split, index))
}

fn one(family: Family, difficulty: Difficulty) -> Gym {
    Gym { families: vec![family], difficulty, seed: 7 }
}

fn place(word: &str, among: &[&str]) -> usize {
    among.iter().position(|known| *known == word).unwrap_or_else(|| panic!("{word} in {among:?}"))
}

/// The rationale's things, each as its words.
fn things(item: &Item) -> Vec<Vec<&str>> {
    let (thought, answer) = item
        .response
        .strip_prefix("<think> ")
        .and_then(|rest| rest.split_once(". </think> \\boxed{"))
        .unwrap_or_else(|| panic!("{}", item.response));
    assert_eq!(answer, format!("{}}}", item.answer));
    let separator = if item.family == Family::AddDigits { " plus " } else { "; " };
    thought.split(separator).map(|thing| thing.split(' ').collect()).collect()
}

/// The answer to the question, from the rationale alone.
fn derived(item: &Item) -> String {
    let things = things(item);
    let question: Vec<&str> = item.question.trim_end_matches('?').split(' ').collect();
    let row = |thing: &[&str]| place(thing[0], &ROWS);
    let column = |thing: &[&str]| place(thing[1], &COLUMNS);
    let only = |has: &dyn Fn(&[&str]) -> bool| {
        let found: Vec<&Vec<&str>> = things.iter().filter(|thing| has(thing)).collect();
        assert_eq!(found.len(), 1, "{}: {}", item.question, item.response);
        found[0].clone()
    };
    match (item.family, &question[..]) {
        (Family::CountColor, ["How", "many", color, "shapes"]) => {
            things.iter().filter(|thing| thing[2] == *color).count().to_string()
        }
        (Family::CountShape, ["How", "many", shape, "shapes"]) => {
            things.iter().filter(|thing| thing[3] == *shape).count().to_string()
        }
        (Family::ColorAt, ["What", "color", "is", row, column]) => {
            only(&|thing| thing[..2] == [*row, *column])[2].into()
        }
        (Family::ShapeAt, ["What", "shape", "is", row, column]) => {
            only(&|thing| thing[..2] == [*row, *column])[3].into()
        }
        (Family::ColorOf, ["What", "color", "is", "the", shape]) => {
            only(&|thing| thing[3] == *shape)[2].into()
        }
        (Family::ShapeOf, ["What", "shape", "is", color]) => {
            only(&|thing| thing[2] == *color)[3].into()
        }
        (Family::Leftmost, ["What", "shape", "is", "leftmost"]) => {
            let least = things.iter().map(|thing| column(thing)).min().unwrap();
            only(&|thing| column(thing) == least)[3].into()
        }
        (Family::Relation, ["Is", "the", c1, s1, relation @ .., "the", c2, s2]) => {
            let first = only(&|thing| thing[2..] == [*c1, *s1]);
            let second = only(&|thing| thing[2..] == [*c2, *s2]);
            let holds = match relation {
                ["left", "of"] => {
                    assert_ne!(column(&first), column(&second));
                    column(&first) < column(&second)
                }
                ["above"] => {
                    assert_ne!(row(&first), row(&second));
                    row(&first) < row(&second)
                }
                _ => panic!("{}", item.question),
            };
            if holds { "yes".into() } else { "no".into() }
        }
        (Family::CompareBars, ["Which", "bar", "is", "tallest"]) => {
            let tallest = things.iter().map(|thing| place(thing[1], &NUMBERS)).max().unwrap();
            only(&|thing| place(thing[1], &NUMBERS) == tallest)[0].into()
        }
        (Family::AddDigits, ["What", "is", "the", "sum"]) => {
            assert_eq!(things.len(), 2);
            things.iter().map(|thing| place(thing[1], &NUMBERS)).sum::<usize>().to_string()
        }
        _ => panic!("{}: {}", item.family, item.question),
    }
}

/// The colour of which a pixel is a shade.
fn color(pixel: &Rgb<u8>) -> Option<&'static str> {
    let shade = |rgb: [u8; 3]| rgb.iter().zip(pixel.0).all(|(a, b)| a.abs_diff(b) <= 30);
    COLORS.iter().find(|(_, rgb)| shade(*rgb)).map(|(name, _)| *name)
}

#[test]
fn the_answer_follows_from_the_rationale() {
    for &family in Family::ALL {
        for item in items(&one(family, Difficulty::Standard), Split::Train, 500) {
            assert_eq!(derived(&item), item.answer, "{}: {}", item.question, item.response);
        }
    }
}

#[test]
fn objects_stand_in_raster_order_where_and_as_they_are_named() {
    for &difficulty in Difficulty::ALL {
        let families = Family::ALL[..8].to_vec();
        for item in items(&Gym { families, difficulty, seed: 1 }, Split::Test, 160) {
            let things = things(&item);
            let cells: Vec<usize> = things
                .iter()
                .map(|thing| 3 * place(thing[0], &ROWS) + place(thing[1], &COLUMNS))
                .collect();
            assert!(cells.is_sorted_by(|a, b| a < b), "{}", item.response);
            let mut ground = HashSet::new();
            for cell in 0..9 {
                let pixels: Vec<&Rgb<u8>> = item
                    .picture
                    .enumerate_pixels()
                    .filter(|(x, y, _)| (x / 28, y / 28) == (cell % 3, cell / 3))
                    .map(|(_, _, pixel)| pixel)
                    .collect();
                ground.insert(pixels[0]);
                let mut inked = HashMap::new();
                for pixel in &pixels {
                    *inked.entry(**pixel).or_insert(0) += i32::from(*pixel != pixels[0]);
                }
                let (most, count) = inked.iter().max_by_key(|(_, count)| **count).unwrap();
                match cells.iter().position(|known| *known == cell as usize) {
                    Some(thing) => {
                        assert_eq!(color(most), Some(things[thing][2]), "{}", item.response);
                        assert!(*count > 30, "{count} pixels: {}", item.response);
                    }
                    None => assert_eq!(*count, 0, "an empty cell: {}", item.response),
                }
            }
            assert_eq!(ground.len(), 1, "the ground is of one color");
            assert!(ground.iter().all(|pixel| pixel.0.iter().all(|channel| *channel >= 228)));
        }
    }
}

#[test]
fn bars_are_as_high_as_they_are_named() {
    for &difficulty in Difficulty::ALL {
        for item in items(&one(Family::CompareBars, difficulty), Split::Train, 150) {
            let height = |name: &str| {
                let column = |x| {
                    let inked = |y| color(item.picture.get_pixel(x, y)) == Some(name);
                    (0..84).filter(|y| inked(*y)).count()
                };
                (0..84).map(column).max().unwrap()
            };
            for bar in things(&item) {
                let expected = place(bar[1], &NUMBERS) as f32;
                // The axis hides the lowest pixel.
                let drawn = (height(bar[0]) + 1) as f32 / 7.65;
                assert!((drawn - expected).abs() < 0.5, "{drawn}: {}", item.response);
            }
            let tallest = COLORS.iter().max_by_key(|(name, _)| height(name)).unwrap();
            assert_eq!(tallest.0, item.answer);
        }
    }
}

#[test]
fn digits_light_the_segments_of_what_they_are_named() {
    // The digits on a display of 3 × 5 places.
    const DISPLAY: [&str; 10] = [
        "### # # # # # # ###",
        "  #   #   #   #   #",
        "###   # ### #   ###",
        "###   # ###   # ###",
        "# # # # ###   #   #",
        "### #   ###   # ###",
        "### #   ### # # ###",
        "###   #   #   #   #",
        "### # # ### # # ###",
        "### # # ###   # ###",
    ];
    // Column and row of each segment on that display, and its middle as a share of the digit's box.
    const SEGMENTS: [(usize, usize, f32, f32); 7] = [
        (1, 0, 0.5, 0.04),
        (0, 1, 0.11, 0.28),
        (2, 1, 0.89, 0.28),
        (1, 2, 0.5, 0.5),
        (0, 3, 0.11, 0.72),
        (2, 3, 0.89, 0.72),
        (1, 4, 0.5, 0.96),
    ];
    for &difficulty in Difficulty::ALL {
        for item in items(&one(Family::AddDigits, difficulty), Split::Train, 150) {
            for (words, half) in things(&item).into_iter().zip([0..42, 42..84]) {
                let inked = |x: u32, y: u32| color(item.picture.get_pixel(x, y)) == Some(words[0]);
                let ink: Vec<(u32, u32)> = half
                    .flat_map(|x| (0..84).map(move |y| (x, y)))
                    .filter(|(x, y)| inked(*x, *y))
                    .collect();
                let (left, right) = (ink[0].0 as f32, ink[ink.len() - 1].0 as f32);
                let top = ink.iter().map(|place| place.1).min().unwrap() as f32;
                let bottom = ink.iter().map(|place| place.1).max().unwrap() as f32;
                let (width, height) = (right - left, bottom - top);
                let digit = place(words[1], &NUMBERS);
                assert!(left >= 1.0 && right <= 82.0 && top >= 1.0 && bottom <= 82.0);
                assert_eq!(digit == 1, height > 3.0 * width, "{}", item.response);
                if digit == 1 {
                    continue;
                }
                for (column, row, across, down) in SEGMENTS {
                    let x = (left + across * width).round() as u32;
                    let y = (top + down * height).round() as u32;
                    let lit = DISPLAY[digit].as_bytes()[4 * row + column] == b'#';
                    // A slanted digit's segments lie up to a pixel aside.
                    let found = (x - 1..=x + 1).any(|x| inked(x, y));
                    assert_eq!(found, lit, "{column} {row}: {}", item.response);
                }
            }
        }
    }
}

#[test]
fn spans_cut_out_every_seen_word_of_the_rationale() {
    let seen: HashSet<&str> = seen_words().into_iter().collect();
    for item in items(&Gym::default(), Split::Train, 500) {
        let words: Vec<&str> = item.seen.iter().map(|span| &item.response[span.clone()]).collect();
        let expected: Vec<&str> = things(&item).concat();
        assert_eq!(words, expected, "{}", item.response);
        assert!(words.iter().all(|word| seen.contains(word)), "{}", item.response);
        assert!(item.seen.is_sorted_by(|a, b| a.end < b.start), "{}", item.response);
        assert!(item.seen.last().unwrap().end < item.response.find("</think>").unwrap());
    }
}

#[test]
fn no_scene_is_in_two_splits_whatever_the_seed_family_and_difficulty() {
    let mut splits = HashMap::new();
    for &split in Split::ALL {
        for (seed, &difficulty) in (0..).zip(Difficulty::ALL) {
            for item in items(&Gym { seed, difficulty, ..Gym::default() }, split, 1000) {
                let scene = item.response.split_once("</think>").unwrap().0.to_string();
                let other = *splits.entry(scene).or_insert(split);
                assert_eq!(other, split, "{}", item.response);
            }
        }
    }
    for split in Split::ALL {
        let scenes = splits.values().filter(|other| *other == split).count();
        assert!(scenes > 2500, "{scenes} scenes in {split}");
    }
}

#[test]
fn an_item_depends_on_its_index_split_and_seed_only() {
    let gym = Gym::default();
    let other = Gym { seed: 1, ..Gym::default() };
    let backwards: Vec<Item> = (0..40).rev().map(|index| gym.item(Split::Train, index)).collect();
    for (index, item) in (0..40).zip(backwards.into_iter().rev()) {
        assert_eq!(item, gym.item(Split::Train, index));
        let family = Family::ALL[index as usize % Family::ALL.len()];
        assert_eq!(item.family, family);
        let alike = [
            gym.item(Split::Train, index + Family::ALL.len() as u64),
            gym.item(Split::Validation, index),
            other.item(Split::Train, index),
        ];
        for neighbour in alike {
            assert_eq!(neighbour.family, family);
            assert_ne!(neighbour.picture, item.picture, "{index}");
        }
    }
}

#[test]
fn the_vocabulary_is_what_the_corpus_holds() {
    let known: HashSet<&str> = vocabulary().into_iter().collect();
    assert_eq!(known.len(), vocabulary().len(), "each word once");
    let corpus: Vec<String> = Gym::default().corpus(5000).collect();
    let found: HashSet<&str> = corpus
        .iter()
        .flat_map(|text| text.split(|letter: char| !letter.is_ascii_alphanumeric()))
        .filter(|word| !word.is_empty())
        .collect();
    assert_eq!(found, known);
}

#[test]
fn the_corpus_is_the_text_of_the_training_items() {
    let gym = Gym::default();
    let texts: Vec<String> =
        items(&gym, Split::Train, 50).flat_map(|item| [item.question, item.response]).collect();
    assert_eq!(gym.corpus(50).collect::<Vec<_>>(), texts);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_seed_and_index_give_a_sound_item(
        seed: u64,
        index: u64,
        split in proptest::sample::select(Split::ALL),
        difficulty in proptest::sample::select(Difficulty::ALL),
        families in proptest::collection::vec(proptest::sample::select(Family::ALL), 0..4),
    ) {
        let item = Gym { families: families.clone(), difficulty, seed }.item(split, index);
        prop_assert!(families.is_empty() || families.contains(&item.family));
        prop_assert_eq!(derived(&item), item.answer);
        prop_assert_eq!(item.picture.dimensions(), (84, 84));
    }
}
