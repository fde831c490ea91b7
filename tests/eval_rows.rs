//! `cppo eval`: rows that cannot be used, and programs that score responses.

use std::path::Path;

use serde_json::{Value, json};

use crate::eval::{eval, fails, found, read, text};
use crate::eval_files::png;

/// A picture, and a file with five rows of which the first and the last can be used.
fn data(folder: &Path) -> String {
    std::fs::write(folder.join("a.png"), png()).unwrap();
    std::fs::write(folder.join("broken.png"), "no picture").unwrap();
    let mut thin = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(1000, 2).write_to(&mut thin, image::ImageFormat::Png).unwrap();
    std::fs::write(folder.join("thin.png"), thin.into_inner()).unwrap();
    let row = |image: &str, answer: Value| json!({"prompt": "<image>How many?", "images": [image], "answer": answer});
    let rows = [
        row("a.png", json!("1")),
        row("gone.png", json!("2")),
        row("broken.png", json!("3")),
        row("thin.png", json!("4")),
        row("a.png", json!(null)),
        row("a.png", json!("6")),
    ];
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let path = folder.join("rows.jsonl");
    std::fs::write(&path, lines).unwrap();
    text(&path).into()
}

#[test]
fn rows_that_cannot_be_used_end_an_evaluation_or_are_left_out_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path());
    fails(&eval(&["--data", &data]), 1, "rows.jsonl, line 2: column images");
    fails(&eval(&["--data", &data, "--unreadable", "ignore"]), 2, "must be error or skip");
    let out = folder.path().join("out");
    let asked = ["--data", &data, "--unreadable", "skip", "--out", text(&out)];
    let first = found(&eval(&asked));
    assert_eq!(first["report"]["questions"], 2);
    let left_out = first["left_out"].as_array().unwrap();
    assert_eq!(left_out.len(), 4, "{left_out:?}");
    for (line, expected) in
        [(2, "No such file"), (3, "not a picture"), (4, "sides may differ"), (5, "null")]
    {
        let at_line = |out: &&Value| {
            out["first"].as_str().unwrap().ends_with(&format!("rows.jsonl, line {line}"))
        };
        let found = left_out.iter().find(at_line).unwrap();
        assert!(found["reason"].as_str().unwrap().contains(expected), "{found}");
        assert_eq!(found["count"], 1);
    }
    let lines = read(&out.join("responses.jsonl"));
    let ids: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone())
        .collect();
    assert_eq!(ids, [json!("0"), json!("5")]);
    for name in ["report.html", "results.md"] {
        assert!(read(&out.join(name)).to_lowercase().contains("left out 1: "), "{name}");
    }
    // The same command finds all answered.
    let again = found(&eval(&asked));
    assert_eq!((&again["report"], &again["timing"]["seconds"]), (&first["report"], &json!(0.0)));
    // Once the file is there, they are other questions.
    std::fs::write(folder.path().join("gone.png"), png()).unwrap();
    fails(&eval(&asked), 1, "another questions");

    let none = folder.path().join("none.jsonl");
    let lines: Vec<String> = read(Path::new(&data)).lines().map(String::from).collect();
    std::fs::write(&none, &lines[2]).unwrap();
    let asked = ["--data", text(&none), "--unreadable", "skip"];
    fails(&eval(&asked), 1, "no question can be used: ");
}

#[cfg(unix)]
#[test]
fn a_program_scores_what_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    // The score is the id's last digit.
    let script = format!(
        r#"while IFS= read -r line; do printf '%s\n' "$line" >> {}
            id=${{line#*:}}; id=${{id%%,*}}
            echo "{{\"id\": $id, \"score\": ${{id#${{id%?}}}}, \"metrics\": {{\"words\": 3}}}}"; done"#,
        told.display()
    );
    let command = json!(["sh", "-c", script]).to_string();
    let out = folder.path().join("out");
    let asked = ["--limit", "3", "--n", "2", "--max-new-tokens", "24", "--out", text(&out)];
    let plain = found(&eval(&asked));
    let scored = found(&eval(&[&asked[..], &["--reward-program", &command]].concat()));
    // Responses 0 to 5; verdicts do not change.
    let program = &scored["reward_program"];
    assert_eq!(program["score"]["value"], 2.5, "{program}");
    assert_eq!(program["metrics"]["words"], 3.0, "{program}");
    assert!((program["std"].as_f64().unwrap() - 0.5f64.sqrt()).abs() < 1e-9, "{program}");
    assert_eq!((&scored["report"], plain.get("reward_program")), (&plain["report"], None));
    let told = read(&told);
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kept = read(&out.join("responses.jsonl"));
    assert_eq!(told.len(), 6);
    for (line, told) in kept.lines().zip(&told) {
        let kept: Value = serde_json::from_str(line).unwrap();
        assert_eq!(kept["response"], told["response"]);
        assert!(told["prompt"].as_str().is_some_and(|prompt| prompt.ends_with('?')), "{told}");
        assert!(told["data_source"].as_str().unwrap().starts_with("gym"), "{told}");
        assert!(!told["answer"].as_str().unwrap().is_empty());
    }
    let markdown = read(&out.join("results.md"));
    assert!(markdown.contains("| reward program | 2.500 | "), "{markdown}");

    let broken = r#"["sh", "-c", "echo out of luck >&2; exit 3"]"#;
    let output = eval(&["--limit", "1", "--reward-program", broken]);
    fails(&output, 1, "the reward program program, restarted 3 times, ended (exit status: 3)");
    fails(&output, 1, "out of luck");
    let output = eval(&["--limit", "1", "--reward-program", "/nowhere/judge"]);
    fails(&output, 1, "cannot be started: /nowhere/judge");
}
