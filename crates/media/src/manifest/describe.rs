//! Everything of a manifest that can be read off a disk.

use std::io;
use std::path::{Path, PathBuf};

use super::{
    Architecture, FieldError, FileDigest, FileName, Format, Kernel, Manifest, Package, Pcr11, Root,
    Salt, Sbom, Source, Text,
};
use crate::digest::Digest;
use crate::fat::FatError;
use crate::layout::{self, Esp, Layout, LayoutError, UKI_PATH};
use crate::progress::Progress;
use crate::storage::{Disk, Storage};
use crate::uki::{Uki, UkiError};
use crate::verity::{self, Superblock, VerityError};

/// Why a disk gets no manifest.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// The disk can't be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No image is on it.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Its ESP can't be read.
    #[error("ESP: {0}")]
    Esp(#[from] FatError),
    /// The UKI isn't where firmware looks for it.
    #[error("the ESP has no {UKI_PATH}")]
    NoUki,
    /// More than the UKI is on the ESP.
    #[error("the ESP has more than its UKI: {0}")]
    Strangers(String),
    /// The UKI can't be read.
    #[error(transparent)]
    Uki(#[from] UkiError),
    /// There is no hash tree.
    #[error(transparent)]
    Verity(#[from] VerityError),
    /// The tree isn't that of the data.
    #[error("the hash tree is not that of the data: it gives {stored}, and the data give {data}")]
    Tree {
        /// The root hash of the stored tree.
        stored: Digest,
        /// The root hash of the data.
        data: Digest,
    },
    /// The command line has another root hash, or none.
    #[error("the UKI's command line does not carry the root hash {0}")]
    RootHash(Digest),
    /// A name or text that can't be in a manifest.
    #[error("{what}: {source}")]
    Field {
        /// Which.
        what: &'static str,
        /// Why.
        source: FieldError,
    },
}

/// What can be read off a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The disk as a whole.
    pub disk: FileDigest,
    /// The UKI on it. Its file is called like the disk, with the extension `efi`.
    pub uki: FileDigest,
    /// The verified file system.
    pub root: Root,
    /// What the UKI boots.
    pub kernel: Kernel,
    /// What the stub makes of PCR 11; `None` where that is chosen at boot.
    pub pcr11: Option<Pcr11>,
}

impl Description {
    /// Reads a disk from its first byte to its last, and refuses one that isn't sound.
    ///
    /// # Errors
    /// [`DescribeError`] says what is wrong with it.
    pub fn read(path: &Path, progress: &mut Progress<'_>) -> Result<Self, DescribeError> {
        let io = |source| DescribeError::Io { path: path.to_owned(), source };
        let disk = Disk::open(path).map_err(io)?;
        let file = file_name(path.file_name())?;
        let uki_file = file_name(path.with_extension("efi").file_name())?;

        let layout = Layout::read(&disk)?;
        let tree = &layout.tree.1;
        let superblock = Superblock::read(tree)?;
        progress.expect(disk.size() + superblock.data_bytes());
        let digests = layout::disk_digests(&disk, &[disk.size()], progress).map_err(io)?;
        let sha256 = digests.into_iter().flatten().next();
        let sha256 = sha256.ok_or_else(|| io(io::ErrorKind::UnexpectedEof.into()))?;
        let disk = FileDigest { file, bytes: disk.size(), sha256 };

        let esp = Esp::read(&layout.esp.1)?;
        let strangers = esp.strangers();
        if !strangers.is_empty() {
            let names: Vec<_> =
                strangers.iter().map(|name| name.escape_debug().to_string()).collect();
            return Err(DescribeError::Strangers(names.join(", ")));
        }
        let contents = esp.uki_contents().ok_or(DescribeError::NoUki)?;
        let uki = Uki::open(&contents)?;
        let sha256 = Digest::of_storage(&contents).map_err(UkiError::Io)?;
        let uki_digest = FileDigest { file: uki_file, bytes: contents.size(), sha256 };

        let found = verity::verify(&superblock, &layout.data.1, tree, progress)?;
        let (stored, data) = (found.stored_root_hash, found.root_hash);
        if stored != data || found.first_bad_tree.is_some() {
            return Err(DescribeError::Tree { stored, data });
        }
        let command_line = uki.command_line()?;
        if layout::root_hash_of(&command_line) != Some(data) {
            return Err(DescribeError::RootHash(data));
        }
        let field = |what| move |source| DescribeError::Field { what, source };
        let root = Root {
            bytes: superblock.data_bytes(),
            sha256: found.data_sha256,
            verity_root_hash: data,
            verity_salt: Salt::of_bytes(superblock.salt).map_err(field("the salt of the tree"))?,
        };
        let kernel = Kernel {
            release: Text::new(uki.kernel_release()?).map_err(field("the kernel's release"))?,
            command_line: Text::new(command_line).map_err(field("the command line"))?,
        };
        let pcr11 = uki.pcr11()?.map(|sha256| Pcr11 { sha256 });
        Ok(Self { disk, uki: uki_digest, root, kernel, pcr11 })
    }

    /// The manifest of an unsigned image.
    #[must_use]
    pub fn into_manifest(
        self,
        name: Text<64>,
        version: Text<64>,
        source: Source,
        mut packages: Vec<Package>,
        sbom: Option<Sbom>,
    ) -> Manifest {
        packages.sort();
        let Self { disk, uki, root, kernel, pcr11 } = self;
        Manifest {
            format: Format::V1,
            name,
            version,
            architecture: Architecture::X86_64,
            source,
            disk,
            uki,
            root,
            kernel,
            pcr11,
            signed: None,
            packages,
            sbom,
        }
    }
}

fn file_name(name: Option<&std::ffi::OsStr>) -> Result<FileName, DescribeError> {
    let name = name.unwrap_or_default().to_string_lossy().into_owned();
    FileName::new(name).map_err(|source| DescribeError::Field { what: "the disk's name", source })
}
