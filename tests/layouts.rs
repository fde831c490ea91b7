//! Data sets in the layouts of verl, EasyR1 and ViRL39K, whole and with faults.

use std::path::Path;

use serde_json::{Value, json};
use trainer::data::Sample;

use crate::bad_data::{folder, metrics, train};
use crate::data::{fails, generate, inspect, samples, succeeds, text};
use crate::reference::folder as reference;

/// What all layouts hold of a sample.
fn told(sample: &Sample) -> (Vec<processor::Message>, Vec<Vec<u8>>, String) {
    let pictures = sample.images.iter().map(|picture| picture.decode().unwrap().into_raw());
    (sample.prompt.clone(), pictures.collect(), sample.answer.clone())
}

#[test]
fn a_data_set_goes_through_every_layout_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let written = folder.join("written.jsonl");
    generate(&written, &["--split", "train", "--items", "7", "--images", "beside"]);
    let at = |name: &str| folder.join(name);
    let convert = |from: &Path, to: &str| {
        succeeds(&["data", "convert", text(from), text(&at(to)), "--images", "beside"]);
        let lines = std::fs::read_to_string(at(to)).unwrap_or_default();
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let write = |name: &str, rows: Vec<Value>| {
        let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
        std::fs::write(at(name), lines.join("\n")).unwrap();
        at(name)
    };
    let question = |row: &Value| row["prompt"][0]["content"].clone();
    let truth = |row: &Value| row["reward_model"]["ground_truth"].as_str().unwrap().to_string();

    convert(&written, "verl.parquet");
    let verl = convert(&at("verl.parquet"), "verl.jsonl");
    let easy = |row: &Value| json!({"problem": question(row), "images": row["images"], "answer": truth(row)});
    let easy = write("easy.jsonl", verl.iter().map(easy).collect());
    convert(&easy, "easy.parquet");
    let rows = convert(&at("easy.parquet"), "from_easy.jsonl");
    let virl = |row: &Value| {
        let answer = format!("\\boxed{{{}}}", truth(row));
        json!({"question": question(row), "image": row["images"], "answer": answer, "qid": "1"})
    };
    let virl = write("virl.jsonl", rows.iter().map(virl).collect());
    convert(&virl, "virl.parquet");
    convert(&at("virl.parquet"), "back.jsonl");

    let expected: Vec<_> = samples(&written).iter().map(told).collect();
    assert_eq!(expected.len(), 7);
    for name in
        ["verl.parquet", "easy.jsonl", "easy.parquet", "virl.jsonl", "virl.parquet", "back.jsonl"]
    {
        let found: Vec<_> = samples(&at(name)).iter().map(told).collect();
        assert!(found == expected, "{name}");
    }
    assert_eq!(samples(&at("verl.parquet"))[0].source, samples(&written)[0].source);
}

#[test]
fn a_row_that_says_too_little_or_too_much_is_named_with_its_column() {
    let folder = tempfile::tempdir().unwrap();
    let png = std::fs::read(reference().join("image1.png")).unwrap();
    std::fs::write(folder.path().join("a.png"), png).unwrap();
    let good = json!({"problem": "q", "images": ["a.png"], "answer": "4"});
    let cases = [
        ("answer", json!(["4", "5"]), "column answer: a list, not a string or number"),
        ("answer", json!({"a": 4}), "column answer: an object, not a string or number"),
        ("answer", json!(""), "column answer: empty"),
        ("answer", json!("\\boxed{}"), "column answer: empty"),
        ("problem", json!(7), "column problem: a number or boolean, not a string"),
        ("problem", json!(""), ""),
        ("problem", json!("<image> <image>"), "2 <image> placeholders for 1 images"),
        ("images", json!([7]), "column images: image 1: a number or boolean"),
        ("images", json!(["b.png"]), "column images: "),
        ("images", json!([[]]), "column images: image 1: a list"),
        ("images", json!("iVBORw0KGgo="), "image 1: "),
        ("images", json!([]), ""),
    ];
    for (key, value, expected) in cases {
        let mut row = good.clone();
        row[key] = value;
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, format!("{good}\n{row}\n")).unwrap();
        let found = inspect(&path, &[]);
        let reasons = found["unusable"]["reasons"].to_string();
        assert_eq!(found["unusable"]["rows"], u64::from(!expected.is_empty()), "{row}: {reasons}");
        if !expected.is_empty() {
            let out = folder.path().join("out.parquet");
            let convert = ["data", "convert", text(&path), text(&out)];
            fails(&convert, 1, expected);
            fails(&convert, 1, "rows.jsonl, line 2: ");
        }
    }

    // A page of a parquet file is broken; rows of other row groups are still read.
    let whole = folder.path().join("whole.parquet");
    generate(&whole, &["--split", "train", "--items", "1100"]);
    let bytes = std::fs::read(&whole).unwrap();
    let broken = folder.path().join("broken.parquet");
    let mut damaged = bytes.clone();
    damaged[2000..2100].fill(0xff);
    std::fs::write(&broken, damaged).unwrap();
    let found = inspect(&broken, &[]);
    assert_eq!(found["rows"], 1100);
    assert!((1..1100).contains(&found["unusable"]["rows"].as_u64().unwrap()), "{found}");
    fails(
        &["data", "convert", text(&broken), text(&folder.path().join("out.parquet"))],
        1,
        "fetch the file again",
    );
    std::fs::write(&broken, &bytes[..bytes.len() - 1]).unwrap();
    fails(&["data", "inspect", text(&broken)], 1, "not a whole parquet file");
}

#[cfg(unix)]
#[test]
fn rows_with_no_one_and_several_pictures_train_and_are_validated() {
    let row = |pictures: usize| {
        json!({
            "prompt": format!("{}How many red shapes?", "<image>".repeat(pictures)),
            "images": vec!["whole.png"; pictures],
            "answer": "2",
        })
    };
    let (folder, data) = folder(&[0, 1, 3].map(row));
    // Responses of one prompt differ in their scores, so that there is something to learn.
    let judge = r#"while IFS= read -r line; do id=${line#*:}; id=${id%%,*};
        echo "{\"id\": $id, \"score\": 0.$((${#line} % 10))}"; done"#;
    let command = json!(["sh", "-c", judge]);
    let program = format!("algorithm.reward.programs=[{{name: length, command: {command}}}]");
    let validation = format!("data.val={data}");
    let changes = [
        &program,
        &validation,
        "trainer.eval_every=1",
        "trainer.total_steps=2",
        "trainer.batch_prompts=3",
        "trainer.mini_batch_prompts=3",
        "rollout.n=4",
        "rollout.max_response_tokens=16",
        "data.max_prompt_tokens=512",
        "data.unreadable=error",
        "data.overlong=error",
    ];
    let found = metrics(folder.path(), &train(folder.path(), &data, &changes));
    assert_eq!(found.len(), 3);
    for line in &found[1..] {
        assert!(line["actor/grad_norm"].as_f64().unwrap() > 0.0, "{line}");
        assert!(line["actor/cpl_loss"].as_f64().unwrap() > 0.0, "{line}");
        for none in ["data/skipped", "val/skipped", "actor/skipped_updates"] {
            assert_eq!(line[none], 0.0, "{none}: {line}");
        }
    }
    let rollouts = std::fs::read_to_string(folder.path().join("run/rollouts/step_1.jsonl"));
    assert_eq!(rollouts.unwrap().lines().count(), 12);
}
