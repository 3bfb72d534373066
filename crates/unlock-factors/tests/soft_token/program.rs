//! A soft FIDO2 token as a program, for tests of the whole. It protects nothing.
//!
//! `soft-fido2-token [SEED [PIN]]` prints the path of its device and answers until standard input ends.
//! On standard input: `touch`, `no touch`, `replug`, each on a line.

#[allow(dead_code, reason = "the tests of the driver use the rest")]
#[path = "mod.rs"]
mod soft_token;

use std::io::BufRead;

use soft_token::{Options, SoftToken};

fn main() {
    eprintln!("this is a soft token for tests: its keys are in plain memory");
    let mut arguments = std::env::args().skip(1);
    let seed = arguments.next().map_or(1, |seed| seed.parse().expect("a number below 256"));
    let pin = arguments.next().map(|pin| &*pin.leak());
    let token = SoftToken::plug_in(Options { seed, pin, ..Options::default() });
    println!("{}", token.path().display());
    for line in std::io::stdin().lock().lines() {
        match line.expect("standard input").as_str() {
            "touch" => token.touch(true),
            "no touch" => token.touch(false),
            "replug" => token.replug(),
            other => panic!("`{other}`"),
        }
    }
}
