//! The appliance: how large it is, how long it is built and how long it starts.
//!
//! The figures come from `image/start.py`, a scenario for the driver of the VM tests.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::table::Table;

const DAEMONS: [&str; 2] = ["sesame-audit", "sesame-secrets"];

/// What `cargo xtask bench --image` says on our command line.
pub struct Measurement {
    /// Where the image is.
    image: PathBuf,
    /// Where the driver may write.
    out: PathBuf,
    /// Seconds that a cold and a warm build took, where they were measured.
    builds: Option<(f64, f64)>,
}

impl Measurement {
    /// IMAGE OUT [COLD WARM].
    pub fn parse(arguments: &[String]) -> Option<Self> {
        let (image, out, builds) = match arguments {
            [image, out] => (image, out, None),
            [image, out, cold, warm] => {
                (image, out, Some((cold.parse().ok()?, warm.parse().ok()?)))
            }
            _ => return None,
        };
        Some(Self { image: image.into(), out: out.into(), builds })
    }

    /// Measures, and adds the lines.
    pub fn measure(&self, table: &mut Table) {
        let figures = self.figures();
        let figure =
            |name: &str| *figures.get(name).unwrap_or_else(|| panic!("no figure for {name}"));
        let megabytes = |name: &str| figure(name) / 1e6;
        let seconds = |name: &str| format!("{:.1} s", figure(name));

        table.figure("disk", format!("{:.1} MB", megabytes("disk")), "ESP, root and hash tree");
        table.at_most("disk, compressed", megabytes("compressed"), 80.0, "MB", "zstd -19");
        table.figure("UKI", format!("{:.1} MB", megabytes("uki")), "kernel, initrd, command line");
        if let Some((cold, warm)) = self.builds {
            let against = "packages fetched, our programs built before";
            table.at_most("build, cold", cold / 60.0, 6.0, "min", against);
            table.at_most(
                "build, warm",
                warm / 60.0,
                2.0,
                "min",
                "packages and programs are there",
            );
        }
        table.figure(
            "power-on to the question",
            seconds("question"),
            "the shipped disk, firmware included",
        );
        table.figure("answer to the prompt", seconds("prompt"), "state in memory");
        for daemon in DAEMONS {
            let what = format!("{daemon} to READY");
            let after = format!("{:.1} s after the answer", figure(&format!("{daemon} ready")));
            table.figure(&what, seconds(&format!("{daemon} start")), &after);
        }
        let against = format!(
            "from the kernel's start; {:.1} s of it the attestation, the question and its answer",
            figure("person")
        );
        table.figure("to multi-user.target", seconds("whole"), &against);
        table.figure("to multi-user.target, bare", seconds("bare"), "our units masked");
        let against = format!("{:.0} MB with our units masked", megabytes("bare memory"));
        table.figure(
            "memory in use at the prompt",
            format!("{:.0} MB", megabytes("memory")),
            &against,
        );
    }

    fn figures(&self) -> HashMap<String, f64> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
        let workspace = workspace.expect("a crate of the workspace");
        let mut driver = Command::new("python3");
        driver.args(["-m", "vm_driver"]).current_dir(workspace);
        driver.env("PYTHONPATH", workspace.join("vm-tests/driver"));
        driver.env("PYTHONDONTWRITEBYTECODE", "1");
        driver.arg("--scenarios").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("image"));
        driver.arg("--image").arg(&self.image).arg("--tools").arg(self.image.join("tools"));
        driver.arg("--out").arg(&self.out).arg("start");
        let status = driver.status().expect("python3");
        assert!(status.success(), "the measurement ended with {status}; it says above why");
        let file = self.out.join("start/out/measured.json");
        let text = std::fs::read_to_string(&file).expect("the scenario has written it");
        serde_json::from_str(&text).expect("a map of numbers")
    }
}
