//! Weights in safetensors files, single or sharded, in Hugging Face's layout.

mod file;
mod load;
#[cfg(not(target_arch = "wasm32"))]
mod save;

pub use file::{Header, Shard, TensorSlot};
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
