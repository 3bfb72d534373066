//! The network that the daemon must not have: a namespace of its own, with nothing in it.

use super::Judgement;
use super::process::Process;

/// Files of `/proc/PID/net` that list sockets, and the column of the inode in each.
const SOCKETS: [(&str, usize); 11] = [
    ("tcp", 9),
    ("tcp6", 9),
    ("udp", 9),
    ("udp6", 9),
    ("udplite", 9),
    ("udplite6", 9),
    ("raw", 9),
    ("raw6", 9),
    ("icmp", 9),
    ("icmp6", 9),
    ("packet", 8),
];

/// A socket that is not a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NetworkSocket {
    protocol: &'static str,
    inode: u64,
}

/// The network namespaces of the daemon and of the machine (process 1) are two.
pub(super) fn namespace(
    daemon: Result<String, String>,
    machine: Result<String, String>,
) -> Judgement {
    let (daemon, machine) = (daemon?, machine?);
    if daemon == machine {
        return Err(format!("{daemon}, which is the machine's"));
    }
    Ok(format!("{daemon}, and {machine} is the machine's"))
}

/// Nothing but `lo` in the text of `net/dev`.
pub(super) fn interfaces(devices: &str) -> Judgement {
    // Two lines of headings, then `name: counters`.
    let names = devices.lines().skip(2).filter_map(|line| Some(line.rsplit_once(':')?.0.trim()));
    let names: Vec<&str> = names.collect();
    match names[..] {
        ["lo"] => Ok("only lo".to_owned()),
        [] => Err("no interface is listed, not even lo".to_owned()),
        _ => Err(names.join(", ")),
    }
}

/// Every socket of the process's network namespace that `/proc/PID/net` lists.
pub(super) fn sockets(process: &Process) -> Result<Vec<NetworkSocket>, String> {
    let mut sockets = Vec::new();
    for (protocol, column) in SOCKETS {
        // A kernel without a protocol has no sockets of it.
        if let Some(text) = process.find(&format!("net/{protocol}"))? {
            sockets.extend(parse(protocol, column, &text)?);
        }
    }
    Ok(sockets)
}

fn parse(protocol: &'static str, column: usize, text: &str) -> Result<Vec<NetworkSocket>, String> {
    let socket = |line: &str| {
        let inode = line.split_whitespace().nth(column)?.parse().ok()?;
        Some(NetworkSocket { protocol, inode })
    };
    let lines = text.lines().skip(1).filter(|line| !line.trim().is_empty());
    lines.map(|line| socket(line).ok_or_else(|| format!("net/{protocol} makes no sense"))).collect()
}

/// None in the namespace at all or, in the machine's namespace, none among `own` inodes.
pub(super) fn no_sockets(found: &[NetworkSocket], own: Option<&[u64]>) -> Judgement {
    let its = |socket: &&NetworkSocket| own.is_none_or(|own| own.contains(&socket.inode));
    let its: Vec<&str> = found.iter().filter(its).map(|socket| socket.protocol).collect();
    if its.is_empty() {
        return Ok("no TCP, UDP, ICMP, raw or packet socket".to_owned());
    }
    Err(format!("{} sockets: {}", its.len(), its.join(", ")))
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

    use super::*;

    const DEVICES: &str = "Inter-|   Receive        |  Transmit\n face |bytes packets|bytes\n    \
        lo:       0       0\n";
    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   \
        uid  timeout inode\n   0: 00000000:07E8 00000000:0000 0A 00000000:00000000 00:00000000 \
        00000000     0        0 641 1 000000002ecc0035 100 0 0 10 0\n";
    const PACKET: &str = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n\
        00000000a1b2c3d4 3      3    0003   0     1 0      0      4711\n";

    #[test]
    fn the_machines_namespace_fails() {
        let link = |number| Ok(format!("net:[{number}]"));
        assert!(namespace(link(2), link(1)).is_ok());
        assert!(namespace(link(1), link(1)).is_err());
        assert!(namespace(link(2), Err("denied".into())).is_err());
    }

    #[test]
    fn another_interface_fails() {
        assert_eq!(interfaces(DEVICES).unwrap(), "only lo");
        let two = format!("{DEVICES}  eth0:0 0\n");
        assert_eq!(interfaces(&two).unwrap_err(), "lo, eth0");
        assert!(interfaces("").is_err());
    }

    #[test]
    fn a_socket_of_any_network_fails() {
        let mut found = parse("tcp", 9, TCP).unwrap();
        found.extend(parse("packet", 8, PACKET).unwrap());
        assert_eq!(found.iter().map(|socket| socket.inode).collect::<Vec<_>>(), [641, 4711]);
        assert_eq!(no_sockets(&found, None).unwrap_err(), "2 sockets: tcp, packet");
        assert_eq!(no_sockets(&found, Some(&[4711])).unwrap_err(), "1 sockets: packet");
        assert!(no_sockets(&found, Some(&[1])).is_ok());
        assert!(no_sockets(&[], None).is_ok());
    }

    #[test]
    fn a_line_that_makes_no_sense_is_no_absence_of_sockets() {
        assert!(parse("tcp", 9, "headings\n 0: short\n").is_err());
        assert!(parse("tcp", 9, "headings\n").unwrap().is_empty());
    }

    /// The columns, against the kernel.
    #[test]
    fn every_socket_of_this_process_is_seen() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let open = |family, kind, protocol: Option<SockProtocol>| {
            socket(family, kind, SockFlag::SOCK_CLOEXEC, protocol).ok()
        };
        let raw = open(AddressFamily::Inet, SockType::Raw, Some(SockProtocol::Icmp));
        let packet = open(AddressFamily::Packet, SockType::Datagram, None);
        let process = Process::own();
        let (found, own) = (sockets(&process).unwrap(), process.sockets().unwrap());
        let its =
            |protocol| found.iter().any(|one| one.protocol == protocol && own.contains(&one.inode));
        assert!(its("tcp") && its("udp"));
        // Root's.
        assert_eq!((its("raw"), its("packet")), (raw.is_some(), packet.is_some()));
        assert!(no_sockets(&found, Some(&own)).is_err());
        drop((tcp, udp));
    }
}
