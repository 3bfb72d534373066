//! `sesame cicada identity rotate`

use std::time::Duration;

use cicada_client::Client;

use crate::commands::cicada::identity::public_key;
use crate::exit::Failure;
use crate::output::Output;

pub fn run(
    mut cicada: Client,
    output: &Output,
    name: &str,
    grace: Option<Duration>,
) -> Result<(), Failure> {
    let keys = cicada.rotate(name, grace)?;
    let text = format!(
        "Identity {name} has new keys. {}\n{}",
        those_of_before(grace),
        public_key::text(&keys)
    );
    output.result(&text, public_key::json(&keys))
}

fn those_of_before(grace: Option<Duration>) -> String {
    match grace {
        Some(Duration::ZERO) => "Those of before can't be read any more.".to_owned(),
        Some(grace) => {
            format!("Those of before can be read for {}.", humantime::format_duration(grace))
        }
        None => "Those of before can be read for the grace time of cicada.toml.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_says_what_becomes_of_the_earlier_keys() {
        let said = |seconds| those_of_before(Some(Duration::from_secs(seconds)));
        assert_eq!(said(604_800), "Those of before can be read for 7days.");
        assert_eq!(said(0), "Those of before can't be read any more.");
        assert!(those_of_before(None).contains("cicada.toml"));
    }
}
