//! A process as `/proc/PID` shows it (proc(5)).

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// A directory of procfs: `/proc/self`, or that of another process.
#[derive(Clone, Debug)]
pub(super) struct Process(PathBuf);

impl Process {
    pub(super) fn own() -> Self {
        Self("/proc/self".into())
    }

    pub(super) fn of(pid: i32) -> Self {
        Self(format!("/proc/{pid}").into())
    }

    /// The text of one of its files; the error is a finding.
    pub(super) fn read(&self, file: &str) -> Result<String, String> {
        fs::read_to_string(self.0.join(file)).map_err(|error| unreadable(file, &error))
    }

    /// As [`Process::read`]; `None` where the kernel has no such file.
    pub(super) fn find(&self, file: &str) -> Result<Option<String>, String> {
        match fs::read_to_string(self.0.join(file)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(file, &error)),
        }
    }

    /// What a link such as `ns/net` points to.
    pub(super) fn link(&self, link: &str) -> Result<String, String> {
        let target = fs::read_link(self.0.join(link)).map_err(|error| unreadable(link, &error))?;
        Ok(target.to_string_lossy().into_owned())
    }

    /// A path as the process sees it, in its own mount namespace.
    pub(super) fn sees(&self, path: &str) -> PathBuf {
        self.0.join("root").join(path.trim_start_matches('/'))
    }

    /// `status` of each of its threads.
    pub(super) fn threads(&self) -> Result<Vec<String>, String> {
        let failed = |error: io::Error| unreadable("task", &error);
        let mut threads = Vec::new();
        for task in fs::read_dir(self.0.join("task")).map_err(failed)? {
            match fs::read_to_string(task.map_err(failed)?.path().join("status")) {
                Ok(status) => threads.push(status),
                // A thread that has ended since needs no isolation.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(threads)
    }

    /// The inodes of the sockets that it has open.
    pub(super) fn sockets(&self) -> Result<Vec<u64>, String> {
        let failed = |error: io::Error| unreadable("fd", &error);
        let mut inodes = Vec::new();
        for descriptor in fs::read_dir(self.0.join("fd")).map_err(failed)? {
            let Ok(target) = fs::read_link(descriptor.map_err(failed)?.path()) else { continue };
            let target = target.to_string_lossy();
            let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            inodes.extend(inode.and_then(|inode| inode.parse::<u64>().ok()));
        }
        Ok(inodes)
    }
}

/// The value of `key` in the text of a `status`.
pub(super) fn field<'s>(status: &'s str, key: &str) -> Option<&'s str> {
    let value = |line: &'s str| line.strip_prefix(key)?.strip_prefix(':');
    status.lines().find_map(value).map(str::trim)
}

fn unreadable(file: &str, error: &io::Error) -> String {
    format!("{file} of the process can't be read ({error})")
}
