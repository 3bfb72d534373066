//! What a program writes to cicada's socket: requests without a delimiter between them.

use std::sync::LazyLock;

use cicada::framing::{Broken, MAX_REQUEST_BYTES, Scanner, is_white_space};
use cicada::request::Request;
use data_encoding::BASE64;
use serde::de::IgnoredAny;
use serde_json::{Deserializer, Value};

use crate::settings::check_sentence;
use crate::shape::{Source, shape};

/// In every text of every sample; no error may say it.
const TEXT: &str = "zq9";
/// In every number of every sample; no error may say it.
const NUMBER: &str = "4090919";
/// How deep a request may be nested before it is given up.
const MOST_NESTED: usize = 8;

/// One of each request.
static REQUESTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let name = r#""identity":"zq9.zq9_zq9""#;
    let (key, short) = (base64(32), base64(30));
    let (kem_key, ciphertext) = (base64(1184), base64(1088));
    let requests = [
        format!(r#"{{"op":"get_key",{name},"format":"wg","version":{NUMBER}}}"#),
        format!(r#"{{"op":"sign",{name},"data":"{short}","algorithm":"ML-DSA-65"}}"#),
        format!(r#"{{"op":"public_key",{name},"format":"wg"}}"#),
        format!(r#"{{"op":"encapsulate",{name},"public_key":"{kem_key}"}}"#),
        format!(r#"{{"op":"decapsulate",{name},"ciphertext":"{ciphertext}"}}"#),
        r#"{"op":"identities"}"#.to_owned(),
        r#" { "op" : "status" } "#.to_owned(),
        format!(r#"{{"op":"init","unlock_key":"{key}"}}"#),
        format!(r#"{{"op":"unlock","unlock_key":"{}"}}"#, key.replace('z', "\\u007a")),
        r#"{"op":"lock"}"#.to_owned(),
        format!(r#"{{"op":"create",{name}}}"#),
        format!(r#"{{"op":"rotate",{name},"grace_seconds":{NUMBER}}}"#),
        format!(r#"{{"op":"revoke",{name}}}"#),
        format!(r#"{{"op":"backup",{name}}}"#),
        format!(r#"{{"op":"restore","backup":"{short}","unlock_key":"{key}"}}"#),
    ];
    requests.map(String::into_bytes).into()
});

/// All of them in a row, and objects at the limits of what is taken.
static STREAMS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let nested = |depth: usize| "{\"a\":".repeat(depth - 1) + "{}" + &"}".repeat(depth - 1);
    let large = |bytes: usize| format!("{{\"data\":\"{}\"}}", "A".repeat(bytes - 11));
    let streams = [
        nested(MOST_NESTED) + " " + &nested(MOST_NESTED + 1),
        large(MAX_REQUEST_BYTES) + "{}",
        large(MAX_REQUEST_BYTES + 1),
        large(MAX_REQUEST_BYTES - 16) + "\n" + &large(64),
        r#"{"a":"}{","b":"\"}","c":"\\"}{"d":["[\\\"]",{}]}"#.to_owned(),
        "{\"op\":\"status\"} \t\r\n{}[{}]".to_owned(),
    ];
    let mut streams = Vec::from(streams.map(String::into_bytes));
    streams.push(REQUESTS.concat());
    streams.push(REQUESTS.join(&b'\n'));
    streams
});

fn base64(bytes: usize) -> String {
    BASE64.encode(&[0xce, 0xaf, 0x73].repeat(bytes / 3 + 1)[..bytes])
}

/// Where requests end, in a stream that is cut into any pieces.
///
/// # Panics
/// When the pieces make a difference; when an object that serde_json finds whole ends elsewhere, or is
/// given up within its limits; when half of one is taken for whole; or when more bytes than a request
/// may have are waited for.
pub fn cicada_stream(orders: &[u8]) {
    let mut source = Source(orders);
    let pieces: [u8; 4] = source.array();
    let stream = shape(&STREAMS, source.0);
    let mut rest = skip_white_space(&stream);
    while !rest.is_empty() {
        let found = Scanner::default().end(rest);
        assert_eq!(in_pieces(rest, pieces), found, "the pieces make a difference");
        check_end(rest, &found);
        let Ok(Some(end)) = found else { return };
        rest = skip_white_space(&rest[end..]);
    }
}

fn skip_white_space(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_white_space(*byte));
    &bytes[start.unwrap_or(bytes.len())..]
}

/// What one scanner says of a buffer that grows by these lengths, over and over.
fn in_pieces(bytes: &[u8], lengths: [u8; 4]) -> Result<Option<usize>, Broken> {
    let mut scanner = Scanner::default();
    let mut lengths = lengths.iter().cycle().map(|length| usize::from(*length).max(1));
    let mut came = 0;
    while came < bytes.len() {
        came = bytes.len().min(came + lengths.next().unwrap_or(1));
        let found = scanner.end(&bytes[..came]);
        if found != Ok(None) {
            return found;
        }
    }
    Ok(None)
}

fn check_end(bytes: &[u8], found: &Result<Option<usize>, Broken>) {
    let object = bytes.starts_with(b"{");
    assert_eq!(*found == Err(Broken::NotAnObject), !object, "{found:?}");
    match found {
        Ok(Some(end)) => assert!(*end <= MAX_REQUEST_BYTES),
        Ok(None) => assert!(bytes.len() <= MAX_REQUEST_BYTES, "it waits for more"),
        Err(_) => {}
    }
    let mut values = Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) if object => {
            let end = values.byte_offset();
            let allowed = match found {
                Ok(found) => *found == Some(end),
                Err(Broken::TooLarge) => end > MAX_REQUEST_BYTES,
                Err(Broken::TooDeep) => is_deep(&bytes[..end]),
                Err(Broken::NotAnObject) => false,
            };
            assert!(allowed, "{found:?}, and serde_json finds an object of {end} bytes");
        }
        Some(Err(error)) if error.is_eof() => {
            assert!(!matches!(found, Ok(Some(_))), "half of it: {found:?}");
        }
        _ => {}
    }
}

/// A number that serde_json keeps in no type makes no value; then nothing is known.
fn is_deep(object: &[u8]) -> bool {
    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
            Value::Object(values) => 1 + values.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }
    serde_json::from_slice(object).map_or(true, |value| depth(&value) > MOST_NESTED)
}

/// One request.
///
/// # Panics
/// When an error says a value of the request, or can't be shown on a terminal; or when a request is
/// about another operation, identity or bytes than serde_json finds in it, or is none to the framing.
pub fn cicada_request(orders: &[u8]) {
    let bytes = shape(&REQUESTS, orders);
    let request = match Request::parse(&bytes) {
        Ok(request) => request,
        Err(refused) => {
            check_sentence(&refused.message);
            let said = refused.message.to_lowercase();
            assert!(!said.contains(TEXT) && !said.contains(NUMBER), "{said:?} of {bytes:?}");
            return;
        }
    };
    let value: Value = serde_json::from_slice(&bytes).expect("a request is JSON");
    assert_eq!(value["op"], request.operation().as_str());
    assert_eq!(value["identity"].as_str(), request.identity().map(|name| name.as_str()));
    for (field, decoded) in decoded(&request) {
        assert_eq!(value[field], BASE64.encode(decoded), "{field} has another spelling");
    }
    let bytes = skip_white_space(&bytes);
    let found = Scanner::default().end(bytes);
    let end = found.expect("no request is nested, or large").expect("it is whole");
    assert!(skip_white_space(&bytes[end..]).is_empty(), "two requests were taken for one");
}

/// What was base64.
fn decoded(request: &Request) -> Vec<(&'static str, &[u8])> {
    match request {
        Request::Sign { data, .. } => vec![("data", data)],
        Request::Encapsulate { to: Some(key), .. } => vec![("public_key", &key[..])],
        Request::Decapsulate { ciphertext, .. } => vec![("ciphertext", &ciphertext[..])],
        Request::Init { unlock_key } | Request::Unlock { unlock_key } => {
            vec![("unlock_key", unlock_key.expose())]
        }
        Request::Restore { backup, unlock_key } => {
            let key = unlock_key.iter().map(|key| ("unlock_key", &key.expose()[..]));
            key.chain([("backup", &backup[..])]).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use site_config::CicadaOperation;

    use super::*;

    #[test]
    fn the_samples_are_one_request_of_each_operation() {
        let operations: BTreeSet<_> = REQUESTS
            .iter()
            .map(|sample| {
                let request = Request::parse(sample);
                let text = String::from_utf8_lossy(sample);
                request.unwrap_or_else(|refused| panic!("{refused}: {text}")).operation()
            })
            .collect();
        assert_eq!(operations, CicadaOperation::ALL.iter().copied().collect());
    }

    #[test]
    fn the_streams_reach_both_limits() {
        let found: Vec<_> = STREAMS.iter().map(|it| Scanner::default().end(it)).collect();
        assert_eq!(found[1], Ok(Some(MAX_REQUEST_BYTES)));
        assert_eq!(found[2], Err(Broken::TooLarge));
        let deep = &STREAMS[0][found[0].expect("8 deep").expect("whole") + 1..];
        assert_eq!(Scanner::default().end(deep), Err(Broken::TooDeep));
    }
}
