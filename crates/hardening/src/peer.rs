//! Who is at the other end of a Unix socket: its groups, which neither the standard library nor nix
//! asks for.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{getsockopt, sockopt};

/// The groups of the process at the other end when it connected, the first one included
/// (`SO_PEERCRED` and `SO_PEERGROUPS`, unix(7)).
///
/// # Errors
/// The errno of getsockopt(2).
pub fn groups(socket: &impl AsFd) -> io::Result<Vec<u32>> {
    let first = getsockopt(&socket.as_fd(), sockopt::PeerCredentials)?.gid();
    let mut groups = vec![0; 64];
    loop {
        let mut bytes = size_in_bytes(&groups);
        // SAFETY: the kernel writes at most `bytes` bytes into the vector, which has so many, and the
        // size into `bytes`.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut bytes,
            )
        };
        let count = bytes as usize / size_of::<u32>();
        match (result, io::Error::last_os_error()) {
            (0, _) => {
                groups.truncate(count);
                break;
            }
            // It says how much room it needs; at most 65536 groups (credentials(7)).
            (_, error) if error.raw_os_error() == Some(libc::ERANGE) && count > groups.len() => {
                groups.resize(count, 0);
            }
            (_, error) => return Err(error),
        }
    }
    groups.push(first);
    Ok(groups)
}

fn size_in_bytes(groups: &[u32]) -> libc::socklen_t {
    libc::socklen_t::try_from(size_of_val(groups)).unwrap_or(libc::socklen_t::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_groups_of_this_process_are_those_that_it_has() {
        let (socket, _other) = UnixStream::pair().unwrap();
        let mut found = groups(&socket).unwrap();
        let mut expected: Vec<u32> =
            nix::unistd::getgroups().unwrap().into_iter().map(nix::unistd::Gid::as_raw).collect();
        expected.push(nix::unistd::getegid().as_raw());
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
}
