//! More identities than there is secret memory for: the expanded keys of some make room for others, and
//! none is ever put where others can read it.

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
fn keys_for_which_there_is_no_secret_memory_take_turns_and_are_not_put_elsewhere() {
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
    let names: Vec<String> = (0..IDENTITIES).map(|number| format!("i{number}")).collect();
    for name in &names {
        let reply = program.ask(about("create", name));
        assert_eq!(code(&reply), None, "{reply}");
    }
    let mut secrets = Secrets::default();
    for name in [&names[0], &names[IDENTITIES - 1]] {
        secrets.add_version(name, &host.stored_identity(name, &UNLOCK_KEY).versions[0]);
    }
    let found = secrets.hunt().finds_in(&host, Daemon::Cicada);
    assert_eq!(found, Vec::<String>::new());
    // Those that made room for others work again when they are needed.
    for name in &names {
        assert_eq!(code(&program.ask(sign(name, b"data"))), None, "{name}");
    }
    let found = secrets.hunt().finds_in(&host, Daemon::Cicada);
    assert_eq!(found, Vec::<String>::new());
}
