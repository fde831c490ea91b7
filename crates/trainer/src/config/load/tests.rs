use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::*;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    optim: Optim,
    algorithm: Algorithm,
    data: Data,
    names: BTreeMap<String, Option<bool>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Optim {
    lr: f64,
    betas: [f32; 2],
    schedule: Schedule,
    warmup_steps: u32,
}

impl Default for Optim {
    fn default() -> Self {
        Self { lr: 1e-6, betas: [0.9, 0.999], schedule: Schedule::Constant, warmup_steps: 0 }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Schedule {
    Constant,
    Cosine,
    Linear { end: f32 },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Algorithm {
    removing: Vec<Removing>,
    tau: Positive,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Removing {
    ZoomCrop,
    Noise {
        #[serde(default)]
        count: u8,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64")]
struct Positive(f64);

impl TryFrom<f64> for Positive {
    type Error = &'static str;

    fn try_from(value: f64) -> Result<Self, Self::Error> {
        if value >= 0.0 { Ok(Self(value)) } else { Err("must not be negative") }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Data {
    train: Option<String>,
    shuffle: bool,
    files: Vec<File>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    path: String,
}

fn read(yaml: &str, overrides: &[&str]) -> Result<Config, String> {
    let overrides: Vec<String> = overrides.iter().map(|text| text.to_string()).collect();
    load(Some(("train.yaml", yaml)), None, &overrides).map_err(|error| error.to_string())
}

fn error(yaml: &str, text: &str) -> String {
    let overrides: &[&str] = if text.is_empty() { &[] } else { &[text] };
    read(yaml, overrides).expect_err(yaml)
}

#[test]
fn texts_without_values_give_the_defaults() {
    for yaml in ["", "\n\n", "# nothing\n", "---\n", "---\n...\n", "{}", "null", "\u{feff}"] {
        assert_eq!(read(yaml, &[]), Ok(Config::default()), "{yaml:?}");
    }
    assert_eq!(load(None, None, &[]), Ok(Config::default()));
}

#[test]
fn later_sources_win_and_maps_are_merged() {
    let defaults = "optim: {lr: 1e-3, warmup_steps: 7}\nalgorithm: {removing: [{kind: noise}]}";
    let yaml = "optim:\n  lr: 2e-3\n  betas: [0.5, 0.75]\ndata:\n  train: a.parquet\n";
    let overrides = [
        "optim.lr=1e-5",
        "optim.lr=3",
        "algorithm.removing=[{kind: zoom_crop}, {kind: noise, count: 50}]",
        "data.train=null",
        "optim.schedule={linear: {end: 0.1}}",
        "names={a b: true, c: }",
        "names.d = false",
    ];
    let overrides = overrides.map(String::from);
    let config: Config = load(Some(("train.yaml", yaml)), Some(defaults), &overrides).unwrap();
    let expected = Config {
        optim: Optim {
            lr: 3.0,
            betas: [0.5, 0.75],
            schedule: Schedule::Linear { end: 0.1 },
            warmup_steps: 7,
        },
        algorithm: Algorithm {
            removing: vec![Removing::ZoomCrop, Removing::Noise { count: 50 }],
            ..Algorithm::default()
        },
        data: Data::default(),
        names: [("a b", Some(true)), ("c", None), ("d", Some(false))]
            .map(|(name, value)| (name.to_string(), value))
            .into(),
    };
    assert_eq!(config, expected);
}

#[test]
fn values_keep_their_yaml_meaning() {
    let cases = [
        ("data.train=cuda:0", Some("cuda:0")),
        ("data.train=a=b", Some("a=b")),
        ("data.train='1'", Some("1")),
        ("data.train=1e-5 m", Some("1e-5 m")),
        ("data.train=", None),
        ("data.train=~", None),
    ];
    for (text, expected) in cases {
        assert_eq!(read("", &[text]).unwrap().data.train.as_deref(), expected, "{text}");
    }
    for (text, expected) in
        [("1e-5", 1e-5), (".5", 0.5), ("-2", -2.0), ("0x10", 16.0), ("1E+2", 100.0)]
    {
        assert_eq!(
            read(&format!("optim: {{lr: {text}}}"), &[]).unwrap().optim.lr,
            expected,
            "{text}"
        );
    }
    let anchors = "names: {a: &yes true, b: *yes}";
    assert_eq!(read(anchors, &[]).unwrap().names["b"], Some(true));
}

#[test]
fn errors_name_the_key_the_value_and_the_place() {
    let cases = [
        (
            "\n\noptim:\n  lr: 1\n  lrr: 2",
            "",
            "unknown key `optim.lrr` (train.yaml, line 5); did you mean `optim.lr`?",
        ),
        (
            "",
            "optim.lrr=1",
            "unknown key `optim.lrr` (override `optim.lrr=1`); did you mean `optim.lr`?",
        ),
        (
            "optimm: {lr: 1}",
            "optim.lr=2",
            "unknown key `optimm` (train.yaml, line 1); did you mean `optim`?",
        ),
        (
            "data: {xyz: 1}",
            "",
            "unknown key `data.xyz` (train.yaml, line 1); valid keys: train, shuffle, files",
        ),
        (
            "# a\n\noptim: {\"lr\":\n fast}",
            "",
            "`optim.lr` must be a number, found \"fast\" (train.yaml, line 3)",
        ),
        (
            "optim:\n  lr: 1",
            "optim.lr=fast",
            "`optim.lr` must be a number, found \"fast\" (override `optim.lr=fast`)",
        ),
        (
            "optim:\n  lr: fast",
            "optim.warmup_steps=1",
            "`optim.lr` must be a number, found \"fast\" (train.yaml, line 2)",
        ),
        (
            "optim:\n  lr: &x [2]\n  betas: *x",
            "",
            "`optim.lr` must be a number, found a list (train.yaml, line 2)",
        ),
        ("", "optim.lr.x=1", "`optim.lr` must be a number, found a map (override `optim.lr.x=1`)"),
        ("optim:", "", "`optim` must be a map, found null (train.yaml, line 1)"),
        ("optim: 1", "optim=2", "`optim` must be a map, found 2 (override `optim=2`)"),
        (
            "optim:\n  warmup_steps: -1",
            "",
            "`optim.warmup_steps` must be a whole number from 0 to 4294967295, found -1 (train.yaml, line 2)",
        ),
        (
            "optim:\n  warmup_steps: 1.5",
            "",
            "`optim.warmup_steps` must be a whole number from 0 to 4294967295, found 1.5 (train.yaml, line 2)",
        ),
        (
            "optim:\n  betas:\n  - 0.9\n  - x",
            "",
            "`optim.betas[1]` must be a number, found \"x\" (train.yaml, line 4)",
        ),
        (
            "optim:\n  betas: [1]",
            "",
            "`optim.betas` must be a list of 2, found a list of 1 (train.yaml, line 2)",
        ),
        (
            "optim:\n  betas: [1, 2, 3]",
            "",
            "`optim.betas` must be a list of 2, found a list of 3 (train.yaml, line 2)",
        ),
        (
            "optim:\n  schedule: cosin",
            "",
            "`optim.schedule` must be one of constant, cosine, linear, found \"cosin\" (train.yaml, line 2); did you mean `cosine`?",
        ),
        (
            "optim:\n  schedule: 3",
            "",
            "`optim.schedule` must be one of constant, cosine, linear, found 3 (train.yaml, line 2)",
        ),
        (
            "optim:\n  schedule:\n    linear:\n      end: x",
            "",
            "`optim.schedule.linear.end` must be a number, found \"x\" (train.yaml, line 4)",
        ),
        (
            "algorithm:\n  removing:\n  - kind: zoom_crop\n  - kind: nois",
            "",
            "`algorithm.removing[1].kind` must be one of zoom_crop, noise, found \"nois\" (train.yaml, line 4); did you mean `noise`?",
        ),
        (
            "algorithm:\n  removing:\n  - kind: noise\n    cout: 3",
            "",
            "unknown key `algorithm.removing[0].cout` (train.yaml, line 4); did you mean `algorithm.removing[0].count`?",
        ),
        (
            "algorithm:\n  removing:\n  - kind: noise\n    count: 300",
            "",
            "a value in `algorithm.removing[0]` must be a whole number from 0 to 255, found 300 (train.yaml, line 3)",
        ),
        (
            "algorithm:\n  removing:\n  - count: 3",
            "",
            "`algorithm.removing[0].kind` is missing (train.yaml, line 3)",
        ),
        (
            "optim:\n  schedule: !linear\n    end: x",
            "",
            "`optim.schedule.linear.end` must be a number, found \"x\" (train.yaml, line 3)",
        ),
        (
            "algorithm:\n  tau: -1",
            "",
            "`algorithm.tau` is -1: must not be negative (train.yaml, line 2)",
        ),
        (
            "data: {shuffle: yes}",
            "",
            "`data.shuffle` must be true or false, found \"yes\" (train.yaml, line 1)",
        ),
        ("data: {train: 7}", "", "`data.train` must be text, found 7 (train.yaml, line 1)"),
        (
            "data:\n  files:\n  - path: a\n  - {}",
            "data.shuffle=true",
            "`data.files[1].path` is missing (train.yaml, line 4)",
        ),
        (
            "data:\n  files: {path: a}",
            "",
            "`data.files` must be a list, found a map (train.yaml, line 2)",
        ),
        (
            "1: 2",
            "",
            "unknown key `1` (train.yaml, line 1); valid keys: optim, algorithm, data, names",
        ),
    ];
    for (yaml, text, expected) in cases {
        assert_eq!(error(yaml, text), expected, "{yaml} {text}");
    }
}

#[test]
fn texts_that_are_no_configuration_are_errors_with_a_line() {
    let cases = [
        ("optim:\n  lr: 1\n  lr: 2", "", "optim: duplicate key `lr` (train.yaml, line 3)"),
        ("data: {}\ndata: {}", "", "duplicate key `data` (train.yaml, line 2)"),
        ("[1, 2]", "", "train.yaml must hold a map, found a list"),
        ("just words", "", "train.yaml must hold a map, such as `key: value`"),
        ("a: 1\n---\nb: 2", "", "more than one document (train.yaml)"),
        ("optim:\n\tlr: 1", "", "a tab in the indentation, use spaces (train.yaml, line 2)"),
        ("optim: {lr: 1", "", "did not find expected ',' or '}' (train.yaml, line 2)"),
        ("a: 1\noptim: \"lr", "", "found unexpected end of stream (train.yaml, line 2)"),
        ("\noptim: *lr", "", "unknown anchor (train.yaml, line 2)"),
        (
            "? [a]\n: 1",
            "",
            "invalid type: sequence, expected a key that is text (train.yaml, line 1)",
        ),
        ("a: 1\nb: \u{0}", "", "control characters are not allowed (train.yaml, line 2)"),
        ("", "optim.lr", "an override must look like `key.path=value` (override `optim.lr`)"),
        ("", "=1", "a key is empty (override `=1`)"),
        ("", "optim..lr=1", "a key is empty (override `optim..lr=1`)"),
        ("", "a=[1", "did not find expected ',' or ']' (override `a=[1`)"),
        ("", "a={b: 1, b: 2}", "duplicate key `b` (override `a={b: 1, b: 2}`)"),
    ];
    for (yaml, text, expected) in cases {
        assert_eq!(error(yaml, text), expected, "{yaml} {text}");
    }
    let defaults = load::<Config>(None, Some("optim: {lr: x}"), &[]).unwrap_err().to_string();
    assert_eq!(defaults, "`optim.lr` must be a number, found \"x\" (built-in defaults, line 1)");
}

#[test]
fn huge_and_deep_texts_are_errors_of_one_short_line() {
    let wide = format!("a: &a [{}]\nb: [{}]", "1,".repeat(10_000), "*a,".repeat(10_000));
    let deep = format!("{}=1", vec!["a"; 100_000].join("."));
    let cases = [
        ("a: ".to_string() + &"[".repeat(60_000), "", "more than 1000 brackets"),
        ("a: ".to_string() + &"[".repeat(1000), "", "nested deeper than 32 levels"),
        ("a: ".to_string() + &"{a: ".repeat(1000), "", "nested deeper than 32 levels"),
        ("- ".repeat(30_000), "", "nested deeper than 32 levels"),
        ("a: &a [*a]".to_string(), "", "nested deeper than 32 levels"),
        ("? ".repeat(30_000), "", "a key that is text"),
        (wide, "", "too many values"),
        (" ".repeat(1 << 20), "", "larger than 64 KiB"),
        (format!("? \"{}\"\n: 1", "x\n\n".repeat(20_000)), "", "unknown key"),
        (format!("optim: {{lr: {}}}", "x".repeat(60_000)), "", "`optim.lr` must be a number"),
        (String::new(), deep.as_str(), "more than 32 keys"),
    ];
    for (yaml, text, expected) in cases {
        let start: String = yaml.chars().take(20).collect();
        let message = error(&yaml, text);
        assert!(message.contains(expected), "{start}: {message}");
        assert!(message.chars().count() < 700 && !message.contains('\n'), "{start}: {message}");
    }
}

#[test]
fn mutated_texts_never_panic_and_errors_are_one_line() {
    let seed = "optim: &o\n  lr: 1e-5\n  betas: [0.9, 0.99]\nalgorithm:\n  removing:\n  - {kind: noise, count: 3}\ndata: \"x\"\n";
    let pieces = [
        "\t", "\n", ": ", "- ", "[", "]", "{", "}", "&a ", "*o", "!!int ", "'", "\"", "|\n", "? ",
        "#", "---\n", "...\n", "é", "\u{0}", "%", "<<: *o\n", "=", ".",
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut pick = |below: usize| (rng.next_u64() % below as u64) as usize;
    for _ in 0..5_000 {
        let mut text: Vec<char> = seed.chars().collect();
        for _ in 0..1 + pick(6) {
            let at = pick(text.len());
            let removed = at..(at + pick(4)).min(text.len());
            text.splice(removed, pieces[pick(pieces.len())].chars());
        }
        let text: String = text.into_iter().collect();
        for result in [read(&text, &[]), read("", &[&text])] {
            if let Err(message) = result {
                assert!(!message.contains('\n'), "{text:?}: {message}");
            }
        }
    }
}

#[test]
fn a_saved_configuration_reads_back_equal() {
    let overrides = [
        "optim={lr: 1.0e-6, betas: [0.1, 0.3], schedule: {linear: {end: .inf}}, warmup_steps: 4294967295}",
        "algorithm={removing: [{kind: zoom_crop}, {kind: noise, count: 9}], tau: 0.1}",
        "data={train: '1e-5', files: [{path: 'null'}, {path: \"a\\nb: 'c' #\\t\"}, {path: ''}]}",
        "names={'true': true, '1': null, 'a: b': false}",
    ];
    for count in 0..=overrides.len() {
        let config = read("", &overrides[..count]).unwrap();
        let yaml = to_yaml(&config);
        assert_eq!(read(&yaml, &[]), Ok(config), "{yaml}");
    }
}
