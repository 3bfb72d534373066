//! What of ours goes into the root and the initrd, and where. Whatever else is there is Debian's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::binaries::{GUARD, PROGRAMS, Programs};
use crate::failed::Failed;
use crate::places::Places;

/// Files that a package on any host installs too: from the sources, to the root.
const INSTALLED: [(&str, &str); 5] = [
    ("crates/daemon-runtime/systemd/system/sesame-audit.service", "usr/lib/systemd/system"),
    ("crates/daemon-runtime/systemd/system/sesame-secrets.service", "usr/lib/systemd/system"),
    ("crates/daemon-runtime/systemd/system/sesame-provision.service", "usr/lib/systemd/system"),
    ("crates/daemon-runtime/systemd/sysusers.d/sesame.conf", "usr/lib/sysusers.d"),
    ("crates/daemon-runtime/systemd/tmpfiles.d/sesame.conf", "usr/lib/tmpfiles.d"),
];

/// The files of the appliance alone, laid out as the root.
const APPLIANCE: &str = "images/appliance/tree";

/// Lays them out anew, below `root` and `initrd`. Modes are 0755 for directories and programs, 0644 for the
/// rest.
pub fn stage(places: &Places, programs: &Programs) -> Result<(), Failed> {
    let stage = places.stage();
    if stage.exists() {
        fs::remove_dir_all(&stage).map_err(Failed::io("remove", &stage))?;
    }
    install(&programs.guard.join(GUARD), &stage.join("initrd/usr/lib/sesame/init"))?;
    let root = stage.join("root");
    for program in PROGRAMS {
        let directory = if program == "sesame" { "usr/bin" } else { "usr/libexec/sesame" };
        install(&programs.dynamic.join(program), &root.join(directory).join(program))?;
    }
    for (file, directory) in INSTALLED {
        let name = Path::new(file).file_name().expect("a file of the table above");
        install(&places.source.join(file), &root.join(directory).join(name))?;
    }
    copy_tree(&places.source.join(APPLIANCE), &root)?;
    // What is removed from Debian's packages is everything that neither a list nor this file names.
    let mut names = Vec::new();
    names_below(&root, &root, &mut names)?;
    names.sort();
    let list = root.join("usr/share/sesame/files");
    fs::write(&list, names.concat()).map_err(Failed::io("write", &list))
}

fn names_below(root: &Path, directory: &Path, names: &mut Vec<String>) -> Result<(), Failed> {
    for entry in fs::read_dir(directory).map_err(Failed::io("read", directory))? {
        let path = entry.map_err(Failed::io("read", directory))?.path();
        if path.is_dir() && !path.is_symlink() {
            names_below(root, &path, names)?;
        } else {
            let name = path.strip_prefix(root).expect("below the root");
            names.push(format!("{}\n", name.display()));
        }
    }
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), Failed> {
    for entry in fs::read_dir(from).map_err(Failed::io("read", from))? {
        let entry = entry.map_err(Failed::io("read", from))?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(Failed::io("look at", &from))?;
        if kind.is_dir() {
            copy_tree(&from, &to)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&from).map_err(Failed::io("read", &from))?;
            make_parent(&to)?;
            std::os::unix::fs::symlink(target, &to).map_err(Failed::io("make", &to))?;
        } else {
            install(&from, &to)?;
        }
    }
    Ok(())
}

fn install(from: &Path, to: &Path) -> Result<(), Failed> {
    make_parent(to)?;
    fs::copy(from, to).map_err(Failed::io("copy", from))?;
    let executable =
        fs::metadata(from).map_err(Failed::io("look at", from))?.permissions().mode() & 0o100 != 0;
    let mode = if executable { 0o755 } else { 0o644 };
    fs::set_permissions(to, fs::Permissions::from_mode(mode))
        .map_err(Failed::io("change the mode of", to))
}

fn make_parent(path: &Path) -> Result<(), Failed> {
    let parent = path.parent().expect("a file below the stage");
    fs::create_dir_all(parent).map_err(Failed::io("make", parent))
}
