//! The lock file: every Debian package that goes into the image or into the tools tree, to the byte.
//!
//! One line a package, in the order of names: what it is for, name, version, architecture, length in bytes,
//! SHA-256, archive, and its path there. The line `date SECONDS` is the time that all files in the image
//! carry (SOURCE_DATE_EPOCH).

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use media::Digest;

use crate::apt::Apt;
use crate::failed::Failed;
use crate::places::Places;
use crate::results;

const HEAD: &str = "\
# Debian packages of the ceremony image and of the tools that build it, to the byte.
# Refreshed by `cargo xtask image lock`; the build takes nothing else.
# date: what every file in the image carries. Then: for, name, version, architecture, bytes, SHA-256, archive, path
";

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// SOURCE_DATE_EPOCH, in seconds since 1970.
    pub date: u64,
    /// In the order of names.
    pub packages: Vec<Package>,
}

/// One package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, or `all`.
    pub architecture: String,
    /// Where it is needed.
    pub purpose: Purpose,
    /// Its length in bytes.
    pub bytes: u64,
    /// The SHA-256 of its file.
    pub sha256: Digest,
    /// Which archive has it.
    pub archive: Archive,
    /// Its path in the archive.
    pub path: String,
}

/// Where a package is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// In the image or its initrd.
    Image,
    /// In the tools tree.
    Tools,
    /// In both.
    Both,
}

/// An archive of Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Archive {
    /// The main one, with its updates.
    Main,
    /// Security updates.
    Security,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Tools => "tools",
            Self::Both => "both",
        }
    }
}

impl Archive {
    fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Security => "security",
        }
    }
}

impl Package {
    /// The name of its file.
    pub fn file(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Whether the image has it.
    pub fn in_image(&self) -> bool {
        self.purpose != Purpose::Tools
    }

    /// Whether the tools tree has it.
    pub fn in_tools(&self) -> bool {
        self.purpose != Purpose::Image
    }
}

impl Lock {
    pub fn read(path: &Path) -> Result<Self, Failed> {
        let text = fs::read_to_string(path).map_err(Failed::io("read", path))?;
        let damaged =
            |line| Failed(format!("{}: line {line} is no package of a lock file", path.display()));
        Self::parse(&text).map_err(damaged)
    }

    /// # Errors
    /// The number of the line that is none.
    pub fn parse(text: &str) -> Result<Self, usize> {
        let mut lock = Self { date: 0, packages: Vec::new() };
        for (index, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words[..] {
                [] => {}
                [first, ..] if first.starts_with('#') => {}
                ["date", seconds] => lock.date = seconds.parse().map_err(|_| index + 1)?,
                _ => lock.packages.push(package(&words).ok_or(index + 1)?),
            }
        }
        if lock.date == 0 || lock.packages.is_empty() { Err(0) } else { Ok(lock) }
    }

    pub fn render(&self) -> String {
        let mut text = format!("{HEAD}\ndate {}\n\n", self.date);
        for package in &self.packages {
            let Package { name, version, architecture, purpose, bytes, sha256, archive, path } =
                package;
            let (purpose, archive) = (purpose.as_str(), archive.as_str());
            let _ = writeln!(
                text,
                "{purpose} {name} {version} {architecture} {bytes} {sha256} {archive} {path}"
            );
        }
        text
    }
}

fn package(words: &[&str]) -> Option<Package> {
    let [purpose, name, version, architecture, bytes, sha256, archive, path] = *words else {
        return None;
    };
    let purposes = [Purpose::Image, Purpose::Tools, Purpose::Both];
    let archives = [Archive::Main, Archive::Security];
    // It becomes a file's name, and part of a URL.
    let plain = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._~%:/".contains(&byte))
    };
    if !plain(path) || path.contains("..") || !path.starts_with("pool/") {
        return None;
    }
    Some(Package {
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: architecture.to_owned(),
        purpose: purposes.into_iter().find(|known| known.as_str() == purpose)?,
        bytes: bytes.parse().ok()?,
        sha256: sha256.parse().ok()?,
        archive: archives.into_iter().find(|known| known.as_str() == archive)?,
        path: path.to_owned(),
    })
}

/// `image lock`: what the archives have today becomes the lock file.
pub fn refresh(places: &Places) -> Result<(), Failed> {
    let apt = Apt::new(places)?;
    apt.update()?;
    let definition = places.definition();
    let image = [
        packages_of(&definition.join("mkosi.conf"))?,
        packages_of(&definition.join("mkosi.images/base/mkosi.conf"))?,
    ]
    .concat();
    let tools = packages_of(&definition.join("tools.conf"))?;
    let mut packages = apt.resolve(&image, Purpose::Image)?;
    for tool in apt.resolve(&tools, Purpose::Tools)? {
        match packages.iter_mut().find(|package| package.path == tool.path) {
            Some(package) => package.purpose = Purpose::Both,
            None => packages.push(tool),
        }
    }
    packages.sort_by(|one, two| (&one.name, &one.version).cmp(&(&two.name, &two.version)));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
    // A day, so that two people who refresh on the same one agree.
    let lock = Lock { date: now - now % 86_400, packages };
    let path = places.lock();
    let old = Lock::read(&path).map(|lock| lock.packages).unwrap_or_default();
    let new = lock.packages.iter().filter(|package| !old.contains(package)).count();
    results::write(&path, lock.render().as_bytes())?;
    eprintln!(
        "image: {} names {} packages, {new} of them new or changed",
        path.display(),
        lock.packages.len()
    );
    Ok(())
}

/// What stands after `Packages=` in a file of mkosi.
fn packages_of(path: &Path) -> Result<Vec<String>, Failed> {
    let text = fs::read_to_string(path).map_err(Failed::io("read", path))?;
    let mut packages = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let line_without_comment = line.split('#').next().unwrap_or_default();
        if let Some(first) = line_without_comment.strip_prefix("Packages=") {
            inside = true;
            packages.extend(first.split_whitespace().map(str::to_owned));
        } else if inside && (line.starts_with(' ') || line.starts_with('#')) {
            packages.extend(line_without_comment.split_whitespace().map(str::to_owned));
        } else {
            inside = false;
        }
    }
    if packages.is_empty() {
        return Err(Failed(format!("{} names no packages", path.display())));
    }
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "both bash 5.2.37-2+b10 amd64 1500792 \
        5559581916477ef1f57ea9f82cecf22e5559581916477ef1f57ea9f82cecf22e main \
        pool/main/b/bash/bash_5.2.37-2%2bb10_amd64.deb";

    #[test]
    fn what_is_written_is_read() {
        let lock = Lock::parse(&format!("# comment\n\ndate 1790000000\n{LINE}\n")).unwrap();
        assert_eq!(lock.packages[0].file(), "bash_5.2.37-2%2bb10_amd64.deb");
        assert_eq!(Lock::parse(&lock.render()).unwrap(), lock);
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let bad = [
            LINE.replace("both", "neither"),
            LINE.replace("pool/main", "/pool/main"),
            LINE.replace("pool/main/b", "pool/../b"),
            LINE.replace("5559", "55"),
            LINE.replace(" main ", " "),
        ];
        for line in bad {
            assert_eq!(Lock::parse(&format!("date 1\n{line}\n")), Err(2), "{line}");
        }
        assert_eq!(Lock::parse(LINE), Err(0));
    }

    #[test]
    fn packages_are_read_from_a_file_of_mkosi() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mkosi.conf");
        fs::write(&path, "[Content]\nPackages=a\n        b  # why\n# a comment\n        c\nBootable=no\n        d\n")
            .unwrap();
        assert_eq!(packages_of(&path).unwrap(), ["a", "b", "c"]);
    }
}
