//! What is different in every run, out of what is compared.

use testbed::Host;

/// Forms with their names: `x` stands for a hex digit, `9` for a decimal one, the rest for itself.
const FORMS: &[(&str, &str)] = &[
    ("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "[uuid]"),
    ("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "[hash]"),
    ("xxxxxxxx-xxxx-xxxx-xxxx-…", "[uuid…]"),
    ("xxxxxxxxxxxxxxxxxxxxxxxx…", "[hash…]"),
    ("sesame-audit/xxxxxxxx-xx…", "sesame-audit/[uuid…]"),
    ("9999-99-99T99:99:99.999999Z", "[time]"),
    ("9999-99-99T99:99:99Z", "[time]"),
];

/// Words before a number that is different in every run.
const COUNTED: &[&str] = &["uid ", "uid=", "\"uid\":", "\"pid\":", "process "];

/// Takes out ids, hashes, heads in words, keys, times, users, processes, and the host's directory.
pub fn redact(host: &Host, text: &str) -> String {
    let text = text.replace(&host.dir().display().to_string(), "[dir]");
    let text = without_heads(&text);
    let mut redacted = String::new();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        if let Some((length, name)) = FORMS.iter().find_map(|(form, name)| {
            let length = matched(rest, form)?;
            Some((length, *name))
        }) {
            redacted.push_str(name);
            rest = &rest[length..];
        } else if let Some(word) = COUNTED.iter().find(|word| rest.starts_with(**word)) {
            redacted.push_str(word);
            rest = &rest[word.len()..];
            let number = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            if number.len() < rest.len() {
                redacted.push_str("[n]");
            }
            rest = number;
        } else if let Some(length) = matched(rest, "+xxxxxxxx+") {
            redacted.push_str("+[key]");
            let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
            rest = rest[length..].trim_start_matches(is_base64);
        } else {
            redacted.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    redacted
}

/// How many bytes at the start of `text` have this form.
fn matched(text: &str, form: &str) -> Option<usize> {
    let mut characters = text.chars();
    let mut length = 0;
    for wanted in form.chars() {
        let found = characters.next()?;
        let fits = match wanted {
            'x' => found.is_ascii_hexdigit(),
            '9' => found.is_ascii_digit(),
            _ => found == wanted,
        };
        if !fits {
            return None;
        }
        length += found.len_utf8();
    }
    Some(length)
}

/// Words of a head, on however many lines they are, and QR codes.
fn without_heads(text: &str) -> String {
    let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_of_words = |line: &str| !line.is_empty() && line.split(' ').all(is_word);
    let is_code = |line: &str| line.chars().any(|c| "█▀▄".contains(c));
    let mut lines = text.split_inclusive('\n').peekable();
    let mut shown = String::new();
    while let Some(line) = lines.next() {
        let mut run = line.to_owned();
        let alike: &dyn Fn(&str) -> bool = match line.trim_end() {
            first if is_code(first) => &is_code,
            first if is_of_words(first) => &is_of_words,
            _ => &|_| false,
        };
        while let Some(line) = lines.next_if(|line| alike(line.trim_end_matches('\n'))) {
            run.push_str(line);
        }
        shown.push_str(match () {
            () if is_code(&run) => "[QR code]\n",
            () if run.split_whitespace().count() == 20 && run.lines().all(is_of_words) => {
                "[20 words]\n"
            }
            () => &run,
        });
    }
    shown
}
