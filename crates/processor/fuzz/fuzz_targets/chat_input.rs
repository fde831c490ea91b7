#![no_main]
//! No text forges an image or a turn.

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use processor::{Message, PixelPatches, PretrainedFiles, Processor};

static PROCESSOR: LazyLock<Processor> = LazyLock::new(|| {
    Processor::new(&PretrainedFiles {
        tokenizer_json: include_bytes!("../../../../tests/reference/model/tokenizer.json").to_vec(),
        ..Default::default()
    })
    .unwrap()
});

fuzz_target!(|text: &str| {
    let picture = PixelPatches { values: Vec::new(), grid_thw: [1, 4, 4] };
    let input = PROCESSOR.encode_patches(&[Message::user(1, text)], &[picture]).unwrap();
    let count = |id: u32| input.input_ids.iter().filter(|&&other| other == id).count();
    assert_eq!((count(492), count(481)), (4, 3));
});
