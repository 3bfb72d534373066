//! Whether a disk is what a manifest says.

mod difference;

use std::io;

use crate::digest::Digest;
use crate::gpt::PartitionTable;
use crate::layout::{self, Esp, Layout, UKI_PATH};
use crate::manifest::{FileDigest, Manifest};
use crate::progress::Progress;
use crate::storage::{Region, Storage};
use crate::uki::{Uki, UkiError};
use crate::verity::{self, Superblock, VerityError};

pub use difference::Difference;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// A short name that stays the same across versions, such as `uki-sha256`.
    pub id: &'static str,
    /// Whether it is as the manifest says.
    pub passes: bool,
    /// What was found.
    pub found: String,
}

/// Which of the images that a manifest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// The one that anybody can build again.
    Unsigned,
    /// The one with a UKI signed for Secure Boot.
    Signed,
}

impl Variant {
    /// The word in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Signed => "signed",
        }
    }
}

/// What a verification found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Everything that was looked at, in order.
    pub checks: Vec<Check>,
    /// Where the disk differs; empty when its SHA-256 is as it should be.
    pub differences: Vec<Difference>,
    /// Which disk of the manifest this is, or that of which the UKI is; `None` for neither.
    pub variant: Option<Variant>,
    /// The SHA-256 of the disk, of as many bytes as the image has.
    pub disk: Option<Digest>,
    /// The root hash over the data as they are.
    pub root_hash: Option<Digest>,
    /// The SHA-256 of the UKI as it is.
    pub uki: Option<Digest>,
    /// How many bytes the medium has behind the image.
    pub bytes_behind: u64,
}

impl Report {
    /// Whether everything is as the manifest says.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.passes)
    }
}

/// Holds a disk against a manifest, of which it reads as many bytes as an image has; more may follow.
///
/// # Errors
/// Those of the device. What is altered or missing is no error, but in the report.
pub fn verify(
    disk: &dyn Storage,
    manifest: &Manifest,
    progress: &mut Progress<'_>,
) -> io::Result<Report> {
    let signed = manifest.signed.as_ref();
    let mut disks = vec![(Variant::Unsigned, &manifest.disk)];
    disks.extend(signed.map(|signed| (Variant::Signed, &signed.disk)));
    let lengths: Vec<u64> = disks.iter().map(|(_, disk)| disk.bytes).collect();
    progress.expect(lengths.iter().copied().max().unwrap_or(0).min(disk.size()));
    progress.expect(manifest.root.bytes);

    let digests = layout::disk_digests(disk, &lengths, progress)?;
    let is_that = |(known, digest): &(&(Variant, &FileDigest), &Option<Digest>)| {
        *digest == &Some(known.1.sha256)
    };
    let whole = disks.iter().zip(&digests).find(is_that).map(|(known, _)| *known);

    let ukis =
        [(Variant::Unsigned, Some(&manifest.uki)), (Variant::Signed, signed.map(|it| &it.uki))];
    let expected = Expected { manifest, ukis, whole: whole.map(|(variant, _)| variant) };
    // Of a disk that is neither, as much is looked at as its table says, or as there should be.
    let claimed = PartitionTable::claimed_bytes(disk).ok();
    let claimed = disks.iter().find(|(_, known)| Some(known.bytes) == claimed).copied();
    let likely = whole.or(claimed).map_or(&manifest.disk, |(_, known)| known);
    let length = likely.bytes.min(disk.size());
    let image = Region::new(disk, 0, length).ok_or(io::ErrorKind::UnexpectedEof)?;

    let mut report = Report {
        checks: Vec::new(),
        differences: Vec::new(),
        variant: whole.map(|(variant, _)| variant),
        disk: None,
        root_hash: None,
        uki: None,
        bytes_behind: disk.size() - length,
    };
    size(&mut report, disk.size(), likely);
    let likely_digest = digests.iter().zip(&disks).find(|(_, known)| std::ptr::eq(known.1, likely));
    report.disk = likely_digest.and_then(|(digest, _)| *digest);
    disk_sha256(&mut report, whole);
    match Layout::read(&image) {
        Ok(layout) => expected.parts(&mut report, &image, &layout, progress)?,
        Err(error) => {
            report.fail("partition-table", error.to_string());
            report.differences.push(Difference::new("partition table", error.to_string()));
        }
    }
    if whole.is_some() {
        report.differences.clear();
    } else if report.differences.is_empty() {
        report.differences.push(Difference::nowhere_else());
    }
    Ok(report)
}

fn size(report: &mut Report, size: u64, expected: &FileDigest) {
    let needed = expected.bytes;
    if size < needed {
        report.fail("size", format!("truncated: {size} of {needed} bytes are there"));
        let text = format!("the medium ends after {size} of {needed} bytes");
        report.differences.push(Difference::new("truncated", text));
    } else {
        report.pass("size", format!("{needed} bytes"));
    }
}

fn disk_sha256(report: &mut Report, whole: Option<(Variant, &FileDigest)>) {
    match (whole, report.disk) {
        (Some((variant, _)), _) => {
            report.pass("disk-sha256", format!("that of the {} disk", variant.as_str()));
        }
        (None, Some(digest)) => {
            report.fail("disk-sha256", format!("not in the manifest: {digest}"))
        }
        (None, None) => report.fail("disk-sha256", "not computed: bytes are missing"),
    }
}

/// What a disk is held against.
struct Expected<'m> {
    manifest: &'m Manifest,
    ukis: [(Variant, Option<&'m FileDigest>); 2],
    whole: Option<Variant>,
}

impl Expected<'_> {
    fn parts(
        &self,
        report: &mut Report,
        image: &dyn Storage,
        layout: &Layout<'_>,
        progress: &mut Progress<'_>,
    ) -> io::Result<()> {
        self.partitions(report, image, layout);
        match Esp::read(&layout.esp.1) {
            Ok(esp) => self.esp(report, &esp)?,
            Err(error) => {
                report.fail("esp", error.to_string());
                report.differences.push(Difference::new("ESP", error.to_string()));
            }
        }
        self.verity(report, layout, progress)?;
        if self.whole.is_none() {
            difference::find_unused(report, image, layout)?;
        }
        Ok(())
    }

    fn partitions(&self, report: &mut Report, image: &dyn Storage, layout: &Layout<'_>) {
        let (data, tree) = self.manifest.root.verity_root_hash.0.split_at(16);
        let problem = if layout.table.disk_bytes != image.size() {
            Some(format!("it is for a disk of {} bytes", layout.table.disk_bytes))
        } else if layout.data.0.id.as_bytes() != data || layout.tree.0.id.as_bytes() != tree {
            Some("the UUIDs of the partitions are not those of the root hash".to_owned())
        } else {
            None
        };
        match problem {
            None => {
                let what = match layout.verified {
                    layout::Verified::Root => "root",
                    layout::Verified::Usr => "/usr",
                };
                report
                    .pass("partition-table", format!("ESP, {what} and its hash tree, twice alike"));
            }
            Some(problem) => {
                report.differences.push(Difference::new("partition table", problem.clone()));
                report.fail("partition-table", problem);
            }
        }
    }

    fn esp(&self, report: &mut Report, esp: &Esp<'_>) -> io::Result<()> {
        let strangers: Vec<_> =
            esp.strangers().iter().map(|path| path.escape_debug().to_string()).collect();
        let contents = esp.uki_contents();
        let problem = match (&contents, strangers.is_empty()) {
            (Some(_), true) => None,
            (Some(_), false) => Some(format!("more than the UKI: {}", strangers.join(", "))),
            (None, _) => Some(format!("no {UKI_PATH}, but {}", strangers.join(", "))),
        };
        match problem {
            None => report.pass("esp", format!("{UKI_PATH} and nothing else")),
            Some(problem) => {
                report.differences.push(Difference::new("ESP", problem.clone()));
                report.fail("esp", problem);
            }
        }
        match contents {
            Some(contents) => self.uki(report, &contents),
            None => {
                report.fail("uki-sha256", "there is no UKI");
                Ok(())
            }
        }
    }

    fn uki(&self, report: &mut Report, file: &dyn Storage) -> io::Result<()> {
        let digest = Digest::of_storage(file)?;
        report.uki = Some(digest);
        let known = self.ukis.iter().find(|(_, uki)| uki.is_some_and(|uki| uki.sha256 == digest));
        let variant = known.map(|(variant, _)| *variant);
        report.variant = report.variant.or(variant);
        match variant {
            Some(variant) if self.whole.is_none_or(|whole| whole == variant) => {
                report.pass("uki-sha256", format!("that of the {} UKI", variant.as_str()));
            }
            Some(variant) => {
                let text = format!("that of the {} UKI, on the other disk", variant.as_str());
                report.fail("uki-sha256", text);
            }
            None => {
                report.fail("uki-sha256", format!("not in the manifest: {digest}"));
                let text = format!("{UKI_PATH} is not a UKI of the manifest");
                report.differences.push(Difference::new("UKI", text));
            }
        }
        match Uki::open(file) {
            Ok(uki) => self.kernel(report, &uki),
            Err(UkiError::Io(error)) => Err(error),
            Err(error) => {
                report.fail("command-line", error.to_string());
                Ok(())
            }
        }
    }

    fn kernel(&self, report: &mut Report, uki: &Uki<'_>) -> io::Result<()> {
        let Manifest { kernel, root, pcr11, .. } = self.manifest;
        match uki.command_line() {
            Ok(found) if found == kernel.command_line.as_str() => {
                report.pass("command-line", "as in the manifest; it carries the root hash");
            }
            Ok(found) => {
                let carries = layout::root_hash_of(&found) == Some(root.verity_root_hash);
                let carries = if carries { "carries" } else { "does not carry" };
                let found = found.escape_debug();
                report.fail(
                    "command-line",
                    format!("another one, that {carries} the root hash: {found}"),
                );
            }
            Err(UkiError::Io(error)) => return Err(error),
            Err(error) => report.fail("command-line", error.to_string()),
        }
        match uki.kernel_release() {
            Ok(found) if found == kernel.release.as_str() => report.pass("kernel", found),
            Ok(found) => {
                report.fail("kernel", format!("another release: {}", found.escape_debug()))
            }
            Err(UkiError::Io(error)) => return Err(error),
            Err(error) => report.fail("kernel", error.to_string()),
        }
        let expected = pcr11.as_ref().map(|pcr11| pcr11.sha256);
        match uki.pcr11() {
            Ok(found) if found == expected => {
                let text = if found.is_some() { "as in the manifest" } else { "chosen at boot" };
                report.pass("pcr11", text);
            }
            Ok(found) => {
                let found = found.map_or("chosen at boot".to_owned(), |found| found.to_string());
                report.fail("pcr11", format!("not as in the manifest: {found}"));
            }
            Err(UkiError::Io(error)) => return Err(error),
            Err(error) => report.fail("pcr11", error.to_string()),
        }
        Ok(())
    }

    fn verity(
        &self,
        report: &mut Report,
        layout: &Layout<'_>,
        progress: &mut Progress<'_>,
    ) -> io::Result<()> {
        let root = &self.manifest.root;
        let (data, tree) = (&layout.data.1, &layout.tree.1);
        let superblock = match Superblock::read(tree) {
            Ok(superblock) => superblock,
            Err(error) => return no_tree(report, error),
        };
        if superblock.data_bytes() != root.bytes || superblock.salt != root.verity_salt.as_bytes() {
            let text = "the superblock has another size of the data, or another salt";
            report.differences.push(Difference::new("verity superblock", text));
        }
        let found = match verity::verify(&superblock, data, tree, progress) {
            Ok(found) => found,
            Err(error) => return no_tree(report, error),
        };
        report.root_hash = Some(found.root_hash);
        let expected = root.verity_root_hash;
        let is_stored = found.stored_root_hash == expected;
        match found.first_bad_tree {
            None if is_stored => report.pass("verity-tree", "complete, and of this root hash"),
            None => {
                report.fail("verity-tree", format!("of root hash {}", found.stored_root_hash));
                let text = "it is whole, and that of another root hash";
                report.differences.push(Difference::new("verity tree", text));
            }
            Some(block) => {
                let text = format!("block {block} of the partition is altered");
                report.fail("verity-tree", text.clone());
                report.differences.push(Difference::new("verity tree", text));
            }
        }
        let bad = found.first_bad_data.map(|block| match found.bad_data {
            1 => format!("data block {block} is altered"),
            count => format!("{count} data blocks are altered; the first is {block}"),
        });
        if let Some(text) = &bad {
            report.differences.push(Difference::new("root data", text.clone()));
        }
        let differs = |digest| match &bad {
            Some(bad) => format!("{bad}: {digest}"),
            None => format!("not as in the manifest: {digest}"),
        };
        for (id, digest, expected) in [
            ("root-hash", found.root_hash, expected),
            ("root-sha256", found.data_sha256, root.sha256),
        ] {
            if digest == expected {
                report.pass(id, "as in the manifest");
            } else {
                report.fail(id, differs(digest));
            }
        }
        Ok(())
    }
}

fn no_tree(report: &mut Report, error: VerityError) -> io::Result<()> {
    if let VerityError::Io(error) = error {
        return Err(error);
    }
    report.fail("verity-tree", error.to_string());
    report.fail("root-hash", "not computed without a hash tree");
    report.differences.push(Difference::new("verity superblock", error.to_string()));
    Ok(())
}

impl Report {
    fn pass(&mut self, id: &'static str, found: impl Into<String>) {
        self.checks.push(Check { id, passes: true, found: found.into() });
    }

    fn fail(&mut self, id: &'static str, found: impl Into<String>) {
        self.checks.push(Check { id, passes: false, found: found.into() });
    }
}
