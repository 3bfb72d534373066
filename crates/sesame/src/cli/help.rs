//! The help of the commands for factors, as it is shown.

use clap::CommandFactory;

use super::Cli;

/// The help of a command and of all below it, on a terminal of 80 columns.
fn help(path: &[&str]) -> String {
    let mut command = Cli::command().term_width(80);
    command.build();
    let mut below = &mut command;
    for name in path {
        below = below.find_subcommand_mut(name).expect("a command");
    }
    let mut text = format!("$ sesame {} --help\n{}", path.join(" "), below.render_long_help());
    let names: Vec<String> = below
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .filter(|name| name != "help")
        .collect();
    for name in names {
        let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
        text.push('\n');
        text.push_str(&help(&path));
    }
    text
}

#[test]
fn the_help_of_factors_is_this() {
    insta::assert_snapshot!(help(&["factor"]));
}

#[test]
fn the_help_of_shares_is_this() {
    insta::assert_snapshot!(help(&["share"]));
}

#[test]
fn the_help_of_backups_is_this() {
    insta::assert_snapshot!(help(&["vault"]));
}

#[test]
fn the_help_of_cicada_is_this() {
    insta::assert_snapshot!(help(&["cicada"]));
}

#[test]
fn the_help_of_media_is_this() {
    insta::assert_snapshot!(help(&["media"]));
}

#[test]
fn the_help_of_what_makes_and_unlocks_a_profile_is_this() {
    let all = [&["init"][..], &["unlock"], &["profile", "create"], &["key"]].map(help);
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn no_option_takes_a_secret() {
    let mut commands = vec![Cli::command()];
    let mut seen = 0;
    while let Some(command) = commands.pop() {
        for argument in command.get_arguments() {
            let name = argument.get_long().unwrap_or_default();
            let is_secret =
                ["password", "passphrase", "pin", "share"].iter().any(|word| name.contains(word));
            // A count of shares and the name of a credential are no secrets.
            if is_secret && !["shares", "password-credential"].contains(&name) {
                seen += 1;
                let takes_value = argument.get_action().takes_values();
                assert!(!takes_value, "sesame {}: --{name}", command.get_name());
            }
        }
        commands.extend(command.get_subcommands().cloned());
    }
    assert!(seen > 10, "{seen}");
}
