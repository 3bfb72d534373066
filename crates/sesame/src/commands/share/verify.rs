//! `sesame share verify`

use ipc::factors::Source;
use ipc::secrets::{SecretsReply, SecretsRequest};
use secret_memory::SecretBytes;
use serde_json::json;

use crate::collect::evidence::{Evidence, ask_share, is_locked};
use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::password::{Lines, read_stdin};
use crate::render;
use crate::share_text::{Read, Reader};

pub fn run(
    context: &Context,
    output: &Output,
    profile: Option<&str>,
    from_stdin: bool,
) -> Result<(), Failure> {
    let enrolled = context.secrets()?.enrolled(Source::Profile(profile))?;
    let share = if from_stdin {
        read(&mut Lines::new(read_stdin("share", "leave --share-stdin out to be asked for it")?))?
    } else {
        let asked = ask_share("Share (its words, row by row, or the text of its QR code): ")?;
        asked.ok_or_else(|| Failure::new(Code::CANCELLED, "cancelled; nothing was done"))?
    };
    let request = SecretsRequest::ShareVerify {
        profile,
        share: share.bytes.expose(),
        passphrase: share.passphrase.as_ref().map(SecretBytes::expose),
    };
    let (factor, number, shares, threshold) =
        context.secrets()?.call(&request, |reply| match reply {
            SecretsReply::Share { factor, number, shares, threshold } => {
                Some((factor, number, shares, threshold))
            }
            _ => None,
        })?;
    let name = enrolled.factors.iter().find(|known| known.id == factor);
    let label = name.map_or_else(|| factor.to_string(), |known| known.label.clone());
    let text = format!(
        "Share {number} of {shares} of recovery \"{}\" is intact; {threshold} give the factor.\n",
        audit_log::printable(&label)
    );
    let json = json!({
        "profile": enrolled.profile,
        "intact": true,
        "factor": name.map(render::factor_json),
        "number": number,
        "shares": shares,
        "threshold": threshold,
    });
    output.result(&text, json)
}

/// The words on as many lines as they take, or the text of the QR code; behind it the passphrase.
fn read(lines: &mut Lines) -> Result<Evidence, Failure> {
    let invalid = |text: String| Failure::new(Code::INVALID, text);
    let mut reader = Reader::default();
    let mut there = (0, 0);
    let bytes = loop {
        let Some(line) = lines.next_line()? else {
            let text = match there {
                (0, _) => "there is no share on standard input; nothing was done".to_owned(),
                (there, of) => format!("{there} of {of} words of the share; nothing was done"),
            };
            return Err(invalid(text));
        };
        if line.expose().trim_ascii().is_empty() {
            continue;
        }
        match reader.line(line.expose()) {
            Ok(Read::Whole(share)) => break share,
            Ok(Read::More(words, of)) => there = (words, of),
            Err(misread) => return Err(invalid(misread.to_string())),
        }
    };
    let passphrase = if is_locked(&bytes)?.is_some() { lines.next_line()? } else { None };
    Ok(Evidence { bytes, passphrase })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share_text;

    fn share(lock: u8) -> SecretBytes {
        let mut share = SecretBytes::zeroed(47 + 16 * usize::from(lock)).unwrap();
        share.expose_mut()[0] = lock;
        share.expose_mut()[13] = 1;
        share
    }

    fn input(parts: &[&[u8]]) -> Lines {
        Lines::new(SecretBytes::copy_of(&parts.concat()).unwrap())
    }

    #[test]
    fn words_on_several_lines_are_one_share_and_the_line_below_is_its_passphrase() {
        let plain = share_text::plain(&share(1)).unwrap();
        let code = plain.expose().windows(6).position(|part| part == b"SHARE:").unwrap();
        let (table, code) = plain.expose().split_at(code);
        for text in [table, code] {
            let read = read(&mut input(&[text, b"open sesame\nmore\n"])).unwrap();
            assert_eq!(read.bytes.expose(), share(1).expose());
            assert_eq!(read.passphrase.unwrap().expose(), b"open sesame");
        }
        let plain = share_text::words(&share(0)).unwrap();
        let read = read(&mut input(&[plain.expose(), b"\nnot a passphrase\n"])).unwrap();
        assert!(read.passphrase.is_none(), "a share without a lock takes none");
    }

    #[test]
    fn too_few_words_are_no_share() {
        let words = share_text::words(&share(0)).unwrap();
        let some = &words.expose()[..words.len() / 2];
        let half = some.rsplitn(2, |byte| *byte == b' ').nth(1).unwrap();
        for (text, said) in [(half, " of 36 words"), (&b"\n"[..], "no share on standard input")] {
            let failure = read(&mut input(&[text])).err().unwrap();
            assert_eq!(failure.code, Code::INVALID);
            assert!(failure.message.contains(said), "{}", failure.message);
        }
    }
}
