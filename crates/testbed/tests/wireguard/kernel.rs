//! A kernel with WireGuard and its modules: from a package of Debian that was unpacked, not installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where `cargo xtask test` unpacks the package, below the target directory.
const DIRECTORY: &str = "test-kernel";

pub struct Kernel {
    /// What a boot loader loads.
    pub image: PathBuf,
    modules: PathBuf,
}

impl Kernel {
    /// From `SESAME_TEST_KERNEL`, a directory with `boot` and `lib/modules` (or `usr/lib/modules`), or
    /// else from the target directory.
    ///
    /// # Errors
    /// What is missing.
    pub fn find() -> Result<Self, String> {
        let directory = std::env::var_os("SESAME_TEST_KERNEL").map(PathBuf::from);
        let directory = directory.unwrap_or_else(below_target);
        let missing = || {
            format!(
                "this kernel has no WireGuard, and there is none in {}: `cargo xtask test` fetches one",
                directory.display()
            )
        };
        let image = only_entry(&directory.join("boot"), "vmlinuz-").ok_or_else(missing)?;
        let places = ["lib/modules", "usr/lib/modules"];
        let modules = places.iter().find_map(|place| only_entry(&directory.join(place), ""));
        Ok(Self { image, modules: modules.ok_or_else(missing)? })
    }

    /// The named modules, uncompressed, each after those that it depends on.
    ///
    /// # Errors
    /// What is missing.
    pub fn modules(&self, names: &[&str]) -> Result<Vec<Vec<u8>>, String> {
        let mut files = Vec::new();
        list_files(&self.modules, &mut files);
        let mut loaded = Vec::new();
        let mut modules = Vec::new();
        names.iter().try_for_each(|name| load(name, &files, &mut loaded, &mut modules))?;
        Ok(modules)
    }
}

/// A module built into the kernel is in no file, and nothing depends on it by name.
fn load(
    name: &str,
    files: &[PathBuf],
    loaded: &mut Vec<String>,
    modules: &mut Vec<Vec<u8>>,
) -> Result<(), String> {
    if loaded.iter().any(|there| there == name) {
        return Ok(());
    }
    loaded.push(name.to_owned());
    let is_it = |path: &&PathBuf| {
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        file.split_once(".ko")
            .is_some_and(|(stem, _)| stem.replace('-', "_") == name.replace('-', "_"))
    };
    let path = files.iter().find(is_it).ok_or(format!("the kernel has no module {name}"))?;
    let module = uncompressed(path)?;
    for dependency in depends(&module) {
        load(&dependency, files, loaded, modules)?;
    }
    modules.push(module);
    Ok(())
}

/// The `depends=` of the section .modinfo (modinfo(8)).
fn depends(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let start = module.windows(key.len()).position(|window| window == key);
    let value = start.map_or(&[][..], |start| &module[start + key.len()..]);
    let end = value.iter().position(|&byte| byte == 0).unwrap_or(0);
    let names = String::from_utf8_lossy(&value[..end]);
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn uncompressed(path: &Path) -> Result<Vec<u8>, String> {
    let program = match path.extension().and_then(|end| end.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return fs::read(path).map_err(|error| format!("{}: {error}", path.display())),
    };
    let output = Command::new(program).arg("-dc").arg(path).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() { Ok(output.stdout) } else { Err(format!("{program} failed")) }
}

fn list_files(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => list_files(&entry.path(), files),
            _ => files.push(entry.path()),
        }
    }
}

/// `target/PROFILE/deps/this-test` is three below it.
fn below_target() -> PathBuf {
    let program = std::env::current_exe().expect("a process has a program");
    program.ancestors().nth(3).expect("a target directory").join(DIRECTORY)
}

fn only_entry(directory: &Path, prefix: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
    let mut named = entries.filter(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
    });
    named.next()
}
