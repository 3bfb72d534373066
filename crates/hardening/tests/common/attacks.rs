//! What a daemon that was taken over would try next. An attack returns the error it met.

use std::ffi::{c_int, c_long, c_void};
use std::fs::{self, File};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::PathBuf;
use std::ptr::{null, null_mut};

/// In a victim that was forked from this process, the same address holds the same bytes.
pub static PLANTED: [u8; 16] = *b"a planted secret";

/// What the attacks are aimed at.
#[derive(Clone)]
pub struct Target {
    /// Another process of the same user.
    pub victim: c_int,
    /// A directory of the same user that the sandbox does not allow.
    pub outside: PathBuf,
    /// The name of an abstract socket that somebody outside listens on.
    pub abstract_socket: String,
}

pub type Attack = (&'static str, fn(&Target) -> io::Result<()>);

fn result(returned: c_long) -> io::Result<()> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A raw system call, past whatever the C library would refuse by itself.
macro_rules! call {
    ($number:expr $(, $argument:expr)*) => {
        // SAFETY: every pointer among the arguments is null or valid for the call.
        result(unsafe { libc::syscall($number $(, $argument)*) })
    };
}

fn socket(domain: c_int, kind: c_int) -> io::Result<()> {
    call!(libc::SYS_socket, domain, kind, 0)
}

fn map(protection: c_int) -> io::Result<*mut c_void> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a fresh page at an address of the kernel's choice.
    match unsafe { libc::mmap(null_mut(), 4096, protection, flags, -1, 0) } {
        libc::MAP_FAILED => Err(io::Error::last_os_error()),
        page => Ok(page),
    }
}

fn read_memory(victim: c_int) -> io::Result<()> {
    let mut taken = [0_u8; 16];
    let local = libc::iovec { iov_base: taken.as_mut_ptr().cast(), iov_len: 16 };
    let remote = libc::iovec { iov_base: PLANTED.as_ptr().cast_mut().cast(), iov_len: 16 };
    call!(libc::SYS_process_vm_readv, victim, &raw const local, 1, &raw const remote, 1, 0)?;
    assert_eq!(taken, PLANTED);
    Ok(())
}

fn fork() -> io::Result<()> {
    // SAFETY: the child does nothing but end.
    match unsafe { libc::fork() } {
        // SAFETY: as above.
        0 => unsafe { libc::_exit(0) },
        child => result(child.into()),
    }
}

/// Each of these gets somewhere without the sandbox; a test makes sure.
pub const ATTACKS: &[Attack] = &[
    ("socket AF_INET", |_| socket(libc::AF_INET, libc::SOCK_STREAM)),
    ("socket AF_INET, UDP", |_| socket(libc::AF_INET, libc::SOCK_DGRAM)),
    ("socket AF_INET6", |_| socket(libc::AF_INET6, libc::SOCK_STREAM)),
    ("socket AF_NETLINK", |_| socket(libc::AF_NETLINK, libc::SOCK_RAW)),
    ("socket AF_PACKET", |_| socket(libc::AF_PACKET, libc::SOCK_RAW)),
    ("socket AF_VSOCK", |_| socket(libc::AF_VSOCK, libc::SOCK_STREAM)),
    ("socketpair", |_| {
        let mut pair = [0; 2];
        call!(libc::SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr())
    }),
    // Bad pointers: what counts is whether the call is reached at all.
    ("execve", |_| call!(libc::SYS_execve, null::<u8>(), null::<u8>(), null::<u8>())),
    ("execveat", |_| call!(libc::SYS_execveat, -1, null::<u8>(), null::<u8>(), null::<u8>(), 0)),
    ("fork", |_| fork()),
    ("clone3", |_| call!(libc::SYS_clone3, null::<u8>(), 0)),
    ("a new thread", |_| std::thread::Builder::new().spawn(|| {}).map(drop)),
    ("ptrace", |target| call!(libc::SYS_ptrace, libc::PTRACE_ATTACH, target.victim, 0, 0)),
    ("process_vm_readv", |target| read_memory(target.victim)),
    ("open /proc/PID/mem", |target| File::open(format!("/proc/{}/mem", target.victim)).map(drop)),
    ("open /proc/PID/environ", |target| {
        File::open(format!("/proc/{}/environ", target.victim)).map(drop)
    }),
    ("pidfd_open", |target| call!(libc::SYS_pidfd_open, target.victim, 0)),
    ("kill", |target| call!(libc::SYS_kill, target.victim, 0)),
    ("tgkill", |target| call!(libc::SYS_tgkill, target.victim, target.victim, libc::SIGTERM)),
    ("tgkill SIGABRT", |target| {
        call!(libc::SYS_tgkill, target.victim, target.victim, libc::SIGABRT)
    }),
    // No signal at all, but SIGABRT is the one that may be sent.
    ("tgkill, to itself, anything but SIGABRT", |_| {
        // SAFETY: no argument, no failure.
        let (process, thread) = unsafe { (libc::getpid(), libc::gettid()) };
        call!(libc::SYS_tgkill, process, thread, 0)
    }),
    ("fcntl F_SETOWN", |target| call!(libc::SYS_fcntl, 0, libc::F_SETOWN, target.victim)),
    ("unshare", |_| call!(libc::SYS_unshare, libc::CLONE_FILES)),
    ("setns", |_| call!(libc::SYS_setns, -1, 0)),
    ("mount", |_| call!(libc::SYS_mount, null::<u8>(), null::<u8>(), null::<u8>(), 0, 0)),
    ("chroot", |_| call!(libc::SYS_chroot, null::<u8>())),
    ("bpf", |_| call!(libc::SYS_bpf, 0, null::<u8>(), 0)),
    ("perf_event_open", |_| call!(libc::SYS_perf_event_open, null::<u8>(), 0, -1, -1, 0)),
    ("io_uring_setup", |_| call!(libc::SYS_io_uring_setup, 1, null::<u8>())),
    ("userfaultfd", |_| call!(libc::SYS_userfaultfd, libc::O_CLOEXEC)),
    ("keyctl", |_| call!(libc::SYS_keyctl, 0, 0, 0)),
    ("open /etc/passwd", |_| File::open("/etc/passwd").map(drop)),
    ("list /", |_| fs::read_dir("/").map(drop)),
    ("read a file outside", |target| fs::read(target.outside.join("there")).map(drop)),
    ("create a file outside", |target| File::create(target.outside.join("new")).map(drop)),
    ("remove a file outside", |target| {
        File::open(&target.outside).or(Err(io::Error::from_raw_os_error(libc::EACCES)))?;
        fs::remove_file(target.outside.join("there"))
    }),
    ("mmap PROT_EXEC", |_| map(libc::PROT_READ | libc::PROT_EXEC).map(drop)),
    ("mprotect PROT_EXEC", |_| {
        let page = map(libc::PROT_READ | libc::PROT_WRITE)?;
        call!(libc::SYS_mprotect, page, 4096, libc::PROT_READ | libc::PROT_EXEC)
    }),
    ("memfd_create", |_| call!(libc::SYS_memfd_create, c"code".as_ptr(), 0)),
    ("personality", |_| call!(libc::SYS_personality, 0xffff_ffff_u64)),
    ("connect to an abstract socket", |target| {
        let address = SocketAddr::from_abstract_name(&target.abstract_socket)?;
        UnixStream::connect_addr(&address).map(drop).map_err(|error| match error.raw_os_error() {
            // There is no such socket in the network namespace of the daemon.
            Some(libc::ECONNREFUSED) => io::Error::from_raw_os_error(libc::EACCES),
            _ => error,
        })
    }),
    ("setuid", |_| call!(libc::SYS_setuid, 65534)),
    ("become dumpable", |_| call!(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0)),
    ("raise a limit", |_| {
        let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        call!(libc::SYS_prlimit64, 0, libc::RLIMIT_CORE, &raw const limit, null::<u8>())
    }),
    ("ioctl TIOCSTI", |_| call!(libc::SYS_ioctl, -1, libc::TIOCSTI, c"x".as_ptr())),
    #[cfg(target_arch = "x86_64")]
    ("a number of the x32 ABI", |_| {
        const X32: c_long = 0x4000_0000;
        call!(X32 | libc::SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0)
    }),
];

/// Whether the sandbox, and not circumstance, stopped the attack.
pub fn denied(result: &io::Result<()>) -> bool {
    let errno = result.as_ref().err().and_then(io::Error::raw_os_error);
    // Spawning a thread and the standard library's paths keep the errno as well.
    matches!(errno, Some(libc::EPERM | libc::EACCES))
}
