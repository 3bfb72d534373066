//! Connects as whoever it runs as and hands the connections over: `socket-tool SOCKET COUNT`.
//!
//! Standard input is a socket, over which they go as one message (unix(7), `SCM_RIGHTS`).

#![forbid(unsafe_code)]

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, count] = arguments.as_slice() else {
        eprintln!("usage: socket-tool SOCKET COUNT");
        return ExitCode::from(2);
    };
    match hand_over(socket, count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("socket-tool: {error}");
            ExitCode::FAILURE
        }
    }
}

fn hand_over(socket: &str, count: &str) -> Result<(), Box<dyn std::error::Error>> {
    let connect = |_| UnixStream::connect(socket);
    let streams = (0..count.parse()?).map(connect).collect::<Result<Vec<_>, _>>()?;
    let fds: Vec<_> = streams.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); 4096];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    let flags = SendFlags::empty();
    sendmsg(std::io::stdin(), &[IoSlice::new(b".")], &mut ancillary, flags)?;
    Ok(())
}
