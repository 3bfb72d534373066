//! What a person knows about a trail from elsewhere: keys in files, a head on paper.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use audit_log::{Expectation, ExpectedHead, Head};
use tlog::keys::MAX_KEY_FILE;
use tlog::{PublicKeys, Role};

use crate::cli::{Pin, Witnesses};
use crate::exit::{Code, Failure};

/// The keys that an expectation is about.
pub fn expectation(pin: &Pin) -> Result<Expectation, Failure> {
    let key = pin.key.as_deref().map(|path| public_key(path, Role::Log)).transpose()?;
    let (witnesses, witnesses_required) = witnesses(&pin.witnesses)?;
    Ok(Expectation { key, witnesses, witnesses_required, ..Expectation::default() })
}

/// The witnesses, and how many of them must have cosigned.
pub fn witnesses(arguments: &Witnesses) -> Result<(Vec<PublicKeys>, usize), Failure> {
    let keys = arguments.files.iter().map(|path| public_key(path, Role::Witness));
    let keys: Vec<PublicKeys> = keys.collect::<Result<_, _>>()?;
    let given = keys.len();
    if keys.iter().enumerate().any(|(n, key)| keys[..n].contains(key)) {
        let text = "a witness is given twice, and counts once: leave out one of them";
        return Err(Failure::new(Code::USAGE, text));
    }
    let required = arguments.required.unwrap_or(given);
    if required > given || (given > 0 && required == 0) {
        let text =
            format!("--witnesses-required is a number from 1 to {given}, the witnesses given");
        return Err(Failure::new(Code::USAGE, text));
    }
    Ok((keys, required))
}

/// Reads a file of two C2SP verifier keys.
pub fn public_key(path: &Path, role: Role) -> Result<PublicKeys, Failure> {
    let shown = path.display();
    let read = |path: &Path| -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_KEY_FILE as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read(path)
        .map_err(|error| Failure::new(Code::USAGE, format!("cannot read {shown}: {error}")))?;
    let keys = PublicKeys::parse(&bytes)
        .map_err(|error| Failure::new(Code::USAGE, format!("{shown} is no public key: {error}")))?;
    if keys.role() == role {
        return Ok(keys);
    }
    let next = match role {
        Role::Log => "that of a witness, not of a trail; `sesame audit key` shows a trail's",
        Role::Witness => {
            "that of a trail, not of a witness; `sesame audit witness` shows a witness's"
        }
    };
    Err(Failure::new(Code::USAGE, format!("the key in {shown} is {next}")))
}

/// Reads a head as a person types it: `SIZE:ROOT`, or its words; `-` asks for it.
pub fn head(given: &[String]) -> Result<Option<ExpectedHead>, Failure> {
    let text = match given {
        [] => return Ok(None),
        [dash] if dash == "-" => ask()?,
        given => given.join(" "),
    };
    let refused = |reason: &str| {
        let text = format!("the expected head: {reason}; nothing was verified");
        Failure::new(Code::USAGE, text)
    };
    let head = if text.contains(':') {
        text.trim().parse::<Head>().map(ExpectedHead::from).map_err(|error| error.to_string())
    } else {
        let words = paper::parse_head_words(&text);
        words
            .map(|(size, prefix)| ExpectedHead::from_prefix(size, prefix))
            .map_err(|error| format!("{error} (or give SIZE:ROOT)"))
    };
    match head {
        // Of nothing, every trail is a continuation.
        Ok(head) if head.size == 0 => Err(refused("it is of a trail without entries")),
        Ok(head) => Ok(Some(head)),
        Err(reason) => Err(refused(&reason)),
    }
}

/// The words may come on several lines, as they are printed; an empty line or the last of them ends
/// them.
fn ask() -> Result<String, Failure> {
    eprintln!("Type the {} words of the head, or SIZE:ROOT:", paper::head::HEAD_WORDS);
    let mut text = String::new();
    for line in io::stdin().lines() {
        let line = line.map_err(|error| Failure::new(Code::USAGE, format!("no head: {error}")))?;
        if line.trim().is_empty() {
            break;
        }
        text.push_str(&line);
        text.push('\n');
        let is_whole = text.trim().parse::<Head>().is_ok()
            || text.split_whitespace().count() >= paper::head::HEAD_WORDS;
        if is_whole {
            break;
        }
    }
    Ok(text)
}
