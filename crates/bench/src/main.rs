//! `cargo xtask bench`: what Sesame costs, as ratios to floors that are measured in the same run.
//!
//! Absolute figures depend on the machine; a ratio says what we add. No test asserts any of this.

#![forbid(unsafe_code)]

mod floors;
mod processes;
mod requests;
mod table;
mod trail;

use testbed::{Host, Users};

use crate::table::Table;

#[global_allocator]
static ALLOCATOR: secret_memory::WipingAllocator = secret_memory::WipingAllocator;

fn main() {
    let mut table = Table::default();
    trail::verify_all(&mut table);
    // One user for all, as in a session: who runs what makes no difference to the speed.
    let mut host = Host::builder().users(Users::only_me()).provision();
    let ready = processes::start_to_ready(&mut host);
    host.init();
    host.unlock();
    host.sesame(["secret", "set", "bench"]).stdin(vec![b'x'; requests::VALUE_BYTES]).succeed();

    trail::append(&host, &mut table);
    requests::open_connection(&host, &mut table);
    requests::many_clients(&host, &mut table);
    processes::command(&host, &mut table);
    requests::unlock(&host, &mut table);
    processes::ready(&ready, &mut table);
    processes::memory(&host, &mut table);
    processes::sizes(&mut table);
    table.print();
}
