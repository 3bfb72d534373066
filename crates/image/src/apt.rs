//! apt with lists and a cache of its own: this machine's packages, pins and trust have no say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use media::Digest;

use crate::failed::{Failed, logged, output};
use crate::lock::{Archive, Lock, Package, Purpose};
use crate::places::Places;

/// The release that the image is made of.
pub const RELEASE: &str = "trixie";
/// Where Debian has the keys of its archives. xtask, which depends on no crate, says so too.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const HELPER: &str = "/usr/lib/apt/apt-helper";
/// How many files one call of apt-helper fetches.
const BATCH: usize = 100;

/// A private apt.
pub struct Apt<'p> {
    places: &'p Places,
    root: PathBuf,
}

impl<'p> Apt<'p> {
    pub fn new(places: &'p Places) -> Result<Self, Failed> {
        let root = places.output.join("apt");
        for directory in ["lists/partial", "cache/archives/partial", "none"] {
            let directory = root.join(directory);
            fs::create_dir_all(&directory).map_err(Failed::io("make", &directory))?;
        }
        // Nothing is installed: what is resolved is the whole closure.
        let status = root.join("status");
        fs::write(&status, "").map_err(Failed::io("write", &status))?;
        Ok(Self { places, root })
    }

    /// Fetches the signed lists of packages.
    pub fn update(&self) -> Result<(), Failed> {
        let Places { mirror, security_mirror, .. } = self.places;
        let list = format!(
            "deb [signed-by={KEYRING}] {mirror} {RELEASE} main\n\
             deb [signed-by={KEYRING}] {mirror} {RELEASE}-updates main\n\
             deb [signed-by={KEYRING}] {security_mirror} {RELEASE}-security main\n"
        );
        let sources = self.root.join("sources.list");
        fs::write(&sources, list).map_err(Failed::io("write", &sources))?;
        let log = self.places.logs().join("apt-update.log");
        logged("Debian's lists of packages", self.command(&["update", "--error-on=any"]), &log)
    }

    /// These packages, the essential ones, and everything that they depend on.
    pub fn resolve(&self, packages: &[String], purpose: Purpose) -> Result<Vec<Package>, Failed> {
        let mut command = self.command(&["install", "--yes", "--print-uris", "?essential"]);
        command.args(packages);
        let text = output("resolving packages", &mut command)?;
        text.lines()
            .filter(|line| line.starts_with('\''))
            .map(|line| self.located(line, purpose))
            .collect()
    }

    /// A line of --print-uris: 'URL' FILE BYTES SHA256:DIGEST.
    fn located(&self, line: &str, purpose: Purpose) -> Result<Package, Failed> {
        let strange = || Failed(format!("apt-get printed: {line}"));
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [url, file, bytes, digest] = words[..] else { return Err(strange()) };
        let url = url.trim_matches('\'');
        let archives = [
            (Archive::Security, &self.places.security_mirror),
            (Archive::Main, &self.places.mirror),
        ];
        let (archive, path) = archives
            .into_iter()
            .find_map(|(archive, base)| {
                Some((archive, url.strip_prefix(base.as_str())?.strip_prefix('/')?))
            })
            .ok_or_else(strange)?;
        let parts: Vec<&str> = file.trim_end_matches(".deb").split('_').collect();
        let [name, version, architecture] = parts[..] else { return Err(strange()) };
        Ok(Package {
            name: name.to_owned(),
            version: version.replace("%3a", ":"),
            architecture: architecture.to_owned(),
            purpose,
            bytes: bytes.parse().map_err(|_| strange())?,
            sha256: digest
                .strip_prefix("SHA256:")
                .and_then(|hex| hex.parse().ok())
                .ok_or_else(strange)?,
            archive,
            path: path.to_owned(),
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("apt-get");
        let root = |name: &str| self.root.join(name).display().to_string();
        for (name, value) in [
            ("Dir::Etc::sourcelist", root("sources.list")),
            ("Dir::Etc::sourceparts", root("none")),
            // How this machine reaches an archive is its own business; what is believed and chosen is not.
            ("Acquire::AllowInsecureRepositories", "false".to_owned()),
            ("Acquire::AllowWeakRepositories", "false".to_owned()),
            ("APT::Get::AllowUnauthenticated", "false".to_owned()),
            ("Dir::Etc::preferences", "/dev/null".to_owned()),
            ("Dir::Etc::preferencesparts", root("none")),
            ("Dir::State::lists", root("lists")),
            ("Dir::State::status", root("status")),
            ("Dir::Cache", root("cache")),
            ("APT::Sandbox::User", String::new()),
            ("APT::Install-Recommends", "false".to_owned()),
            ("APT::Architecture", "amd64".to_owned()),
            ("APT::Architectures", "amd64".to_owned()),
            ("Acquire::ForceHash", "SHA256".to_owned()),
            // Otherwise apt is essential to itself, and the image has it.
            ("pkgCacheGen::ForceEssential", ",".to_owned()),
        ] {
            command.arg("-o").arg(format!("{name}={value}"));
        }
        command.arg("-qq").args(arguments).stdin(Stdio::null());
        command
    }
}

/// Fetches the packages that aren't there yet. Each is compared with the lock file, also those that are.
pub fn fetch(places: &Places, lock: &Lock) -> Result<(), Failed> {
    let directory = places.packages();
    fs::create_dir_all(&directory).map_err(Failed::io("make", &directory))?;
    let missing: Vec<&Package> =
        lock.packages.iter().filter(|package| !is_there(&directory, package)).collect();
    for (index, batch) in missing.chunks(BATCH).enumerate() {
        let mut command = Command::new(HELPER);
        command.args(["-o", "APT::Sandbox::User=", "download-file"]).current_dir(&directory);
        for package in batch {
            let base = match package.archive {
                Archive::Main => &places.mirror,
                Archive::Security => &places.security_mirror,
            };
            command.arg(format!("{base}/{}", package.path)).arg(package.file());
            command.arg(format!("SHA256:{}", package.sha256));
        }
        let log = places.logs().join("fetch.log");
        let first = index * BATCH;
        let what = format!(
            "fetching packages {} to {} of {}",
            first + 1,
            first + batch.len(),
            missing.len()
        );
        // Which one is missing is looked at below.
        let fetched = logged(&what, command, &log);
        let lost = batch.iter().find(|package| !is_there(&directory, package));
        if let Some(package) = lost {
            let reason = fetched.err().map(|Failed(reason)| reason).unwrap_or_default();
            return Err(Failed(format!(
                "{reason}\n{} {} of the lock file could not be fetched. If the archive has replaced it by a newer \
                 one: `cargo xtask image lock` takes what it has now; an archive that keeps old versions builds \
                 the same image as before (--mirror URL, --security-mirror URL).",
                package.name, package.version
            )));
        }
    }
    Ok(())
}

/// Whether the package's file is there, whole and unchanged.
fn is_there(directory: &Path, package: &Package) -> bool {
    let path = directory.join(package.file());
    let disk = media::storage::Disk::open(&path);
    let digest = disk.and_then(|disk| Digest::of_storage(&disk));
    digest.is_ok_and(|digest| digest == package.sha256)
}
