//! The trail of a new installation.

use audit_log::{Genesis, HashAlgorithm, Writer, origin};
use daemon_runtime::log;
use ipc::audit::AuditReply;
use ipc::{Fault, FaultKind, Peer};
use site_config::AuditHash;
use tlog::KeyNameError;
use uuid::Uuid;

use crate::sealer::{self, Held};
use crate::service::{AuditService, unavailable};

/// A trail whose installation was not wiped stays: daemon-secrets has lost its state, or was
/// interrupted in `init`. It gets the installation of that trail and goes on under its eyes.
pub fn handle(
    service: &AuditService,
    peer: &Peer,
    installation: Uuid,
    org: Option<&str>,
    machine_binding: Option<&str>,
) -> AuditReply<'static> {
    let mut sealing = service.sealer.hold();
    let present = service.commit.trail().as_ref().map(|writer| writer.genesis().clone());
    if let Some(present) = present {
        let name = present.installation.clone();
        if !service.store.is_wiped(&name) {
            return resume(&present, org, machine_binding);
        }
        // The last thing that its key does: a wiped installation's trail has no loose end.
        if let Err(refused) = sealing.seal(&service.commit, sealer::draft("wipe")) {
            return AuditReply::Fault(unavailable(refused));
        }
        let mut trail = service.commit.trail();
        if let Err(error) = service.store.archive(&name) {
            return failed(format!("the trail of the wiped installation can't be kept: {error}"));
        }
        *trail = None;
        service.commit.note(None);
    } else if service.store.has_trail() {
        // An earlier try came so far and failed then. Its key must not be overwritten.
        return failed("there is a trail that is not open; restart daemon-audit".to_owned());
    }
    match create(service, peer, &mut sealing, installation, org, machine_binding) {
        Ok(writer) => {
            let mut trail = service.commit.trail();
            service.commit.note(Some(&writer));
            *trail = Some(writer);
        }
        Err(error) => return failed(error),
    }
    drop(sealing);
    if let Err(error) = service.record_start() {
        log::warning(format_args!("the start of daemon-audit could not be recorded: {error:?}"));
    }
    AuditReply::Genesis(installation)
}

/// Goes on with what the trail says that the installation is.
fn resume(
    present: &Genesis,
    org: Option<&str>,
    machine_binding: Option<&str>,
) -> AuditReply<'static> {
    // The keyed hash differs with the installation's id, which the new one does not have yet.
    let way = |binding: Option<&str>| match binding {
        None => "none",
        Some("tpm") => "tpm",
        Some(_) => "machine-id",
    };
    let binding = way(present.machine_binding.as_deref());
    if present.org.as_deref() == org && binding == way(machine_binding) {
        return AuditReply::Genesis(Uuid::parse_str(&present.installation).unwrap_or_default());
    }
    let org = present.org.as_ref().map(|org| format!(" --org {org}")).unwrap_or_default();
    let text = format!(
        "the trail of an earlier init is there, and it was for another organisation or binding; go on \
         with it: sesame init{org} --machine-binding {binding}"
    );
    AuditReply::Fault(Fault::new(FaultKind::InvalidInput, text))
}

fn create(
    service: &AuditService,
    peer: &Peer,
    sealing: &mut Held<'_>,
    installation: Uuid,
    org: Option<&str>,
    machine_binding: Option<&str>,
) -> Result<Writer, String> {
    let installation = installation.to_string();
    let name = origin(&installation).parse().map_err(|error: KeyNameError| error.to_string())?;
    let keys = sealing.begin(name)?;
    let genesis = Genesis {
        hash: match service.hash {
            AuditHash::Blake3 => HashAlgorithm::Blake3,
            AuditHash::Sha256 => HashAlgorithm::Sha256,
        },
        installation,
        org: org.map(str::to_owned),
        machine_binding: machine_binding.map(str::to_owned),
        keys: keys.public().clone(),
    };
    service.store.create(&genesis, peer.recorded().into_actor(), keys)
}

fn failed(text: String) -> AuditReply<'static> {
    AuditReply::Fault(Fault::new(FaultKind::AuditUnavailable, text))
}
