//! `cppo data` from generated questions to training, and what it says of bad data sets.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use trainer::data::{Dataset, Mapping, Sample};

use crate::commands::cppo;
use crate::reference::folder as reference;

fn run(arguments: &[&str]) -> Output {
    cppo(arguments).output().unwrap()
}

pub fn succeeds(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub fn fails(arguments: &[&str], code: i32, expected: &str) {
    let output = run(arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    assert!(message.contains(expected), "{expected:?} not in {message:?}");
    assert!(!message.contains("panicked"), "{message}");
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub fn inspect(path: &Path, arguments: &[&str]) -> Value {
    let all = [&["data", "inspect", text(path), "--json"], arguments].concat();
    serde_json::from_str(&succeeds(&all)).unwrap()
}

pub fn generate(out: &Path, arguments: &[&str]) {
    succeeds(&[&["data", "generate", "--out", text(out), "--quiet"], arguments].concat());
}

pub fn samples(path: &Path) -> Vec<Sample> {
    let dataset = Dataset::open(path, &Mapping::default(), None).unwrap();
    (0..dataset.len()).map(|row| dataset.get(row).unwrap()).collect()
}

fn metrics(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const SMALL: [&str; 8] = [
    "--device=cpu",
    "data.instruction=false",
    "trainer.batch_prompts=2",
    "trainer.mini_batch_prompts=2",
    "trainer.micro_batch_responses=4",
    "trainer.eval_every=0",
    "trainer.loggers=[jsonl]",
    "optim.lr=1e-4",
];

#[test]
fn generated_questions_train_from_parquet_and_from_json_lines_alike() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let families = ["--families", "count_color,count_shape", "--items", "6"];
    generate(&folder.join("gym"), &families);
    let parquet = folder.join("gym/train.parquet");
    let found = inspect(&parquet, &["--rows", "6"]);
    assert_eq!(found["rows"], 6);
    assert_eq!(found["unusable"]["rows"], 0);
    assert_eq!(found["sources"], json!({"gym/count_color": 3, "gym/count_shape": 3}));
    assert_eq!(found["layout"]["answer"], "reward_model.ground_truth");
    assert_eq!(found["image_width"], json!({"min": 84, "median": 84, "max": 84}));
    assert_eq!((&found["responses"], &found["prompt_tokens"]), (&json!(6), &Value::Null));

    let jsonl = folder.join("converted.jsonl");
    succeeds(&["data", "convert", text(&parquet), text(&jsonl), "--images", "beside"]);
    assert_eq!(inspect(&jsonl, &["--rows", "6"])["samples"], found["samples"]);
    let again = folder.join("again.parquet");
    succeeds(&["data", "convert", text(&jsonl), text(&again)]);
    assert_eq!(inspect(&again, &["--rows", "6"])["samples"], found["samples"]);

    let train = |command: &str, data: &Path, extra: &[&str]| {
        let run_dir = folder.join(format!("{command}-{}", data.extension().unwrap().display()));
        let (run_dir_key, data_key) =
            (format!("trainer.run_dir={}", text(&run_dir)), format!("data.train={}", text(data)));
        succeeds(&[&[command, &run_dir_key, &data_key], &SMALL[..], extra].concat());
        let mut lines = metrics(&run_dir);
        for line in &mut lines {
            let timed = |name: &String| name.starts_with("timing_s/") || name.starts_with("perf/");
            line.as_object_mut().unwrap().retain(|name, _| !timed(name));
        }
        lines
    };
    let sft = train("sft", &parquet, &["trainer.total_steps=2"]);
    assert_eq!(sft.len(), 2);
    assert!(sft.iter().all(|line| line["train/loss"].as_f64().unwrap() > 0.0));
    assert_eq!(sft, train("sft", &jsonl, &["trainer.total_steps=2"]));
    let short = ["trainer.total_steps=1", "rollout.n=3", "rollout.max_response_tokens=40"];
    let cppo = train("train", &parquet, &short);
    assert_eq!((cppo.len(), &cppo[0]["data/skipped"]), (1, &json!(0.0)));
    assert!(cppo[0]["actor/grad_norm"].is_number());
    assert_eq!(cppo, train("train", &jsonl, &short));
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.parquet", "a.jsonl"] {
        let write = |place: &str, seed: &str| {
            let path = folder.path().join(place).join(name);
            generate(&path, &["--split", "test", "--items", "30", "--seed", seed]);
            std::fs::read(path).unwrap()
        };
        let first = write("first", "1");
        assert!(first == write("second", "1"), "{name}");
        assert!(first != write("third", "2"), "{name}");
    }
}

#[test]
fn splits_share_neither_pictures_nor_scenes() {
    let folder = tempfile::tempdir().unwrap();
    let splits = ["train", "validation", "test"];
    // Sums of small digits have few scenes, so that splits drawn alike would meet.
    let options = ["--difficulty", "easy", "--families", "add_digits,count_color"];
    generate(folder.path(), &[&options[..], &["--items", "150", "--format", "jsonl"]].concat());
    let [train, validation, test] = splits.map(|split| {
        let samples = samples(&folder.path().join(format!("{split}.jsonl")));
        assert_eq!(samples.len(), 150);
        let scene = |sample: &Sample| {
            let response = sample.response.clone().unwrap();
            response.split_once("</think>").unwrap().0.to_string()
        };
        let pictures: BTreeSet<Vec<u8>> =
            samples.iter().map(|sample| sample.images[0].decode().unwrap().into_raw()).collect();
        assert_eq!(pictures.len(), 150, "{split}");
        (pictures, samples.iter().map(scene).collect::<BTreeSet<String>>())
    });
    for (one, other) in [(&train, &validation), (&train, &test), (&validation, &test)] {
        assert!(one.0.is_disjoint(&other.0) && one.1.is_disjoint(&other.1));
    }
    let error = Dataset::open(folder.path(), &Mapping::default(), None).unwrap_err().to_string();
    assert!(error.contains("several splits (test, train, validation)"), "{error}");
}

#[test]
fn options_of_generate_reach_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("validation.jsonl");
    let options = ["--families", "color_of", "--difficulty", "hard", "--instruction"];
    generate(&out, &[&["--split", "validation", "--items", "2"], &options[..]].concat());
    for (index, sample) in samples(&out).iter().enumerate() {
        let families = vec![gym::Family::ColorOf];
        let gym = gym::Gym { families, difficulty: gym::Difficulty::Hard, seed: 0 };
        let item = gym.item(gym::Split::Validation, index as u64);
        let question = format!("{} {}", item.question, processor::INSTRUCTION);
        assert_eq!(sample.prompt, [processor::Message::user(1, question)]);
        assert_eq!((&sample.answer, &sample.seen), (&item.answer, &item.seen));
        assert_eq!(sample.response.as_ref(), Some(&item.response));
        assert_eq!(sample.source, "gym/color_of");
        assert_eq!(sample.images[0].decode().unwrap(), item.picture);
    }
    let found = inspect(&out, &["--model", text(&reference().join("model"))]);
    let plain = inspect(&out, &["--plain", "--model", text(&reference().join("model"))]);
    let tokens = |found: &Value| found["prompt_tokens"]["min"].as_u64().unwrap();
    assert_eq!(tokens(&found), tokens(&plain), "the instruction is there already");
    assert!(tokens(&found) > 30);
}

/// A data set of another layout with bad rows, beside a picture and half of one.
fn mixed(folder: &Path) -> PathBuf {
    let png = std::fs::read(reference().join("image1.png")).unwrap();
    std::fs::write(folder.join("whole.png"), &png).unwrap();
    std::fs::write(folder.join("half.png"), &png[..png.len() / 2]).unwrap();
    let row = |picture: &str, answer: Value| {
        json!({"ask": "What?", "pic": picture, "truth": {"text": answer}}).to_string()
    };
    let rows = [
        row("whole.png", json!("1")),
        row("gone.png", json!("2")),
        row("whole.png", json!(null)),
        row("half.png", json!("3")),
        row("lost.png", json!("4")),
        "{broken".to_string(),
        row("whole.png", json!(5)),
    ];
    let path = folder.join("mixed.jsonl");
    std::fs::write(&path, rows.join("\n") + "\n").unwrap();
    path
}

const KEYS: [&str; 6] = ["--prompt-key", "ask", "--image-key", "pic", "--answer-key", "truth.text"];

#[test]
fn rows_that_cannot_be_read_are_named_or_counted() {
    let folder = tempfile::tempdir().unwrap();
    let input = mixed(folder.path());
    let out = folder.path().join("out.parquet");
    let convert = [&["data", "convert", text(&input), text(&out)], &KEYS[..]].concat();
    fails(&convert, 1, "mixed.jsonl, line 2: column pic: ");
    assert!(!out.exists());
    let listing = succeeds(&[&convert[..], &["--skip-bad"]].concat());
    for expected in [
        "out.parquet: 2 rows",
        "left out 5 rows",
        "       2  column pic: FILE: No such file",
        "mixed.jsonl, line 2)",
        "       1  column truth.text: missing or null",
        "       1  image N: FILE: the picture cannot be decoded",
        "       1  not JSON",
    ] {
        assert!(listing.contains(expected), "{expected:?} not in {listing}");
    }
    let answers: Vec<String> = samples(&out).into_iter().map(|sample| sample.answer).collect();
    assert_eq!(answers, ["1", "5"]);
    let found = inspect(&input, &KEYS);
    assert_eq!((&found["rows"], &found["unusable"]["rows"]), (&json!(7), &json!(5)));
    assert_eq!(found["unusable"]["reasons"][0]["count"], 2);
    let shown = succeeds(&[&["data", "inspect", text(&input), "--rows", "1"], &KEYS[..]].concat());
    for expected in ["7 rows", "answer = truth.text", "5 rows cannot be used", "row 0"] {
        assert!(shown.contains(expected), "{expected:?} not in {shown}");
    }
    // Elsewhere the pictures are missing, so that no row can be read.
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let elsewhere = ["--skip-bad", "--image-dir", text(&empty)];
    fails(&[&convert[..], &elsewhere].concat(), 1, "no row can be read");
    assert_eq!(samples(&out).len(), 2, "the old file stays");
}

#[test]
fn a_page_shows_rows_with_their_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let input = mixed(folder.path());
    let row = json!({
        "ask": "<script>alert(1)</script> Which?", "pic": "whole.png", "truth": {"text": "a & b"}
    });
    std::fs::write(&input, std::fs::read_to_string(&input).unwrap() + &row.to_string()).unwrap();
    let page = folder.path().join("page.html");
    let inspect = [&["data", "inspect", text(&input), "--html", text(&page)], &KEYS[..]].concat();
    succeeds(&inspect);
    let html = std::fs::read_to_string(&page).unwrap();
    for expected in ["a &amp; b", "&lt;script&gt;", "row 7", "1 × not JSON", "answer = truth.text"]
    {
        assert!(html.contains(expected), "{expected} not in {html}");
    }
    assert!(!html.contains("<script>"));
    assert_eq!(html.matches("src=\"data:image/png;base64,iVBOR").count(), 3);
    let nowhere = folder.path().join("none/page.html");
    let inspect = ["data", "inspect", text(&input), "--html", text(&nowhere)];
    fails(&[&inspect[..], &KEYS[..]].concat(), 1, "page.html: ");
}

#[test]
fn a_sheet_shows_every_perturbation() {
    let folder = tempfile::tempdir().unwrap();
    let (picture, out) = (reference().join("image1.png"), folder.path().join("sheet.png"));
    let inspect = ["data", "inspect", "--perturbations", text(&picture), "--out", text(&out)];
    let names = succeeds(&[&inspect[..], &["--draws", "2"]].concat());
    let expected = cppo::perturbation::Perturbation::all();
    let expected: Vec<&str> = expected.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.lines().collect::<Vec<_>>(), expected);
    let read = |path: &Path| processor::decode(&std::fs::read(path).unwrap()).unwrap();
    let ((width, height), sheet) = (read(&picture).dimensions(), read(&out));
    assert_eq!(
        sheet.dimensions(),
        (3 * (width + 4) - 4, names.lines().count() as u32 * (height + 4) - 4)
    );
    let first = std::fs::read(&out).unwrap();
    succeeds(&[&inspect[..], &["--draws", "2", "--seed", "1"]].concat());
    assert!(first != std::fs::read(&out).unwrap());
    fails(&[&inspect[..], &["--draws", "1000000"]].concat(), 1, "too much for one sheet");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn wrong_usage_is_said_with_exit_code_2() {
    let cases: [(&[&str], &str); 10] = [
        (&["data", "generate"], "--out"),
        (&["data", "generate", "--out", "a.parquet"], "--split"),
        (&["data", "generate", "--out", "a", "--split", "dev"], "use train, validation, test"),
        (&["data", "generate", "--out", "a", "--families", "counting"], "count_color"),
        (&["data", "generate", "--out", "a", "--items", "0"], "--items"),
        (
            &["data", "generate", "--out", "a.jsonl", "--split", "test", "--format", "parquet"],
            "disagree",
        ),
        (&["data", "convert", "a.jsonl", "a.csv"], "neither .parquet nor .jsonl"),
        (&["data", "inspect"], "perturbations"),
        (&["data", "inspect", "--perturbations", "a.png"], "--out"),
        (&["data", "inspect", "--perturbations", "a.png", "--out", "a.jpg"], "not a .png"),
    ];
    for (arguments, expected) in cases {
        fails(arguments, 2, expected);
    }
    fails(&["data", "inspect", "no/such.parquet"], 1, "no/such.parquet");
}

#[test]
fn rows_with_several_pictures_and_with_none_train() {
    let folder = tempfile::tempdir().unwrap();
    let gym = folder.path().join("gym.jsonl");
    generate(&gym, &["--split", "train", "--items", "6", "--images", "beside"]);
    let images: Vec<Value> = std::fs::read_to_string(&gym)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["images"][0].clone())
        .collect();
    let rows = [
        json!({"problem": "How many red shapes?", "images": [images[0]], "answer": "1"}),
        json!({"problem": "How many?", "images": [images[1], images[2]], "answer": "2"}),
        json!({"problem": "one plus one", "images": [], "answer": "2"}),
        json!({"problem": "a <image> b <image> c <image>", "images": images[3..6], "answer": "3"}),
    ];
    let mixed = folder.path().join("mixed.jsonl");
    std::fs::write(&mixed, rows.map(|row| row.to_string()).join("\n")).unwrap();
    assert_eq!(inspect(&mixed, &[])["images_per_row"], json!({"min": 0, "median": 1, "max": 3}));
    for (command, more) in [
        ("train", &["rollout.n=3", "rollout.max_response_tokens=8", "algorithm.cpl.gate=none"][..]),
        ("train", &["rollout.n=2", "rollout.max_response_tokens=8", "trainer.recompute=true"][..]),
    ] {
        let run_dir = folder.path().join(more[0].replace('.', "_"));
        let keys = [
            format!("trainer.run_dir={}", text(&run_dir)),
            format!("data.train={}", text(&mixed)),
            "data.max_prompt_tokens=512".into(),
            "trainer.total_steps=2".into(),
            "algorithm.pg_coef=1.0".into(),
        ];
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        succeeds(&[&[command], &keys[..], &SMALL[..], more].concat());
        let lines = metrics(&run_dir);
        assert_eq!(lines.len(), 2);
        for line in lines {
            assert_eq!(line["data/skipped"], 0.0);
            assert!(line["actor/grad_norm"].as_f64().is_some_and(f64::is_finite), "{line}");
        }
    }
}
