//! What happens without being asked: at the start, every now and then, and at the end.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use audit_log::{Operation, Outcome};
use daemon_runtime::{Lifecycle, log};
use ipc::audit::Record;
use ipc::trail::Trail;
use ipc::{Fault, FaultKind};
use site_config::Daemon;

use crate::handlers::unlock;
use crate::identity::Identity;
use crate::isolation::{self, IsolationCheck};
use crate::record::carry_out;
use crate::service::{Cicada, Worker, now};

/// What could not be destroyed is tried again after so long.
const RETRY_SECONDS: u64 = 60;

impl Lifecycle<Worker> for Cicada {
    /// daemon-audit must be there: a daemon whose start nobody noted does not serve. Before the first
    /// `sesame init` it serves nothing but its status, because nothing can be recorded.
    fn start(&self, worker: &mut Worker) -> Result<(), Fault> {
        self.check_isolation()?;
        let trail = &mut worker.trail;
        if trail.status()?.is_none() {
            return Ok(());
        }
        self.record_start(trail)?;
        self.use_credential(trail);
        Ok(())
    }

    fn tick(&self, worker: &mut Worker) -> Result<(), String> {
        let trail = &mut worker.trail;
        self.expire(trail);
        if let Some((record, unrecorded)) = self.refusals.overdue() {
            self.write_refused(trail, record, unrecorded);
        }
        if self.has_credential() && matches!(trail.status(), Ok(Some(_))) {
            self.use_credential(trail);
        }
        Ok(())
    }

    fn stop(&self, worker: &mut Worker) {
        let trail = &mut worker.trail;
        self.forget_keys();
        if let Some((record, unrecorded)) = self.refusals.drain() {
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
    /// Nothing is served from a process that is not as it should be; unless that was configured.
    fn check_isolation(&self) -> Result<(), Fault> {
        let checks = isolation::inside(&self.place, self.posture.seccomp_filters());
        let failed = |check: &&IsolationCheck| check.status == isolation::Status::Fail;
        let missing: Vec<_> = checks
            .iter()
            .filter(failed)
            .map(|check| format!("{}: {}", check.check, check.found))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing = missing.join("; ");
        if self.sandbox_is_off {
            log::warning(format_args!("not isolated, as config.toml has it: {missing}"));
            return Ok(());
        }
        let text = format!("cicada is not isolated ({missing}); nothing was served or changed");
        Err(Fault::new(FaultKind::Internal, text))
    }

    fn has_credential(&self) -> bool {
        self.credential.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Once: a key that is wrong now is wrong in a second, too.
    fn use_credential(&self, trail: &mut Trail) {
        let key = self.credential.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(key) = key else { return };
        match unlock::with_credential(self, trail, key) {
            Ok(()) => log::info("unlocked with the credential cicada.unlock-key"),
            Err(refused) => log::error(format_args!(
                "cannot unlock with the credential cicada.unlock-key: {refused}"
            )),
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
        if self.expiry_failed.load(Ordering::Relaxed) + RETRY_SECONDS > now {
            return;
        }
        for name in names {
            let _changing = self.changing();
            // Looked at again: it may have been changed, revoked or locked meanwhile.
            let Ok((identity, unlock_key)) = self.present(&name) else { continue };
            let (gone, versions): (Vec<_>, Vec<_>) =
                identity.versions.iter().cloned().partition(|version| version.is_over(now));
            let numbers: Vec<_> = gone.iter().map(|version| version.number.to_string()).collect();
            let mut record = Record::new(Operation::IdentityExpire, Outcome::Authorised);
            record.subject = Some(name.to_string());
            record.detail.insert("versions".to_owned(), numbers.join(" "));
            let expired = carry_out(trail, record, || {
                self.put(Identity { versions, ..(*identity).clone() }, &unlock_key)
            });
            if let Err(refused) = expired {
                self.expiry_failed.store(now, Ordering::Relaxed);
                log::warning(format_args!("the earlier keys of {name} are still there: {refused}"));
            }
        }
    }
}
