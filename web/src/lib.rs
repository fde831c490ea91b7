//! cppo in the browser: the portable crates as one WebAssembly module.

pub use {cppo, generation, gym, perceive, processor, qwen2_5_vl};
