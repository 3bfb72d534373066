//! What people see of a request, all of it or nothing.

use super::*;

#[test]
fn what_has_no_number_gets_no_answer() {
    for text in ["", "0123\nsource\ncrypto.kdf=argon2id\n", "0123456789abcdeg\nsource\na.b=1\n"] {
        let appliance = Appliance::new();
        let _waiting = appliance.ask(text);
        appliance.refuses("it has no number");
    }
}

#[test]
fn what_sesame_would_not_have_written_is_not_shown_to_anybody() {
    let with = |setting: &str| format!("{NUMBER}\nsource\n{setting}\n");
    let of = |source: &str| format!("{NUMBER}\n{source}\ncrypto.kdf=argon2id\n");
    let long = "x".repeat(77 - "a.b=".len());
    let cases = [
        (of(""), "no source"),
        (of("\u{1b}[2J"), "no source"),
        (of(" x"), "space"),
        (of("x "), "space"),
        (of("x  y"), "space"),
        (of(&"x".repeat(257)), "256"),
        (format!("{NUMBER}\nsource\n"), "no settings"),
        (with("--dir=/tmp"), "KEY=VALUE"),
        (with("crypto.kdf"), "KEY=VALUE"),
        (with("crypto.kdf=\u{1b}[2J"), "KEY=VALUE"),
        (with("crypto.kdf=\"x\""), "KEY=VALUE"),
        (with("crypto.kdf=a\n--source=b"), "KEY=VALUE"),
        (with("a.b=password,  tpm"), "KEY=VALUE"),
        (with("a.b= password"), "KEY=VALUE"),
        (with("a.b=password "), "KEY=VALUE"),
        (with(&format!("a.b=password,{}tpm", " ".repeat(7000))), "KEY=VALUE"),
        (with(&format!("a.b={long}")), "screen"),
        (with(["a.b=1"; 17].join("\n").as_str()), "16"),
    ];
    for (text, said) in cases {
        let appliance = Appliance::new();
        let _waiting = appliance.ask(&text);
        appliance.does_not_ask(said);
    }
}

#[test]
fn the_longest_question_is_seen_at_once_with_the_line_to_type_on() {
    let setting = format!("a.b={}", "x".repeat(76 - "a.b=".len()));
    // Its 69th character would begin a line that looks like a setting.
    let source = format!("{}{}", "s".repeat(68), "auth.mode=any,".repeat(14));
    let source: String = source.chars().take(256).collect();
    let settings = [setting.as_str(); 16].join("\n");
    let text = format!("{NUMBER}\n{source}\n{settings}\n");
    let appliance = Appliance::new();
    let _waiting = appliance.ask(&text);
    let (_, room) = appliance.run(Scripted::typing(&[""]));
    let heard = room.unwrap().heard;
    let question = &heard[..heard.find(PROMPT).unwrap() + PROMPT.len()];
    // A terminal is 24 lines and 80 characters; the first line is empty.
    let lines: Vec<&str> = question.strip_prefix('\n').unwrap().split('\n').collect();
    assert!(lines.len() <= 24, "{}", lines.len());
    assert!(lines.iter().all(|line| line.len() <= 78), "{question}");
    let like_settings = lines.iter().filter(|line| line.trim_start().starts_with("a.b="));
    assert_eq!(like_settings.count(), 16);
    let own = |line: &&&str| line.starts_with("  ") && !line.starts_with("   ");
    assert_eq!(lines.iter().filter(own).count(), 16 + 1, "{question}");
}
