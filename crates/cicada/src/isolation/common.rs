//! What the daemon sees of itself and root sees of it alike.

use super::confinement;
use super::mounts::Mounts;
use super::network;
use super::process::Process;
use super::{IsolationCheck, Judge, Judgement, Place};

/// The checks that need no more than `/proc/PID` of the process.
pub(super) fn checks(
    judge: &Judge,
    place: &Place,
    process: &Process,
    seccomp_filters: u32,
) -> Vec<IsolationCheck> {
    let threads = process.threads();
    let of_threads = |look: &dyn Fn(&[String]) -> Judgement| match &threads {
        Ok(threads) => look(threads),
        Err(error) => Err(error.clone()),
    };
    let mounts = process.read("mountinfo").and_then(|text| Mounts::parse(&text));
    let of_mounts = |look: &dyn Fn(&Mounts) -> Judgement| {
        mounts.as_ref().map_or_else(|error| Err(error.clone()), look)
    };
    vec![
        judge.of_the_unit("user", of_threads(&confinement::identity)),
        judge.own(
            "capabilities",
            of_threads(&|threads| confinement::capabilities(threads, place.unit)),
        ),
        judge.own("no-new-privileges", of_threads(&confinement::no_new_privileges)),
        judge.own("seccomp", of_threads(&|threads| confinement::seccomp(threads, seccomp_filters))),
        judge.own(
            "core-dumps",
            process.read("limits").and_then(|text| confinement::core_limit(&text)),
        ),
        judge.of_either(
            "interfaces",
            process.read("net/dev").and_then(|text| network::interfaces(&text)),
        ),
        judge.of_the_unit("root", of_mounts(&Mounts::root)),
        judge.of_the_unit("tmp", of_mounts(&Mounts::tmp)),
        judge.of_the_unit(
            "writable",
            of_mounts(&|mounts| mounts.nothing_else_is_writable(&[&place.state, &place.runtime])),
        ),
    ]
}
