//! More identities than there is secret memory for: a key that finds no room is refused, and never put
//! where others can read it.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

#[path = "common/identity_secrets.rs"]
mod identity_secrets;

use identity_secrets::Secrets;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use site_config::Daemon;
use testbed::cicada::{UNLOCK_KEY, about, allow_me_everything, code, sign, with_key};
use testbed::{Host, is_root_or_skip};

/// Room for the arena and some 160 expanded keys.
const LOCKED_BYTES: u64 = 8 << 20;
const IDENTITIES: usize = 200;

#[test]
fn a_key_for_which_there_is_no_secret_memory_is_not_put_elsewhere() {
    if !is_root_or_skip("reading another process's memory") {
        return;
    }
    let mut host = Host::builder().cicada(&allow_me_everything()).provision();
    host.start();
    host.init();
    let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap();
    setrlimit(Resource::RLIMIT_MEMLOCK, LOCKED_BYTES, hard).unwrap();
    host.start_cicada();
    let mut program = host.program();
    program.ask(with_key("init", &UNLOCK_KEY));
    let mut made = Vec::new();
    for number in 0..IDENTITIES {
        let name = format!("i{number}");
        let reply = program.ask(about("create", &name));
        match code(&reply).as_deref() {
            None => made.push(name),
            Some(code) => assert_eq!(code, "busy", "{reply}"),
        }
    }
    let mut secrets = Secrets::default();
    for name in [&made[0], made.last().unwrap()] {
        secrets.add_version(name, &host.stored_identity(name, &UNLOCK_KEY).versions[0]);
    }
    let found = secrets.hunt().finds_in(&host, Daemon::Cicada);
    assert_eq!(found, Vec::<String>::new(), "{} of {IDENTITIES} were made", made.len());
    assert!(made.len() < IDENTITIES, "there was room for all of them: nothing was tested");
    // Nobody else suffers, and what was refused is not there.
    assert_eq!(code(&program.ask(sign(&made[0], b"data"))), None);
    let refused = format!("i{}", IDENTITIES - 1);
    let reply = program.ask(about("get_key", &refused));
    assert_eq!(code(&reply).as_deref(), Some("unknown_identity"), "{reply}");
}
