#![no_main]
//! Any text is a configuration that holds together or an error.

use libfuzzer_sys::fuzz_target;
use qwen2_5_vl::Qwen2_5_VLConfig;

fuzz_target!(|text: &str| {
    if let Ok(config) = Qwen2_5_VLConfig::from_json(text) {
        assert_eq!(Qwen2_5_VLConfig::from_json(&config.to_json()).unwrap(), config);
    }
});
