//! Work on all cores of a CPU, whose backend runs element-wise operations and small products on
//! one. Other devices, recorded graphs and wasm keep the plain formulation.

use std::ops::Range;

use burn::tensor::Device;

/// Splits `0..length` into a range per core, none shorter than `shortest`; one range where the
/// device is not a CPU, records a graph, or has one core.
pub(crate) fn spans(length: usize, shortest: usize, device: &Device) -> Vec<Range<usize>> {
    let cores = if is_plain_cpu(device) { cores() } else { 1 };
    let count = (length / shortest.max(1)).clamp(1, cores);
    (0..count).map(|part| part * length / count..(part + 1) * length / count).collect()
}

/// Whether tensors live in this process's memory.
pub(crate) fn is_cpu(device: &Device) -> bool {
    device.clone().inner() == Device::flex()
}

/// Whether tensors live in this process's memory and record no graph.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn is_plain_cpu(device: &Device) -> bool {
    !device.is_autodiff() && *device == Device::flex()
}

/// See the other definition.
#[cfg(target_arch = "wasm32")]
pub(crate) fn is_plain_cpu(_: &Device) -> bool {
    false
}

#[cfg(not(target_arch = "wasm32"))]
fn cores() -> usize {
    rayon::current_num_threads()
}

#[cfg(target_arch = "wasm32")]
fn cores() -> usize {
    1
}

/// Maps all items, several at a time where there are several; keeps their order.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn map<T: Send, R: Send>(
    items: Vec<T>,
    function: impl Fn(T) -> R + Send + Sync,
) -> Vec<R> {
    use rayon::prelude::*;
    if items.len() < 2 {
        return items.into_iter().map(function).collect();
    }
    items.into_par_iter().map(function).collect()
}

/// Maps all items one after the other.
#[cfg(target_arch = "wasm32")]
pub(crate) fn map<T, R>(items: Vec<T>, function: impl Fn(T) -> R) -> Vec<R> {
    items.into_iter().map(function).collect()
}

/// Passes each stretch of `length` values, with its place, to `function`, several at a time.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn chunks(
    values: &mut [f32],
    length: usize,
    function: impl Fn(usize, &mut [f32]) + Send + Sync,
) {
    use rayon::prelude::*;
    if values.len() <= length {
        return function(0, values);
    }
    let chunks = values.par_chunks_mut(length).enumerate();
    chunks.for_each(|(index, chunk)| function(index * length, chunk));
}

/// Passes each stretch of `length` values, with its place, to `function`.
#[cfg(target_arch = "wasm32")]
pub(crate) fn chunks(values: &mut [f32], length: usize, function: impl Fn(usize, &mut [f32])) {
    for (index, chunk) in values.chunks_mut(length).enumerate() {
        function(index * length, chunk);
    }
}
