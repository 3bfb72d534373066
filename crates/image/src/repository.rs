//! A repository of exactly the locked packages, for mmdebstrap and mkosi: whatever apt resolves there, it can
//! only find what the lock file names.

use std::fs;
use std::path::Path;
use std::process::Command;

use media::Digest;

use crate::apt::RELEASE;
use crate::failed::{Failed, output};
use crate::lock::{Lock, Package};
use crate::places::Places;

/// Makes it anew: links to the packages, their index, and a Release file, as deb822(5) and the repository
/// format of Debian have them.
pub fn make(places: &Places, lock: &Lock) -> Result<(), Failed> {
    let root = places.repository();
    if root.exists() {
        fs::remove_dir_all(&root).map_err(Failed::io("remove", &root))?;
    }
    let pool = root.join("pool");
    let index = root.join(format!("dists/{RELEASE}/main/binary-amd64"));
    for directory in [&pool, &index] {
        fs::create_dir_all(directory).map_err(Failed::io("make", directory))?;
    }
    let mut packages = String::new();
    for package in &lock.packages {
        let file = places.packages().join(package.file());
        let here = pool.join(package.file());
        fs::hard_link(&file, &here).map_err(Failed::io("link", &here))?;
        packages.push_str(&stanza(&file, package)?);
    }
    let write = |path: &Path, text: &str| fs::write(path, text).map_err(Failed::io("write", path));
    write(&index.join("Packages"), &packages)?;
    let digest = Digest::of(packages.as_bytes());
    let release = format!(
        "Suite: {RELEASE}\nCodename: {RELEASE}\nComponents: main\nArchitectures: amd64\nSHA256:\n \
         {digest} {} main/binary-amd64/Packages\n",
        packages.len()
    );
    write(&root.join(format!("dists/{RELEASE}/Release")), &release)
}

fn stanza(file: &Path, package: &Package) -> Result<String, Failed> {
    let mut command = Command::new("dpkg-deb");
    command.arg("--field").arg(file);
    let control = output("reading a package", &mut command)?;
    Ok(format!(
        "{}\nFilename: pool/{}\nSize: {}\nSHA256: {}\n\n",
        control.trim_end(),
        package.file(),
        package.bytes,
        package.sha256
    ))
}
