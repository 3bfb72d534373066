//! `image check`: a second build, elsewhere, must be the first one bit for bit.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use media::Digest;
use media::storage::Disk;
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};
use nix::unistd::sethostname;

use crate::build::build;
use crate::failed::{Failed, logged, output};
use crate::git;
use crate::places::Places;
use crate::tools::{self, Tools};
use crate::tree;

/// Builds, builds again from a copy of the sources in another directory, and compares. With `keep_programs`,
/// tools and our programs are those of the first build.
pub fn check(places: &Places, keep_programs: bool) -> Result<(), Failed> {
    build(places)?;
    let again = elsewhere(places)?;
    if keep_programs {
        copy(&places.binaries(), &again.binaries())?;
        for (made, here) in [
            (places.tools(), again.tools()),
            (places.tools_stamp(), again.tools_stamp()),
            // Copies would be newer, and cargo build again what reads them.
            (places.vendored(), again.vendored()),
            (places.vendored_stamp(), again.vendored_stamp()),
        ] {
            symlink(made, &here).map_err(Failed::io("make", &here))?;
        }
    }
    build_apart(&again)?;
    let mut differ = Vec::new();
    // Not the manifest: it names the commit, which is not part of the image.
    for extension in ["raw", "efi", "spdx.json"] {
        let (one, two) = (&places.result(extension), &again.result(extension));
        let name = one.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (first, second) = (digest(one)?, digest(two)?);
        let word = if first == second { "the same" } else { "DIFFERS" };
        println!("{word:<9} {first}  {name}");
        if first != second {
            differ.push(name);
        }
    }
    if differ.is_empty() {
        println!("Two builds, one image.");
        return fs::remove_dir_all(&again.output).map_err(Failed::io("remove", &again.output));
    }
    let (tools, _) = tools::ensure(places)?;
    for line in explain(places, &again, &tools)? {
        println!("  {line}");
    }
    Err(Failed(format!(
        "the second build is another one in {}; it is kept in {}",
        differ.join(", "),
        again.output.display()
    )))
}

/// Builds as somebody else's machine would: with another name, and with a umask that would show.
fn build_apart(places: &Places) -> Result<(), Failed> {
    unshare(CloneFlags::CLONE_NEWUTS)
        .and_then(|()| sethostname("another-machine"))
        .map_err(|error| Failed(format!("cannot take another host name: {error}")))?;
    umask(Mode::from_bits_truncate(0o077));
    build(places)
}

/// The places of the second build: the sources that git knows, in a directory of another length, and the
/// packages that are there.
fn elsewhere(places: &Places) -> Result<Places, Failed> {
    let output_directory = places.output.join("second-build");
    if output_directory.exists() {
        fs::remove_dir_all(&output_directory).map_err(Failed::io("remove", &output_directory))?;
    }
    let source = output_directory.join("a-copy-of-the-sources");
    fs::create_dir_all(&source).map_err(Failed::io("make", &source))?;
    for name in git::files(&places.source)? {
        let (from, to) = (places.source.join(&name), source.join(&name));
        if from.symlink_metadata().is_err() {
            continue; // Deleted, and not committed yet.
        }
        let parent = to.parent().expect("below the copy");
        let mut directory = DirBuilder::new();
        let made = directory.recursive(true).mode(0o700).create(parent);
        made.map_err(Failed::io("make", parent))?;
        if from.is_symlink() {
            let target = fs::read_link(&from).map_err(Failed::io("read", &from))?;
            symlink(target, &to).map_err(Failed::io("make", &to))?;
            continue;
        }
        fs::copy(&from, &to).map_err(Failed::io("copy", &from))?;
        // Cargo builds again what is newer than its programs.
        let modified = fs::metadata(&from).and_then(|metadata| metadata.modified());
        let copied = fs::File::options().append(true).open(&to);
        let set = modified.and_then(|time| copied.and_then(|file| file.set_modified(time)));
        set.map_err(Failed::io("set the time of", &to))?;
        restrict(&to)?;
    }
    let again = Places { source, output: output_directory.join("output"), ..places.clone() };
    fs::create_dir_all(again.logs()).map_err(Failed::io("make", &again.logs()))?;
    let packages = again.packages();
    fs::create_dir_all(&packages).map_err(Failed::io("make", &packages))?;
    for entry in fs::read_dir(places.packages()).map_err(Failed::io("read", &places.packages()))? {
        let entry = entry.map_err(Failed::io("read", &places.packages()))?;
        let to = packages.join(entry.file_name());
        fs::hard_link(entry.path(), &to).map_err(Failed::io("link", &to))?;
    }
    Ok(again)
}

/// Leaves of a file's mode what a checkout under umask 077 would have: git knows whether it can be run, and
/// no more, so no more may get into an image.
fn restrict(file: &Path) -> Result<(), Failed> {
    let metadata = fs::metadata(file).map_err(Failed::io("look at", file))?;
    let mode = metadata.permissions().mode() & 0o700;
    let set = fs::set_permissions(file, Permissions::from_mode(mode));
    set.map_err(Failed::io("change the mode of", file))
}

fn copy(from: &Path, to: &Path) -> Result<(), Failed> {
    let mut command = Command::new("cp");
    command.arg("--archive").arg("--reflink=auto").arg(from).arg(to);
    output("cp", &mut command).map(drop)
}

fn digest(path: &Path) -> Result<String, Failed> {
    let disk = Disk::open(path).map_err(Failed::io("read", path))?;
    Digest::of_storage(&disk).map(|digest| digest.to_string()).map_err(Failed::io("read", path))
}

/// Which files differ: of the root, and of the initrd.
fn explain(places: &Places, again: &Places, tools: &Tools) -> Result<Vec<String>, Failed> {
    let mut lines = Vec::new();
    let scratch = again.output.join("compare");
    for part in ["root", "initrd"] {
        let mut trees: Vec<PathBuf> = Vec::new();
        for (build, name) in [(places, "one"), (again, "two")] {
            let tree = scratch.join(part).join(name);
            fs::create_dir_all(&tree).map_err(Failed::io("make", &tree))?;
            unpack(build, tools, part, &tree)?;
            trees.push(tree);
        }
        let found = tree::differences(&trees[0], &trees[1])?;
        lines.extend(found.into_iter().map(|line| format!("{part}: {line}")));
    }
    if lines.is_empty() {
        lines.push("no file of the root or the initrd; what contains them differs".to_owned());
    }
    Ok(lines)
}

fn unpack(places: &Places, tools: &Tools, part: &str, to: &Path) -> Result<(), Failed> {
    let binds = [(places.output.clone(), "/build/output"), (to.to_owned(), "/build/stage")];
    let mut command = tools.command("/bin/sh", &binds);
    let disk = places.result("raw");
    let disk = disk.file_name().unwrap_or_default().to_string_lossy();
    command.arg("-euc").arg(match part {
        "root" => format!(
            "start=$(sfdisk --json /build/output/{disk} | python3 -c 'import json, sys; \
             print(next(p[\"start\"] for p in json.load(sys.stdin)[\"partitiontable\"][\"partitions\"] if p[\"name\"] == \"root-x86-64\"))')\n\
             fsck.erofs --offset=$((start * 512)) --extract=/build/stage --overwrite --preserve /build/output/{disk}"
        ),
        _ => "cd /build/stage && zstd -dc /build/output/mkosi/out/initrd.cpio.zst | cpio -idm --quiet".to_owned(),
    });
    logged(&format!("unpacking the {part}"), command, &places.logs().join("unpack.log"))
}
