use std::path::Path;
use std::time::{Duration, Instant};

use cppo::reward::ProgramConfig;

use super::*;

/// A program in the shell's language.
fn shell(script: &str) -> ProgramConfig {
    ProgramConfig {
        name: "judge".into(),
        command: ["sh", "-c", script].map(String::from).to_vec(),
        timeout_s: 20.0,
        batch: 3,
        restarts: 0,
        ..ProgramConfig::default()
    }
}

fn asked(response: &str) -> Asked<'_> {
    Asked { prompt: "How many?", response, answer: "4", data_source: "gym" }
}

/// The scores of so many responses.
fn scores(config: &ProgramConfig, responses: usize) -> Result<Vec<f32>, String> {
    let mut program = Program::start(config).map_err(|error| error.to_string())?;
    let said = program.judge(&vec![asked("a"); responses]).map_err(|error| error.to_string())?;
    Ok(said.iter().map(|said| said.score).collect())
}

/// Reads the number out of a line that begins with {"id":NUMBER,
const READ_ID: &str = r#"id=${line#\{\"id\":}; id=${id%%,*};"#;

fn each(body: &str) -> String {
    format!("while IFS= read -r line; do {READ_ID} {body}; done")
}

#[test]
fn a_program_scores_batch_after_batch() {
    let script = each(r#"echo; printf '{"score": %s.5, "id": %s, "other": []}\n' $id $id"#);
    assert_eq!(scores(&shell(&script), 7).unwrap(), [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]);
    assert!(scores(&shell(&script), 0).unwrap().is_empty());
}

#[test]
fn replies_come_in_any_order_and_bring_numbers() {
    let script = r#"read -r a; read -r b; read -r c
        echo '{"id": 2, "score": 3}'
        echo '{"id": 0, "score": 1, "metrics": {"words": 7}}'
        echo '{"id": 1, "score": -2e-1}'; cat > /dev/null"#;
    let mut program = Program::start(&shell(script)).unwrap();
    let said = program.judge(&[asked("a"); 3]).unwrap();
    assert_eq!(said.iter().map(|said| said.score).collect::<Vec<_>>(), [1.0, -0.2, 3.0]);
    let rewards: Vec<Reward> = said
        .into_iter()
        .map(|said| {
            let mut reward = Reward::default();
            reward.add(program.config(), said);
            reward
        })
        .collect();
    let found = metrics(&rewards);
    assert_eq!(found.get("reward/judge/words/mean"), Some(7.0));
    assert!((found.get("reward/judge/mean").unwrap() - 3.8 / 3.0).abs() < 1e-6);
}

#[test]
fn a_program_is_told_all_there_is_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seen");
    let script = format!(
        "read -r line; printf '%s\\n' \"$line\" > {}; echo '{{\"id\":0,\"score\":1}}'",
        path.display()
    );
    let mut program = Program::start(&shell(&script)).unwrap();
    program.judge(&[asked("two\nlines \"$(touch x)\" `x` é")]).unwrap();
    let seen: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let expected = serde_json::json!({
        "id": 0, "prompt": "How many?", "response": "two\nlines \"$(touch x)\" `x` é",
        "answer": "4", "data_source": "gym"
    });
    assert_eq!(seen, expected);
}

#[test]
fn what_a_program_does_wrong_is_said_with_its_last_words() {
    let answer = |reply: &str| each(&format!("echo '{reply}'"));
    let cases = [
        ("exit 3".into(), "ended (exit status: 3)"),
        ("read -r line; echo no such model >&2; exit 1".into(), "standard error: no such model"),
        ("kill -9 $$".into(), "was killed or closed its output"),
        (each("echo hello"), "wrote \"hello\": not JSON: expected value"),
        (answer(r#"{"id": 0}"#), "missing field `score`"),
        (answer(r#"{"score": 1}"#), "missing field `id`"),
        (answer(r#"{"id": 0, "score": null}"#), "invalid type: null"),
        (answer(r#"{"id": 0, "score": NaN}"#), "expected value"),
        (answer(r#"{"id": 0, "score": 1e999}"#), "number out of range"),
        (answer(r#"{"id": 0, "score": -1e300}"#), "not finite"),
        (answer(r#"{"id": 9, "score": 1}"#), "no such id was asked"),
        (answer(r#"{"id": 0, "score": 1}"#), "a second reply to the same id"),
        (answer(r#"{"id": 0, "score": 1, "metrics": {"a": "b"}}"#), "invalid type: string"),
        ("head -c 1200000 /dev/zero | tr '\\0' x; sleep 100".into(), "more than 1 MiB"),
    ];
    for (script, expected) in cases {
        let error = scores(&shell(&script), 2).unwrap_err();
        assert!(error.contains(expected), "{script}: {error}");
        assert!(error.starts_with("the reward program judge, restarted 0 times, "), "{error}");
    }
    let config = shell(&answer(r#"{"id": 0, "score": 1e30}"#));
    let error = scores(&ProgramConfig { weight: 1e30, ..config }, 1).unwrap_err();
    assert!(error.contains("not finite"), "weighted: {error}");
}

#[test]
fn a_program_that_hangs_is_waited_for_as_long_as_allowed() {
    // The first answers nothing, the second leaves one out, the third reads nothing at all.
    let one = r#"read -r line; echo '{"id": 1, "score": 1}'; cat > /dev/null"#;
    let long = "x".repeat(1 << 20);
    let cases =
        [("cat > /dev/null", "a", 0.3, 3), (one, "a", 3.0, 2), ("sleep 100", &long, 0.3, 3)];
    for (script, response, timeout_s, open) in cases {
        let mut program = Program::start(&ProgramConfig { timeout_s, ..shell(script) }).unwrap();
        let started = Instant::now();
        let error = program.judge(&[asked(response); 3]).unwrap_err().to_string();
        let expected = format!("left {open} responses without a score for {timeout_s} s");
        assert!(error.contains(&expected), "{error}");
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn a_program_that_fails_is_started_again_and_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let good = each(r#"printf '{"score": %s, "id": %s}\n' $id $id"#);
    // Ends twice at its third request.
    let script = format!(
        "echo >> {0}; if [ $(wc -l < {0}) -lt 3 ]; then read -r a; exit 1; fi; {good}",
        count.display()
    );
    for (restarts, works) in [(1, false), (2, true)] {
        std::fs::write(&count, "").unwrap();
        let found = scores(&ProgramConfig { restarts, ..shell(&script) }, 5);
        assert_eq!(found.is_ok(), works, "{found:?}");
        if let Ok(scores) = found {
            assert_eq!(scores, [0.0, 1.0, 2.0, 3.0, 4.0]);
        }
    }
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let mut config = shell("");
    config.command = vec!["/nowhere/judge".into()];
    let error = scores(&config, 1).unwrap_err();
    assert!(
        error.contains("the reward program judge cannot be started: /nowhere/judge"),
        "{error}"
    );
}

#[test]
fn a_program_ends_with_the_run_and_so_do_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("child");
    let script = format!(
        "sleep 1000 & echo $! > {}; read -r line; echo '{{\"id\":0,\"score\":1}}'; wait",
        path.display()
    );
    let mut program = Program::start(&shell(&script)).unwrap();
    program.judge(&[asked("a")]).unwrap();
    let child = std::fs::read_to_string(&path).unwrap();
    let runs = || {
        let stat = std::fs::read_to_string(Path::new("/proc").join(child.trim()).join("stat"));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    };
    if cfg!(target_os = "linux") {
        assert!(runs());
    }
    drop(program);
    let started = Instant::now();
    while runs() {
        assert!(started.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(5));
    }
}
