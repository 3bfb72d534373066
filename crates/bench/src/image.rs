//! The appliance: how large it is, how long it is built and how long it starts.
//!
//! The figures come from `image/start.py`, a scenario that `cargo xtask` has the driver of the VM tests run.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use crate::table::Table;

const DAEMONS: [&str; 2] = ["sesame-audit", "sesame-secrets"];

/// What `cargo xtask bench --image` says on our command line.
pub struct Measurement {
    /// What the scenario has written.
    figures: PathBuf,
    /// Seconds that a cold and a warm build took, where they were measured.
    builds: Option<(f64, f64)>,
}

impl Measurement {
    /// FIGURES [COLD WARM].
    pub fn parse(arguments: &[String]) -> Option<Self> {
        let (figures, builds) = match arguments {
            [figures] => (figures, None),
            [figures, cold, warm] => (figures, Some((cold.parse().ok()?, warm.parse().ok()?))),
            _ => return None,
        };
        Some(Self { figures: figures.into(), builds })
    }

    /// Adds the lines.
    pub fn show(&self, table: &mut Table) {
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
        let text = fs::read_to_string(&self.figures).expect("the scenario has written it");
        serde_json::from_str(&text).expect("a map of numbers")
    }
}
