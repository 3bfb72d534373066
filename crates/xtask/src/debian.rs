//! Which Debian this is, and where it gets its packages from.

use std::fs;
use std::path::PathBuf;

use crate::step::Failed;

/// The keys that Debian's archives are signed with.
pub const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A release of Debian, by os-release(5).
pub struct Release {
    /// Such as `bookworm`.
    pub codename: String,
    /// Such as `12`.
    pub version: String,
}

/// The release that this machine runs.
pub fn release() -> Result<Release, Failed> {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename =
        field(&text, "VERSION_CODENAME").filter(|_| field(&text, "ID") == Some("debian"));
    let codename = codename.ok_or_else(|| Failed("this is not Debian".to_owned()))?;
    let version = field(&text, "VERSION_ID").unwrap_or_default();
    Ok(Release { codename: codename.to_owned(), version: version.to_owned() })
}

/// The archive, and that of security updates, as this machine's apt has them.
pub fn mirrors() -> Result<(String, String), Failed> {
    let codename = release()?.codename;
    Ok((mirror(&codename)?, mirror(&format!("{codename}-security"))?))
}

/// Where this machine's apt gets a suite from: sources.list(5), in either form.
pub fn mirror(suite: &str) -> Result<String, Failed> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let directory = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    files.extend(directory.map(|entry| entry.path()));
    let text = |path: PathBuf| fs::read_to_string(path).ok();
    files
        .into_iter()
        .filter_map(text)
        .find_map(|text| mirror_in(&text, suite))
        .ok_or_else(|| Failed(format!("apt has no source of Debian's {suite}")))
}

fn mirror_in(text: &str, suite: &str) -> Option<String> {
    let names = |line: &str| line.split_whitespace().any(|word| word == suite);
    let one_line = text.lines().find(|line| line.starts_with("deb ") && names(line));
    if let Some(line) = one_line {
        return line.split_whitespace().find(|word| word.contains("://")).map(str::to_owned);
    }
    let stanza = text.split("\n\n").find(|stanza| {
        stanza.lines().any(|line| line.strip_prefix("Suites:").is_some_and(names))
    })?;
    let uris = stanza.lines().find_map(|line| line.strip_prefix("URIs:"))?;
    uris.split_whitespace().next().map(str::to_owned)
}

/// A value of os-release(5).
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let value = |line: &'t str| line.strip_prefix(name)?.strip_prefix('=');
    text.lines().find_map(value).map(|value| value.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_source_are_read() {
        let list = "# a comment\ndeb [signed-by=/k] http://one.example/debian bookworm main\n";
        assert_eq!(mirror_in(list, "bookworm").unwrap(), "http://one.example/debian");
        let sources = "Types: deb\nURIs: http://other.example\nSuites: nodistro\n\nTypes: deb\n\
            # a comment\nURIs: http://two.example/debian\nSuites: bookworm bookworm-updates\n";
        assert_eq!(mirror_in(sources, "bookworm").unwrap(), "http://two.example/debian");
        assert_eq!(mirror_in(sources, "trixie"), None);
        assert_eq!(mirror_in("", "trixie"), None);
    }

    #[test]
    fn a_release_says_what_it_is() {
        let text = "PRETTY_NAME=\"Debian\"\nVERSION_ID=\"12\"\nID=debian\n";
        assert_eq!((field(text, "VERSION_ID"), field(text, "ID")), (Some("12"), Some("debian")));
    }
}
