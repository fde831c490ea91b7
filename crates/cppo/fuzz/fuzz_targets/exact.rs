#![no_main]
//! Verdicts of the exact grader are the same in either direction, and an answer equals itself.

use cppo::reward::{Grader, extract_answer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str)| {
    let (answer, truth) = texts;
    extract_answer(answer);
    let verdict = Grader::Exact.grade(answer, truth);
    assert_eq!(verdict.correct, Grader::Exact.grade(truth, answer).correct);
    let itself = Grader::Exact.grade(answer, answer);
    assert!(itself.correct || itself.rule == "empty answer");
});
