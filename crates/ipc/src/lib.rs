//! Requests between the processes of one machine: point to point, authenticated, encrypted.
//!
//! A connection is a Unix socket with a Noise IK handshake on top. A peer is its X25519 static key
//! *and* its uid; one without the other is refused. There is no bus: a message reaches the one peer
//! that it was sent to.
//!
//! From the wire upwards:
//! - [`frame`]: a length and that many bytes.
//! - [`suite`], [`resolver`], [`session`]: the Noise handshake and what follows it.
//! - [`codec`]: postcard, straight into and out of secret memory.
//! - [`audit`], [`secrets`], [`factors`]: the requests that each daemon answers.
//! - [`clearance`]: who may ask for what, in one table.
//! - [`client`], [`server`]: the two ends; [`pool`]: the server's threads, for any protocol.
//! - [`trail`]: what a daemon that acts says to daemon-audit first.

#![forbid(unsafe_code)]

pub mod audit;
pub mod clearance;
pub mod client;
pub mod codec;
pub mod connection;
pub mod factors;
pub mod fault;
pub mod frame;
pub mod identity;
pub mod pool;
pub mod refusal;
pub mod resolver;
pub mod secrets;
pub mod server;
pub mod session;
pub mod suite;
pub mod trail;

pub use client::{Client, ClientError};
pub use fault::{Fault, FaultKind};
pub use identity::{Credentials, Identity, Peer};
pub use pool::{Pool, Protocol};
pub use refusal::{Refusal, RefusalReason};
pub use server::{Limits, Noise, Service};
pub use suite::Suite;
