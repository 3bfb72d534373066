//! New keys for an identity; those of before stay readable for a time of grace.

use std::sync::Arc;
use std::time::Duration;

use audit_log::Operation;
use ipc::trail::Trail;
use site_config::names::IdentityName;

use crate::conversation::Caller;
use crate::error::{Code, Refused};
use crate::identity::{Identity, MAX_VERSIONS, Version};
use crate::record::{carry_out, note_refused, record_of};
use crate::reply::Reply;
use crate::service::{Cicada, now};

pub fn handle(
    service: &Cicada,
    trail: &mut Trail,
    caller: &Caller,
    name: &IdentityName,
    grace: Option<Duration>,
) -> Result<Reply, Refused> {
    let grace = grace.unwrap_or(service.config.grace);
    let mut record = record_of(Operation::IdentityRotate, caller, Some(name));
    record.detail.insert("grace-seconds".to_owned(), grace.as_secs().to_string());
    let _changing = service.changing();
    let found = service.present(name);
    let (identity, unlock_key) = found.inspect_err(|refused| {
        note_refused(service, trail, record.clone(), refused);
    })?;
    let number = identity.last_version + 1;
    record.detail.insert("version".to_owned(), number.to_string());
    carry_out(trail, record, |_| {
        let version = Version::generate(number, now()).map_err(Refused::internal)?;
        let reply = Reply::public_keys(name, number, version.keys()?.public());
        let rotated = rotated(&identity, version, grace)?;
        service.put(rotated, &unlock_key)?;
        Ok(reply)
    })
}

fn rotated(identity: &Identity, version: Version, grace: Duration) -> Result<Identity, Refused> {
    let now = version.created;
    let number = version.number;
    let retire = |earlier: &Arc<Version>| match earlier.readable_until {
        Some(_) => Arc::clone(earlier),
        None => Arc::new(earlier.retired(now.saturating_add(grace.as_secs()))),
    };
    let mut versions: Vec<_> = identity.versions.iter().map(retire).collect();
    versions.retain(|earlier| !earlier.is_over(now));
    versions.push(Arc::new(version));
    if versions.len() > MAX_VERSIONS {
        let text = format!(
            "{} has {MAX_VERSIONS} versions in their time of grace already; nothing was changed. \
             Rotate with a shorter one",
            identity.name
        );
        return Err(Refused::new(Code::Busy, text));
    }
    Ok(Identity { versions, last_version: number, ..identity.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        let versions = vec![Arc::new(Version::generate(1, 100).unwrap())];
        let name = "a".parse().unwrap();
        Identity { name, created: 100, versions, last_version: 1, revoked: None }
    }

    fn rotate_at(identity: &Identity, now: u64, grace: u64) -> Identity {
        let version = Version::generate(identity.last_version + 1, now).unwrap();
        rotated(identity, version, Duration::from_secs(grace)).unwrap()
    }

    #[test]
    fn earlier_keys_keep_the_time_of_grace_that_they_were_given() {
        let first = rotate_at(&identity(), 200, 50);
        let second = rotate_at(&first, 210, 5);
        let times = |identity: &Identity| -> Vec<_> {
            identity.versions.iter().map(|v| (v.number, v.readable_until)).collect()
        };
        assert_eq!(times(&second), [(1, Some(250)), (2, Some(215)), (3, None)]);
        let third = rotate_at(&second, 220, 0);
        assert_eq!(times(&third), [(1, Some(250)), (4, None)]);
    }

    #[test]
    fn a_number_is_never_given_twice() {
        let rotated = rotate_at(&rotate_at(&identity(), 200, 0), 300, 0);
        assert_eq!(rotated.current().unwrap().number, 3);
        assert_eq!(rotated.versions.len(), 1);
    }
}
