//! `sesame unlock`

use ipc::factors::{Cause, Source};
use ipc::secrets::ProfileState;
use serde_json::json;

use crate::cli::Unlock;
use crate::collect::Collection;
use crate::connect::Context;
use crate::exit::Failure;
use crate::output::Output;
use crate::password::Passwords;

pub fn run(context: &Context, output: &Output, arguments: &Unlock) -> Result<(), Failure> {
    let profile = arguments.profile.as_deref();
    let devices = &arguments.giving.devices;
    let mut collection =
        Collection::open(context, Source::Profile(profile), Cause::Unlock, devices)?;
    let mut passwords = Passwords::new(&arguments.giving.password);
    collection.choose(&arguments.chosen.factors, &passwords)?;
    collection.give(&mut passwords)?;
    let which = profile.map(|name| format!(" --profile {name}")).unwrap_or_default();
    if !collection.needed.is_complete() && collection.gave && is_unlocked(context, &collection)? {
        // Others were faster, or it was unlocked before.
        let text = format!("{} was unlocked already; what you gave is right.\n", who(profile));
        return output.result(&text, json!({ "unlocked": profile }));
    }
    if !collection.needed.is_complete() {
        let next = format!("others give theirs with `sesame unlock{which}`");
        return Err(collection.needed.incomplete(&next));
    }
    output.result(&format!("{} is unlocked.\n", who(profile)), json!({ "unlocked": profile }))
}

fn who(profile: Option<&str>) -> String {
    profile.map_or("The default profile".to_owned(), |name| format!("Profile {name}"))
}

fn is_unlocked(context: &Context, collection: &Collection<'_>) -> Result<bool, Failure> {
    let status = context.secrets()?.status()?;
    let name = &collection.needed.enrolled.profile;
    let profile = status.profiles.iter().find(|profile| profile.name == *name);
    Ok(profile.is_some_and(|profile| profile.state != ProfileState::Locked))
}
