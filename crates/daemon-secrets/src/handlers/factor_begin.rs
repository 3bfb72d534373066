//! Somebody asks for a change. Nothing is tried and nothing is changed; others see what it is.

use ipc::factors::{Cause, Source};
use ipc::secrets::{ProfileState, SecretsReply};
use ipc::{Fault, Peer};

use crate::collection;
use crate::handlers::factor_submit::check_cause;
use crate::service::SecretsService;
use crate::target::Target;

pub fn handle<'a>(
    service: &SecretsService,
    peer: &Peer,
    source: Source<'_>,
    change: &str,
) -> Result<SecretsReply<'a>, Fault> {
    let cause = Cause::Change(change);
    check_cause(source, cause)?;
    let target = Target::new(service, source)?;
    let metadata = target.metadata(service)?;
    let state = service.keyring().state(&target.profile);
    let key = target.key();
    let deadline = service.settings.unlock.deadline;
    let mut collections = service.collections.lock();
    // Factors that came late to an unlock are in nobody's way.
    if state == ProfileState::Active && collections.get(&key).is_some_and(|there| there.unlocks()) {
        collections.remove(&key);
    }
    let begun = collection::begin(&mut collections, &key, cause, Some(peer), &metadata, deadline)?;
    begun.check_owner(peer)?;
    Ok(SecretsReply::Progress(begun.progress()))
}
