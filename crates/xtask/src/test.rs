//! `cargo xtask test`: what CI runs, and nothing else does more.

use crate::step::{Failed, cargo, step};
use crate::{nix, prerequisites, python, test_kernel, vm};

pub fn run() -> Result<(), Failed> {
    prerequisites::ensure()?;
    prerequisites::ensure_programs()?;
    test_kernel::ensure()?;
    // First of all, because it may need the network.
    let python = python::ANOTHER_IMPLEMENTATION.ensure()?;
    let linters = python::VM_TESTS.ensure()?;
    step("format", cargo(&["fmt", "--all", "--check"]))?;
    let lints = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    step("lints", cargo(&lints))?;
    vm::check(linters.as_deref())?;
    nix::check()?;
    let machines = vm::ensure_image()?;
    // The tests of the test bed run these binaries.
    step("binaries", cargo(&["build", "--workspace", "--bins", "--examples", "--locked"]))?;
    let mut tests = cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    if let Some(python) = python {
        tests.env("SESAME_TEST_PYTHON", python);
    }
    step("tests", tests)?;
    supply_chain()?;
    if machines { vm::run_all() } else { Ok(()) }
}

/// Licences, sources and duplicates; needs cargo-deny, which takes longer to build than we do.
fn supply_chain() -> Result<(), Failed> {
    let there = cargo(&["deny", "--version"]).output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("xtask: left out: cargo deny (cargo install --locked cargo-deny)");
        return Ok(());
    }
    // Advisories need the network; `cargo deny check` without arguments asks for them too.
    step("supply chain", cargo(&["deny", "check", "bans", "licenses", "sources"]))
}
