//! The daemon about itself, once its sandbox is in force: before READY, and for `status`.

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::confinement;
use super::mounts::Mounts;
use super::network;
use super::process::Process;
use super::{IsolationCheck, Judge, Judgement, Place};

/// Families of sockets that reach something.
const FAMILIES: [(AddressFamily, &str); 5] = [
    (AddressFamily::Inet, "INET"),
    (AddressFamily::Inet6, "INET6"),
    (AddressFamily::Netlink, "NETLINK"),
    (AddressFamily::Packet, "PACKET"),
    (AddressFamily::Vsock, "VSOCK"),
];

/// Looks at this process. `seccomp_filters` is how many filters every thread must have: those that
/// were there before, and the daemon's own.
///
/// To be called in the service phase: it needs `/proc/self` below
/// [`hardening::filesystem::Access`], and no system call that
/// [`hardening::seccomp::SERVICE`] lacks.
#[must_use]
pub fn inside(place: &Place, seccomp_filters: u32) -> Vec<IsolationCheck> {
    let judge = Judge { unit: place.unit };
    let process = Process::own();
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
        judge.own("landlock", landlock()),
        judge.own(
            "core-dumps",
            process.read("limits").and_then(|text| confinement::core_limit(&text)),
        ),
        judge.of_either(
            "interfaces",
            process.read("net/dev").and_then(|text| network::interfaces(&text)),
        ),
        judge.own(
            "families",
            families(|family| {
                socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).map(drop)
            }),
        ),
        judge.of_the_unit("root", of_mounts(&Mounts::root)),
        judge.of_the_unit("tmp", of_mounts(&Mounts::tmp)),
        judge.of_the_unit(
            "writable",
            of_mounts(&|mounts| mounts.nothing_else_is_writable(&[&place.state, &place.runtime])),
        ),
    ]
}

fn landlock() -> Judgement {
    match hardening::filesystem::is_denied_here() {
        true => Ok("/ can't be listed".to_owned()),
        false => Err("/ can be listed".to_owned()),
    }
}

/// Tries every family; `open` opens a socket of one.
fn families(open: impl Fn(AddressFamily) -> nix::Result<()>) -> Judgement {
    let mut opened = Vec::new();
    for (family, name) in FAMILIES {
        match open(family) {
            Err(Errno::EPERM | Errno::EACCES) => {}
            Err(errno) => opened.push(format!("{name} ({errno}, and not denied)")),
            Ok(()) => opened.push(name.to_owned()),
        }
    }
    if opened.is_empty() {
        return Ok(format!("{} are denied", FAMILIES.map(|(_, name)| name).join(", ")));
    }
    Err(format!("not denied: {}", opened.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_that_is_not_denied_fails() {
        assert!(families(|_| Err(Errno::EPERM)).is_ok());
        assert!(families(|_| Err(Errno::EAFNOSUPPORT)).is_err());
        let vsock = |family| match family {
            AddressFamily::Vsock => Ok(()),
            _ => Err(Errno::EPERM),
        };
        assert_eq!(families(vsock).unwrap_err(), "not denied: VSOCK");
    }

    #[test]
    fn a_process_that_nobody_confined_fails() {
        let place = Place {
            unit: true,
            state: "/var/lib/cicada".into(),
            runtime: "/run/cicada".into(),
            socket: "/run/cicada/cicada.sock".into(),
            group: "cloud-sync".into(),
        };
        let checks = inside(&place, 1);
        let failed = |id| {
            let check = checks.iter().find(|check| check.check == id).unwrap();
            check.status == super::super::Status::Fail
        };
        for id in ["no-new-privileges", "landlock", "families", "tmp", "writable"] {
            assert!(failed(id), "{id} in {checks:?}");
        }
    }
}
