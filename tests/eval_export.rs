//! `cppo eval --export-vlmevalkit`: the columns that VLMEvalKit's own scripts look for.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::eval::{eval, found, read, text};
use crate::eval_files::{ROWS, all};

/// The rows of a `.tsv` by its columns.
fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let text = read(path);
    let mut quoted = false;
    let mut rest = text.chars().peekable();
    while let Some(char) = rest.next() {
        match (char, quoted) {
            ('"', true) if rest.peek() == Some(&'"') => field.extend(rest.next()),
            ('"', _) => quoted = !quoted,
            ('\t' | '\n', false) => {
                row.push(std::mem::take(&mut field));
                if char == '\n' {
                    rows.push(std::mem::take(&mut row));
                }
            }
            (char, _) => field.push(char),
        }
    }
    let header = rows.remove(0);
    let named = |row: Vec<String>| header.iter().cloned().zip(row).collect();
    rows.into_iter().map(named).collect()
}

#[test]
fn responses_are_exported_for_a_judge_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let files = all(folder.path()).into_iter().find(|files| files.benchmark == "wemath").unwrap();
    let export = folder.path().join("predictions.tsv");
    let arguments = ["--benchmark", "wemath", "--data", text(&files.paths[0])];
    let to = ["--export-vlmevalkit", text(&export), "--limit", "3"];
    found(&eval(&[&arguments[..], &to].concat()));
    let exported = read(&export);
    let header = exported.lines().next().unwrap();
    assert!(header.starts_with("index\tID") && header.ends_with("\tprediction"), "{header}");
    assert!(!header.contains("image"), "{header}");
    // The export is a data set again, without its pictures.
    let again = eval(&["--data", text(&export), "--mapping", "answer_key=answer"]);
    assert_eq!(found(&again)["report"]["questions"], 3);
    found(&eval(&[&arguments[..], &to, &["--n", "2"]].concat()));
    assert!(folder.path().join("predictions_1.tsv").is_file());

    // The hub's files lack what VLMEvalKit's have; a second export replaces the responses.
    let hub = folder.path().join("hub");
    std::fs::create_dir(&hub).unwrap();
    let files = all(&hub).into_iter().next().unwrap();
    let (first, second) = (folder.path().join("first.tsv"), folder.path().join("second.tsv"));
    let arguments = ["--benchmark", "mathvista", "--data", text(&files.paths[0]), "--limit", "1"];
    found(&eval(&[&arguments[..], &["--export-vlmevalkit", text(&first)]].concat()));
    let again = ["--data", text(&first), "--export-vlmevalkit", text(&second)];
    found(&eval(&again));
    for path in [first, second] {
        let exported = read(&path);
        let names: Vec<&str> = exported.lines().next().unwrap().split('\t').collect();
        for name in ["choices", "answer_option", "prediction"] {
            assert_eq!(names.iter().filter(|other| **other == name).count(), 1, "{names:?}");
        }
        assert!(exported.contains(r#""[""blue"",""red""]""#), "{exported}");
    }
}

#[test]
fn the_hubs_columns_are_exported_under_vlmevalkits_names() {
    let folder = tempfile::tempdir().unwrap();
    for files in all(folder.path()) {
        let export = folder.path().join(files.benchmark).with_extension("tsv");
        let mut arguments = vec!["--benchmark", files.benchmark, "--export-vlmevalkit"];
        arguments.push(text(&export));
        files.paths.iter().for_each(|path| arguments.extend(["--data", text(path)]));
        found(&eval(&arguments));
        let rows = rows(&export);
        assert_eq!(rows.len(), ROWS, "{}", files.benchmark);
        let column = |row: usize, name: &str| rows[row].get(name).map(String::as_str);
        let indices: std::collections::BTreeSet<_> = rows.iter().map(|row| &row["index"]).collect();
        assert_eq!(indices.len(), ROWS, "{}: rows are found by their index", files.benchmark);
        let expected: &[(usize, &str, &str)] = match files.benchmark {
            "mathvista" => &[
                (0, "task", "a"),
                (3, "task", "b"),
                (0, "skills", r#"["arithmetic reasoning","algebraic reasoning"]"#),
                (0, "category", "math-targeted-vqa"),
                (0, "choices", r#"["blue","red"]"#),
                (0, "answer_option", "B"),
                (1, "answer", "7"),
                (1, "answer_type", "integer"),
            ],
            "mathverse" => &[
                (0, "problem_version", "Text Dominant"),
                (0, "metadata", r#"{"subject":"Plane Geometry"}"#),
            ],
            "mathvision" => &[
                (0, "choices", r#"["3","4","5"]"#),
                (1, "choices", "[]"),
                (0, "category", "algebra"),
                (19, "category", "topology"),
            ],
            "wemath" => &[(0, "ID", "0"), (2, "key", "2steps_multi"), (0, "A", "1")],
            "logicvista" => &[(0, "skill", "inductive"), (0, "answer", "A, C")],
            "dynamath" => &[
                (3, "qid", "3"),
                (3, "varid", "1"),
                (13, "qid", "3"),
                (13, "varid", "2"),
                (13, "index", "13"),
                (0, "answer", "3.142"),
                (0, "knowledge_level", "high school"),
            ],
            "mmmu-pro" => &[(1, "category", "Art"), (1, "B", "a dog's tail"), (1, "answer", "B")],
            _ => &[(0, "answer", "2 \\sqrt { 221 }")],
        };
        for &(row, name, value) in expected {
            assert_eq!(column(row, name), Some(value), "{} {row} {name}", files.benchmark);
        }
        assert!(rows.iter().all(|row| row.contains_key("prediction")));
        if files.benchmark == "mathverse" {
            // Its script reads the object after this, and puts its fields beside the columns.
            let metadata = column(0, "metadata").unwrap().replace('\'', "\"");
            let metadata: Value = serde_json::from_str(&metadata).unwrap();
            let fields: Vec<_> = metadata.as_object().unwrap().keys().collect();
            assert!(fields.iter().all(|field| column(0, field).is_none()), "{fields:?}");
        }
    }
}
