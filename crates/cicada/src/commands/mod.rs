//! What the program does besides being the daemon.

pub mod seccomp_profile;
pub mod verify_isolation;
