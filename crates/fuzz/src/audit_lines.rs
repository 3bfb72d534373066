//! A trail that somebody had in his hands, line by line.

use std::sync::LazyLock;

use audit_log::{Expectation, Verdict, Verifier, parse_line};

use crate::audit_trail::TRAILS;
use crate::shape::shape;

static SAMPLES: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| TRAILS.iter().map(|trail| trail.lines.clone()).collect());

/// A trail, line by line.
///
/// # Panics
/// When a line has two spellings, when an edited trail is sound, when what a person reads holds
/// control characters, or when the verifier goes on after a fault.
pub fn audit_lines(orders: &[u8]) {
    let text = shape(&SAMPLES, orders);
    for trail in TRAILS.iter() {
        let head = Some(trail.head.into());
        let mut verifier = Verifier::new(Expectation { head, ..Default::default() });
        let mut faulty = false;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            if let Ok(entry) = parse_line(line) {
                let mut again = serde_json::to_vec(&entry).expect("plain data");
                again.push(b'\n');
                assert_eq!(again, line, "a second spelling");
            }
            let fed = verifier.feed(line);
            assert!(!faulty || fed.is_err(), "it recovered from a fault");
            faulty = fed.is_err();
        }
        let report = verifier.finish();
        let sentence = report.to_string();
        assert!(!sentence.chars().any(char::is_control), "{sentence:?}");
        assert_eq!(report.verdict == Verdict::Sound, text == trail.lines, "{sentence}");
    }
}
