//! A program of a fleet host: makes a WireGuard tunnel to its peer with keys from cicada, and a
//! preshared key from ML-KEM-768, so that traffic recorded today stays unreadable for a quantum
//! computer of later (WireGuard's own key agreement is X25519).
//!
//! ```text
//! cloud-sync --role initiator --identity cloud-sync --peer-key peer.ml-dsa-65 --exchange DIR
//!            --interface wg0 --address 10.99.0.1/32 --listen-port 51820
//!            --endpoint 192.0.2.2:51820 --allow 10.99.0.2/32
//! ```
//!
//! Both ends write public, signed files into a directory that they share, or whose files something
//! carries between them:
//!
//! 1. Each offers its X25519 and ML-KEM public keys, signed by cicada with ML-DSA-65. The other end
//!    knows the ML-DSA key beforehand (`--peer-key`) and nothing else of it.
//! 2. The initiator has cicada encapsulate a secret to the responder's ML-KEM key, and answers with the
//!    ciphertext, signed together with both offers.
//! 3. Each end gives WireGuard, by netlink, its private key, the peer's public key and the secret.
//!
//! It runs once, needs CAP_NET_ADMIN, and leaves the interface behind. No connection to cicada is held
//! while it waits, and no other program is run.

#![forbid(unsafe_code)]

mod agreement;
mod arguments;
mod link;
mod mailbox;
mod netlink;
mod statement;
mod wireguard;

use std::error::Error;
use std::process::ExitCode;

use arguments::Arguments;
use clap::Parser;
use data_encoding::BASE64;
use secret_memory::{Policy, WipingAllocator};

/// The netlink crates keep keys in ordinary memory for a moment; it is wiped when they free it.
#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

/// Room for three keys and a few messages.
const SECRET_BYTES: usize = 1 << 20;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cloud-sync: {error}");
            let causes = std::iter::successors(error.source(), |cause| (*cause).source());
            causes.for_each(|cause| eprintln!("cloud-sync: because: {cause}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    secret_memory::init(Policy::Require, SECRET_BYTES, 0)?;
    let keys = agreement::agree(arguments)?;
    let mut links = link::Links::open()?;
    let interface = links.create_wireguard(&arguments.interface)?;
    if let Err(error) = bring_up(arguments, &mut links, interface, &keys) {
        // An interface without its keys is of no use, and would be in the way of the next attempt.
        links.delete(interface)?;
        return Err(error.into());
    }
    let peer = BASE64.encode(&keys.peer_public_key);
    println!("{} is up, to {peer} at {}", arguments.interface, arguments.endpoint);
    Ok(())
}

fn bring_up(
    arguments: &Arguments,
    links: &mut link::Links,
    interface: link::Index,
    keys: &agreement::Keys,
) -> Result<(), netlink::NetlinkError> {
    let tunnel = wireguard::Tunnel {
        listen_port: arguments.listen_port,
        endpoint: arguments.endpoint,
        allowed: &arguments.allow,
    };
    wireguard::Devices::open()?.configure(interface, &tunnel, keys)?;
    links.add_address(interface, arguments.address)?;
    links.up(interface)?;
    arguments.allow.iter().try_for_each(|prefix| links.add_route(interface, *prefix))
}
