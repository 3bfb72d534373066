//! `sesame share split`: shares exist in secret memory, on the terminal, and on the custodians' paper.

use std::io::{self, IsTerminal};

use ipc::factors::{Change, Source};
use ipc::secrets::{SecretsReply, SecretsRequest};
use secret_memory::{OutOfSecretMemory, SecretBytes};
use serde_bytes::Bytes;
use serde_json::json;
use site_config::AuthMode;

use crate::cli::Split;
use crate::collect::{authorise, free_label};
use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::password::Passwords;
use crate::prompt::{note, prompt_hidden, wait_for_enter};
use crate::share_text;

/// Home, the screen, and what scrolled away (ECMA-48 CUP and ED; ED 3 is xterm's and the kernel's).
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

pub fn run(context: &Context, output: &Output, arguments: &Split) -> Result<(), Failure> {
    check(output, arguments)?;
    let Split { threshold, shares, .. } = *arguments;
    let profile = arguments.profile.as_deref();
    let source = Source::Profile(profile);
    let enrolled = context.secrets()?.enrolled(source)?;
    let label = free_label(&enrolled, &arguments.label)?;
    if enrolled.policy.mode == AuthMode::All {
        let text = "with a policy of all factors the new shares would be demanded at once, before anybody \
                    holds them; nothing was split. Change the policy first (`sesame factor policy`)";
        return Err(Failure::new(Code::INVALID, text));
    }
    let mut passwords = Passwords::new(&arguments.giving.password);
    let change = Change::Split { label, threshold, shares };
    let devices = &arguments.giving.devices;
    // People take their time over a passphrase, which what was given does not wait for.
    let asked = arguments.passphrases.then(|| ask_passphrases(shares)).transpose()?;
    authorise(context, source, change, devices, &mut passwords)?;
    let passphrases = match asked {
        Some(asked) => asked,
        None => read_passphrases(arguments, passwords)?,
    };
    let request = SecretsRequest::ShareSplit {
        profile,
        label,
        threshold,
        shares,
        passphrases: passphrases.iter().map(|one| Bytes::new(one.expose())).collect(),
    };
    let made = context.secrets()?.call(&request, |reply| match reply {
        SecretsReply::Shares(made) => {
            let copied = made.iter().map(|share| SecretBytes::copy_of(share));
            Some(copied.collect::<Result<Vec<_>, OutOfSecretMemory>>())
        }
        _ => None,
    })??;
    let header = Header { label, threshold, of: made.len() };
    if output.is_json() {
        return output.bytes(as_json(&header, &made)?.expose());
    }
    if arguments.show_all {
        return print_all(output, &header, &made);
    }
    show_each(output, &header, &made)
}

/// What must be clear before anybody gives a factor.
fn check(output: &Output, arguments: &Split) -> Result<(), Failure> {
    let usage = |text: &str| Err(Failure::new(Code::USAGE, format!("{text}; nothing was split")));
    if arguments.threshold > arguments.shares {
        return usage("--threshold is at most the number of --shares");
    }
    if !arguments.show_all && output.is_json() {
        return usage("--json prints every share at once: add --show-all to have that");
    }
    if !arguments.show_all && !io::stdout().is_terminal() {
        return usage(
            "standard output is no terminal: run this on one, where each custodian sees one share, \
             or add --show-all to print all of them",
        );
    }
    Ok(())
}

/// A passphrase for each share, in order, from standard input.
fn read_passphrases(arguments: &Split, mut given: Passwords) -> Result<Vec<SecretBytes>, Failure> {
    if !arguments.passphrases_stdin {
        return Ok(Vec::new());
    }
    if !given.are_elsewhere() {
        given = Passwords::from_stdin();
    }
    (0..arguments.shares).map(|_| given.ask("")).collect()
}

/// A passphrase for each share, in order; an empty one locks nothing.
fn ask_passphrases(shares: u8) -> Result<Vec<SecretBytes>, Failure> {
    (1..=shares).map(|number| ask_passphrase(number, shares)).collect()
}

fn ask_passphrase(number: u8, of: u8) -> Result<SecretBytes, Failure> {
    loop {
        let prompt = format!("Passphrase for share {number} of {of} (Enter for none): ");
        let first = prompt_hidden(&prompt)?;
        if first.is_empty() || first.expose() == prompt_hidden("The same again: ")?.expose() {
            return Ok(first);
        }
        note("The two differ.\n");
    }
}

struct Header<'a> {
    label: &'a str,
    threshold: u8,
    of: usize,
}

impl Header<'_> {
    fn line(&self, number: usize, share: &SecretBytes) -> String {
        let locked = match share.len() {
            key_hierarchy::share::PLAIN_BYTES => "",
            _ => ", locked with its passphrase",
        };
        let Self { label, threshold, of } = self;
        format!("Share {number} of {of} of recovery \"{label}\"{locked}; {threshold} give it.\n")
    }
}

/// One at a time, so that each custodian sees one.
fn show_each(output: &Output, header: &Header<'_>, shares: &[SecretBytes]) -> Result<(), Failure> {
    for (number, share) in (1..).zip(shares) {
        show(output, header, number, share).map_err(|failure| {
            let which = match header.of {
                last if last == number => format!("share {last} of it was"),
                last => format!("shares {number} to {last} of it were"),
            };
            let text = format!(
                "{}. The factor \"{}\" is enrolled, and {which} not written down: remove it with \
                 `sesame factor revoke`, and split again",
                failure.message.trim_end_matches("; nothing was done"),
                header.label,
            );
            Failure { message: text, ..failure }
        })?;
    }
    let text = format!(
        "Recovery \"{}\" is enrolled; any {} of its {} shares give it. Each custodian proves a share \
         with `sesame share verify`.\n",
        header.label, header.threshold, header.of
    );
    output.result(&text, json!({}))
}

fn show(
    output: &Output,
    header: &Header<'_>,
    number: usize,
    share: &SecretBytes,
) -> Result<(), Failure> {
    let custodian = format!(
        "{CLEAR}Share {number} of {} comes next. Only its custodian looks at the screen. Press Enter: ",
        header.of
    );
    wait_for_enter(&custodian, CLEAR)?;
    let mut page = SecretBytes::copy_of(header.line(number, share).as_bytes())?;
    page.extend_from_slice(share_text::screen(share, output.has_colour())?.expose())?;
    output.bytes(page.expose())?;
    // Whatever happens now, the share leaves the screen.
    wait_for_enter("Press Enter when it is written down: ", CLEAR)
}

fn print_all(output: &Output, header: &Header<'_>, shares: &[SecretBytes]) -> Result<(), Failure> {
    for (number, share) in (1..).zip(shares) {
        let mut text = SecretBytes::copy_of(header.line(number, share).as_bytes())?;
        text.extend_from_slice(share_text::plain(share)?.expose())?;
        if number < shares.len() {
            text.extend_from_slice(b"\n")?;
        }
        output.bytes(text.expose())?;
    }
    Ok(())
}

/// `{"label":…,"threshold":…,"shares":[{"number":1,"words":"…","code":"SHARE:…"}]}`, put together in
/// secret memory.
fn as_json(header: &Header<'_>, shares: &[SecretBytes]) -> Result<SecretBytes, Failure> {
    let mut line = SecretBytes::with_capacity(1024 * (shares.len() + 1))?;
    let head = format!(
        "{{\"label\":{},\"threshold\":{},\"shares\":[",
        json!(header.label),
        header.threshold
    );
    line.extend_from_slice(head.as_bytes())?;
    for (number, share) in (1..).zip(shares) {
        let comma = if number == 1 { "" } else { "," };
        line.extend_from_slice(format!("{comma}{{\"number\":{number},\"words\":\"").as_bytes())?;
        line.extend_from_slice(share_text::words(share)?.expose())?;
        line.extend_from_slice(b"\",\"code\":\"")?;
        line.extend_from_slice(share_text::qr_text(share)?.expose())?;
        line.extend_from_slice(b"\"}")?;
    }
    line.extend_from_slice(b"]}\n")?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_one_json_object() {
        let header = Header { label: "the \"board\"", threshold: 2, of: 2 };
        let shares = [0, 1].map(|lock| {
            let length = key_hierarchy::share::PLAIN_BYTES + 16 * lock;
            SecretBytes::zeroed(length).unwrap()
        });
        let json = as_json(&header, &shares).unwrap();
        let json: serde_json::Value = serde_json::from_slice(json.expose()).unwrap();
        assert_eq!(json["label"], "the \"board\"");
        for (share, words) in json["shares"].as_array().unwrap().iter().zip([36, 48]) {
            assert_eq!(share["words"].as_str().unwrap().split(' ').count(), words);
            assert!(share["code"].as_str().unwrap().starts_with("SHARE:AAAA"));
        }
    }

    #[test]
    fn a_header_says_which_share_it_is_and_whether_it_is_locked() {
        let header = Header { label: "board", threshold: 3, of: 5 };
        let line = |bytes| header.line(2, &SecretBytes::zeroed(bytes).unwrap());
        assert_eq!(line(47), "Share 2 of 5 of recovery \"board\"; 3 give it.\n");
        assert_eq!(
            line(63),
            "Share 2 of 5 of recovery \"board\", locked with its passphrase; 3 give it.\n"
        );
    }
}
