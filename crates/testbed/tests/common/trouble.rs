//! A host whose daemon-audit gets into trouble.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use site_config::Daemon;
use testbed::mounted::{FailingDisk, SmallDisk};
use testbed::{Host, is_root_or_skip};

/// What is wrong with daemon-audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Dead,
    Hung,
    Full,
    ReadOnly,
}

/// A host whose daemon-audit can get into trouble.
pub struct Victim {
    // Dropped first: the directory of the host can't go while something is mounted in it.
    small: Option<SmallDisk>,
    failing: Option<FailingDisk>,
    pub host: Host,
    pub trouble: Trouble,
}

impl Victim {
    /// Started; none where there can be no such trouble.
    pub fn started(trouble: Trouble) -> Option<Self> {
        let config = "unlock.free_attempts = 10\naudit.segment_bytes = 65536\n";
        let mut host = Host::builder().config(config).provision();
        let (mut small, mut failing) = (None, None);
        let state = host.layout.audit_state().to_owned();
        match trouble {
            Trouble::Dead | Trouble::Hung => {}
            Trouble::Full if is_root_or_skip("mounting a small disk") => {
                small = Some(SmallDisk::over(&state, 256));
            }
            Trouble::ReadOnly if is_root_or_skip("mounting a disk that fails") => {
                match FailingDisk::over(&state) {
                    Ok(disk) => failing = Some(disk),
                    Err(reason) => {
                        eprintln!("skipped, for there is no disk that could fail: {reason}");
                        return None;
                    }
                }
            }
            Trouble::Full | Trouble::ReadOnly => return None,
        }
        host.start();
        Some(Self { small, failing, host, trouble })
    }

    pub fn begin(&mut self) {
        match self.trouble {
            Trouble::Dead => self.host.kill(Daemon::Audit),
            Trouble::Hung => self.signal(Signal::SIGSTOP),
            Trouble::ReadOnly => self.failing.as_ref().unwrap().fail(),
            Trouble::Full => self.small.as_ref().unwrap().fill(),
        }
    }

    /// Until not even the shortest entry finds room.
    pub fn use_up(&self) {
        let mut list = (0..100).map(|_| self.host.sesame(["secret", "list"]).run().code);
        assert!(self.trouble != Trouble::Full || list.any(|code| code == 22));
    }

    pub fn end(&mut self) {
        match self.trouble {
            Trouble::Dead => self.host.try_start(Daemon::Audit).unwrap(),
            Trouble::Hung => self.signal(Signal::SIGCONT),
            Trouble::Full => self.small.as_ref().unwrap().make_room(),
            Trouble::ReadOnly => {
                self.host.kill(Daemon::Audit);
                self.failing.as_ref().unwrap().mend();
                self.host.try_start(Daemon::Audit).unwrap();
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.host.pid(Daemon::Audit)), signal).unwrap();
    }
}

pub const TROUBLES: [Trouble; 4] = [Trouble::Dead, Trouble::Hung, Trouble::Full, Trouble::ReadOnly];
