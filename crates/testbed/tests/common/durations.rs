//! Output without what differs from one run to the next: durations.

/// What is left of a deadline depends on how fast the machine is: `4 min 59 s` is `[time]`.
pub fn without_durations(text: &str) -> String {
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let mut shown: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let unit = word.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        let rest = &word[unit.len()..];
        if !["s", "min"].contains(&unit) || !shown.last().is_some_and(|last| is_number(last)) {
            shown.push(word.to_owned());
            continue;
        }
        shown.pop();
        match shown.last_mut() {
            Some(last) if last == "[time]" => last.push_str(rest),
            _ => shown.push(format!("[time]{rest}")),
        }
    }
    shown.join(" ")
}
