//! What Linux's graphics drivers expect of their surroundings.

/// Names a runtime folder where there is none, as in most containers: Mesa prints an error for
/// every adapter it looks at without one.
#[cfg(target_os = "linux")]
pub fn provide_runtime_folder() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: no other thread runs yet that could read the environment.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
}

/// Other systems need none.
#[cfg(not(target_os = "linux"))]
pub fn provide_runtime_folder() {}
