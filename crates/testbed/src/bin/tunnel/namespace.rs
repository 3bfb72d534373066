//! A network namespace, held by a descriptor; work enters it in a thread of its own.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

pub struct Namespace(File);

impl Namespace {
    /// Empty, but for a loopback interface that is up.
    pub fn new() -> Self {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET).expect("root makes a network namespace");
            File::open("/proc/thread-self/ns/net").expect("proc(5)")
        };
        // The calling thread stays where it is: a namespace belongs to a thread.
        let namespace = Self(thread::spawn(make).join().expect("a namespace"));
        namespace.run("ip", &["link", "set", "lo", "up"]);
        namespace
    }

    /// What `ip` takes for a namespace.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let entered = || {
            setns(&self.0, CloneFlags::CLONE_NEWNET).expect("root enters a network namespace");
            work()
        };
        let result = thread::scope(|scope| scope.spawn(entered).join());
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs a program to its good end, and returns its standard output.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.inside(|| Command::new(program).args(arguments).output());
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
        String::from_utf8(output.stdout).expect("text")
    }
}
