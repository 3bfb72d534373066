//! `image usb`: the image on a stick, read back.
//!
//! - [`target`]: what may be written to. [`written`]: reading it again, past the kernel's cache.
//! - [`progress`]: a bar for the person who waits.

mod progress;
mod target;
mod written;

use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use clap::Args;
use media::manifest::FileDigest;
use media::storage::{Disk, Storage, first_difference};
use media::{Digest, Manifest};

use crate::Sources;
use crate::failed::Failed;
use crate::places::Places;
use progress::Bar;
use target::Target;
use written::Written;

/// As many bytes are written, and waited for, at once.
const CHUNK: usize = 4 << 20;

/// `image usb`.
#[derive(Args)]
pub struct Usb {
    #[command(flatten)]
    sources: Sources,
    /// The stick, such as /dev/sdb. All that is on it will be lost.
    device: PathBuf,
    /// Write the disk that is signed for Secure Boot.
    #[arg(long)]
    signed: bool,
    /// The device's name, typed here instead of when asked.
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
    /// Take a disk that can't be pulled out, too.
    #[arg(long)]
    yes_this_disk: bool,
    /// DEVICE is a plain file.
    #[arg(long)]
    file: bool,
}

/// Writes the image, and reads back what was written.
pub fn usb(usb: &Usb) -> Result<(), Failed> {
    let places = Places::new(&usb.sources)?;
    let (path, wanted) = image(&places, usb.signed)?;
    let target = match usb.file {
        true => Target::file(&usb.device)?,
        false => Target::device(&usb.device, usb.yes_this_disk)?,
    };
    target.has_room_for(wanted.bytes)?;
    let image = Disk::open(&path).map_err(Failed::io("read", &path))?;
    let found = Digest::of_storage(&image).map_err(Failed::io("read", &path))?;
    if (image.size(), found) != (wanted.bytes, wanted.sha256) {
        return Err(Failed(format!(
            "{} is not the disk that its manifest names; {} was not touched. `cargo xtask image` builds it anew",
            path.display(),
            target.path.display()
        )));
    }
    if !usb.file {
        confirm(&target, usb.confirm.as_deref())?;
    }
    target.is_still_there()?;
    write(&image, &target)?;
    read_back(&image, &wanted, &target)?;
    println!(
        "{} holds {}, read back and found the same to the last byte.\nNext: sesame media verify {} --manifest {}",
        target.path.display(),
        wanted.file,
        target.path.display(),
        places.result("manifest.json").display()
    );
    Ok(())
}

/// The disk to be written, and what it has to be.
fn image(places: &Places, signed: bool) -> Result<(PathBuf, FileDigest), Failed> {
    let path = places.result("manifest.json");
    let bytes = Manifest::read_file(&path).map_err(|error| {
        Failed(format!("{error}. There is no image to write: `cargo xtask image` builds it"))
    })?;
    let manifest = Manifest::parse(&bytes)
        .map_err(|error| Failed(format!("{}: {error}; nothing was written", path.display())))?;
    if !signed {
        return Ok((places.result("raw"), manifest.disk));
    }
    let signed = manifest.signed.ok_or_else(|| {
        Failed(
            "the image is not signed, and nothing was written: `cargo xtask image --sign KEY CERT`"
                .to_owned(),
        )
    })?;
    Ok((places.result("signed.raw"), signed.disk))
}

/// Asks for the device's name, which somebody who meant another one types wrong.
fn confirm(target: &Target, typed: Option<&str>) -> Result<(), Failed> {
    eprintln!("{}: {}", target.path.display(), target.description);
    let typed = match typed {
        Some(typed) => typed.to_owned(),
        None if io::stdin().is_terminal() => {
            eprint!("All that is on it will be lost. Its name again, to go on: ");
            let _ = io::stderr().flush();
            let mut line = String::new();
            let read = io::stdin().lock().read_line(&mut line);
            read.map_err(|error| Failed(format!("cannot read the answer: {error}")))?;
            line
        }
        None => {
            return Err(Failed(format!(
                "nobody is there to be asked, and nothing was written; --confirm {} says it for them",
                target.name
            )));
        }
    };
    if [target.name.as_str(), &target.path.to_string_lossy()].contains(&typed.trim()) {
        return Ok(());
    }
    Err(Failed(format!("that is not {}; nothing was written", target.name)))
}

/// The first chunk, with the partition table, is written last: what was interrupted is no image.
fn write(image: &Disk, target: &Target) -> Result<(), Failed> {
    let device = &target.file;
    let failed = |error: io::Error| {
        Failed(format!(
            "writing to {} failed ({error}); it holds no image now. Begin again, with another stick if this \
             happens twice",
            target.path.display()
        ))
    };
    let mut buffer = vec![0; CHUNK];
    let first = CHUNK.min(usize::try_from(image.size()).unwrap_or(CHUNK));
    device.write_all_at(&buffer[..first], 0).map_err(failed)?;
    target.wipe_end(image.size()).map_err(failed)?;
    device.sync_data().map_err(failed)?;
    let mut bar = Bar::new("writing", image.size());
    let mut at = first as u64;
    loop {
        let last = at >= image.size();
        let start = if last { 0 } else { at };
        let end = if last { first as u64 } else { image.size().min(at + CHUNK as u64) };
        let chunk = &mut buffer[..usize::try_from(end - start).unwrap_or(CHUNK)];
        image.read_exact_at(chunk, start).map_err(failed)?;
        device.write_all_at(chunk, start).map_err(failed)?;
        // Otherwise the bar would be full when everything has yet to be written.
        device.sync_data().map_err(failed)?;
        if last {
            return device.sync_all().map_err(failed);
        }
        at = end;
        bar.at(at);
    }
}

fn read_back(image: &Disk, wanted: &FileDigest, target: &Target) -> Result<(), Failed> {
    let mut bar = Bar::new("reading back", image.size());
    let mut tell = |done| bar.at(done);
    let failed = |error: io::Error| {
        Failed(format!(
            "{} was written, and cannot be read back ({error}). Use another stick",
            target.path.display()
        ))
    };
    let written = Written::new(&target.file, image.size()).map_err(failed)?;
    written.tell(&mut tell);
    let found = Digest::of_storage(&written).map_err(failed)?;
    if found == wanted.sha256 {
        return Ok(());
    }
    let place = match first_difference(image, &written).map_err(failed)? {
        Some(offset) => format!("the first byte that differs is at offset {offset}"),
        None => "it reads differently each time".to_owned(),
    };
    Err(Failed(format!(
        "{} does not hold what was written: {place}. Use another stick",
        target.path.display()
    )))
}
