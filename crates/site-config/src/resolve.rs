//! Layers and policy into the one value that holds for each key.

use crate::algorithms::{CryptoProfile, PeerProfile};
use crate::config::Assignment;
use crate::keys::{Key, PROFILE_PICKS, Value};
use crate::layout::LayoutKind;
use crate::policy::{PolicyEntry, locked};
use crate::settings::{kinds, named, number, small};
use crate::site::{ConfigError, Contradiction, Effective, Origin};
use crate::unlock_policy::UnlockPolicy;

/// What holds, in the order of the table. `set` lists the explicit values, the strongest last.
pub(crate) fn resolve(
    kind: LayoutKind,
    set: &[Assignment],
    policy: &[PolicyEntry],
) -> Result<Vec<Effective>, ConfigError> {
    check_policy(set, policy)?;
    let profile = effective(Key::CryptoProfile, kind, set, policy, None);
    let values: Vec<Effective> =
        Key::all().map(|key| effective(key, kind, set, policy, Some(&profile))).collect();
    check_backoff(&values)?;
    check_minimum(&values)?;
    check_unlock_policy(&values)?;
    Ok(values)
}

fn effective(
    key: Key,
    kind: LayoutKind,
    set: &[Assignment],
    policy: &[PolicyEntry],
    profile: Option<&Effective>,
) -> Effective {
    if let Some((entry, value)) = locked(policy, key) {
        return Effective { key, value, origin: Origin::Policy { source: entry.source.clone() } };
    }
    if let Some(assignment) = strongest(set, key) {
        return Effective { key, value: assignment.value, origin: assignment.origin.clone() };
    }
    if let Some(profile) = profile
        && let Some(value) = key.picked_by(named(profile.value))
    {
        return Effective { key, value, origin: profile.origin.clone() };
    }
    // Only crypto.profile itself comes here without a profile, and its default is fixed.
    let value = key.default_value(kind, CryptoProfile::LeadingEdge);
    Effective { key, value, origin: Origin::Default }
}

fn strongest(set: &[Assignment], key: Key) -> Option<&Assignment> {
    set.iter().rev().find(|assignment| assignment.key == key)
}

/// Every explicit value must agree with the policy, in whatever layer: one that a stronger layer
/// hides would come back the day that layer goes.
fn check_policy(set: &[Assignment], policy: &[PolicyEntry]) -> Result<(), ConfigError> {
    for assignment in set {
        agree(assignment, assignment.key, assignment.value, policy)?;
    }
    // A profile that was chosen also chooses what it picks, where nothing overrides that.
    if let Some(profile) = strongest(set, Key::CryptoProfile) {
        for key in PROFILE_PICKS {
            if strongest(set, key).is_none()
                && let Some(value) = key.picked_by(named(profile.value))
            {
                agree(profile, key, value, policy)?;
            }
        }
    }
    Ok(())
}

fn agree(
    assignment: &Assignment,
    key: Key,
    configured: Value,
    policy: &[PolicyEntry],
) -> Result<(), ConfigError> {
    match locked(policy, key) {
        Some((entry, locked)) if locked != configured => {
            Err(ConfigError::Contradiction(Box::new(Contradiction {
                key,
                configured,
                configured_by: assignment.key,
                origin: assignment.origin.clone(),
                locked,
                locked_by: entry.key,
                source: entry.source.clone(),
            })))
        }
        _ => Ok(()),
    }
}

fn check_backoff(values: &[Effective]) -> Result<(), ConfigError> {
    let base = &values[Key::UnlockBackoffBaseSeconds as usize];
    let max = &values[Key::UnlockBackoffMaxSeconds as usize];
    if number(max.value) < number(base.value) {
        return Err(ConfigError::BackoffOrder(Box::new((base.clone(), max.clone()))));
    }
    Ok(())
}

fn check_minimum(values: &[Effective]) -> Result<(), ConfigError> {
    let own = PeerProfile::of(
        named(values[Key::CryptoNoiseCipher as usize].value),
        named(values[Key::CryptoNoiseHash as usize].value),
    );
    let minimum = &values[Key::CryptoMinimumPeerProfile as usize];
    let origin = minimum.origin.clone();
    let minimum = named(minimum.value);
    if own < minimum {
        return Err(ConfigError::BelowMinimum { own, minimum, origin });
    }
    Ok(())
}

fn check_unlock_policy(values: &[Effective]) -> Result<(), ConfigError> {
    let value = |key: Key| values[key as usize].value;
    let checked = UnlockPolicy::new(
        named(value(Key::AuthMode)),
        kinds(value(Key::AuthPolicyRequired)),
        small(value(Key::AuthPolicyAdditionalRequired)),
    );
    checked.map(drop).map_err(|error| {
        let settings = error.keys().iter().map(|key| values[*key as usize].clone()).collect();
        ConfigError::UnlockPolicy { error, settings }
    })
}
