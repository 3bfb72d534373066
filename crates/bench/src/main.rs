//! `cargo xtask bench`: what Sesame costs, as ratios to floors that are measured in the same run.
//!
//! Absolute figures depend on the machine; a ratio says what we add. No test asserts any of this.

#![forbid(unsafe_code)]

mod cicada;
mod floors;
mod image;
mod modes;
mod processes;
mod requests;
mod table;
mod trail;

use testbed::{Host, Users};

use crate::image::Measurement;
use crate::table::Table;

#[global_allocator]
static ALLOCATOR: secret_memory::WipingAllocator = secret_memory::WipingAllocator;

fn main() {
    let mut table = Table::default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        None => everything(&mut table),
        Some("image") => match Measurement::parse(&arguments[1..]) {
            Some(measurement) => measurement.show(&mut table),
            None => {
                eprintln!("bench: image wants FIGURES [COLD WARM]; `cargo xtask bench --image`");
                std::process::exit(2);
            }
        },
        Some("verify") => trail::verify_all(&mut table),
        Some("unlock") => modes::unlock(&mut table),
        Some("append") => trail::append(&host(), &mut table),
        Some("cicada") => cicada::cicada(&mut table),
        Some(other) => {
            eprintln!(
                "bench: {other:?} is none of verify, append, unlock, cicada and image; without it, all but \
                 the image is measured"
            );
            std::process::exit(2);
        }
    }
    table.print();
}

fn everything(table: &mut Table) {
    trail::verify_all(table);
    let mut host = provisioned();
    let ready = processes::start_to_ready(&mut host);
    let host = initialised(host);

    trail::append(&host, table);
    requests::open_connection(&host, table);
    requests::many_clients(&host, table);
    cicada::cicada(table);
    processes::command(&host, table);
    modes::unlock(table);
    modes::first(&host, table);
    processes::ready(&ready, table);
    processes::memory(&host, table);
    processes::sizes(table);
}

/// One user for all, as in a session: who runs what makes no difference to the speed.
fn provisioned() -> Host {
    Host::builder().users(Users::only_me()).provision()
}

fn initialised(host: Host) -> Host {
    host.init();
    host.unlock();
    host.sesame(["secret", "set", "bench"]).stdin(vec![b'x'; requests::VALUE_BYTES]).succeed();
    host
}

fn host() -> Host {
    let mut host = provisioned();
    host.start();
    initialised(host)
}
