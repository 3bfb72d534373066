//! What git knows of the sources.

use std::path::Path;
use std::process::Command;

use crate::failed::{Failed, output};

/// What a hook of git, or a person, may have set for another repository (git(1)).
const OF_ANOTHER: [&str; 3] = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"];

/// A commit, and whether the sources have been changed since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Its name, in hexadecimal digits.
    pub commit: String,
    /// Whether there are changes, or files, that it doesn't have.
    pub modified: bool,
}

/// The state of a checkout; none where the sources are not one.
///
/// # Errors
/// What git said where it can't tell: a checkout has a commit, and no manifest keeps that back.
pub fn state(source: &Path) -> Result<Option<State>, Failed> {
    if source.join(".git").symlink_metadata().is_err() {
        return Ok(None);
    }
    let ask = |arguments: &[&str]| {
        output("git", git(source).args(arguments)).map_err(|Failed(reason)| {
            Failed(format!(
                "the manifest has to name the commit, and {reason}; nothing was built. \
                 `git -C {} status` shows it again",
                source.display()
            ))
        })
    };
    let commit = ask(&["rev-parse", "--verify", "HEAD"])?.trim().to_owned();
    let modified = !ask(&["status", "--porcelain"])?.trim().is_empty();
    Ok(Some(State { commit, modified }))
}

/// The files of a checkout: those in its index, and those that nothing ignores.
pub fn files(source: &Path) -> Result<Vec<String>, Failed> {
    let mut list = git(source);
    list.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]);
    let names = output("git ls-files", &mut list)?;
    Ok(names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// git on these sources, whoever owns them and whatever this user has configured. Whoever builds them trusts
/// them with more than git's own caution is about (safe.directory of git-config(1)).
fn git(source: &Path) -> Command {
    let mut command = Command::new("git");
    command.envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")]);
    for name in OF_ANOTHER {
        command.env_remove(name);
    }
    let mut safe = std::ffi::OsString::from("safe.directory=");
    safe.push(source);
    // Without locks it writes nothing: an index of root's would be in its owner's way.
    command.arg("--no-optional-locks").arg("-c").arg(safe).arg("-C").arg(source);
    command
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::chown;

    use super::*;

    /// A checkout of one commit with one file.
    fn checkout() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), "one").unwrap();
        let commit = "-c user.name=n -c user.email=e commit --quiet --message=m";
        for arguments in ["init --quiet", "add file", commit] {
            output("git", git(directory.path()).args(arguments.split(' '))).unwrap();
        }
        directory
    }

    #[test]
    fn the_commit_is_named_and_whether_there_is_more() {
        let checkout = checkout();
        let clean = state(checkout.path()).unwrap().unwrap();
        assert_eq!((clean.commit.len(), clean.modified), (40, false));
        fs::write(checkout.path().join("another"), "new").unwrap();
        let changed = state(checkout.path()).unwrap().unwrap();
        assert_eq!(changed, State { modified: true, ..clean });
        assert_eq!(files(checkout.path()).unwrap(), ["another", "file"]);
    }

    #[test]
    fn a_checkout_of_another_user_has_a_commit_too() {
        if !nix::unistd::Uid::effective().is_root() {
            eprintln!("left out: giving files away needs root");
            return;
        }
        let checkout = checkout();
        for path in [checkout.path(), &checkout.path().join(".git")] {
            chown(path, Some(1000), Some(1000)).unwrap();
        }
        assert!(!state(checkout.path()).unwrap().unwrap().modified);
        assert_eq!(files(checkout.path()).unwrap(), ["file"]);
    }

    #[test]
    fn a_checkout_without_a_commit_is_an_error_and_no_checkout_is_none() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(state(directory.path()).unwrap(), None);
        output("git", git(directory.path()).args(["init", "--quiet"])).unwrap();
        let Failed(reason) = state(directory.path()).unwrap_err();
        assert!(reason.contains("has to name the commit"), "{reason}");
        assert!(reason.contains(&format!("git -C {} status", directory.path().display())));
    }
}
