//! The daemon about itself, once its sandbox is in force: before READY, and for `status`.

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::common;
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
    let mut checks = common::checks(&judge, place, &Process::own(), seccomp_filters);
    checks.push(judge.own("landlock", landlock()));
    let open = |family| socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).map(drop);
    checks.push(judge.own("families", families(open)));
    checks
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
