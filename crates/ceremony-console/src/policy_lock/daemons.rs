//! The daemons that start anew with a policy.

use crate::host::Host;
use crate::printable::Printable;

const AUDIT: &str = "sesame-audit.service";
const SECRETS: &str = "sesame-secrets.service";
const CICADA: &str = "cicada.service";

/// Those that are to run with the policy.
pub struct Daemons {
    /// What requires AUDIT, and is restarted with it.
    others: Vec<&'static str>,
}

impl Daemons {
    /// Cicada is one where it runs, before anything is done to it.
    pub fn now(host: &mut dyn Host) -> Self {
        let runs = matches!(
            host.hear(&["systemctl", "--no-ask-password", "is-active", CICADA]),
            Ok((ended, _)) if ended.is_success()
        );
        Self { others: if runs { vec![SECRETS, CICADA] } else { vec![SECRETS] } }
    }

    /// Whether all of them started.
    pub fn restart(&self, host: &mut dyn Host) -> bool {
        // Those that failed with a policy may start without it at once.
        systemctl(host, "reset-failed", &[&[AUDIT], self.others.as_slice()].concat());
        // The second waits for what is restarted with the first, and says how it went.
        systemctl(host, "restart", &[AUDIT]) && systemctl(host, "start", &self.others)
    }
}

fn systemctl(host: &mut dyn Host, verb: &str, units: &[&str]) -> bool {
    let command = [&["systemctl", "--no-ask-password", verb], units].concat();
    match host.hear(&command) {
        Ok((ended, _)) if ended.is_success() => true,
        Ok((_, said)) => {
            eprintln!("ceremony-console: systemctl {verb}: {}", Printable::line(said.trim()));
            false
        }
        Err(error) => {
            eprintln!("ceremony-console: systemctl {verb}: {error}");
            false
        }
    }
}
