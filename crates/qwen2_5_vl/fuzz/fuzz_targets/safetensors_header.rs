#![no_main]
//! Any bytes are a file whose tensors lie within it or an error.

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use qwen2_5_vl::weights::Shard;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(shard) = Shard::open("fuzz", Cursor::new(bytes)) {
        for slot in shard.header().tensors.values() {
            assert!(slot.start + slot.bytes as u64 <= bytes.len() as u64);
        }
    }
});
