//! `image boot`: the image in QEMU, with its ceremony console on this terminal.

use std::path::PathBuf;

use clap::Args;

use crate::Sources;
use crate::failed::Failed;
use crate::places::Places;
use crate::tools::{self, inside};

/// `image boot`.
#[derive(Args)]
pub struct Boot {
    #[command(flatten)]
    sources: Sources,
    /// Memory of the machine, in MiB.
    #[arg(long, value_name = "MB", default_value_t = 1024)]
    memory: u32,
    /// Give it a TPM 2.0, empty each time.
    #[arg(long)]
    tpm: bool,
    /// A disk to plug in as a USB stick: a file, which keeps what is written to it.
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
}

/// Where the VM tests' driver is, which knows whether KVM works and what an emulated machine needs.
const DRIVER: &str = "vm-tests/driver";

/// Arguments: what to boot, its UKI, `tpm` or nothing, a second disk or nothing, MiB of memory. Below /tmp
/// there is memory that is gone with us. swtpm ends with the process that starts it, which becomes QEMU: also
/// where QEMU can't be started, or takes none of these options.
const SCRIPT: &str = r#"
disk=$1 uki=$2 tpm=$3 stick=$4 memory=$5
acceleration=$(python3 -m vm_driver.acceleration "$uki")
case $acceleration in
*tcg*) echo 'image: no KVM here: emulated, a minute or so to the first question' >&2 ;;
esac
cp /usr/share/OVMF/OVMF_VARS_4M.fd /tmp/variables.fd
set -- -smp 2 -m "$memory" -device virtio-rng-pci -serial mon:stdio -no-reboot \
    -drive if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd \
    -drive if=pflash,unit=1,format=raw,file=/tmp/variables.fd \
    -drive "if=none,id=root,format=raw,file=$disk,snapshot=on" \
    -device virtio-blk-pci,drive=root,bootindex=0
if [ -n "$stick" ]; then
    set -- "$@" -drive "if=none,id=stick,format=raw,file=$stick" \
        -device qemu-xhci -device usb-storage,drive=stick,removable=on
fi
if [ -n "$tpm" ]; then
    mkdir /tmp/tpm
    setpriv --pdeathsig TERM -- \
        swtpm socket --tpm2 --tpmstate dir=/tmp/tpm --ctrl type=unixio,path=/tmp/tpm/socket --terminate \
        >/tmp/tpm/log 2>&1 &
    timeout 10 sh -c 'until [ -S /tmp/tpm/socket ]; do sleep 0.1; done' || cat /tmp/tpm/log >&2
    set -- "$@" -chardev socket,id=tpm,path=/tmp/tpm/socket -tpmdev emulator,id=tpm0,chardev=tpm \
        -device tpm-crb,tpmdev=tpm0
fi
exec qemu-system-x86_64 -no-user-config -nodefaults -display none -vga none -nic none $acceleration "$@"
"#;

/// Boots the disk as it was built; what the machine writes to it is gone afterwards.
pub fn boot(boot: &Boot) -> Result<(), Failed> {
    if !nix::unistd::Uid::effective().is_root() {
        return Err(Failed("a trial boot needs root, to enter the tools tree".to_owned()));
    }
    let places = Places::new(&boot.sources)?;
    let disk = places.result("raw");
    if !disk.exists() {
        return Err(Failed(format!(
            "{} is not there: `cargo xtask image` builds it",
            disk.display()
        )));
    }
    let (tools, _) = tools::ensure(&places)?;
    let mut binds =
        vec![(places.output.clone(), inside::OUTPUT), (places.source.clone(), inside::SOURCE)];
    let mut stick = String::new();
    if let Some(file) = &boot.disk {
        let file = file.canonicalize().map_err(Failed::io("find", file))?;
        let (Some(directory), Some(name)) = (file.parent(), file.file_name()) else {
            return Err(Failed(format!("{} is not a file", file.display())));
        };
        stick = escaped(&format!("{}/{}", inside::STAGE, name.to_string_lossy()));
        binds.push((directory.to_owned(), inside::STAGE));
    }
    let name = |extension: &str| {
        let file = places.result(extension);
        format!("{}/{}", inside::OUTPUT, file.file_name().unwrap_or_default().to_string_lossy())
    };
    let mut qemu = tools.command("/bin/sh", &binds);
    let tpm = if boot.tpm { "tpm" } else { "" };
    qemu.env("PYTHONPATH", format!("{}/{DRIVER}", inside::SOURCE))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    qemu.env("TMPDIR", "/tmp").args(["-euc", SCRIPT, "sh", &name("raw"), &name("efi")]);
    qemu.args([tpm, &stick, &boot.memory.to_string()]);
    eprintln!("image: to leave: `poweroff` in the machine, or Ctrl-A and then X here");
    let status = qemu.status().map_err(|error| Failed(format!("cannot run QEMU: {error}")))?;
    if status.success() { Ok(()) } else { Err(Failed(format!("QEMU ended with {status}"))) }
}

/// A value within a list of QEMU's options: a comma would end it (qemu(1)).
fn escaped(value: &str) -> String {
    value.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_in_the_name_of_a_disk_ends_no_option() {
        assert_eq!(escaped("/build/stage/a,b,,c.img"), "/build/stage/a,,b,,,,c.img");
    }
}
