//! `sesame audit head`: the paper witness.

use audit_log::{Hash, Head};
use ipc::audit::{AuditReply, AuditRequest};
use serde_json::json;

use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;

/// As wide as a terminal is.
const COLUMNS: usize = 80;

pub fn run(context: &Context, output: &Output) -> Result<(), Failure> {
    let status = context.audit()?.call(&AuditRequest::Status, |reply| match reply {
        AuditReply::Status(status) => Some(status),
        _ => None,
    })?;
    let Some(status) = status else {
        let text = "there is no audit trail yet; run `sesame init`";
        return Err(Failure::new(Code::NOT_INITIALISED, text));
    };
    let head = Head { size: status.size, root: Hash(status.root) };
    let words = words(head)?;
    let json = json!({
        "size": head.size,
        "root": head.root.to_string(),
        "words": words.join(" "),
        "sealed": status.sealed,
    });
    output.result(&page(output, head, &words)?, json)
}

/// The words of a head.
pub fn words(head: Head) -> Result<[&'static str; paper::head::HEAD_WORDS], Failure> {
    paper::head_words(head.size, &head.root.0)
        .map_err(|error| Failure::new(Code::FAILED, error.to_string()))
}

/// All three forms, on a screen of 80 x 24 that they are photographed or copied from.
fn page(output: &Output, head: Head, words: &[&str]) -> Result<String, Failure> {
    // Upper case is denser, and reads the same.
    let code = paper::qr(&head.to_string().to_uppercase())
        .map_err(|error| Failure::new(Code::FAILED, error.to_string()))?;
    let code = if output.has_colour() { code.coloured() } else { code.plain() };
    Ok(format!("{head}\n{}\n{code}", wrap(words)))
}

/// The words on as few lines as there can be.
pub fn wrap(words: &[&str]) -> String {
    let mut lines = vec![String::new()];
    for word in words {
        let line = lines.last_mut().expect("one line at least");
        if line.is_empty() {
            line.push_str(word);
        } else if line.len() + 1 + word.len() <= COLUMNS {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push((*word).to_owned());
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_fits_a_screen() {
        // Long words, and a size that few trails reach.
        for size in [1, 41, 1_000_000, 999_999_999_999] {
            for root in [[0; 32], [0x5a; 32], [0xff; 32]] {
                let head = Head { size, root: Hash(root) };
                let page = page(&Output::new(false), head, &words(head).unwrap()).unwrap();
                let lines: Vec<&str> = page.lines().collect();
                assert!(lines.len() < 24, "{} lines", lines.len());
                assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS), "{page}");
            }
        }
    }
}
