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

/// How many cores share out large pieces of a device's work: all of a CPU, else one.
pub fn workers(device: &Device) -> usize {
    spans(usize::MAX, 1, &device.clone().without_autodiff()).len()
}

/// Maps all items, each on one core and several at a time where the device is a CPU; keeps their
/// order. This suits items with much work that their backend would run on one core.
#[cfg(not(target_arch = "wasm32"))]
pub fn map_on_cores<T: Send, R: Send>(
    items: Vec<T>,
    device: &Device,
    function: impl Fn(T) -> R + Send + Sync,
) -> Vec<R> {
    let workers = workers(device).min(items.len());
    if workers < 2 {
        return items.into_iter().map(function).collect();
    }
    let queue = std::sync::Mutex::new(items.into_iter().enumerate());
    let next = || queue.lock().expect("taking an item does not panic").next();
    let work = || {
        let items = std::iter::from_fn(next);
        let run = || items.map(|(place, item)| (place, function(item))).collect::<Vec<_>>();
        // In a pool of one thread nothing of an item's work moves to another core.
        match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
            Ok(pool) => pool.install(run),
            Err(_) => run(),
        }
    };
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .flat_map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Maps all items one after the other.
#[cfg(target_arch = "wasm32")]
pub fn map_on_cores<T, R>(items: Vec<T>, _: &Device, function: impl Fn(T) -> R) -> Vec<R> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_the_order_of_the_items() {
        let device = Device::flex();
        assert_eq!(workers(&device), cores());
        assert_eq!(workers(&device.clone().autodiff()), cores());
        for count in [0, 1, 2, 100] {
            let found = map_on_cores((0..count).collect(), &device, |item: usize| {
                std::thread::sleep(std::time::Duration::from_micros((100 - item as u64) * 10));
                (item, count < 2 || cores() < 2 || rayon::current_num_threads() == 1)
            });
            assert_eq!(found, (0..count).map(|item| (item, true)).collect::<Vec<_>>());
        }
    }

    #[test]
    #[should_panic(expected = "item 3")]
    fn a_panic_reaches_the_caller() {
        map_on_cores((0..4).collect(), &Device::flex(), |item| assert!(item < 3, "item {item}"));
    }
}
