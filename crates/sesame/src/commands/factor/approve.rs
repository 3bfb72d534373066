//! `sesame factor approve`: what the others type when somebody asked for a change.

use ipc::factors::{Cause, Source};
use serde_json::json;

use crate::cli::Approve;
use crate::collect::Collection;
use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::password::Passwords;
use crate::{prompt, render};

pub fn run(context: &Context, output: &Output, arguments: &Approve) -> Result<(), Failure> {
    let source = match &arguments.restore {
        Some(name) => Source::Restore(name),
        None => Source::Profile(arguments.profile.as_deref()),
    };
    let enrolled = context.secrets()?.enrolled(source)?;
    let change = match enrolled.pending.as_ref().map(|pending| pending.change.as_deref()) {
        Some(Some(change)) => change,
        Some(None) => {
            let text = "factors are being given to unlock, not for a change; nothing was approved. \
                        Give yours with `sesame unlock`";
            return Err(Failure::new(Code::NOT_FOUND, text));
        }
        None => {
            let text = format!(
                "nobody asks for a change of profile {}, or its time is up; nothing was approved. \
                 Whoever wants it runs its command first",
                enrolled.profile
            );
            return Err(Failure::new(Code::NOT_FOUND, text));
        }
    };
    let shown = render::change(&enrolled, change);
    let owner = enrolled.pending.as_ref().map_or("", |pending| pending.owner.as_str());
    let question = format!(
        "Profile {}: {shown}\nAsked for by {owner}, who alone can carry it out.\nGive your factors for \
         this?",
        enrolled.profile
    );
    if !arguments.yes && !prompt::confirm(&question)? {
        return Err(Failure::new(Code::CANCELLED, "not approved; nothing was given"));
    }
    let devices = &arguments.giving.devices;
    let mut collection = Collection::open(context, source, Cause::Change(change), devices)?;
    if !collection.needed.is_complete() {
        let mut passwords = Passwords::new(&arguments.giving.password);
        collection.choose(&arguments.chosen.factors, &passwords)?;
        collection.give(&mut passwords)?;
    }
    if !collection.needed.is_complete() {
        return Err(collection.needed.incomplete("others give theirs in the same way"));
    }
    let left = render::duration(collection.needed.progress.seconds_left);
    let text = format!(
        "Enough factors were given for: {shown}.\n{owner} runs the command again within {left}.\n"
    );
    let progress = render::progress_json(&collection.needed.enrolled, &collection.needed.progress);
    let json = json!({
        "profile": enrolled.profile,
        "change": change,
        "asked_by": owner,
        "complete": true,
        "progress": progress,
    });
    output.result(&text, json)
}
