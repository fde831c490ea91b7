//! Loading takes the memory of the model and of one tensor, whatever the file's format.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::module::Module;
use burn::tensor::{DType, Device};
use qwen2_5_vl::weights::{Checkpoint, save};
use qwen2_5_vl::{Qwen2_5_VL, Qwen2_5_VLConfig};

/// Counts the bytes that are allocated, and the most there ever were.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_peak_is_at_most_a_quarter_above_the_weights() {
    let json = include_str!("reference/model/config.json")
        .replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 40")
        .replace("\"intermediate_size\": 128", "\"intermediate_size\": 1024");
    let mut config = Qwen2_5_VLConfig::from_json(&json).unwrap();
    config.vision_config.intermediate_size = 64;
    let device = Device::flex();
    for file in [DType::F32, DType::BF16] {
        let folder = tempfile::tempdir().unwrap();
        let model = Qwen2_5_VL::init(&config, &device);
        let weights = model.num_params() * DType::F32.size();
        save(&model, folder.path(), file).unwrap();
        drop(model);
        let before = NOW.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let loaded = Checkpoint::open(folder.path()).unwrap();
        let loaded = loaded.load(&config, DType::F32, &device).unwrap();
        let taken = PEAK.load(Ordering::Relaxed) - before;
        assert_eq!(loaded.num_params() * DType::F32.size(), weights);
        assert!(taken * 4 <= weights * 5, "{file:?}: {taken} bytes for {weights} of weights");
        // The count is alive: it cannot be less than what is there now.
        assert!(taken >= weights);
    }
}
