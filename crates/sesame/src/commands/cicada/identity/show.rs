//! `sesame cicada identity show`

use cicada_client::{Client, PublicKey};
use data_encoding::BASE64;
use serde_json::json;

use crate::cli::Show;
use crate::commands::cicada::identity::public_key;
use crate::exit::Failure;
use crate::output::Output;

pub fn run(mut cicada: Client, output: &Output, arguments: &Show) -> Result<(), Failure> {
    let keys = cicada.public_key(&arguments.name, arguments.version)?;
    let Some((name, key)) = only(arguments, &keys) else {
        return output.result(&public_key::text(&keys), public_key::json(&keys));
    };
    let key = BASE64.encode(key);
    let json = json!({ "identity": keys.identity, "version": keys.version, name: key });
    output.result(&format!("{key}\n"), json)
}

/// The one key that was asked for, if it was one.
fn only<'a>(arguments: &Show, keys: &'a PublicKey) -> Option<(&'static str, &'a [u8])> {
    if arguments.wg {
        return Some(("x25519", &keys.x25519));
    }
    if arguments.ml_kem {
        return Some(("ml_kem_768", &keys.ml_kem_768[..]));
    }
    arguments.ml_dsa.then_some(("ml_dsa_65", &keys.ml_dsa_65[..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_alone_is_the_one_that_was_asked_for() {
        let keys = public_key::tests::keys();
        let show =
            |wg, ml_kem, ml_dsa| Show { name: "x".to_owned(), version: None, wg, ml_kem, ml_dsa };
        let lengths = [(true, false, false), (false, true, false), (false, false, true)]
            .map(|(wg, ml_kem, ml_dsa)| only(&show(wg, ml_kem, ml_dsa), &keys).unwrap())
            .map(|(name, key)| (name, key.len()));
        assert_eq!(lengths, [("x25519", 32), ("ml_kem_768", 1184), ("ml_dsa_65", 1952)]);
        assert_eq!(only(&show(false, false, false), &keys), None);
    }
}
