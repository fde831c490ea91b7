//! Weights in safetensors files, single or sharded, in Hugging Face's layout or quantized.
//!
//! A quantized `X.weight` of a file has the type U8: `[out, in]` with one signed integer per byte
//! (q8) or `[out, in / 2]` with two per byte (q4, low nibble first). Beside it `X.weight_scale`,
//! F16 `[out, in / 32]`, holds the scale of each 32 weights; a weight is `integer · scale`. A tensor
//! that is larger than a file may be is stored in slices of rows, `NAME@FIRST_ROW`.

#[cfg(not(target_arch = "wasm32"))]
mod adapter;
mod adapter_config;
#[cfg(not(target_arch = "wasm32"))]
mod export;
mod file;
mod load;
mod piece;
#[cfg(not(target_arch = "wasm32"))]
mod save;
mod stored;

#[cfg(not(target_arch = "wasm32"))]
pub use adapter::{adapter_config, is_adapter, load_adapter, save_adapter};
pub use adapter_config::{AdapterConfig, Names};
#[cfg(not(target_arch = "wasm32"))]
pub use export::{Export, ExportFile, Storage};
pub use file::{Header, Shard, Source, TensorSlot};
pub use load::{Assembly, Checkpoint};
#[cfg(not(target_arch = "wasm32"))]
pub use save::save;

/// Brings a key of today's layout (`model.language_model.*`, `model.visual.*`) to that of the
/// hub (`model.*`, `visual.*`), which is also the path in our module tree.
pub(crate) fn canonical_key(key: &str) -> String {
    if let Some(rest) = key.strip_prefix("model.language_model.") {
        return format!("model.{rest}");
    }
    key.strip_prefix("model.visual.").map_or_else(|| key.into(), |rest| format!("visual.{rest}"))
}

/// The checkpoint's name for a path in our module tree: `merger.mlp` skips the activation.
pub fn checkpoint_key(path: &[String]) -> String {
    path.join(".").replace("merger.mlp.1.", "merger.mlp.2.")
}
