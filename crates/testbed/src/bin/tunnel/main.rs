//! Two hosts with a cicada each, in two network namespaces with a cable between them: cloud-sync makes
//! a WireGuard tunnel, and they ping each other through it. With another preshared key on one side,
//! and nothing else changed, nothing comes through.
//!
//! Needs root and a kernel with WireGuard; `tests/wireguard.rs` brings one where the machine has none.
//! Says what was seen, one line each, and panics at the first thing that is not as it should be. What
//! cloud-sync did to the kernel is read back with `ip` and `wg`, which know nothing of cloud-sync.

#![forbid(unsafe_code)]

mod end;
mod namespace;
mod ping;

use std::thread;
use std::time::{Duration, Instant};

use end::{End, Place};

const LEFT: Place =
    Place { name: "left", role: "initiator", outside: "192.0.2.1", inside: "10.99.0.1" };

const RIGHT: Place =
    Place { name: "right", role: "responder", outside: "192.0.2.2", inside: "10.99.0.2" };

/// WireGuard tries a handshake again after 5 seconds and a bit.
const HANDSHAKES: Duration = Duration::from_secs(20);

fn main() {
    let (left, right) = (End::new(&LEFT), End::new(&RIGHT));
    left.cable_to(&right);
    assert!(left.ping(RIGHT.outside).is_ok() && right.ping(LEFT.outside).is_ok());
    say("the two namespaces reach each other over the cable, and nobody else");

    make_tunnel(&left, &right);
    left.ping(RIGHT.inside).expect("left pings right through the tunnel");
    right.ping(LEFT.inside).expect("right pings left through the tunnel");
    let first = left.preshared_key();
    assert_eq!(first, right.preshared_key(), "both ends have the same preshared key");
    assert_ne!(first, "(none)");
    for end in [&left, &right] {
        assert_eq!(end.interface_public_key(), end.identity_public_key(), "the key of cicada");
        assert_ne!(end.latest_handshake(), 0);
    }
    say("both ping each other through the tunnel, with keys of cicada and one preshared key");

    left.delete_interface();
    right.delete_interface();
    make_tunnel(&left, &right);
    let second = left.preshared_key();
    assert_ne!(first, second, "another exchange, another preshared key");
    // Before the first packet, so that no session stands yet.
    left.set_preshared_key(&first);
    left.ping(RIGHT.inside)
        .expect_err("with another preshared key on the left, left reaches right");
    right
        .ping(LEFT.inside)
        .expect_err("with another preshared key on the left, right reaches left");
    assert!(right.received_bytes() > 0, "the handshake arrives, and is not taken");
    assert_eq!((left.latest_handshake(), right.latest_handshake()), (0, 0));
    assert!(left.ping(RIGHT.outside).is_ok(), "the cable is as good as before");
    say("with another preshared key on one side nothing comes through");

    left.set_preshared_key(&second);
    let start = Instant::now();
    while left.ping(RIGHT.inside).is_err() {
        assert!(start.elapsed() < HANDSHAKES, "with the right preshared key it goes on");
    }
    right.ping(LEFT.inside).expect("and the other way");
    say("with the right one again, both ping each other");
}

/// Runs cloud-sync at both ends, at the same time.
fn make_tunnel(left: &End, right: &End) {
    let exchange = tempfile::tempdir().expect("a scratch directory");
    thread::scope(|scope| {
        for (end, peer) in [(left, right), (right, left)] {
            let exchange = exchange.path();
            scope.spawn(move || end.cloud_sync(peer, exchange));
        }
    });
}

fn say(what: &str) {
    println!("tunnel: {what}");
}
