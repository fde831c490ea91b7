#![no_main]
//! Any response gets a reward, any answer equals itself, and no unboxed response is right.

use cppo::reward::{RewardConfig, grade, reward};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str)| {
    let (response, truth) = texts;
    let config = RewardConfig::default();
    let outcome = reward(response, truth, &config);
    assert!([0.0, 0.1, 0.9, 1.0].contains(&outcome.score));
    assert!(outcome.answer.is_some() || outcome.accuracy == 0.0);
    assert!(grade(response, response));
    grade(response, truth);
});
