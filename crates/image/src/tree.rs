//! Comparing two directory trees, file by file.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use media::Digest;

use crate::failed::Failed;

/// What a file is, as far as an image has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    mode: u32,
    owner: (u32, u32),
    modified: i64,
    content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Directory,
    Link(PathBuf),
    File(Digest),
    Other,
}

/// The paths that differ, with how; nothing where the trees are the same.
pub fn differences(one: &Path, two: &Path) -> Result<Vec<String>, Failed> {
    let (one, two) = (entries(one)?, entries(two)?);
    let mut paths: Vec<&PathBuf> = one.keys().chain(two.keys()).collect();
    paths.sort();
    paths.dedup();
    let difference = |path: &&PathBuf| {
        let what = match (one.get(*path), two.get(*path)) {
            (Some(one), Some(two)) if one == two => return None,
            (Some(one), Some(two)) if one.content != two.content => "another content",
            (Some(one), Some(two)) if one.mode != two.mode => "another mode",
            (Some(one), Some(two)) if one.owner != two.owner => "another owner",
            (Some(_), Some(_)) => "another time",
            (Some(_), None) => "only in the first",
            _ => "only in the second",
        };
        Some(format!("/{}: {what}", path.display()))
    };
    Ok(paths.iter().filter_map(difference).collect())
}

/// Every file of a tree as text: path, mode, content. Times and owners have no say.
pub fn listing(root: &Path) -> Result<String, Failed> {
    let lines = entries(root)?
        .into_iter()
        .map(|(path, entry)| format!("{} {:o} {:?}\n", path.display(), entry.mode, entry.content));
    Ok(lines.collect())
}

fn entries(root: &Path) -> Result<BTreeMap<PathBuf, Entry>, Failed> {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory).map_err(Failed::io("read", &directory))? {
            let path = entry.map_err(Failed::io("read", &directory))?.path();
            let metadata = fs::symlink_metadata(&path).map_err(Failed::io("look at", &path))?;
            let kind = metadata.file_type();
            let content = if kind.is_dir() {
                todo.push(path.clone());
                Content::Directory
            } else if kind.is_symlink() {
                Content::Link(fs::read_link(&path).map_err(Failed::io("read", &path))?)
            } else if kind.is_file() {
                Content::File(Digest::of(&fs::read(&path).map_err(Failed::io("read", &path))?))
            } else {
                Content::Other
            };
            let relative = path.strip_prefix(root).expect("found below the root").to_owned();
            let entry = Entry {
                mode: metadata.permissions().mode(),
                owner: (metadata.uid(), metadata.gid()),
                modified: metadata.mtime(),
                content,
            };
            found.insert(relative, entry);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_with_how() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for root in [one.path(), two.path()] {
            fs::create_dir(root.join("etc")).unwrap();
            for name in ["etc/same", "etc/content", "etc/mode"] {
                fs::write(root.join(name), "x").unwrap();
                let file = fs::File::options().write(true).open(root.join(name)).unwrap();
                file.set_modified(std::time::UNIX_EPOCH).unwrap();
            }
            let directory = fs::File::open(root.join("etc")).unwrap();
            directory.set_modified(std::time::UNIX_EPOCH).unwrap();
        }
        assert_eq!(differences(one.path(), two.path()).unwrap(), Vec::<String>::new());
        fs::write(two.path().join("etc/content"), "y").unwrap();
        fs::set_permissions(two.path().join("etc/mode"), fs::Permissions::from_mode(0o600))
            .unwrap();
        fs::write(one.path().join("gone"), "x").unwrap();
        assert_eq!(
            differences(one.path(), two.path()).unwrap(),
            [
                "/etc/content: another content",
                "/etc/mode: another mode",
                "/gone: only in the first"
            ]
        );
    }
}
