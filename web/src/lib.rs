//! cppo in the browser: the portable crates as one WebAssembly module.
//!
//! `engine::Engine` is what JavaScript sees; `web/package` wraps it in a worker and types.

#[cfg(target_arch = "wasm32")]
mod device;
#[cfg(target_arch = "wasm32")]
pub mod engine;
#[cfg(target_arch = "wasm32")]
mod error;
#[cfg(target_arch = "wasm32")]
mod pictures;
#[cfg(target_arch = "wasm32")]
mod turn;
