//! Where the files of a trail come from: a directory, or a tar file that an export wrote.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use nix::fcntl::OFlag;
use tar::EntryType;

use crate::line::printable;
use crate::segment;

/// The unit of a tar file, in bytes.
const BLOCK: u64 = 512;

/// The most files in a tar file; the list of them is held in memory.
const MAX_FILES: usize = 1 << 18;

/// The most that is read of an extended header, in bytes.
const MAX_EXTENSIONS: u64 = 64 << 10;

/// The most zeros after the end of a tar file, in bytes; 10 KiB is usual.
const MAX_FILLER: u64 = 1 << 20;

/// The files of a trail, by name.
#[derive(Clone)]
pub(crate) enum Source {
    /// A directory that holds them.
    Directory(PathBuf),
    /// A part of a tar file.
    Archive(Archive),
}

/// Files in a tar file, and where in it their content is; all of it is regular files.
#[derive(Clone)]
pub(crate) struct Archive {
    path: PathBuf,
    files: BTreeMap<String, (u64, u64)>,
}

/// What there is of a trail.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The segments, in order, by their first entries.
    pub segments: Vec<u64>,
    /// The checkpoints, in order, by their sizes.
    pub checkpoints: Vec<u64>,
}

/// A piece of a file that is a whole file of the trail.
pub(crate) struct Part {
    pub file: File,
    /// Where in the file it begins, in bytes.
    pub start: u64,
    /// Where it ends, or the end of the file comes first.
    pub end: u64,
}

/// Why a directory can't be listed as a trail.
#[derive(Debug)]
pub(crate) enum ListError {
    /// Not a directory.
    NotADirectory,
    /// It holds something of this name.
    Foreign(String),
    /// The directory can't be read.
    Io(io::Error),
}

/// Why a file is not an archive.
#[derive(Debug)]
pub(crate) enum ArchiveError {
    /// It isn't one that an export writes; why.
    Malformed(String),
    /// The end of it is missing; where it ends.
    Truncated(String),
    /// The file can't be read.
    Io(io::Error),
}

impl Source {
    /// What there is; nothing when there is no such directory.
    pub fn list(&self) -> Result<Listing, ListError> {
        let mut listing = Listing::default();
        match self {
            Self::Directory(path) => {
                let names = match fs::read_dir(path) {
                    Ok(names) => names,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listing),
                    Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                        return Err(ListError::NotADirectory);
                    }
                    Err(error) => return Err(ListError::Io(error)),
                };
                for entry in names {
                    let name = entry.map_err(ListError::Io)?.file_name();
                    let name = name.to_str().ok_or_else(|| foreign(&name.display()))?;
                    listing.add(name)?;
                }
            }
            Self::Archive(archive) => {
                for name in archive.files.keys() {
                    listing.add(name)?;
                }
            }
        }
        listing.segments.sort_unstable();
        listing.checkpoints.sort_unstable();
        Ok(listing)
    }

    /// Opens a file; none when it is anything else than a regular one.
    pub fn open(&self, name: &str) -> io::Result<Option<Part>> {
        match self {
            Self::Directory(path) => {
                let file = open_regular(&path.join(name))?;
                Ok(file.map(|file| Part { file, start: 0, end: u64::MAX }))
            }
            Self::Archive(archive) => archive.open(name),
        }
    }

    /// Where a person finds the file, or all of them.
    pub fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Directory(path) if name.is_empty() => path.clone(),
            Self::Directory(path) => path.join(name),
            Self::Archive(archive) => archive.path.clone(),
        }
    }
}

impl Listing {
    fn add(&mut self, name: &str) -> Result<(), ListError> {
        if let Some(first) = segment::first_of(name) {
            self.segments.push(first);
        } else if let Some(size) = segment::size_of(name) {
            self.checkpoints.push(size);
        } else if name != segment::SCRATCH {
            return Err(foreign(&name));
        }
        Ok(())
    }
}

fn foreign(name: &impl ToString) -> ListError {
    ListError::Foreign(name.to_string())
}

impl Archive {
    /// Reads the headers of a tar file.
    ///
    /// The names may have one directory before them, as tar itself puts it when it packs one.
    pub fn open_tar(path: &Path, file: &File) -> Result<Self, ArchiveError> {
        let length = file.metadata().map_err(ArchiveError::Io)?.len();
        let (mut files, mut end) = (BTreeMap::new(), 0);
        let mut archive = tar::Archive::new(file);
        // Raw: long names and sparse files are not ours, and would be read before we can say so.
        for entry in archive.entries_with_seek().map_err(ArchiveError::Io)?.raw(true) {
            let mut entry = entry.map_err(|error| not_tar(error, end, length))?;
            let (start, size) = (entry.raw_file_position(), entry.size());
            end = start.saturating_add(size).checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
            let shown = printable(&String::from_utf8_lossy(&entry.path_bytes()));
            if end > length {
                let reason = format!("The tar file ends in the middle of {shown}");
                return Err(ArchiveError::Truncated(reason));
            }
            let kind = entry.header().entry_type();
            if let EntryType::XHeader | EntryType::XGlobalHeader = kind {
                check_extensions(&mut entry)?;
                continue;
            }
            let name =
                entry.path().ok().as_deref().and_then(plain).ok_or_else(|| {
                    malformed(format!("It has a path that leads elsewhere: {shown}"))
                })?;
            match kind {
                EntryType::Directory => continue,
                EntryType::Regular => {}
                _ => return Err(malformed(format!("{shown} in it is not a regular file"))),
            }
            if files.insert(name, (start, size)).is_some() {
                return Err(malformed(format!("It has {shown} twice")));
            }
            if files.len() > MAX_FILES {
                return Err(malformed(format!("It has more than {MAX_FILES} files")));
            }
        }
        check_end_of_archive(file, end, length)?;
        let archive = Self { path: path.to_owned(), files };
        Ok(archive.without_common_directory())
    }

    fn without_common_directory(mut self) -> Self {
        let common = self.files.keys().next().and_then(|name| name.split_once('/'));
        let Some((directory, _)) = common else { return self };
        let prefix = format!("{directory}/");
        // The files of a bare trail may well lie in a directory of that name.
        let is_trail =
            directory == "trail" && !self.files.keys().any(|name| name.starts_with("trail/trail/"));
        if self.files.keys().all(|name| name.starts_with(&prefix)) && !is_trail {
            let files = std::mem::take(&mut self.files).into_iter();
            self.files = files.map(|(name, at)| (name[prefix.len()..].to_owned(), at)).collect();
        }
        self
    }

    /// The files of one directory.
    pub fn directory(&self, name: &str) -> Self {
        let prefix = format!("{name}/");
        let strip = |(name, at): (&String, &(u64, u64))| {
            name.strip_prefix(&prefix).map(|name| (name.to_owned(), *at))
        };
        Self { path: self.path.clone(), files: self.files.iter().filter_map(strip).collect() }
    }

    /// Opens a file; an error of kind `NotFound` when there is none of this name.
    pub fn open(&self, name: &str) -> io::Result<Option<Part>> {
        let (start, length) = *self.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        let mut file = open_regular(&self.path)?.ok_or(io::ErrorKind::InvalidInput)?;
        file.seek(SeekFrom::Start(start))?;
        Ok(Some(Part { file, start, end: start.saturating_add(length) }))
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

fn malformed(reason: String) -> ArchiveError {
    ArchiveError::Malformed(reason)
}

/// What an error means that came after `end` bytes of good files.
fn not_tar(error: io::Error, end: u64, length: u64) -> ArchiveError {
    match error.kind() {
        _ if end > 0 && end + BLOCK > length => no_end(),
        io::ErrorKind::Other | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            malformed(format!("It is not a tar file: {}", printable(&error.to_string())))
        }
        _ => ArchiveError::Io(error),
    }
}

fn no_end() -> ArchiveError {
    ArchiveError::Truncated("The tar file ends before its end mark".to_owned())
}

/// Programs add times and owners in headers of their own (POSIX pax). Nothing may change there that
/// decides which bytes are whose.
fn check_extensions(entry: &mut tar::Entry<'_, impl Read>) -> Result<(), ArchiveError> {
    let mut records = Vec::new();
    entry.take(MAX_EXTENSIONS + 1).read_to_end(&mut records).map_err(ArchiveError::Io)?;
    let is_harmless = |key: &str| {
        ["mtime", "atime", "ctime", "uid", "gid", "uname", "gname", "comment"].contains(&key)
            || ["SCHILY.", "LIBARCHIVE.", "RHT."].iter().any(|prefix| key.starts_with(prefix))
    };
    let mut records_in = tar::PaxExtensions::new(&records);
    let are_harmless =
        records_in.all(|record| record.is_ok_and(|it| it.key().is_ok_and(is_harmless)));
    if are_harmless && records.len() as u64 <= MAX_EXTENSIONS {
        return Ok(());
    }
    Err(malformed("It has extended headers of another kind than times and owners".to_owned()))
}

/// After the last file come two blocks of zeros, and more of them as far as a program fills up.
fn check_end_of_archive(mut file: &File, end: u64, length: u64) -> Result<(), ArchiveError> {
    match length {
        0 => return Err(malformed("It is not a tar file: it is empty".to_owned())),
        _ if length - end < 2 * BLOCK => return Err(no_end()),
        _ => {}
    }
    let mut rest = Vec::new();
    file.seek(SeekFrom::Start(end)).map_err(ArchiveError::Io)?;
    file.take(MAX_FILLER + 1).read_to_end(&mut rest).map_err(ArchiveError::Io)?;
    if rest.len() as u64 > MAX_FILLER || rest.iter().any(|byte| *byte != 0) {
        return Err(malformed("Something follows the end of the tar file".to_owned()));
    }
    Ok(())
}

/// A path of nothing but names, as text.
fn plain(path: &Path) -> Option<String> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_str()?),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(names.join("/"))
}

impl Part {
    /// Its content.
    pub fn reader(mut self) -> io::Result<io::Take<File>> {
        self.file.seek(SeekFrom::Start(self.start))?;
        Ok(self.file.take(self.end.saturating_sub(self.start)))
    }

    /// The whole content, when it has `max` bytes at most.
    pub fn read(self, max: u64) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        self.reader()?.take(max + 1).read_to_end(&mut bytes)?;
        Ok((bytes.len() as u64 <= max).then_some(bytes))
    }

    /// Its length in bytes.
    pub fn length(&self) -> io::Result<u64> {
        Ok(self.end.min(self.file.metadata()?.len()).saturating_sub(self.start))
    }
}

/// Opens a regular file for reading; none when it is anything else.
///
/// A link could lead out of the trail, and a pipe or a device could keep us waiting for ever.
pub(crate) fn open_regular(path: &Path) -> io::Result<Option<File>> {
    // Opening a device can have effects of its own, so look first; what is opened is looked at
    // again, for the name may mean something else by then.
    if !fs::symlink_metadata(path)?.is_file() {
        return Ok(None);
    }
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}
