//! What happens without being asked: at the start, every now and then, and at the end.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use audit_log::{Operation, Outcome};
use daemon_runtime::{Lifecycle, log};
use ipc::Fault;
use ipc::audit::Record;
use ipc::trail::Trail;
use secret_memory::Secret;
use site_config::Daemon;

use crate::error::Code;
use crate::handlers::unlock;
use crate::identity::Identity;
use crate::isolation::{self, IsolationCheck};
use crate::record::carry_out;
use crate::service::{Cicada, Noted, Worker, now};

/// What could not be destroyed is tried again after so long.
const RETRY_SECONDS: u64 = 60;

impl Lifecycle<Worker> for Cicada {
    /// Nothing is served from a process that is not as it should be; but for what the configuration leaves
    /// out by name.
    fn confirm_isolation(&self) -> Result<(), String> {
        let checks = isolation::inside(&self.place, self.posture.seccomp_filters());
        let failed = |check: &&IsolationCheck| {
            check.status == isolation::Status::Fail
                && !self.left_out.contains(&check.check.as_str())
        };
        let missing: Vec<_> = checks
            .iter()
            .filter(failed)
            .map(|check| format!("{}: {}", check.check, check.found))
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(missing.join("; ")) }
    }

    /// daemon-audit must be there: a daemon whose start nobody noted does not serve. Before the first
    /// `sesame init` it serves nothing but its status, because nothing can be recorded.
    fn start(&self, worker: &mut Worker) -> Result<(), Fault> {
        let trail = &mut worker.trail;
        if trail.status()?.is_none() {
            return Ok(());
        }
        self.record_start(trail)?;
        self.use_credential(trail);
        Ok(())
    }

    /// Ends with the first entry that can't be written: to wait for several would be too long for the
    /// watchdog.
    fn tick(&self, worker: &mut Worker) -> Result<(), String> {
        let trail = &mut worker.trail;
        for (record, unrecorded) in self.refusals.overdue() {
            if self.write_refused(trail, record, unrecorded) == Noted(false) {
                return Ok(());
            }
        }
        if self.has_credential() {
            if !matches!(trail.status(), Ok(Some(_))) || self.record_start(trail).is_err() {
                return Ok(());
            }
            self.use_credential(trail);
        }
        self.expire(trail);
        Ok(())
    }

    fn stop(&self, worker: &mut Worker) {
        let trail = &mut worker.trail;
        self.forget_keys();
        for (record, unrecorded) in self.refusals.drain() {
            self.write_refused(trail, record, unrecorded);
        }
        if self.start_is_recorded.load(Ordering::Acquire) {
            let mut record = Record::new(Operation::DaemonStop, Outcome::Done);
            record.subject = Some(Daemon::Cicada.as_str().to_owned());
            let _ = trail.record(record);
        }
    }
}

impl Cicada {
    fn has_credential(&self) -> bool {
        self.credential.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Until it is used: a key that is wrong now is wrong in a second, too; a trail that can't be written
    /// now may be written then.
    fn use_credential(&self, trail: &mut Trail) {
        let mut credential = self.credential.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(key) = credential.take() else { return };
        match unlock::with_credential(self, trail, Secret::copy_of(key.expose())) {
            Ok(()) => log::info("unlocked with the credential cicada.unlock-key"),
            Err(refused) => {
                log::error(format_args!(
                    "cannot unlock with the credential cicada.unlock-key: {refused}"
                ));
                *credential = Some(key).filter(|_| refused.code == Code::AuditUnavailable);
            }
        }
    }

    /// Destroys the keys whose time of grace is over.
    fn expire(&self, trail: &mut Trail) {
        let now = now();
        let over = |identity: &Identity| identity.versions.iter().any(|v| v.is_over(now));
        let names: Vec<_> = match self.keyring().unlocked() {
            Ok(unlocked) => {
                let due = unlocked.identities.values().filter(|identity| over(identity));
                due.map(|identity| identity.name.clone()).collect()
            }
            Err(_) => return,
        };
        let failed = self.expiry_failed.load(Ordering::Relaxed);
        if now.saturating_sub(failed) < RETRY_SECONDS {
            return;
        }
        for name in names {
            // Whoever changes something may be waiting for the trail; the next second will do.
            let Some(_changing) = self.try_changing() else { return };
            // Looked at again: it may have been changed, revoked or locked meanwhile.
            let Ok((identity, unlock_key)) = self.present(&name) else { continue };
            let (gone, versions): (Vec<_>, Vec<_>) =
                identity.versions.iter().cloned().partition(|version| version.is_over(now));
            let numbers: Vec<_> = gone.iter().map(|version| version.number.to_string()).collect();
            let mut record = Record::new(Operation::IdentityExpire, Outcome::Authorised);
            record.subject = Some(name.to_string());
            record.detail.insert("versions".to_owned(), numbers.join(" "));
            let expired = carry_out(trail, record, |_| {
                self.put(Identity { versions, ..(*identity).clone() }, &unlock_key)
            });
            if let Err(refused) = expired {
                self.expiry_failed.store(now, Ordering::Relaxed);
                log::warning(format_args!("the earlier keys of {name} are still there: {refused}"));
                return;
            }
        }
    }
}
