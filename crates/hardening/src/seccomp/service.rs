//! The table. The needs of Rust's standard library, of glibc 2.36 to 2.42, and of SQLite and
//! OpenSSL inside daemon-secrets, once every thread runs.
//!
//! What is missing is the point: nothing that starts a program or a thread, looks into or signals
//! another process, opens a socket to a network, changes an identity or a namespace, maps code, or
//! reaches a large and young part of the kernel (bpf, io_uring, perf, userfaultfd, keyctl).

use super::rule::{Rule, Test, int, is, long};

use Test::{Equals, NoneOf};

/// `PROT_EXEC` clear. `READ_IMPLIES_EXEC` can't defeat it: personality(2) is not in the table.
const NOT_EXECUTABLE: &[Test] = &[NoneOf(libc::PROT_EXEC as u64)];

/// Not F_SETOWN and F_SETSIG, by which a descriptor sends signals to other processes.
const DESCRIPTOR_COMMANDS: &[Test] = &[
    is(libc::F_GETFD),
    is(libc::F_SETFD),
    is(libc::F_GETFL),
    is(libc::F_SETFL),
    is(libc::F_DUPFD_CLOEXEC),
    is(libc::F_GETLK),
    is(libc::F_SETLK),
    is(libc::F_SETLKW),
    is(libc::F_OFD_GETLK),
    is(libc::F_OFD_SETLK),
    is(libc::F_OFD_SETLKW),
];

const PROCESS_QUESTIONS: &[Test] = &[
    is(libc::PR_GET_DUMPABLE),
    is(libc::PR_GET_NO_NEW_PRIVS),
    is(libc::PR_GET_SECCOMP),
    is(libc::PR_CAPBSET_READ),
    is(libc::PR_GET_NAME),
    // A worker that is still starting when the filter comes gives itself its name.
    is(libc::PR_SET_NAME),
    // Its only use is PR_SET_VMA_ANON_NAME, a label on a mapping.
    is(libc::PR_SET_VMA),
];

const TERMINAL_QUESTIONS: &[Test] = &[
    Equals(libc::FIONREAD),
    Equals(libc::FIONBIO),
    Equals(libc::TCGETS),
    // What isatty(3) asks with since glibc 2.42.
    Equals(libc::TCGETS2),
];

/// The service phase of a daemon.
pub const SERVICE: &[Rule] = &[
    // Threads
    allow!(SYS_futex, "locks, channels and joins between the worker threads"),
    allow!(SYS_set_robust_list, "glibc, when a thread ends or is set up"),
    allow!(SYS_rseq, "glibc registers per-CPU data of a thread"),
    allow!(SYS_sched_yield, "a spinning lock gives way"),
    allow!(SYS_sched_getaffinity, "malloc and SQLite ask how many processors there are"),
    allow!(SYS_gettid, "a thread names itself in a log line and for abort(3)"),
    allow!(SYS_exit, "a worker thread ends"),
    allow!(SYS_exit_group, "the daemon ends"),
    // Signals
    allow!(SYS_signalfd4, "the main loop waits for SIGTERM by descriptor"),
    allow!(SYS_rt_sigaction, "abort(3) and the standard library set handlers"),
    allow!(SYS_rt_sigprocmask, "abort(3) and glibc block signals around a step"),
    allow!(SYS_rt_sigreturn, "the way back from a signal handler"),
    allow!(SYS_sigaltstack, "the standard library gives back a thread's guard stack"),
    allow!(
        SYS_tgkill,
        int(2, &[is(libc::SIGABRT)]),
        "abort(3) ends the own process; Landlock and the uid keep it from any other"
    ),
    allow!(SYS_restart_syscall, "the kernel resumes a wait that a stop interrupted"),
    // Waiting
    #[cfg(target_arch = "x86_64")]
    allow!(SYS_epoll_wait, "the main loop waits for peers"),
    allow!(SYS_epoll_pwait, "epoll_wait where it is no call of its own, as on aarch64"),
    allow!(SYS_epoll_ctl, "the main loop adds and removes peers"),
    allow!(SYS_epoll_create1, "a worker waits on a set of its own"),
    #[cfg(target_arch = "x86_64")]
    allow!(SYS_poll, "waiting for one descriptor with a time limit"),
    allow!(SYS_ppoll, "poll where it is no call of its own, as on aarch64"),
    allow!(SYS_eventfd2, "a worker wakes the main loop"),
    allow!(SYS_nanosleep, "SQLite waits for a lock of another connection"),
    allow!(SYS_clock_nanosleep, "thread::sleep: the delay after a wrong password"),
    // Peers
    allow!(
        SYS_socket,
        int(0, &[is(libc::AF_UNIX)]),
        "a connection to daemon-audit, and notices to the service manager; no network of any kind"
    ),
    allow!(SYS_connect, "daemon-secrets calls daemon-audit"),
    allow!(SYS_accept4, "a peer connects"),
    allow!(SYS_recvfrom, "frames from a peer"),
    allow!(SYS_sendto, "frames to a peer, notices to the service manager"),
    allow!(SYS_recvmsg, "frames from a peer, in parts"),
    allow!(SYS_sendmsg, "frames to a peer, in parts"),
    allow!(SYS_getsockopt, "SO_PEERCRED: who the peer is"),
    allow!(SYS_setsockopt, "time limits on a peer"),
    allow!(SYS_getsockname, "accept in the standard library, and diagnostics"),
    allow!(SYS_getpeername, "accept in the standard library, and diagnostics"),
    allow!(SYS_shutdown, "the end of a conversation"),
    // Files
    allow!(SYS_read, "files and peers"),
    allow!(SYS_write, "files, peers and the log"),
    allow!(SYS_readv, "files and peers, in parts"),
    allow!(SYS_writev, "the log, in parts"),
    allow!(SYS_pread64, "SQLite reads pages"),
    allow!(SYS_pwrite64, "SQLite writes pages"),
    allow!(SYS_openat, "vaults, segments of the trail, /proc/self; Landlock decides which"),
    allow!(SYS_close, "every descriptor"),
    allow!(SYS_fstat, "the size of an open file"),
    allow!(SYS_newfstatat, "stat, lstat and, in older glibc, fstat"),
    allow!(SYS_statx, "metadata in the standard library"),
    allow!(SYS_lseek, "positions in a file"),
    allow!(SYS_ftruncate, "SQLite's journal, a torn entry of the trail, the size of secret memory"),
    allow!(SYS_fallocate, "SQLite reserves room in a file"),
    allow!(SYS_fsync, "append, then act"),
    allow!(SYS_fdatasync, "append, then act, without the times"),
    #[cfg(target_arch = "x86_64")]
    allow!(SYS_rename, "the crash-safe replacement of a file"),
    #[cfg(target_arch = "x86_64")]
    allow!(SYS_renameat, "the crash-safe replacement of a file"),
    // The libc crate has no name for it here; glibc's rename(3) uses it.
    #[cfg(target_arch = "aarch64")]
    allow!(SYS_renameat = 38, super::rule::Allowed::Always, "the crash-safe replacement of a file"),
    allow!(SYS_renameat2, "a replacement that must not overwrite"),
    #[cfg(target_arch = "x86_64")]
    allow!(SYS_unlink, "SQLite removes its journal"),
    allow!(SYS_unlinkat, "removal in the standard library, and unlink on aarch64"),
    #[cfg(target_arch = "x86_64")]
    allow!(SYS_rmdir, "a profile is removed"),
    #[cfg(target_arch = "x86_64")]
    allow!(SYS_mkdir, "a profile is created"),
    allow!(SYS_mkdirat, "mkdir where it is no call of its own, as on aarch64"),
    allow!(SYS_fchmod, "SQLite gives its journal the mode of its database"),
    allow!(SYS_fchmodat, "chmod in the standard library"),
    allow!(SYS_getdents64, "the list of profiles, of segments, of threads"),
    allow!(
        SYS_fcntl,
        int(1, DESCRIPTOR_COMMANDS),
        "close-on-exec, blocking, copies of descriptors, and SQLite's locks"
    ),
    allow!(SYS_flock, "one daemon to a directory"),
    #[cfg(target_arch = "x86_64")]
    allow!(SYS_access, "SQLite looks for a journal"),
    allow!(SYS_faccessat, "access where it is no call of its own, as on aarch64"),
    allow!(SYS_faccessat2, "faccessat in newer glibc"),
    #[cfg(target_arch = "x86_64")]
    allow!(SYS_readlink, "SQLite resolves the path of a database"),
    allow!(SYS_readlinkat, "readlink where it is no call of its own, as on aarch64"),
    allow!(SYS_statfs, "how much room the disk has"),
    allow!(SYS_fstatfs, "what kind of file system an open file is on"),
    allow!(
        SYS_ioctl,
        int(1, TERMINAL_QUESTIONS),
        "set_nonblocking in the standard library; whether the log is a terminal"
    ),
    // Memory
    allow!(SYS_brk, "malloc"),
    allow!(SYS_mmap, long(2, NOT_EXECUTABLE), "malloc, secret memory, SQLite's shared memory"),
    allow!(SYS_mprotect, long(2, NOT_EXECUTABLE), "malloc grows an arena; guard pages"),
    allow!(SYS_munmap, "malloc, secret memory, the stack of a thread that ends"),
    allow!(SYS_mremap, "realloc of a large block"),
    allow!(SYS_madvise, "secret memory stays out of dumps and children; malloc returns pages"),
    allow!(SYS_memfd_secret, "a working area for Argon2id"),
    allow!(SYS_mlock, "secret memory where memfd_secret is not required"),
    allow!(SYS_munlock, "secret memory where memfd_secret is not required"),
    allow!(SYS_mseal, "secret memory keeps its protection"),
    // Time and chance
    allow!(SYS_clock_gettime, "the time, where the vDSO has no clock to read"),
    allow!(SYS_gettimeofday, "the time, in SQLite"),
    allow!(SYS_times, "OpenSSL stirs the time into its generator"),
    allow!(SYS_getrandom, "keys, nonces, salts"),
    // Questions about this process and this machine
    allow!(SYS_getpid, "the log; SQLite detects a fork"),
    allow!(SYS_getuid, "OpenSSL asks whether it runs set-uid"),
    allow!(SYS_geteuid, "SQLite asks whether it is root; the posture"),
    allow!(SYS_getgid, "OpenSSL asks whether it runs set-gid"),
    allow!(SYS_getegid, "OpenSSL asks whether it runs set-gid"),
    allow!(
        SYS_prctl,
        int(0, PROCESS_QUESTIONS),
        "the posture asks about dumps, privileges and filters; malloc labels its mappings"
    ),
    allow!(
        SYS_prlimit64,
        long(2, &[Equals(0)]),
        "the posture reads limits; a new limit would be the third argument"
    ),
    allow!(SYS_capget, "the posture reads capabilities"),
    allow!(SYS_uname, "the release of the kernel, in the posture"),
    allow!(SYS_sysinfo, "malloc and qsort ask how much memory there is"),
];
