#![no_main]
//! Any bytes decode to a picture or an error, and any small picture to patches or an error.

use libfuzzer_sys::fuzz_target;
use processor::{ImageProcessor, decode};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(picture) = decode(bytes)
        && picture.width() * picture.height() < 1 << 18
    {
        let processor = ImageProcessor::default().with_pixels(None, Some(28 * 28 * 16));
        if let Ok(patches) = processor.preprocess(&picture) {
            let [frames, rows, columns] = patches.grid_thw;
            assert_eq!(patches.values.len(), frames * rows * columns * 1176);
        }
    }
});
