//! What happens without being asked: at the start, every now and then, and at the end.

use std::sync::atomic::Ordering;

use audit_log::{Operation, Outcome};
use daemon_runtime::Lifecycle;
use ipc::audit::Record;
use ipc::{Fault, FaultKind};
use site_config::Daemon;

use crate::service::SecretsService;
use ipc::trail::Trail;

impl Lifecycle<Trail> for SecretsService {
    /// The trail must be there: a daemon whose start nobody noted does not serve.
    fn start(&self, trail: &mut Trail) -> Result<(), Fault> {
        let status = trail.status()?;
        match (self.installation(), status) {
            (None, None) => Ok(()),
            (Some(installation), Some(status)) if status.installation != installation.id => {
                let text = format!(
                    "the vaults belong to installation {} and the audit trail to {}; nothing was \
                     changed. Restore the one that is wrong",
                    installation.id, status.installation
                );
                Err(Fault::new(FaultKind::Tampered, text))
            }
            (Some(installation), None) => {
                let text = format!(
                    "installation {} has lost its audit trail; nothing was changed. Restore the \
                     trail from an export",
                    installation.id
                );
                Err(Fault::new(FaultKind::Tampered, text))
            }
            (None, Some(status)) if status.has_vaults => {
                let text = format!(
                    "installation {} has lost its vaults; nothing was changed. Restore this \
                     daemon's directory from a backup; if they are gone for good, move the \
                     directory of daemon-audit away, keep it, and run `sesame init`",
                    status.installation
                );
                Err(Fault::new(FaultKind::Tampered, text))
            }
            (_, Some(_)) => self.record_start(trail),
        }
    }

    fn tick(&self, trail: &mut Trail) -> Result<(), String> {
        self.release_working_memory();
        self.collections.expire();
        self.lock_when_idle(trail);
        // Last, because it may have to wait.
        for (refusal, unrecorded) in self.refusals.overdue() {
            self.record_refusal(trail, &refusal, unrecorded);
        }
        Ok(())
    }

    fn stop(&self, trail: &mut Trail) {
        self.forget_keys(None);
        for (refusal, unrecorded) in self.refusals.drain() {
            self.record_refusal(trail, &refusal, unrecorded);
        }
        if self.start_is_recorded.load(Ordering::Acquire) {
            let mut record = Record::new(Operation::DaemonStop, Outcome::Done);
            record.subject = Some(Daemon::Secrets.as_str().to_owned());
            let _ = trail.record(record);
        }
    }
}
