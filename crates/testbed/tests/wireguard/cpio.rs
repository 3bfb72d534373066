//! An archive that Linux unpacks as its first root file system: cpio, format newc
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_000;
const DEVICE: u32 = 0o020_600;

/// Grows by entries, each with its directories before it.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    directories: BTreeSet<String>,
    entries: u32,
}

impl Archive {
    pub fn add_file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.add_directories_of(path);
        self.add(path, FILE | mode, (0, 0), content);
    }

    /// A character device of root's.
    pub fn add_device(&mut self, path: &str, number: (u32, u32)) {
        self.add_directories_of(path);
        self.add(path, DEVICE, number, &[]);
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn add_directories_of(&mut self, path: &str) {
        for (end, _) in path.match_indices('/') {
            if self.directories.insert(path[..end].to_owned()) {
                self.add(&path[..end], DIRECTORY, (0, 0), &[]);
            }
        }
    }

    fn add(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        let size = u32::try_from(content.len()).expect("less than 4 GiB");
        let name_size = u32::try_from(path.len() + 1).expect("a short path");
        let (major, minor) = device;
        // inode, mode, uid, gid, links, mtime, size, device of the file (two), device (two), name, sum
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, major, minor, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
