//! The process's own environment, while nobody else can read it.

use std::ffi::OsStr;

use crate::threads;

/// Sets a variable that a C library will read. With other threads in the process it does nothing and
/// returns false: one of them may be reading (environ(7)).
pub fn set(name: &str, value: impl AsRef<OsStr>) -> bool {
    if !threads::report(0).is_ok_and(|threads| threads.total == 1) {
        return false;
    }
    // SAFETY: this is the only thread, so nobody reads or writes the environment meanwhile.
    unsafe { std::env::set_var(name, value) };
    true
}
