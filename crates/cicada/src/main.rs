//! cicada as a process; all of it is in the library.

#![forbid(unsafe_code)]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: secret_memory::WipingAllocator = secret_memory::WipingAllocator;

fn main() -> ExitCode {
    cicada::run()
}
