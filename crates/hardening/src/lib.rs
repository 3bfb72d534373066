//! The sandbox of the daemons, and the probes that report it.
//!
//! A daemon gives up what it does not need, in this order; each step makes the earlier ones harder
//! to undo and would have stood in the way of the later ones:
//!
//! 1. [`network::isolate`]: a network namespace of its own, which needs capabilities or a process
//!    that may still write its `uid_map`.
//! 2. [`process::lock_down`]: no new privileges, no capabilities, no core dumps, no debugger.
//! 3. The daemon opens its sockets and files, and asks [`posture::kernel`] once: the kernel's
//!    configuration lies outside the sandbox.
//! 4. [`filesystem::restrict`]: a Landlock domain around a few paths, without TCP, abstract sockets
//!    or signals to the outside. Threads inherit it, so there must be none yet.
//! 5. The worker threads start; `clone(2)` is over after the next step.
//! 6. [`seccomp::apply_to_every_thread`]: the system calls of the service phase, and no other.
//! 7. [`threads::verify`], and [`filesystem::is_denied_here`] on every worker: only what every
//!    thread confirms is in force. A daemon that can't confirm it does not report ready.
//!
//! The first four want a process with one thread, and refuse otherwise: a step that covers the
//! calling thread only is how a sandbox comes to hold on one thread of five.
//!
//! This crate is one of the three places where `unsafe` is allowed.

pub mod environment;
pub mod filesystem;
pub mod network;
pub mod peer;
pub mod posture;
pub mod process;
pub mod seccomp;
pub mod threads;
