//! Examples prepared ahead by any number of threads are those prepared one after the other.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use image::{Rgb, RgbImage};
use serde_json::json;
use trainer::config::{DataConfig, Unreadable};
use trainer::data::{Dataset, Loader, Mapping, Source};

use crate::reference::processor;

const WORKERS: [usize; 4] = [0, 1, 2, 5];

/// Rows with a picture, two or none, and such that cannot be used: a damaged picture, a line that
/// is no JSON, a prompt that is too long.
fn write(folder: &Path) {
    for number in 0..4u8 {
        let size = 20 + u32::from(number) * 30;
        let picture = RgbImage::from_fn(size, size + 9, |x, y| Rgb([x as u8, y as u8, number]));
        picture.save(folder.join(format!("{number}.png"))).unwrap();
    }
    std::fs::write(folder.join("bad.png"), "no picture").unwrap();
    let line = |row: usize| {
        let picture = format!("{}.png", row % 4);
        let images = match row % 10 {
            3 => json!([]),
            6 => json!([picture, "1.png"]),
            7 => json!(["bad.png"]),
            _ => json!([picture]),
        };
        let question = if row % 10 == 4 { "why ".repeat(400) } else { format!("Question {row}?") };
        match row % 10 {
            8 => "{\"problem\": ".into(),
            _ => json!({"problem": question, "images": images, "answer": row}).to_string(),
        }
    };
    let lines: Vec<String> = (0..30).map(line).collect();
    std::fs::write(folder.join("data.jsonl"), lines.join("\n")).unwrap();
}

fn loader(folder: &Path, config: &DataConfig) -> Loader {
    let dataset = Dataset::open(&folder.join("data.jsonl"), &Mapping::default(), None).unwrap();
    Loader::new(Source::Files(Box::new(dataset)), config)
}

/// All that can be told of some calls: numbers, ids and pixels of the examples, the error, the
/// place, and what was left out.
fn calls(loader: &mut Loader, counts: &[usize]) -> Vec<String> {
    let processor = Arc::new(processor());
    let call = |&count: &usize| {
        let examples = loader.next(count, &processor).map_err(|error| error.to_string());
        let told = examples.map(|examples| {
            let told = examples.iter().map(|example| (example.index, example.prompt.clone()));
            told.collect::<Vec<_>>()
        });
        format!("{told:?} {} {:?}", loader.place, loader.skipped)
    };
    counts.iter().map(call).collect()
}

#[test]
fn the_number_of_workers_changes_neither_examples_nor_what_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    for unreadable in [Unreadable::Skip, Unreadable::Error] {
        let config = |workers, prefetch| DataConfig {
            workers,
            prefetch,
            unreadable,
            seed: 5,
            ..DataConfig::default()
        };
        let counts = [4, 1, 7, 30];
        let expected = calls(&mut loader(folder.path(), &config(0, 1)), &counts);
        let errors = expected.iter().filter(|told| told.starts_with("Err")).count();
        assert_eq!(errors > 0, unreadable == Unreadable::Error, "{expected:?}");
        for workers in WORKERS {
            for prefetch in [1, 3, 64] {
                let found = calls(&mut loader(folder.path(), &config(workers, prefetch)), &counts);
                assert!(found == expected, "{workers} workers, {prefetch} ahead");
            }
        }
    }
}

#[test]
fn a_run_goes_on_at_any_place_with_any_number_of_workers() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let config = |workers| DataConfig { workers, prefetch: 7, ..DataConfig::default() };
    for (first, second) in [(0, 2), (2, 0), (5, 1), (1, 5)] {
        let mut whole = loader(folder.path(), &config(first));
        calls(&mut whole, &[3, 8]);
        let mut resumed = loader(folder.path(), &config(second));
        // What was prepared for another place is not handed out.
        calls(&mut resumed, &[2]);
        (resumed.place, resumed.skipped) = (whole.place, whole.skipped.clone());
        assert!(calls(&mut resumed, &[5, 20]) == calls(&mut whole, &[5, 20]), "{first} {second}");
    }
}

/// Prints what a step waits for 8 pictures of 1024×1024 while it computes for 0.8 seconds.
#[test]
#[ignore = "a measurement"]
fn a_step_waits_less_for_pictures_that_are_prepared_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    let lines = (0..48u32).map(|row| {
        let noise =
            |x: u32, y: u32| ((x * 31) ^ (y * 17) ^ (x * y)).wrapping_mul(row + 7) as u8 / 4;
        let picture =
            RgbImage::from_fn(1024, 1024, |x, y| Rgb([(x / 4) as u8, (y / 4) as u8, noise(x, y)]));
        picture.save(folder.path().join(format!("{row}.jpg"))).unwrap();
        json!({"problem": "?", "images": [format!("{row}.jpg")], "answer": 1}).to_string() + "\n"
    });
    std::fs::write(&path, lines.collect::<String>()).unwrap();
    let waited = |workers| {
        let config = DataConfig { workers, max_prompt_tokens: 1 << 20, ..DataConfig::default() };
        let (mut loader, processor) = (loader(folder.path(), &config), Arc::new(processor()));
        let mut waited: Vec<Duration> = (0..5)
            .map(|_| {
                loader.next(8, &processor).unwrap();
                std::thread::sleep(Duration::from_millis(800));
                std::mem::take(&mut loader.waited)
            })
            .collect();
        waited.sort();
        waited[2]
    };
    let (none, two) = (waited(0), waited(2));
    println!("a batch of 8 waits {none:.3?} without workers and {two:.3?} with 2");
    assert!(two < none);
}
