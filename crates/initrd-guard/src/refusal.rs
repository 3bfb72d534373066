//! The comparison of command lines, and what is said where they differ.

use std::io;

/// Bytes of a command line in one record, escaped. The kernel takes records of 1024 bytes at most, and the
/// rest of a record is ours.
const SHOWN: usize = 800;

/// Nothing is started.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The kernel was given a line that is not this medium's.
    #[error("the kernel's command line is not the one of this medium; nothing was started.")]
    OtherCommandLine {
        /// As the kernel has it, without the newline at the end.
        given: Vec<u8>,
        /// As the initrd has it, without one either.
        ours: Vec<u8>,
    },
    /// The check could not be made, or what follows it could not be done.
    #[error("cannot {act} {path}: {source}; nothing was started.")]
    Failed {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// Whether the lines are the same, byte for byte, but for one newline at the end of either.
pub fn check(given: &[u8], ours: &[u8]) -> Result<(), Refusal> {
    let [given, ours] = [given, ours].map(|line| line.strip_suffix(b"\n").unwrap_or(line));
    if given == ours {
        return Ok(());
    }
    Err(Refusal::OtherCommandLine { given: given.to_owned(), ours: ours.to_owned() })
}

impl Refusal {
    /// What the console shows, as records for /dev/kmsg. At level 0 they reach every console, whatever
    /// `loglevel=` or `quiet` say.
    pub fn records(&self) -> Vec<String> {
        let mut lines = vec![self.to_string()];
        if let Self::OtherCommandLine { given, ours } = self {
            lines.push(format!("it is: {}", printable(given)));
            lines.push(format!("it should be: {}", printable(ours)));
        }
        lines.push("switch off, and check the medium elsewhere: sesame media verify".to_owned());
        lines.into_iter().map(|line| format!("<0>sesame: {line}\n")).collect()
    }
}

/// On one line of ASCII, of a bounded length: what is shown came from outside, and could otherwise move the
/// cursor or look like lines of ours.
fn printable(line: &[u8]) -> String {
    let mut shown = String::new();
    for (at, byte) in line.iter().enumerate() {
        let escaped = byte.escape_ascii().to_string();
        if shown.len() + escaped.len() > SHOWN {
            return format!("{shown} ... and {} bytes more", line.len() - at);
        }
        shown.push_str(&escaped);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &[u8] = b"roothash=00ff ro console=tty0\n";

    #[test]
    fn the_line_of_the_medium_passes_with_a_newline_and_without() {
        assert!(check(OURS, OURS).is_ok());
        assert!(check(b"roothash=00ff ro console=tty0", OURS).is_ok());
        assert!(check(OURS, b"roothash=00ff ro console=tty0").is_ok());
    }

    #[test]
    fn any_other_line_is_refused() {
        let others: [&[u8]; 10] = [
            b"",
            b"\n",
            b"roothash=00fe ro console=tty0\n",
            b"roothash=00ff ro console=tty0 rdinit=/bin/bash\n",
            b"rdinit=/bin/bash roothash=00ff ro console=tty0\n",
            b"roothash=00ff ro\n",
            b"roothash=00ff ro console=tty0 \n",
            b"roothash=00ff  ro console=tty0\n",
            b"roothash=00ff ro console=tty0\n\n",
            b"roothash=00ff ro console=tty0\nrdinit=/bin/bash\n",
        ];
        for other in others {
            assert!(check(other, OURS).is_err(), "{}", other.escape_ascii());
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_compared_too() {
        assert!(check(b"roothash=00ff ro console=tty0\0\n", OURS).is_err());
        assert!(check(b"roothash=00ff ro console=tty\xff\n", OURS).is_err());
    }

    #[test]
    fn the_console_shows_both_lines() {
        let refusal = check(b"init=/x\n", OURS).expect_err("it is another line");
        assert_eq!(
            refusal.records(),
            [
                "<0>sesame: the kernel's command line is not the one of this medium; nothing was started.\n",
                "<0>sesame: it is: init=/x\n",
                "<0>sesame: it should be: roothash=00ff ro console=tty0\n",
                "<0>sesame: switch off, and check the medium elsewhere: sesame media verify\n",
            ]
        );
    }

    #[test]
    fn a_line_cannot_forge_records_or_move_the_cursor() {
        let refusal =
            check(b"a\n<0>sesame: all is well\x1b[2J\xc3\xa4", OURS).expect_err("another line");
        assert_eq!(
            refusal.records()[1],
            "<0>sesame: it is: a\\n<0>sesame: all is well\\x1b[2J\\xc3\\xa4\n"
        );
    }

    #[test]
    fn a_record_is_never_longer_than_the_kernel_takes() {
        for byte in [b'a', b'\n', 0xff] {
            let refusal = check(&vec![byte; 2048], &vec![b'b'; 4096]).expect_err("another line");
            assert!(refusal.records().iter().all(|record| record.len() <= 1000));
        }
        let refusal = check(&[b'a'; 2048], OURS).expect_err("another line");
        assert!(refusal.records()[1].ends_with("aaa ... and 1248 bytes more\n"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let source = io::Error::from_raw_os_error(2);
        let refusal = Refusal::Failed { act: "read", path: "/proc/cmdline", source };
        assert_eq!(
            refusal.records()[0],
            "<0>sesame: cannot read /proc/cmdline: No such file or directory (os error 2); nothing was started.\n"
        );
    }
}
