//! The state behind the requests, and what is recorded without being asked.

use std::sync::Arc;

use audit_log::{Appended, Draft, Genesis, Operation, Outcome, Writer};
use daemon_runtime::{Directory, Lifecycle, Posture, RefusalLog, StartError, Startup, log};
use ipc::audit::{AuditReply, AuditRequest};
use ipc::clearance::permits;
use ipc::{Credentials, Fault, FaultKind, Peer, Refusal, RefusalReason, Service, Suite, codec};
use secret_memory::SecretBytes;
use site_config::{AuditHash, Installation, MachineBinding};
use uuid::Uuid;

use crate::commit::{Commit, Refused};
use crate::handlers;
use crate::sealer::{self, Sealer};
use crate::signing_key::SigningKeyFiles;
use crate::site::Site;
use crate::store::Store;

pub struct AuditService {
    pub commit: Commit,
    pub store: Store,
    pub sealer: Sealer,
    pub site: Site,
    pub posture: Arc<Posture>,
    /// The hash of trails to come; an existing trail keeps its own.
    pub hash: AuditHash,
    directory: Directory,
    refusals: RefusalLog<Refusal>,
    startup_detail: Vec<(String, String)>,
}

impl AuditService {
    pub fn open(startup: &Startup) -> Result<Self, StartError> {
        let settings = &startup.site.settings;
        let store = Store::new(startup.state.clone(), settings.audit.segment_bytes);
        store.remove_leftovers().map_err(|error| StartError::Service(error.to_string()))?;
        let opened = store.open().map_err(|error| StartError::Service(error.to_string()))?;
        let mut trail = opened.map(|(writer, repair)| {
            if let Some(repair) = repair {
                let bytes = repair.bytes;
                log::warning(format_args!("cut {bytes} bytes of a torn last line off the trail"));
            }
            writer
        });
        if let Some(writer) = &trail {
            let installation = installation(writer.genesis())?;
            startup.check_machine(&installation)?;
        }
        let files = SigningKeyFiles::new(startup.state.clone());
        let audit = &settings.audit;
        let sealer = Sealer::open(
            files,
            trail.as_mut(),
            audit.checkpoint_entries,
            audit.checkpoint_interval,
        )
        .map_err(|error| StartError::Service(error.to_string()))?;
        Ok(Self {
            commit: Commit::new(trail),
            store,
            sealer,
            site: Site::of(startup),
            posture: Arc::clone(&startup.posture),
            hash: settings.crypto.audit_hash,
            directory: Directory::new(startup.peers.clone(), settings.crypto.minimum_peer_profile),
            refusals: RefusalLog::default(),
            startup_detail: startup.site_detail(),
        })
    }

    /// Returns once the entry is durable; seals the trail if that is due.
    pub fn append(&self, draft: Draft) -> Result<Appended, Refused> {
        let appended = self.commit.append(draft)?;
        if self.sealer.is_due_by_number(&self.commit)
            && let Some(sealed) = self.sealer.seal_if_free(&self.commit, sealer::draft("entries"))
        {
            warn_unless_sealed(sealed);
        }
        Ok(appended)
    }

    /// Seals the trail, when nobody waits for it: a failure is tried again by and by.
    pub fn seal(&self, reason: &str) {
        warn_unless_sealed(self.sealer.seal(&self.commit, sealer::draft(reason)));
    }

    /// The entry of this daemon's start, with its posture.
    pub fn record_start(&self) -> Result<(), Refused> {
        let mut draft = Draft::new(Operation::DaemonStart, Outcome::Done).subject("daemon-audit");
        draft.detail.extend(self.startup_detail.iter().cloned());
        draft.detail.extend(self.posture.summary());
        self.append(draft).map(drop)
    }

    fn record_refusal(&self, refusal: &Refusal, unrecorded: u64) {
        let mut draft = Draft::new(Operation::PeerRefused, Outcome::Refused)
            .actor(refusal.recorded().into_actor())
            .subject("daemon-audit")
            .detail("reason", refusal.reason.as_str());
        if unrecorded > 0 {
            draft = draft.detail("unrecorded", unrecorded.to_string());
        }
        if let Err(error) = self.append(draft) {
            log::warning(format_args!("a refused peer could not be recorded: {error:?}"));
        }
    }

    fn answer(&self, peer: &Peer, request: AuditRequest<'_>) -> Option<SecretBytes> {
        let reply = match request {
            AuditRequest::Status => handlers::status::handle(self),
            AuditRequest::Posture => AuditReply::Posture(self.posture.checks()),
            AuditRequest::Genesis { installation, org, machine_binding } => {
                handlers::genesis::handle(self, peer, installation, org, machine_binding)
            }
            AuditRequest::Append(record) => handlers::append::handle(self, peer, record),
            AuditRequest::Read { from } => return handlers::read::handle(self, from),
            AuditRequest::Checkpoint { size } => return handlers::checkpoint::handle(self, size),
            AuditRequest::Seal => handlers::seal::handle(self, peer),
            AuditRequest::BeginExport { destination } => {
                handlers::export::begin(self, peer, destination)
            }
            AuditRequest::FinishExport { destination, failure } => {
                handlers::export::finish(self, peer, destination, failure)
            }
            AuditRequest::PublicKey => return handlers::public_key::handle(self),
            AuditRequest::RotateKey => return handlers::rotate_key::handle(self, peer),
        };
        codec::encode(&reply).ok()
    }
}

impl Service for AuditService {
    type Worker = ();

    fn worker(&self) {}

    fn accepts(&self, suite: Suite) -> bool {
        self.directory.accepts(suite)
    }

    fn peer(&self, key: &[u8; 32], credentials: Credentials) -> Result<Peer, RefusalReason> {
        self.directory.peer(key, credentials)
    }

    fn refused(&self, (): &mut (), refusal: &Refusal) {
        let uid = refusal.credentials.uid;
        if let Some(unrecorded) = self.refusals.admit(uid, refusal.reason.as_str(), refusal) {
            self.record_refusal(refusal, unrecorded);
        }
    }

    fn handle(&self, (): &mut (), peer: &Peer, request: &[u8]) -> Option<SecretBytes> {
        let request: AuditRequest<'_> = codec::decode(request).ok()?;
        let operation = request.operation();
        if permits(peer.role, operation) {
            return self.answer(peer, request);
        }
        let draft = Draft::new(Operation::PeerRefused, Outcome::Refused)
            .actor(peer.recorded().into_actor())
            .subject("daemon-audit")
            .detail("reason", "no clearance")
            .detail("request", format!("{operation:?}"));
        let _ = self.append(draft);
        codec::encode(&AuditReply::Fault(Fault::not_cleared(peer.role.as_str()))).ok()
    }
}

impl Lifecycle<()> for AuditService {
    fn start(&self, (): &mut ()) -> Result<(), Fault> {
        let recorded = self.site.record_change(&self.commit).and_then(|()| self.record_start());
        match recorded {
            // Before the first `init` there is nothing to record in.
            Ok(()) | Err(Refused::NoTrail) => Ok(()),
            Err(refused) => Err(unavailable(refused)),
        }
    }

    fn tick(&self, (): &mut ()) -> Result<(), String> {
        for (refusal, unrecorded) in self.refusals.overdue() {
            self.record_refusal(&refusal, unrecorded);
        }
        if self.sealer.is_due_by_time(&self.commit) {
            self.seal("time");
        }
        // Why it failed was said when it did; the disk is asked again every second.
        if self.sealer.is_unfinished() && self.sealer.finish(&self.commit).is_ok() {
            log::info("the seal that the disk didn't take before is complete");
        }
        match self.commit.trail().as_ref() {
            // After a failed fsync nobody knows what the disk holds: start again from the disk.
            Some(writer) if writer.is_poisoned() => Err("the disk failed; see above".to_owned()),
            _ => Ok(()),
        }
    }

    fn stop(&self, (): &mut ()) {
        for (refusal, unrecorded) in self.refusals.drain() {
            self.record_refusal(&refusal, unrecorded);
        }
        let draft = Draft::new(Operation::DaemonStop, Outcome::Done).subject("daemon-audit");
        if self.commit.append(draft).is_ok() {
            self.seal("stop");
        }
    }
}

fn warn_unless_sealed(sealed: Result<Appended, Refused>) {
    if let Err(Refused::NotWritten(reason) | Refused::Unfinished(reason)) = sealed {
        log::warning(format_args!("the trail could not be sealed: {reason}"));
    }
}

/// What a refused append means to whoever asked.
pub fn unavailable(refused: Refused) -> Fault {
    match refused {
        Refused::NoTrail => {
            Fault::new(FaultKind::NotInitialised, "there is no audit trail yet; run `sesame init`")
        }
        Refused::NotWritten(reason) => Fault::new(
            FaultKind::AuditUnavailable,
            format!("the audit trail can't be written, so nothing was done: {reason}"),
        ),
        Refused::Unfinished(reason) => Fault::new(
            FaultKind::Storage,
            format!(
                "the trail announces a checkpoint that could not be made: {reason}; daemon-audit tries \
                 again every second; look at `sesame audit tail` before you repeat this"
            ),
        ),
    }
}

/// The genesis entry is this daemon's record of the installation.
fn installation(genesis: &Genesis) -> Result<Installation, StartError> {
    let damaged = || StartError::Service("the genesis entry names no valid installation".into());
    let id = Uuid::parse_str(&genesis.installation).map_err(|_| damaged())?;
    let machine_binding =
        MachineBinding::from_text(genesis.machine_binding.as_deref()).map_err(|_| damaged())?;
    Ok(Installation { id, org: None, machine_binding, created: String::new() })
}

/// The installation of a trail.
pub fn installation_of(writer: &Writer) -> Uuid {
    Uuid::parse_str(&writer.genesis().installation).unwrap_or_default()
}
