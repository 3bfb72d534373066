//! What a program inside a daemon's unit or container would try, each attempt whole: it succeeds for
//! root outside, and leaves nothing behind.

use std::ffi::{c_int, c_long, c_void};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::Command;
use std::ptr::{null, null_mut};

use libc::{EACCES, EAFNOSUPPORT, ECONNREFUSED, ENOENT, ENOSYS, EPERM, EROFS};

/// What the attempts are aimed at.
pub struct Site {
    /// Another process, of another user.
    pub victim: c_int,
    /// The name of an abstract socket that somebody outside listens on.
    pub abstract_socket: String,
    /// A set-user-ID program of root's that prints its effective user id.
    pub setuid_program: String,
}

type Attempt = Box<dyn Fn(&Site) -> io::Result<()>>;

/// A name, what counts as denied, and the attempt.
pub struct Intrusion {
    pub name: String,
    denied: &'static [c_int],
    attempt: Attempt,
}

impl Intrusion {
    /// The line about it: `denied` or `ALLOWED`, its name, and the error.
    pub fn line(&self, site: &Site) -> String {
        match (self.attempt)(site) {
            Ok(()) => format!("ALLOWED  {}", self.name),
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(0);
                let word = if self.denied.contains(&errno) { "denied " } else { "ALLOWED" };
                format!("{word}  {}  {error}", self.name)
            }
        }
    }
}

const REFUSED: &[c_int] = &[EPERM, EACCES];
const CLOSED: &[c_int] = &[EPERM, EACCES, EROFS, ENOENT];
/// A kernel without modules, or a filter that pretends to know no such call, is as good.
const ABSENT: &[c_int] = &[EPERM, EACCES, ENOSYS];
const FAMILY: &[c_int] = &[EPERM, EACCES, EAFNOSUPPORT];

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

/// Reached, if the kernel complains about what it was given and not about who gave it.
fn reached(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if REFUSED.contains(&error.raw_os_error().unwrap_or(0)) => Err(error),
        Err(error) if error.raw_os_error() == Some(ENOSYS) => Err(error),
        _ => Ok(()),
    }
}

/// All of them. The ones that change the process itself come last.
pub fn intrusions() -> Vec<Intrusion> {
    let mut all = Vec::new();
    let mut add = |name: &str, denied, attempt: Attempt| {
        all.push(Intrusion { name: name.to_owned(), denied, attempt });
    };
    for (name, family) in [
        ("INET", libc::AF_INET),
        ("INET6", libc::AF_INET6),
        ("NETLINK", libc::AF_NETLINK),
        ("PACKET", libc::AF_PACKET),
        ("VSOCK", libc::AF_VSOCK),
    ] {
        for (kind, number) in [("STREAM", libc::SOCK_STREAM), ("DGRAM", libc::SOCK_DGRAM)] {
            let packet_stream = family == libc::AF_PACKET && number == libc::SOCK_STREAM;
            let netlink_stream = family == libc::AF_NETLINK && number == libc::SOCK_STREAM;
            if packet_stream || netlink_stream {
                continue; // No such thing.
            }
            let open = move |_: &Site| call!(libc::SYS_socket, family, number, 0);
            add(&format!("socket(AF_{name}, SOCK_{kind})"), FAMILY, Box::new(open));
        }
    }
    let raw = |_: &Site| call!(libc::SYS_socket, libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP);
    add("socket(AF_INET, SOCK_RAW)", FAMILY, Box::new(raw));
    add("connect(an abstract socket)", &[EPERM, EACCES, ECONNREFUSED], Box::new(abstract_socket));
    add("io_uring_setup", REFUSED, Box::new(io_uring));
    add("ptrace", REFUSED, Box::new(ptrace));
    add("process_vm_readv", REFUSED, Box::new(read_memory));
    add(
        "open(/proc/PID/mem)",
        CLOSED,
        Box::new(|site| File::open(format!("/proc/{}/mem", site.victim)).map(drop)),
    );
    add("open(/proc/1/environ)", CLOSED, Box::new(|_| first_process()));
    add("kill", REFUSED, Box::new(|site| call!(libc::SYS_kill, site.victim, libc::SIGCONT)));
    add("pidfd_send_signal", REFUSED, Box::new(pidfd_signal));
    add("mount", REFUSED, Box::new(mount));
    add("execute a set-user-ID program", REFUSED, Box::new(setuid_program));
    add(
        "init_module",
        ABSENT,
        Box::new(|_| reached(call!(libc::SYS_init_module, [0_u8; 16].as_ptr(), 16, c"".as_ptr()))),
    );
    add(
        "finit_module",
        ABSENT,
        Box::new(|_| reached(call!(libc::SYS_finit_module, -1, c"".as_ptr(), 0))),
    );
    add("bpf", REFUSED, Box::new(bpf));
    add("perf_event_open", REFUSED, Box::new(perf_event));
    add("userfaultfd", REFUSED, Box::new(|_| call!(libc::SYS_userfaultfd, libc::O_CLOEXEC)));
    add("shmget", REFUSED, Box::new(shared_memory));
    add("mq_open", REFUSED, Box::new(message_queue));
    add(
        "memfd_create",
        REFUSED,
        Box::new(|_| call!(libc::SYS_memfd_create, c"shared".as_ptr(), 0)),
    );
    add("add_key", REFUSED, Box::new(add_key));
    add(
        "mmap(PROT_WRITE | PROT_EXEC)",
        REFUSED,
        Box::new(|_| map(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC).map(drop)),
    );
    add(
        "mprotect(PROT_EXEC)",
        REFUSED,
        Box::new(|_| {
            let page = map(libc::PROT_READ | libc::PROT_WRITE)?;
            call!(libc::SYS_mprotect, page, 4096, libc::PROT_READ | libc::PROT_EXEC)
        }),
    );
    for &directory in DIRECTORIES {
        add(&format!("create a file in {directory}"), CLOSED, Box::new(move |_| create(directory)));
    }
    for &file in FILES {
        let open = move |_: &Site| OpenOptions::new().write(true).open(file).map(drop);
        add(&format!("open({file}, O_WRONLY)"), CLOSED, Box::new(open));
    }
    for &directory in STATES {
        let list = move |_: &Site| fs::read_dir(directory).map(drop);
        add(&format!("list {directory}"), CLOSED, Box::new(list));
    }
    add("read /etc/shadow", CLOSED, Box::new(|_| File::open("/etc/shadow").map(drop)));
    add("chroot", REFUSED, Box::new(|_| call!(libc::SYS_chroot, c"/".as_ptr())));
    add("setuid(0)", REFUSED, Box::new(|_| call!(libc::SYS_setuid, 0)));
    // The second takes no capability.
    for (name, flag) in [("UTS", libc::CLONE_NEWUTS), ("USER", libc::CLONE_NEWUSER)] {
        let clone = move |_: &Site| clone(flag | libc::SIGCHLD);
        add(&format!("clone(CLONE_NEW{name})"), ABSENT, Box::new(clone));
    }
    for (name, flag) in [
        ("NET", libc::CLONE_NEWNET),
        ("IPC", libc::CLONE_NEWIPC),
        ("UTS", libc::CLONE_NEWUTS),
        ("CGROUP", libc::CLONE_NEWCGROUP),
        ("PID", libc::CLONE_NEWPID),
        ("NS", libc::CLONE_NEWNS),
        ("USER", libc::CLONE_NEWUSER),
    ] {
        let unshare = move |_: &Site| call!(libc::SYS_unshare, flag);
        add(&format!("unshare(CLONE_NEW{name})"), REFUSED, Box::new(unshare));
    }
    all
}

const DIRECTORIES: &[&str] = &[
    "/",
    "/etc",
    "/usr",
    "/usr/bin",
    "/var",
    "/var/lib",
    "/var/tmp",
    "/tmp",
    "/run",
    "/run/lock",
    "/home",
    "/root",
    "/dev",
    "/dev/shm",
    "/dev/mqueue",
];
const FILES: &[&str] = &[
    "/etc/passwd",
    "/etc/pds/peers.toml",
    "/etc/cicada/cicada.toml",
    "/proc/sys/kernel/core_pattern",
    "/sys/kernel/mm/ksm/run",
    "/sys/fs/cgroup/cgroup.procs",
];
/// What the other daemons keep.
const STATES: &[&str] = &["/var/lib/pds/audit", "/var/lib/pds/secrets", "/etc/pds/keys"];

fn abstract_socket(site: &Site) -> io::Result<()> {
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(&site.abstract_socket)?).map(drop)
}

fn io_uring(_: &Site) -> io::Result<()> {
    // struct io_uring_params, all of it read and written.
    let mut parameters = [0_u8; 120];
    call!(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr())
}

fn ptrace(site: &Site) -> io::Result<()> {
    call!(libc::SYS_ptrace, libc::PTRACE_SEIZE, site.victim, 0, 0)?;
    // Only a stopped process is let go; this one goes when this program ends.
    Ok(())
}

fn read_memory(site: &Site) -> io::Result<()> {
    let maps = fs::read_to_string(format!("/proc/{}/maps", site.victim)).unwrap_or_default();
    let start = maps.split('-').next().and_then(|start| usize::from_str_radix(start, 16).ok());
    let mut byte = [0_u8; 1];
    let local = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let remote = libc::iovec { iov_base: start.unwrap_or(0x40_0000) as *mut c_void, iov_len: 1 };
    call!(libc::SYS_process_vm_readv, site.victim, &raw const local, 1, &raw const remote, 1, 0)
}

/// In a container that is the program itself, and nobody else.
fn first_process() -> io::Result<()> {
    if std::process::id() == 1 {
        return Err(io::Error::from_raw_os_error(ENOENT));
    }
    File::open("/proc/1/environ").map(drop)
}

fn pidfd_signal(site: &Site) -> io::Result<()> {
    // SAFETY: no pointer is passed.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, site.victim, 0) };
    result(descriptor)?;
    call!(libc::SYS_pidfd_send_signal, descriptor, libc::SIGCONT, null::<u8>(), 0)
}

fn mount(_: &Site) -> io::Result<()> {
    let (kind, place) = (c"tmpfs".as_ptr(), c"/mnt".as_ptr());
    call!(libc::SYS_mount, kind, place, kind, 0, null::<u8>())?;
    call!(libc::SYS_umount2, place, 0)
}

/// Runs it; without the privilege it is as denied as if it hadn't run.
fn setuid_program(site: &Site) -> io::Result<()> {
    let output = Command::new(&site.setuid_program).arg("-u").output()?;
    match output.stdout.as_slice() {
        b"0\n" => Ok(()),
        _ => Err(io::Error::from_raw_os_error(EPERM)),
    }
}

fn bpf(_: &Site) -> io::Result<()> {
    const MAP_CREATE: c_int = 0;
    // An array (2) with keys of 4 bytes, values of 4 bytes, and one entry.
    let attributes = [2_u32, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    call!(libc::SYS_bpf, MAP_CREATE, attributes.as_ptr(), 72)
}

fn perf_event(_: &Site) -> io::Result<()> {
    // struct perf_event_attr, version 0: PERF_TYPE_SOFTWARE (1), 64 bytes, PERF_COUNT_SW_CPU_CLOCK (0).
    let mut attributes = [0_u32; 16];
    (attributes[0], attributes[1]) = (1, 64);
    call!(libc::SYS_perf_event_open, attributes.as_ptr(), 0, -1, -1, 0)
}

fn shared_memory(_: &Site) -> io::Result<()> {
    // SAFETY: no pointer is passed.
    let segment = unsafe { libc::syscall(libc::SYS_shmget, libc::IPC_PRIVATE, 4096, 0o600) };
    result(segment)?;
    call!(libc::SYS_shmctl, segment, libc::IPC_RMID, null::<u8>())
}

fn message_queue(_: &Site) -> io::Result<()> {
    let name = c"intruder".as_ptr();
    call!(libc::SYS_mq_open, name, libc::O_CREAT | libc::O_RDWR, 0o600, null::<u8>())?;
    call!(libc::SYS_mq_unlink, name)
}

fn add_key(_: &Site) -> io::Result<()> {
    const PROCESS_KEYRING: c_int = -2;
    let (kind, name) = (c"user".as_ptr(), c"intruder".as_ptr());
    call!(libc::SYS_add_key, kind, name, c"x".as_ptr(), 1, PROCESS_KEYRING)
}

fn map(protection: c_int) -> io::Result<*mut c_void> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a fresh page at an address of the kernel's choice.
    match unsafe { libc::mmap(null_mut(), 4096, protection, flags, -1, 0) } {
        libc::MAP_FAILED => Err(io::Error::last_os_error()),
        page => Ok(page),
    }
}

fn create(directory: &str) -> io::Result<()> {
    let path = format!("{}/intruder-was-here", directory.trim_end_matches('/'));
    OpenOptions::new().write(true).create_new(true).open(&path)?;
    fs::remove_file(path)
}

fn clone(flags: c_int) -> io::Result<()> {
    // SAFETY: without CLONE_VM the child has a copy of this stack; it does nothing but end.
    match unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } {
        // SAFETY: as above.
        0 => unsafe { libc::_exit(0) },
        child => result(child),
    }
}
