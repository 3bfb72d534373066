//! The first program of a virtual machine of a test: mounts what a program expects, loads the modules in
//! `/modules` in the order of their names, runs `/run-test`, says how it ended, and turns the machine
//! off.

#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::process::Command;

use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};

fn main() {
    let ended = std::panic::catch_unwind(run).unwrap_or_else(|_| "with a panic of init".to_owned());
    // Read by the test from the serial console.
    println!("vm-init: the test ended {ended}");
    let never = reboot(RebootMode::RB_POWER_OFF);
    panic!("the machine is still on: {never:?}");
}

fn run() -> String {
    assert_eq!(std::process::id(), 1, "this is for a virtual machine of its own");
    let file_systems = [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/run"),
        ("tmpfs", "/tmp"),
        ("tmpfs", "/dev/shm"),
    ];
    for (kind, place) in file_systems {
        fs::create_dir_all(place).unwrap_or_else(|error| panic!("mkdir {place}: {error}"));
        mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>)
            .unwrap_or_else(|error| panic!("mount {place}: {error}"));
    }
    let modules = fs::read_dir("/modules").expect("a directory of modules").flatten();
    let mut modules: Vec<_> = modules.map(|entry| entry.path()).collect();
    modules.sort();
    for path in modules {
        let module = File::open(&path).expect("a module");
        finit_module(&module, c"", ModuleInitFlags::empty())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let mut test = Command::new("/run-test");
    test.env("PATH", "/bin").env("SESAME_BIN_DIR", "/bin").current_dir("/");
    match test.status() {
        Ok(status) => format!("with {status}"),
        Err(error) => format!("before it began: {error}"),
    }
}
