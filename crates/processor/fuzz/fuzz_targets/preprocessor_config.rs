#![no_main]
//! Any text is a usable configuration or an error.

use libfuzzer_sys::fuzz_target;
use processor::ImageProcessor;

fuzz_target!(|text: &str| {
    if let Ok(processor) = ImageProcessor::from_json(text) {
        for (height, width) in [(1, 1), (37, 91), (200, 1), (4000, 3000)] {
            let _ = processor.resized(height, width);
        }
    }
});
