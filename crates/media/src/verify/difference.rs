//! Where a disk differs from its image: the manifest has no digest of each part, so what no digest
//! names is found by what it should be, which is zero.

use std::io;

use super::Report;
use crate::fat::FatError;
use crate::layout::{Esp, Layout};
use crate::storage::{Storage, first_nonzero};
use crate::verity::Superblock;

/// Where boot code for other firmware than UEFI would be, in bytes.
const BOOT_CODE: (u64, u64) = (0, 440);

/// A part of the disk that isn't as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which part.
    pub part: &'static str,
    /// What about it.
    pub text: String,
}

impl Difference {
    pub(super) fn new(part: &'static str, text: impl Into<String>) -> Self {
        Self { part, text: text.into() }
    }

    /// Every part that has a digest or a sum is right, and what is unused is empty.
    pub(super) fn nowhere_else() -> Self {
        let text =
            "names or GUIDs of partitions, the ESP's own records or the UUID of the hash tree";
        Self::new("records", text)
    }
}

/// Looks for bytes where there should be none.
pub(super) fn find_unused(
    report: &mut Report,
    image: &dyn Storage,
    layout: &Layout<'_>,
) -> io::Result<()> {
    let mut found = |text: String| {
        report.differences.push(Difference::new("unused space", text));
    };
    if first_nonzero(image, BOOT_CODE.0, BOOT_CODE.1)?.is_some() {
        found("there is boot code in the first block".to_owned());
    }
    for (start, end) in layout.table.gaps() {
        if let Some(at) = first_nonzero(image, start, end)? {
            found(format!("byte {at}, outside of all partitions, is not zero"));
        }
    }
    let (tree, data) = (&layout.tree.1, &layout.data.1);
    if let Ok(superblock) = Superblock::read(tree) {
        let tails = [
            (&layout.data.0, data, superblock.data_bytes(), "behind the file system"),
            (&layout.tree.0, tree, superblock.tree_end(), "behind the hash tree"),
        ];
        for (partition, region, from, place) in tails {
            if let Some(at) = first_nonzero(region, from.min(region.size()), region.size())? {
                found(format!("byte {}, {place}, is not zero", partition.start + at));
            }
        }
    }
    let unused = Esp::read(&layout.esp.1).and_then(|esp| {
        Ok((esp.fat.first_unused_nonzero(&esp.entries)?, esp.fat.tables_are_alike()?))
    });
    match unused {
        Ok((unused, alike)) => {
            if let Some(at) = unused {
                let at = layout.esp.0.start + at;
                found(format!("byte {at}, in no file of the ESP, is not zero"));
            }
            if !alike {
                let text = "the two copies of its allocation table differ";
                report.differences.push(Difference::new("ESP", text));
            }
        }
        Err(FatError::Io(error)) => return Err(error),
        // Said already, by whoever read the ESP first.
        Err(_) => {}
    }
    Ok(())
}
