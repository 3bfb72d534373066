//! The one door: owner, group and mode of the socket and of its directory.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::Group;

use super::Judgement;

/// Owner, group and mode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Owner {
    pub(super) fn of(path: &Path) -> Result<Self, String> {
        let failed = |error| format!("{} can't be looked at ({error})", path.display());
        let found = fs::symlink_metadata(path).map_err(failed)?;
        Ok(Self { uid: found.uid(), gid: found.gid(), mode: found.mode() & 0o7777 })
    }

    /// The daemon's (`uid`), the group's (`gid`), with exactly this mode.
    pub(super) fn expect(self, uid: u32, gid: u32, mode: u32) -> Judgement {
        let expected = Self { uid, gid, mode };
        if self == expected {
            Ok(self.show())
        } else {
            Err(format!("{} instead of {}", self.show(), expected.show()))
        }
    }

    fn show(self) -> String {
        format!("{}:{} {:04o}", self.uid, self.gid, self.mode)
    }
}

/// The number of a group that is given by its name or number.
pub(super) fn group(name: &str) -> Result<u32, String> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(format!("there is no group {name}")),
        Err(errno) => Err(format!("the group {name} can't be looked up ({errno})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_owner_group_or_mode_fails() {
        let found = Owner { uid: 991, gid: 994, mode: 0o660 };
        assert_eq!(found.expect(991, 994, 0o660).unwrap(), "991:994 0660");
        assert!(found.expect(0, 994, 0o660).is_err());
        assert!(found.expect(991, 0, 0o660).is_err());
        for mode in [0o666, 0o640, 0o2660] {
            assert!(found.expect(991, 994, mode).is_err(), "{mode:o}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_as_it_should_be() {
        assert!(Owner::of(Path::new("/nowhere/at/all")).is_err());
        assert!(group("no-such-group-here").is_err());
        assert_eq!((group("root"), group("54321")), (Ok(0), Ok(54321)));
    }
}
