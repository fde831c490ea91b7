//! How the C library's allocator treats tensors.

/// Lets freed memory be used again instead of going back to the system.
///
/// A training step allocates and frees the same large tensors over and over. By default glibc
/// returns them each time, so that every page is cleared and mapped anew, and gives each thread an
/// arena of its own whose free memory no other thread can use.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep_freed_memory() {
    unsafe extern "C" {
        fn mallopt(parameter: i32, value: i32) -> i32;
    }
    const TRIM_THRESHOLD: i32 = -1;
    const MMAP_THRESHOLD: i32 = -3;
    const ARENA_MAX: i32 = -8;
    /// The largest that glibc takes.
    const LARGEST_MMAP_THRESHOLD: i32 = 32 << 20;
    for (parameter, value) in
        [(ARENA_MAX, 1), (TRIM_THRESHOLD, i32::MAX), (MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)]
    {
        // SAFETY: the call takes plain numbers, and no other thread runs yet.
        unsafe { mallopt(parameter, value) };
    }
}

/// Other allocators are left alone.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_freed_memory() {}
