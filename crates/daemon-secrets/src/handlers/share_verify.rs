//! Proof that a share is intact and of this profile. Nothing is put together.

use audit_log::Operation;
use ipc::secrets::SecretsReply;
use ipc::{Fault, FaultKind, Peer};
use key_hierarchy::Parameters;
use key_hierarchy::parameters::ShareParameters;
use key_hierarchy::share::{Share, ShareError};

use crate::attempt::Attempt;
use crate::faults;
use crate::handlers::factor_submit::open_share;
use crate::service::SecretsService;
use crate::target::Target;
use ipc::trail::Trail;

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: Option<&str>,
    share: &[u8],
    passphrase: Option<&[u8]>,
) -> Result<SecretsReply<'a>, Fault> {
    let target = Target::profile(service, profile)?;
    let metadata = target.metadata(service)?;
    let header = Share::parse(share).map_err(|error| faults::from_share(&error))?.header;
    let splits: Vec<(u32, &ShareParameters)> = metadata
        .enrolment()
        .factors()
        .iter()
        .filter_map(|factor| match &factor.parameters {
            Parameters::Share(parameters) => Some((factor.id, parameters)),
            _ => None,
        })
        .collect();
    let this = splits.iter().find(|(_, parameters)| parameters.split == header.split);
    // Of no split here: any of them says what is wrong with it.
    let Some((id, parameters)) = this.or(splits.first()).copied() else {
        let number = header.number;
        let text = format!(
            "{}; profile {} has no recovery factor",
            ShareError::OtherSplit { number },
            target.profile
        );
        return Err(Fault::new(FaultKind::InvalidInput, text));
    };
    let attempt = Attempt {
        operation: Operation::ShareVerify,
        profile: &target.profile,
        cause: None,
        factors: &[id],
        file: target.attempts(service),
    };
    let (factor, number) = attempt.run(service, trail, peer, || {
        let opened = open_share(service, &metadata, parameters, share, passphrase);
        opened.map(|(number, _part)| (id, number))
    })?;
    Ok(SecretsReply::Share {
        factor,
        number,
        shares: u8::try_from(parameters.checks.len()).unwrap_or(u8::MAX),
        threshold: parameters.threshold,
    })
}
