//! cppo in the browser: the portable crates as one WebAssembly module.

pub use {generation, processor, qwen2_5_vl};
