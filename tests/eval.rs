//! `cppo eval`: benchmarks in their published forms, runs that go on, and models compared.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::commands::cppo;
use crate::eval_files::{Files, ROWS, all, png, tsv};

/// An evaluation with the usual arguments where `more` does not say otherwise.
fn eval_with(usual: &[[&str; 2]], more: &[&str]) -> Output {
    let usual = usual.iter().filter(|[name, _]| !more.contains(name)).flatten().copied();
    let arguments: Vec<&str> =
        ["eval", "--device", "cpu", "--json"].into_iter().chain(usual).collect();
    cppo(&[&arguments[..], more].concat()).output().unwrap()
}

/// A short greedy evaluation of the demo model.
pub fn eval(more: &[&str]) -> Output {
    eval_with(&[["--n", "1"], ["--max-new-tokens", "3"]], more)
}

/// Several sampled responses to a few test pictures of the gym.
fn sampled(out: &Path, more: &[&str]) -> Output {
    let usual = [["--limit", "12"], ["--n", "3"], ["--max-new-tokens", "32"], ["--out", text(out)]];
    eval_with(&usual, more)
}

pub fn found(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub fn fails(output: &Output, code: i32, expected: &str) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(message.contains(expected), "{expected:?} not in {message:?}");
    assert!(!message.contains("panicked"), "{message}");
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The responses of a folder, in the order of questions and samples.
fn responses(folder: &Path) -> Vec<Value> {
    let mut lines: Vec<Value> = read(&folder.join("responses.jsonl"))
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    lines.sort_by_key(|line| (line["index"].as_u64(), line["sample"].as_u64()));
    lines
}

/// Right but for every fourth question.
fn is_right(index: usize) -> bool {
    index % 4 != 0
}

/// Evaluates the demo model on the files, then the known answers in its place.
fn known(files: &Files, out: &Path) -> Value {
    let mut arguments = vec!["--benchmark", files.benchmark, "--out", text(out)];
    files.paths.iter().for_each(|path| arguments.extend(["--data", text(path)]));
    let asked = found(&eval(&arguments));
    assert_eq!(asked["report"]["questions"], ROWS, "{}", files.benchmark);
    let mut lines = String::new();
    for (index, mut line) in responses(out).into_iter().enumerate() {
        assert_eq!(line["index"], index);
        let answer = if is_right(index) { &files.right[index] } else { files.wrong };
        line["response"] = format!("<think>so</think> \\boxed{{{answer}}}").into();
        lines += &format!("{line}\n");
    }
    std::fs::write(out.join("responses.jsonl"), lines).unwrap();
    let known = found(&eval(&arguments));
    let items = &serde_json::from_str::<Value>(&read(&out.join("results.json"))).unwrap()["items"];
    for (index, item) in items.as_array().unwrap().iter().enumerate() {
        let name = files.benchmark;
        assert_eq!(item["correct"], json!([is_right(index)]), "{name}, question {index}: {item}");
    }
    known["report"].clone()
}

#[test]
fn every_benchmark_is_read_judged_and_summed_up_as_published() {
    let folder = tempfile::tempdir().unwrap();
    let overall = vec![("Overall", 0.75)];
    for files in all(folder.path()) {
        let report = known(&files, &folder.path().join(files.benchmark));
        // Every fourth of the rows from the start is wrong; see `eval_files` for what they are.
        let (official, groups): (Vec<(&str, f64)>, usize) = match files.benchmark {
            "mathverse" => (
                vec![
                    ("Overall", 0.75),
                    ("Text Dominant", 0.0),
                    ("Text Lite", 0.8),
                    ("Vision Dominant", 1.0),
                    ("Vision Intensive", 1.0),
                    ("Vision Only", 1.0),
                ],
                6,
            ),
            "wemath" => (
                vec![
                    ("Score (Strict)", 0.25),
                    ("InsufficientKnowledge (Strict)", 0.0),
                    ("InadequateGeneralization (Strict)", 1.0 / 6.0),
                    ("CompleteMastery (Strict)", 1.0 / 6.0),
                    ("RoteMemorization (Strict)", 0.8),
                    ("Score (Loose)", 5.5 / 6.0),
                    ("InsufficientKnowledge (Loose)", 0.0),
                    ("InadequateGeneralization (Loose)", 1.0 / 6.0),
                    ("CompleteMastery (Loose)", 5.0 / 6.0),
                    ("RoteMemorization (Loose)", 0.0),
                ],
                8,
            ),
            "dynamath" => (vec![("Overall (Average)", 0.75), ("Overall (Worst Case)", 0.5)], 2),
            "mathvista" => (overall.clone(), 4),
            "mathvision" => (overall.clone(), 7),
            "logicvista" => (overall.clone(), 2),
            "mmmu-pro" => (overall.clone(), 1),
            "geometry3k" => (overall.clone(), 0),
            other => panic!("{other}"),
        };
        let name = files.benchmark;
        assert_eq!(report["avg"]["value"], 0.75, "{name}");
        assert_eq!(report["groups"].as_array().unwrap().len(), groups, "{name}: {report}");
        let measures = report["official"].as_array().unwrap();
        assert_eq!(measures.len(), official.len(), "{name}: {report}");
        for (measure, (expected, value)) in measures.iter().zip(official) {
            assert_eq!(measure["name"], expected, "{name}");
            assert!((measure["mean"].as_f64().unwrap() - value).abs() < 1e-9, "{name}: {measure}");
        }
    }
}

#[test]
fn a_broken_evaluation_goes_on_as_if_nothing_had_happened() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let report = found(&sampled(&whole, &[]))["report"].clone();
    assert!(report["avg"]["low"].as_f64() < report["avg"]["high"].as_f64(), "{report}");
    assert_eq!(report["pass"].as_object().unwrap().len(), 3, "1, 2 and 3: {report}");
    for name in ["results.json", "results.md", "report.html", "settings.json"] {
        assert!(whole.join(name).is_file(), "{name}");
    }
    let html = read(&whole.join("report.html"));
    assert!(html.contains("data:image/jpeg;base64,") && !html.contains("src=\"http"));

    // Cut in the middle of a line, and gone on with in other batches.
    found(&sampled(&broken, &["--batch", "3"]));
    let log = broken.join("responses.jsonl");
    let text = read(&log);
    std::fs::write(&log, &text[..text.len() / 2]).unwrap();
    assert_eq!(found(&sampled(&broken, &["--batch", "5"]))["report"], report);
    assert_eq!(responses(&broken), responses(&whole));
    // Fewer responses are the first of these.
    let fewer = folder.path().join("fewer");
    found(&sampled(&fewer, &["--n", "2"]));
    let first = responses(&whole).into_iter().filter(|line| line["sample"] != 2);
    assert_eq!(responses(&fewer), first.collect::<Vec<_>>());
    let again = found(&sampled(&broken, &[]));
    assert_eq!((&again["report"], &again["timing"]["seconds"]), (&report, &json!(0.0)));

    for (change, expected) in [
        (&["--temperature", "0.5"][..], "another temperature (1.0, now 0.5)"),
        (&["--seed", "7"], "another seed (0, now 7)"),
        (&["--limit", "11"], "another questions (12, now 11)"),
        (&["--grader", "mathruler"], "another grader"),
    ] {
        fails(&sampled(&broken, change), 1, expected);
    }
    let lines: Vec<&str> = text.lines().collect();
    std::fs::write(&log, format!("{}\nnot json\n{}\n", lines[0], lines[1])).unwrap();
    fails(&sampled(&broken, &[]), 1, "responses.jsonl: line 2 is no response");
}

#[test]
fn an_interrupt_keeps_what_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let child = cppo(&["eval", "--device", "cpu", "--limit", "20000", "--out", text(&out)])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = out.join("responses.jsonl");
    let started = Instant::now();
    while std::fs::metadata(&log).map_or(0, |file| file.len()) == 0 {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing is answered");
        std::thread::sleep(Duration::from_millis(20));
    }
    let process = child.id().to_string();
    assert!(
        std::process::Command::new("kill").args(["-INT", &process]).status().unwrap().success()
    );
    let output = child.wait_with_output().unwrap();
    fails(&output, 130, "the same command goes on");
    assert!(read(&log).ends_with('\n') && !responses(&out).is_empty());
}

#[test]
fn two_models_are_compared_on_the_same_questions() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b, other] = ["a", "b", "other"].map(|name| folder.path().join(name));
    found(&sampled(&a, &[]));
    found(&sampled(&b, &["--temperature", "1000"]));
    let compare = |a: &Path, b: &Path, more: &[&str]| {
        cppo(&[&["eval", "compare", text(a), text(b)], more].concat()).output().unwrap()
    };
    let same = found(&compare(&a, &a, &["--json"]));
    assert_eq!((&same["p_value"], &same["difference"]["value"]), (&json!(1.0), &json!(0.0)));
    // Tokens drawn alike hold no answer.
    let worse = found(&compare(&a, &b, &["--json"]));
    assert_eq!((worse["questions"].as_u64(), &worse["second"]), (Some(12), &json!(0.0)));
    assert!(worse["difference"]["high"].as_f64().unwrap() < 0.0, "{worse}");
    assert!(worse["p_value"].as_f64().unwrap() < 0.05, "{worse}");
    let table = compare(&a, &b, &[]).stdout;
    let table = String::from_utf8(table).unwrap();
    assert!(table.contains("difference") && table.contains("on 12 questions"), "{table}");

    for (change, expected) in [
        (["--limit", "11"], "12 questions and 11"),
        (["--max-new-tokens", "2"], "max_new_tokens is 32 in the first and 2 in the second"),
        (["--grader", "mathruler"], "grader is \"exact\" in the first and \"mathruler\" in the"),
    ] {
        let other = other.join(change[1]);
        found(&sampled(&other, &change));
        fails(&compare(&a, &other, &[]), 1, expected);
    }
    fails(&compare(&a, folder.path(), &[]), 1, "there is none; finish the evaluation");
}

#[test]
fn other_pictures_are_another_evaluation() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["one", "other"] {
        std::fs::create_dir(at(name)).unwrap();
        std::fs::write(at(name).join("a.png"), png()).unwrap();
    }
    let row = json!({"prompt": "q", "images": ["a.png"], "answer": "1"});
    std::fs::write(at("a.jsonl"), row.to_string()).unwrap();
    let (data, out) = (at("a.jsonl"), at("out"));
    let asked = |name: &str| {
        eval(&["--data", text(&data), "--out", text(&out), "--image-dir", text(&at(name))])
    };
    found(&asked("one"));
    found(&asked("one"));
    fails(&asked("other"), 1, "another questions_crc32c");
}

#[test]
fn bad_input_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_string();
    let rows = |name: &str, rows: &[Value]| {
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        std::fs::write(folder.join(name), text).unwrap();
        path(name)
    };
    std::fs::write(folder.join("a.png"), png()).unwrap();
    let row = |key: &str, value: Value| {
        let mut row = json!({"id": 1, "question": "q", "options": ["1", "2"], "answer": "B",
            "image": "a.png"});
        row[key] = value;
        row
    };
    let vision = all(folder).into_iter().find(|files| files.benchmark == "mathvision").unwrap();
    let mut damaged = std::fs::read(&vision.paths[0]).unwrap();
    damaged[100..2000].iter_mut().for_each(|byte| *byte = !*byte);
    std::fs::write(folder.join("damaged.parquet"), damaged).unwrap();
    tsv(&folder.join("reference.tsv"), &["image ", "question", "answer"], |row| {
        vec!["".into(), "q".into(), if row == 3 { "".into() } else { "1".into() }]
    });
    std::fs::write(folder.join("lost.tsv"), "index\timage\tquestion\tanswer\n1\t77\tq\t2\n")
        .unwrap();
    let cases = [
        ("mathvision", path("damaged.parquet"), 1, "the parquet data here cannot be read"),
        ("mathvision", rows("1.jsonl", &[row("image", json!("gone.png"))]), 1, "gone.png"),
        ("mathvision", rows("2.jsonl", &[row("image", json!(null))]), 1, "no picture"),
        (
            "mathvision",
            rows("3.jsonl", &[row("question", json!(["q"]))]),
            1,
            "a list, not a string",
        ),
        ("wemath", rows("4.jsonl", &[row("option", json!(""))]), 1, "without options"),
        ("mathvision", rows("5.jsonl", &[row("answer", json!("F"))]), 1, "none of the 2 options"),
        (
            "mathvision",
            rows("6.jsonl", &[json!({"question": "q", "image": "a.png"})]),
            1,
            "no column answer",
        ),
        ("mathvision", path("reference.tsv"), 1, "row 3 (from 0): column answer: missing or empty"),
        ("mathvision", path("lost.tsv"), 1, "the picture of row 77: there is no such row"),
        ("mathvision", path("none.parquet"), 1, "none.parquet"),
        ("mathvission", path("damaged.parquet"), 2, "did you mean mathvision?"),
        ("gym", path("damaged.parquet"), 2, "leave out --data"),
    ];
    for (benchmark, data, code, expected) in cases {
        fails(&eval(&["--benchmark", benchmark, "--data", &data]), code, expected);
    }
    std::fs::write(folder.join("a.png"), "no picture").unwrap();
    let output =
        eval(&["--benchmark", "mathvision", "--data", &rows("7.jsonl", &[row("id", json!(2))])]);
    fails(&output, 1, "7.jsonl, line 1");
    for (arguments, expected) in [
        (&["--benchmark", "wemath"][..], "name them with --data"),
        (&["--limit", "0"], "no questions"),
        (&["--n", "0"], "1 or more"),
        (&["--top-p", "2"], "top_p"),
        (&["--mapping", "answerkey=a"], "answer_key"),
    ] {
        fails(&eval(arguments), 2, expected);
    }
}
