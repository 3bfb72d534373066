//! How the daemons are, and what they said if they aren't.

use std::thread;
use std::time::{Duration, Instant};

use crate::host::Host;
use crate::printable::Printable;

/// What a ceremony needs.
const NEEDED: [&str; 4] = [
    "sesame-provision.service",
    "ceremony-operator.service",
    "sesame-audit.service",
    "sesame-secrets.service",
];
/// systemd starts a daemon five times within seconds before it gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Lines of a daemon that are shown.
const LINES: &str = "--lines=6";

/// What systemd says of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub unit: String,
    /// `ActiveState` of org.freedesktop.systemd1(5).
    pub active: String,
    /// `Result`: `success`, `exit-code`, …
    pub result: String,
    /// `ExecMainStatus`: the exit status of its process.
    pub status: String,
    /// Whether it was its turn: its conditions were asked, even if they kept it from starting.
    pub tried: bool,
}

impl Service {
    fn parse(unit: &str, properties: &str) -> Self {
        let value = |name: &str| {
            let found =
                properties.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            Printable::name(found.unwrap_or_default()).as_str().to_owned()
        };
        Self {
            unit: unit.to_owned(),
            active: value("ActiveState"),
            result: value("Result"),
            status: value("ExecMainStatus"),
            tried: !matches!(value("ConditionTimestampMonotonic").as_str(), "" | "0"),
        }
    }

    fn is_settled(&self) -> bool {
        !matches!(self.active.as_str(), "activating" | "reloading" | "deactivating")
    }

    fn is_well(&self) -> bool {
        // A oneshot without RemainAfterExit= that is done is inactive.
        let done = self.unit == "sesame-provision.service" && self.active == "inactive";
        self.active == "active" || (done && self.tried && self.result == "success")
    }
}

/// A service that doesn't run, with what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What systemd knows.
    pub service: Service,
    /// Its own last lines.
    pub said: Vec<Printable>,
}

/// The services that a ceremony lacks, once each has started or given up.
pub fn failed(host: &mut dyn Host) -> Vec<Failed> {
    let deadline = Instant::now() + PATIENCE;
    let mut failed = Vec::new();
    for unit in NEEDED {
        let mut service = show(host, unit);
        while !service.is_settled() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(500));
            service = show(host, unit);
        }
        if !service.is_well() {
            let said = said(host, unit);
            failed.push(Failed { service, said });
        }
    }
    failed
}

fn show(host: &mut dyn Host, unit: &str) -> Service {
    let properties = "--property=ActiveState,Result,ExecMainStatus,ConditionTimestampMonotonic";
    let shown = host.capture(&["systemctl", "show", properties, unit]);
    Service::parse(unit, &shown.map(|(_, text)| text).unwrap_or_default())
}

/// The lines that the unit's own processes wrote, without systemd's about it.
fn said(host: &mut dyn Host, unit: &str) -> Vec<Printable> {
    let field = format!("_SYSTEMD_UNIT={unit}");
    let lines = host.capture(&[
        "journalctl",
        "--boot",
        "--no-pager",
        "--quiet",
        "--output=cat",
        LINES,
        &field,
    ]);
    let text = lines.map(|(_, text)| text).unwrap_or_default();
    let mut said: Vec<Printable> = Vec::new();
    for line in text.lines().map(Printable::line) {
        // Each of the five starts says the same.
        if !line.is_empty() && !said.contains(&line) {
            said.push(line);
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::Service;

    const FAILED: &str = "Result=exit-code\nExecMainStatus=71\nActiveState=failed\nConditionTimestampMonotonic=100\n";

    #[test]
    fn a_daemon_that_gave_up_is_not_well() {
        let service = Service::parse("sesame-audit.service", FAILED);
        assert!(service.is_settled() && !service.is_well());
        assert_eq!(service.status, "71");
    }

    #[test]
    fn a_daemon_between_two_starts_is_waited_for() {
        let service = Service::parse("sesame-audit.service", "ActiveState=activating\n");
        assert!(!service.is_settled());
    }

    #[test]
    fn keys_that_were_made_at_another_boot_are_no_failure() {
        let skipped = "Result=success\nActiveState=inactive\nConditionTimestampMonotonic=100\n";
        assert!(Service::parse("sesame-provision.service", skipped).is_well());
    }

    #[test]
    fn a_daemon_that_was_never_started_is_not_well() {
        let never = "Result=success\nActiveState=inactive\nConditionTimestampMonotonic=0\n";
        for unit in ["sesame-audit.service", "sesame-provision.service"] {
            assert!(!Service::parse(unit, never).is_well());
        }
    }

    #[test]
    fn a_unit_that_systemd_says_nothing_of_is_not_well() {
        assert!(!Service::parse("sesame-audit.service", "").is_well());
    }
}
