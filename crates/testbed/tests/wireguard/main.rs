//! The tunnel of `examples/cloud-sync` in two network namespaces, with the kernel's own WireGuard: on
//! this machine where its kernel has that, in a virtual machine with Debian's kernel otherwise.

mod cpio;
mod kernel;
mod machine;

use std::fmt::Display;
use std::io::Write;
use std::process::Command;

use testbed::{binary, is_root_or_skip};

/// What the scenario runs, besides the workspace's own binaries.
const TOOLS: [&str; 2] = ["ip", "wg"];

const BINARIES: [&str; 5] =
    ["daemon-audit", "daemon-secrets", "cicada", "sesame", "examples/cloud-sync"];

#[test]
fn two_namespaces_ping_each_other_with_the_preshared_key_and_not_with_another() {
    let said = if this_kernel_has_wireguard() {
        if !is_root_or_skip("making network namespaces") {
            return;
        }
        let output = Command::new(binary("tunnel")).output().expect("the scenario is executable");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{said}");
        said
    } else {
        match in_a_machine() {
            Ok(said) => said,
            Err(reason) => return skip(reason),
        }
    };
    let lines: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("tunnel: ")).collect();
    assert_eq!(
        lines,
        [
            "the two namespaces reach each other over the cable, and nobody else",
            "both ping each other through the tunnel, with keys of cicada and one preshared key",
            "with another preshared key on one side nothing comes through",
            "with the right one again, both ping each other",
        ],
        "{said}"
    );
}

fn this_kernel_has_wireguard() -> bool {
    std::path::Path::new("/sys/module/wireguard").exists()
}

fn in_a_machine() -> Result<String, String> {
    let kernel = kernel::Kernel::find()?;
    let mut image = machine::Image::new();
    image.add_program(&binary("vm-init"), "init")?;
    image.add_program(&binary("tunnel"), "run-test")?;
    for name in BINARIES {
        image.add_program(&binary(name), &format!("bin/{name}"))?;
    }
    for tool in TOOLS {
        let path = machine::find_program(tool).ok_or(format!("{tool} is not installed"))?;
        image.add_program(&path, &format!("bin/{tool}"))?;
    }
    for (index, module) in kernel.modules(&["wireguard", "veth"])?.into_iter().enumerate() {
        image.add_file(&format!("modules/{index:02}"), 0o644, &module);
    }
    let said = machine::boot(&kernel.image, image)?;
    let good = "vm-init: the test ended with exit status: 0";
    assert!(said.lines().any(|line| line.trim_end() == good), "{said}");
    Ok(said)
}

/// Past the capture of the test's output: that it was left out must be seen.
fn skip(reason: impl Display) {
    let _ = writeln!(std::io::stderr(), "skipped: the WireGuard tunnel of cloud-sync; {reason}");
}
