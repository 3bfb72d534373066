//! The limits of the daemon's control group, version 2 (Linux: admin-guide/cgroup-v2).

use std::fs;
use std::path::{Path, PathBuf};

use super::Judgement;

/// `MemoryMax=128M`.
const MEMORY_BYTES: u64 = 128 << 20;

/// The directory of the group in the text of `/proc/PID/cgroup`.
pub(super) fn directory(text: &str) -> Result<PathBuf, String> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"));
    let path = path.ok_or_else(|| "in no cgroup of version 2".to_owned())?;
    Ok(Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/')))
}

/// A file of a group.
pub(super) fn read(directory: &Path, file: &str) -> Result<String, String> {
    let path = directory.join(file);
    fs::read_to_string(&path).map_err(|error| format!("{} can't be read ({error})", path.display()))
}

/// The text of `memory.max`.
pub(super) fn memory(text: &str) -> Judgement {
    match text.trim().parse::<u64>() {
        Ok(bytes) if bytes <= MEMORY_BYTES => Ok(format!("{bytes} bytes")),
        Ok(bytes) => Err(format!("{bytes} bytes, which is more than {MEMORY_BYTES}")),
        Err(_) => Err(format!("no limit: {}", text.trim())),
    }
}

/// The text of `cpu.max`: microseconds of each period, and the period.
pub(super) fn cpu(text: &str) -> Judgement {
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    let (Some(Ok(quota)), Some(Ok(period))) = (numbers.next(), numbers.next()) else {
        return Err(format!("no limit: {}", text.trim()));
    };
    let found = format!("{quota} of every {period} microseconds");
    if period > 0 && quota.saturating_mul(2) <= period { Ok(found) } else { Err(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_below_the_mount() {
        let text = "4:memory:/other\n0::/system.slice/cicada.service\n";
        let found = directory(text).unwrap();
        assert_eq!(found, Path::new("/sys/fs/cgroup/system.slice/cicada.service"));
        assert!(directory("4:memory:/other\n").is_err());
    }

    #[test]
    fn more_memory_or_no_limit_fails() {
        assert!(memory("134217728\n").is_ok());
        for text in ["134217729\n", "max\n", ""] {
            assert!(memory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn more_than_half_a_processor_fails() {
        assert!(cpu("50000 100000\n").is_ok());
        for text in ["50001 100000\n", "max 100000\n", "", "0 0\n"] {
            assert!(cpu(text).is_err(), "{text}");
        }
    }
}
