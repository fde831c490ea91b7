//! `cppo score`: JSON lines in, JSON lines out.

use std::io::{BufRead, BufReader, Write};
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::commands::cppo;

fn score(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = cppo(&[&["score"], arguments].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    output
}

fn lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn responses_are_scored_in_order() {
    let cases = [
        (r"<think>2+2</think>\boxed{4}", json!("4"), [1.0, 1.0, 1.0], json!("4")),
        (r"\boxed{\frac{1}{2}}", json!("0.5"), [0.9, 1.0, 0.0], json!(r"\frac{1}{2}")),
        (r"<think></think>\boxed{5}", json!(4), [0.1, 0.0, 1.0], json!("5")),
        ("four", json!("4"), [0.0, 0.0, 0.0], json!(null)),
    ];
    let input: String = cases
        .iter()
        .map(|(response, answer, ..)| {
            format!("{}\n", json!({"response": response, "answer": answer, "other": 1}))
        })
        .collect();
    let output = score(&["--grader", "mathruler"], input.as_bytes());
    assert!(output.status.success());
    let found = lines(&output);
    assert_eq!(found.len(), cases.len());
    for ((response, _, [score, accuracy, format], answer), found) in cases.iter().zip(&found) {
        let close = |name: &str, value: f64| (found[name].as_f64().unwrap() - value).abs() < 1e-6;
        assert!(close("score", *score), "{response}: {found}");
        assert!(close("accuracy", *accuracy) && close("format", *format), "{response}: {found}");
        assert_eq!(found["answer"], *answer);
        assert_eq!(found.as_object().unwrap().len(), 4);
    }
    let exact = lines(&score(&["--grader", "exact", "--explain"], input.as_bytes()));
    assert_eq!(exact[1]["explain"]["verdict"]["rule"], "same normal form");
    assert_eq!(exact[3]["answer"], "four");
    assert_eq!(exact[3]["accuracy"], 1.0);
    let explained = lines(&score(&["--explain"], input.as_bytes()));
    assert_eq!(explained[3]["explain"]["accuracy"], "there is no \\boxed{}");
    assert_eq!(explained[0]["explain"]["format"], "as required");
}

#[test]
fn bad_lines_are_named_and_the_others_scored() {
    let good = r#"{"response": "\\boxed{1}", "answer": "1"}"#;
    let input = format!(
        "{good}\n\n{{\"response\": 3, \"answer\": 1}}\nnot json\n{{\"response\": \"x\"}}\n{{\"response\": \"x\", \"answer\": null}}\n{good}"
    );
    let mut input = input.into_bytes();
    input.extend(b"\n{\"response\": \"\xff\", \"answer\": 1}");
    let output = score(&[], &input);
    let message = String::from_utf8_lossy(&output.stderr).to_string();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert_eq!(message, "cppo: 5 of 7 lines could not be scored\n");
    let found = lines(&output);
    let expected = [
        None,
        Some((3, "expected a string")),
        Some((4, "at byte")),
        Some((5, "missing field `answer`")),
        Some((6, "answer must be a string or a number")),
        None,
        Some((8, "unicode")),
    ];
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        match expected {
            None => assert_eq!(found["accuracy"], 1.0),
            Some((line, part)) => {
                assert_eq!(found["line"], line);
                let error = found["error"].as_str().unwrap();
                assert!(error.contains(part), "{error}");
            }
        }
    }
    assert!(score(&[], b"").status.success());
    assert_eq!(score(&["--grader", "oracle"], b"").status.code(), Some(2));
}

#[test]
fn each_score_comes_before_the_next_line_is_asked_for() {
    let mut child = cppo(&["score"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for number in 0..3 {
        writeln!(stdin, "{}", json!({"response": format!("\\boxed{{{number}}}"), "answer": 1}))
            .unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let found: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(found["accuracy"], f64::from(u8::from(number == 1)));
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[cfg(unix)]
#[test]
fn a_program_adds_its_score_and_where_it_fails_is_named() {
    let judge = |script: &str| json!(["sh", "-c", script]).to_string();
    let answers = |reply: &str| {
        let id = r#"id=${line#*\"id\":}; id=${id%%,*}"#;
        judge(&format!("while IFS= read -r line; do {id}; echo '{reply}' | sed s/ID/$id/; done"))
    };
    let input = b"{\"response\": \"\\\\boxed{4}\", \"answer\": 4, \"prompt\": \"2+2?\"}\nbad\n\
        {\"response\": \"5\", \"answer\": 4}\n";
    let command = answers(r#"{"id": ID, "score": 0.25, "metrics": {"words": 3}}"#);
    let output = score(&["--reward-program", &command], input);
    let found = lines(&output);
    let said = json!({"program": {"score": 0.25, "metrics": {"words": 3.0}}});
    assert_eq!((&found[0]["programs"], &found[2]["programs"]), (&said, &said));
    assert!((found[0]["score"].as_f64().unwrap() - 1.15).abs() < 1e-6);
    assert_eq!((&found[2]["score"], &found[1]["line"]), (&json!(0.25), &json!(2)));

    // Prompts and sources of any form are told as text.
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let keep = format!(
        r#"while IFS= read -r line; do printf '%s\n' "$line" >> {}
            id=${{line#*\"id\":}}; printf '{{"id": %s, "score": 0}}\n' ${{id%%,*}}; done"#,
        told.display()
    );
    let lists = br#"{"response": "a", "answer": 4, "prompt": [{"role": "user"}]}
        {"response": "b", "answer": 4, "prompt": null, "data_source": 7}"#;
    for arguments in [&["--reward-program", &judge(&keep)][..], &[]] {
        let output = score(arguments, lists);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let told = std::fs::read_to_string(told).unwrap();
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found = [&told[0]["prompt"], &told[1]["prompt"], &told[1]["data_source"]];
    assert_eq!(found, [&json!(r#"[{"role":"user"}]"#), &json!(""), &json!("7")]);

    let fast = ["--reward-timeout", "0.2"];
    let cases: [(&str, &[&str], i32, &str); 4] = [
        (&judge("echo broken >&2; exit 4"), &[], 1, "ended (exit status: 4)"),
        (&judge("cat > /dev/null"), &fast, 1, "left 1 responses without a score for 0.2 s"),
        ("/nowhere/judge --fast", &[], 1, "cannot be started: /nowhere/judge"),
        ("[1]", &[], 2, "--reward-program [1]: invalid type"),
    ];
    for (command, more, code, expected) in cases {
        let output = score(&[&["--reward-program", command], more].concat(), input);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}

/// Prints how many plain answers a second each grader judges.
#[test]
#[ignore = "measures the speed of the machine"]
fn plain_answers_are_scored_by_the_ten_thousand() {
    const LINES: usize = 400_000;
    let truths = ["42", "3/4", "0.25", "B", "12 cm", "-7", "60°", "1,250", "yes", "2.5"];
    let given = ["42", "0.75", "1/4", "(B)", "12", "7", "60^\\circ", "1250", "no", "\\frac{5}{2}"];
    let line = |index: usize| {
        let response = format!("<think>so</think> \\boxed{{{}}}", given[index % given.len()]);
        format!("{}\n", json!({"response": response, "answer": truths[index % truths.len()]}))
    };
    let input: String = (0..LINES).map(line).collect();
    for grader in ["mathruler", "exact"] {
        let started = std::time::Instant::now();
        let output = score(&["--grader", grader], input.as_bytes());
        let speed = LINES as f64 / started.elapsed().as_secs_f64();
        assert!(output.status.success());
        assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), LINES);
        println!("{grader}: {speed:.0} answers/s");
        assert!(speed >= 50_000.0, "{grader}: {speed:.0} answers/s");
    }
}
