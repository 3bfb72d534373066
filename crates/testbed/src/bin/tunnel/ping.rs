//! ICMP echo (RFC 792) from whatever namespace the thread is in.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, ipproto};

const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;

/// Sends an echo request every 200 ms until the first reply.
///
/// # Errors
/// `TimedOut`, or what the kernel says about the route.
pub fn ping(to: Ipv4Addr, patience: Duration) -> io::Result<()> {
    let raw = rustix::net::socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP))?;
    // Only for its connect, send and recv: the socket is raw.
    let socket = UdpSocket::from(raw);
    socket.connect((to, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let start = Instant::now();
    for sequence in 0_u16.. {
        socket.send(&echo_request(sequence))?;
        let mut packet = [0; 1500];
        while let Ok(length) = socket.recv(&mut packet) {
            let header = usize::from(packet[0] & 0x0f) * 4;
            let message = packet.get(header..length).unwrap_or_default();
            if message.first() == Some(&ECHO_REPLY) && message.get(8..) == Some(PAYLOAD) {
                return Ok(());
            }
        }
        if start.elapsed() > patience {
            break;
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

const PAYLOAD: &[u8] = b"through the tunnel";

fn echo_request(sequence: u16) -> Vec<u8> {
    let [high, low] = sequence.to_be_bytes();
    let mut message = vec![ECHO_REQUEST, 0, 0, 0, 0, 1, high, low];
    message.extend_from_slice(PAYLOAD);
    let sum: u32 =
        message.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !u16::try_from((folded & 0xffff) + (folded >> 16)).expect("16 bits");
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}
