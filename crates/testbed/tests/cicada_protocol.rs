//! cicada's protocol at the real daemon's socket: what existing programs send and get, byte for byte,
//! and every other operation and error.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;

use data_encoding::BASE64;
use identity_keys::{IdentityKeys, Seeds, verify};
use secret_memory::Secret;
use site_config::Daemon;
use testbed::cicada::{
    Program, UNLOCK_KEY, about, allow, allow_me_everything, bytes, code, sign, text, with_key,
};
use testbed::identity_file::StoredVersion;
use testbed::{Host, is_root_or_skip};

const GET_KEY: &str = r#"{"op":"get_key","identity":"cloud-sync","format":"wg"}"#;

fn host() -> Host {
    Host::with_identities(&allow_me_everything(), &["cloud-sync"])
}

/// The present keys, as the seeds on the disk give them.
fn stored(host: &Host, number: u32) -> StoredVersion {
    let identity = host.stored_identity("cloud-sync", &UNLOCK_KEY);
    identity.versions.into_iter().find(|version| version.number == number).unwrap()
}

fn expand(version: &StoredVersion) -> IdentityKeys {
    IdentityKeys::expand(&Seeds::from_bytes(Secret::copy_of(&version.seeds))).unwrap()
}

#[track_caller]
fn assert_signed(public: &str, data: &[u8], reply: &str) {
    let key = bytes(public, "ml_dsa_65").try_into().unwrap();
    let signature = bytes(reply, "signature").try_into().unwrap();
    assert!(verify(&key, data, &signature), "{reply}");
}

#[test]
fn the_two_requests_that_programs_send_are_answered_byte_for_byte() {
    let host = host();
    let mut program = host.program();
    let stored = stored(&host, 1);
    let reply = program.ask(GET_KEY);
    let key = BASE64.encode(&stored.wireguard_key());
    assert_eq!(reply, format!(r#"{{"key":"{key}","type":"x25519+kyber768"}}"#));
    assert!(reply.len() < 4096, "{} bytes", reply.len());

    let data = b"what is to be signed";
    let data_text = BASE64.encode(data);
    let request = format!(r#"{{"op":"sign","identity":"cloud-sync","data":"{data_text}"}}"#);
    let reply = program.ask(request);
    let signature = bytes(&reply, "signature");
    let expected = BASE64.encode(&signature);
    assert_eq!(reply, format!(r#"{{"signature":"{expected}","algorithm":"dilithium3"}}"#));
    assert_eq!(signature.len(), 3309);
    let keys = expand(&stored);
    assert!(verify(&keys.public().ml_dsa_65, data, &signature.try_into().unwrap()));
}

#[test]
fn the_public_keys_are_those_of_the_stored_seeds() {
    let host = host();
    let mut program = host.program();
    let keys = expand(&stored(&host, 1));
    let public = keys.public();
    let [x25519, kem, dsa] = [&public.x25519[..], &public.ml_kem_768[..], &public.ml_dsa_65[..]]
        .map(|b| BASE64.encode(b));
    let expected = format!(
        r#"{{"identity":"cloud-sync","version":1,"type":"x25519+kyber768","algorithm":"dilithium3","x25519":"{x25519}","ml_kem_768":"{kem}","ml_dsa_65":"{dsa}"}}"#
    );
    assert_eq!(program.ask(about("public_key", "cloud-sync")), expected);
    let request = r#"{"op":"public_key","identity":"cloud-sync","format":"wg","version":1}"#;
    let expected = format!(r#"{{"key":"{x25519}","type":"x25519+kyber768"}}"#);
    assert_eq!(program.ask(request), expected);
}

#[test]
fn requests_need_no_delimiter_and_may_have_white_space_between_them() {
    let host = host();
    let mut program = host.program();
    let reply = program.ask(GET_KEY);
    for between in ["", " ", "\n", "\r\n\t  \n", &" ".repeat(100_000)] {
        program.send(format!("{between}{GET_KEY}{between}")).unwrap();
        assert_eq!(program.receive().unwrap(), reply);
    }
    let spread = GET_KEY.replace(':', " :\n").replace(',', "\t, \r\n").replace('}', " }");
    assert_eq!(program.ask(spread), reply);
    for byte in GET_KEY.bytes() {
        program.send([byte]).unwrap();
    }
    assert_eq!(program.receive().unwrap(), reply);
    let escaped = GET_KEY.replace("cloud", "\\u0063\\u006c\\u006fud").replace("wg", "w\\u0067");
    assert_eq!(program.ask(escaped), reply, "the same JSON, written otherwise");
}

#[test]
fn what_is_sent_at_once_is_answered_in_order() {
    let host = host();
    let mut program = host.program();
    let public = program.ask(about("public_key", "cloud-sync"));
    for count in [2, 50] {
        let data = |number: u32| format!("message {number} of {count}").into_bytes();
        let requests: String = (0..count).map(|number| sign("cloud-sync", &data(number))).collect();
        program.send(requests).unwrap();
        for number in 0..count {
            assert_signed(&public, &data(number), &program.receive().unwrap());
        }
    }
    // Without a word more than was asked for.
    program.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(program.rest().unwrap(), b"");
}

#[test]
fn a_last_request_is_answered_when_nothing_can_come_after_it() {
    let host = host();
    let mut program = host.program();
    program.send(GET_KEY).unwrap();
    program.stream.shutdown(std::net::Shutdown::Write).unwrap();
    let rest = String::from_utf8(program.rest().unwrap()).unwrap();
    assert_eq!(text(&rest, "type"), "x25519+kyber768");
}

/// Half a request has five seconds; a connection without one has five minutes.
#[test]
fn a_program_may_think_between_two_requests() {
    let host = host();
    let mut program = host.program();
    let reply = program.ask(GET_KEY);
    std::thread::sleep(std::time::Duration::from_secs(8));
    assert_eq!(program.ask(GET_KEY), reply);
}

#[test]
fn algorithms_have_their_old_and_their_fips_names() {
    let host = host();
    let mut program = host.program();
    let public = program.ask(about("public_key", "cloud-sync"));
    let named = |request: &str, name: &str| {
        format!(r#"{},"algorithm":"{name}"}}"#, request.strip_suffix('}').unwrap())
    };
    for name in ["dilithium3", "ML-DSA-65"] {
        let reply = program.ask(named(&sign("cloud-sync", b"data"), name));
        assert_signed(&public, b"data", &reply);
        assert_eq!(text(&reply, "algorithm"), "dilithium3");
    }
    for name in ["kyber768", "ML-KEM-768"] {
        let sent = program.ask(named(&about("encapsulate", "cloud-sync"), name));
        let request = decapsulate("cloud-sync", &text(&sent, "ciphertext"));
        let received = program.ask(named(&request, name));
        assert_eq!(text(&sent, "shared_secret"), text(&received, "shared_secret"));
    }
    for (request, name) in [
        (sign("cloud-sync", b"data"), "ML-DSA-87"),
        (sign("cloud-sync", b"data"), "kyber768"),
        (about("encapsulate", "cloud-sync"), "dilithium3"),
        (about("encapsulate", "cloud-sync"), "ML-KEM-1024"),
    ] {
        assert_eq!(code(&program.ask(named(&request, name))).as_deref(), Some("unsupported"));
    }
    let status = program.ask(r#"{"op":"status"}"#);
    for name in ["ML-DSA-65 (FIPS 204)", "ML-KEM-768 (FIPS 203)", "X25519 (RFC 7748)"] {
        assert!(status.contains(name), "{status}");
    }
    let start = r#"{"state":"unlocked","version":""#;
    assert!(status.starts_with(start), "{status}");
    assert!(status.contains(r#"","identities":1,"types":{"x25519+kyber768":"#), "{status}");
}

fn decapsulate(identity: &str, ciphertext: &str) -> String {
    format!(r#"{{"op":"decapsulate","identity":"{identity}","ciphertext":"{ciphertext}"}}"#)
}

#[test]
fn two_ends_agree_about_a_secret_that_nobody_else_has() {
    let host = Host::with_identities(&allow_me_everything(), &["cloud-sync", "other"]);
    let mut program = host.program();
    let recipient = text(&program.ask(about("public_key", "other")), "ml_kem_768");
    let request =
        format!(r#"{{"op":"encapsulate","identity":"cloud-sync","public_key":"{recipient}"}}"#);
    let sent = program.ask(&request);
    let (ciphertext, secret) = (text(&sent, "ciphertext"), text(&sent, "shared_secret"));
    let expected = format!(
        r#"{{"ciphertext":"{ciphertext}","shared_secret":"{secret}","algorithm":"kyber768"}}"#
    );
    assert_eq!(sent, expected);
    assert_eq!((bytes(&sent, "ciphertext").len(), bytes(&sent, "shared_secret").len()), (1088, 32));
    let received = program.ask(decapsulate("other", &ciphertext));
    assert_eq!(received, format!(r#"{{"shared_secret":"{secret}","algorithm":"kyber768"}}"#));
    // FIPS 203 §7.3: another key, or another ciphertext, gives another secret and no error.
    let other = program.ask(decapsulate("cloud-sync", &ciphertext));
    assert_ne!(text(&other, "shared_secret"), secret);
    let mut damaged = bytes(&sent, "ciphertext");
    damaged[700] ^= 1;
    let other = program.ask(decapsulate("other", &BASE64.encode(&damaged)));
    assert_ne!(text(&other, "shared_secret"), secret);
    assert_ne!(text(&program.ask(&request), "shared_secret"), secret, "each time another one");
}

/// One line each: a request, and the code of the error that answers it.
#[test]
fn every_mistake_of_a_program_has_its_code_and_leaves_the_connection_alone() {
    let rules = allow_me_everything();
    let mut host = Host::with_cicada(&rules);
    let mut program = host.program();
    let is = |reply: String, expected: &str| {
        assert_eq!(code(&reply).as_deref(), Some(expected), "{reply}");
    };
    is(program.ask(GET_KEY), "not_initialised");
    is(program.ask(with_key("unlock", &UNLOCK_KEY)), "not_initialised");
    program.ask(with_key("init", &UNLOCK_KEY));
    program.ask(about("create", "cloud-sync"));
    program.ask(about("create", "gone"));
    program.ask(about("revoke", "gone"));
    let backup = text(&program.ask(about("backup", "cloud-sync")), "backup");
    is(program.ask(with_key("init", &UNLOCK_KEY)), "exists");
    is(program.ask(about("create", "cloud-sync")), "exists");
    is(program.ask(format!(r#"{{"op":"restore","backup":"{backup}"}}"#)), "exists");
    is(program.ask(about("get_key", "nobody")), "unknown_identity");
    is(program.ask(about("get_key", "gone")), "revoked");
    let version = r#"{"op":"get_key","identity":"cloud-sync","version":2}"#;
    is(program.ask(version), "unknown_version");
    is(program.ask(GET_KEY.replace("wg", "pem")), "unsupported");
    is(program.ask(with_key("unlock", &[7; 32])), "wrong_key");
    program.ask(r#"{"op":"lock"}"#);
    is(program.ask(GET_KEY), "locked");
    is(program.ask(with_key("unlock", &[7; 32])), "wrong_key");
    is(program.ask(GET_KEY), "locked");
    assert_eq!(program.ask(with_key("unlock", &UNLOCK_KEY)), r#"{"state":"unlocked"}"#);
    fs::remove_file(host.cicada_keys().join("cloud-sync.identity")).unwrap();
    is(program.ask(about("backup", "cloud-sync")), "internal");
    host.kill(Daemon::Audit);
    is(program.ask(GET_KEY), "audit_unavailable");
    host.try_start(Daemon::Audit).unwrap();
    assert_eq!(text(&program.ask(GET_KEY), "type"), "x25519+kyber768");
    is(program.ask(format!(r#"{{"op":"status","data":"{}"}}"#, "[".repeat(9))), "bad_request");
    for (broken, expected) in [
        ("[]".to_owned(), "bad_request"),
        ("{\"a\":".repeat(9), "too_deep"),
        (format!("{{{}", " ".repeat(65_536)), "too_large"),
    ] {
        let mut program = host.program();
        program.send(broken).unwrap();
        is(String::from_utf8(program.rest().unwrap()).unwrap(), expected);
    }
    if is_root_or_skip("a program of another user, which is denied") {
        let mut program = host.program_of(host.users.stranger, host.users.stranger, &[]);
        is(program.receive().unwrap(), "denied");
    }
    let many: Vec<Program> = (0..256).map(|_| host.program()).collect();
    let mut one_more = host.program();
    is(one_more.receive().unwrap(), "busy");
    drop(many);
}

#[test]
fn no_field_is_guessed_ignored_or_taken_twice() {
    let host = host();
    let mut program = host.program();
    let key = BASE64.encode(&UNLOCK_KEY);
    for request in [
        "{}",
        r#"{"op":"nothing"}"#,
        r#"{"op":"get_key"}"#,
        r#"{"op":"get_key","identity":"../store"}"#,
        r#"{"op":"get_key","identity":"cloud-sync","identity":"cloud-sync"}"#,
        r#"{"op":"get_key","op":"get_key","identity":"cloud-sync"}"#,
        r#"{"op":"get_key","identity":"cloud-sync","more":1}"#,
        r#"{"op":"get_key","identity":"cloud-sync","data":"AAAA"}"#,
        r#"{"op":"get_key","identity":"cloud-sync","version":"1"}"#,
        r#"{"op":"get_key","identity":"cloud-sync","version":-1}"#,
        r#"{"op":"get_key","identity":"cloud-sync","version":4294967296}"#,
        r#"{"op":"get_key","identity":"cloud-sync","version":1e99999}"#,
        r#"{"op":"get_key","identity":{"cloud-sync":1}}"#,
        r#"{"op":"get_key","identity":["cloud-sync"]}"#,
        r#"{"op":"sign","identity":"cloud-sync"}"#,
        r#"{"op":"sign","identity":"cloud-sync","data":"AAA"}"#,
        r#"{"op":"decapsulate","identity":"cloud-sync","ciphertext":"AAAA"}"#,
        r#"{"op":"encapsulate","identity":"cloud-sync","public_key":"AAAA"}"#,
        r#"{"op":"status","identity":"cloud-sync"}"#,
        r#"{"op":"rotate","identity":"cloud-sync","grace_seconds":315360001}"#,
        r#"{"op":"rotate","identity":"cloud-sync","grace_seconds":-1}"#,
        r#"{"op":"unlock","unlock_key":"AAAA"}"#,
        r#"{"op":"restore","backup":"AAAA"}"#,
        r#"{"OP":"status"}"#,
        r#"{'op':'status'}"#,
        r#"{"op":"status",}"#,
    ] {
        let reply = program.ask(request);
        assert_eq!(code(&reply).as_deref(), Some("bad_request"), "{request}: {reply}");
    }
    // FIPS 203 §7.2: coefficients are below q. This one is not, and is no key.
    let request = format!(
        r#"{{"op":"encapsulate","identity":"cloud-sync","public_key":"{}"}}"#,
        BASE64.encode(&[0xff; 1184])
    );
    assert_eq!(code(&program.ask(request)).as_deref(), Some("bad_request"));
    // A key in the wrong place is not repeated.
    for request in [
        format!(r#"{{"op":"{key}"}}"#),
        format!(r#"{{"op":"unlock","{key}":1}}"#),
        format!(r#"{{"op":"get_key","identity":"{key}"}}"#),
        format!(r#"{{"op":"unlock","unlock_key":"{key}A"}}"#),
        format!(r#"{{"op":"get_key","identity":"cloud-sync","format":"{key}"}}"#),
        format!(r#"{{"op":"get_key","identity":"cloud-sync","version":"{key}"}}"#),
    ] {
        let reply = program.ask(&request);
        assert!(code(&reply).is_some() && !reply.contains(&key[..16]), "{reply}");
    }
    assert_eq!(text(&program.ask(GET_KEY), "type"), "x25519+kyber768");
}

#[test]
fn a_program_sees_what_it_has_to_do_with() {
    let me = format!("uid = {}", nix::unistd::Uid::effective());
    let administer = ["init", "create", "identities"];
    let rules = allow(&me, "*", &administer[..2]) + &allow(&me, "cloud-sync", &administer[2..]);
    let host = Host::with_identities(&rules, &["cloud-sync"]);
    let reply = host.program().ask(r#"{"op":"identities"}"#);
    let value: serde_json::Value = serde_json::from_str(&reply).unwrap();
    let created = value["identities"][0]["created"].as_str().unwrap();
    let expected = format!(
        r#"{{"identities":[{{"identity":"cloud-sync","version":1,"created":"{created}","readable":[1],"revoked":null,"operations":["identities","init","create"]}}]}}"#
    );
    assert_eq!(reply, expected);
    assert!(created.ends_with('Z') && created.len() == 20, "{created}");
}
