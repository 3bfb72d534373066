//! What every daemon of Sesame does around its service: the start-up order, the sandbox, the main
//! loop, and going down.
//!
//! A daemon describes itself ([`Description`]) and brings a service ([`ipc::Service`] with
//! [`Lifecycle`]); [`run`] does the rest. Nothing is served before the sandbox was confirmed on
//! every thread and the start stands in the audit trail.

#![forbid(unsafe_code)]

mod directory;
pub mod log;
mod main_loop;
mod options;
mod posture;
mod refusals;
mod startup;

pub use directory::Directory;
pub use main_loop::Lifecycle;
pub use options::Options;
pub use posture::Posture;
pub use refusals::RefusalLog;
pub use startup::{Description, MACHINE_ID, StartError, Startup, run};
