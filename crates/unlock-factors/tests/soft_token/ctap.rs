//! The commands of CTAP 2.1 §6 that an unlock factor needs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ciborium::Value;
use p256::SecretKey;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey};
use sha2::{Digest, Sha256};

use super::pin::{Protocol, hmac, to_cose};
use super::{Manner, Options, Shared};

const MAKE_CREDENTIAL: u8 = 0x01;
const GET_ASSERTION: u8 = 0x02;
const GET_INFO: u8 = 0x04;
const CLIENT_PIN: u8 = 0x06;

const OK: u8 = 0x00;
const NO_CREDENTIALS: u8 = 0x2e;
const PIN_INVALID: u8 = 0x31;
const PIN_BLOCKED: u8 = 0x32;
const PIN_AUTH_BLOCKED: u8 = 0x34;
const PIN_NOT_SET: u8 = 0x35;
const PIN_REQUIRED: u8 = 0x36;

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const ATTESTED: u8 = 0x40;
const EXTENSIONS: u8 = 0x80;

const ES256: i128 = -7;
const ECDH_ES_HKDF_256: i128 = -25;

pub enum Answer {
    Now(Vec<u8>),
    AfterTouch(Vec<u8>),
}

pub struct Token {
    options: Options,
    shared: Arc<Shared>,
    /// Of this power cycle and since the last wrong PIN.
    agreement: u64,
    tries: u8,
    wrong_in_a_row: u8,
}

impl Token {
    pub fn new(options: Options, shared: Arc<Shared>) -> Self {
        Self { options, shared, agreement: 0, tries: 8, wrong_in_a_row: 0 }
    }

    pub fn is_touched(&self) -> bool {
        !self.shared.nobody_touches.load(Ordering::SeqCst)
    }

    pub fn command(&mut self, command: u8, request: &[u8]) -> Answer {
        self.shared.commands.lock().expect("no panic holds it").push(command);
        if self.shared.replugged.swap(false, Ordering::SeqCst) {
            self.wrong_in_a_row = 0;
        }
        let request = match request {
            [] => Value::Null,
            request => ciborium::from_reader(request).expect("CBOR"),
        };
        match (self.options.manner, command) {
            (Manner::BadInfo, GET_INFO) => Answer::Now(vec![OK, 0xff, 0xff, 0xff]),
            (_, GET_INFO) => Answer::Now(self.info()),
            (Manner::BadAnswers, _) => Answer::Now(vec![OK, 0xbf, 0x61, 0xff, 0x00]),
            (_, CLIENT_PIN) => Answer::Now(self.client_pin(&request)),
            (_, MAKE_CREDENTIAL) => self.make_credential(&request),
            (_, GET_ASSERTION) => self.get_assertion(&request),
            (_, other) => panic!("CTAP command {other:#x}"),
        }
    }

    fn info(&self) -> Vec<u8> {
        let two_one = self.options.protocol == Protocol::Two;
        let version = if two_one { "FIDO_2_1" } else { "FIDO_2_0" };
        let extensions = if self.options.hmac_secret { vec![text("hmac-secret")] } else { vec![] };
        let flag = |name: &str, value| (text(name), Value::Bool(value));
        let mut options = vec![flag("rk", false), flag("up", true)];
        if self.options.always_uv {
            options.push(flag("alwaysUv", true));
        }
        options.push(flag("clientPin", self.options.pin.is_some()));
        if two_one {
            options.push(flag("pinUvAuthToken", true));
        }
        success(&map([
            (1, Value::Array(vec![text(version)])),
            (2, Value::Array(extensions)),
            (3, Value::Bytes(vec![0x50; 16])),
            (4, Value::Map(options)),
            (5, integer(1200)),
            (6, Value::Array(vec![integer(self.options.protocol.number())])),
        ]))
    }

    fn client_pin(&mut self, request: &Value) -> Vec<u8> {
        let protocol = self.options.protocol;
        let command = number(request, 2);
        if command != 1 {
            assert_eq!(number(request, 1), protocol.number(), "the PIN protocol");
        }
        match command {
            1 => success(&map([(3, integer(self.tries.into()))])),
            2 => {
                let key = to_cose(&self.agreement_key().public_key(), ECDH_ES_HKDF_256);
                success(&map([(1, key)]))
            }
            5 | 9 => {
                let permissions = protocol == Protocol::Two;
                assert_eq!(command == 9, permissions, "with permissions in CTAP 2.1 only");
                if permissions {
                    assert!(matches!(number(request, 9), 1 | 2), "one permission");
                    assert_eq!(get(request, 10), &text("sesame"), "for one relying party");
                }
                self.pin_token(request)
            }
            other => panic!("PIN command {other}"),
        }
    }

    fn pin_token(&mut self, request: &Value) -> Vec<u8> {
        let Some(pin) = self.options.pin else { return vec![PIN_NOT_SET] };
        if self.tries == 0 {
            return vec![PIN_BLOCKED];
        }
        if self.wrong_in_a_row == 3 {
            return vec![PIN_AUTH_BLOCKED];
        }
        let shared = self.options.protocol.agree(&self.agreement_key(), get(request, 3));
        self.tries -= 1;
        if shared.decrypt(&bytes(request, 6)) != Sha256::digest(pin)[..16] {
            self.agreement += 1;
            self.wrong_in_a_row += 1;
            return match (self.tries, self.wrong_in_a_row) {
                (0, _) => vec![PIN_BLOCKED],
                (_, 3) => vec![PIN_AUTH_BLOCKED],
                _ => vec![PIN_INVALID],
            };
        }
        (self.tries, self.wrong_in_a_row) = (8, 0);
        success(&map([(2, Value::Bytes(shared.encrypt(&self.secret("PIN token", &[]))))]))
    }

    fn make_credential(&mut self, request: &Value) -> Answer {
        let relying_party = field(get(request, 2), "id");
        assert_eq!(relying_party, &text("sesame"), "the relying party");
        assert!(number(&array(request, 4)[0], "alg") == ES256, "an algorithm that it has");
        assert_eq!(field(get(request, 6), "hmac-secret"), &Value::Bool(true), "the extension");
        let verified = match self.verified(request, 1, 8) {
            Ok(verified) => verified,
            Err(status) => return Answer::Now(vec![status]),
        };
        if self.options.pin.is_some() && !verified {
            return Answer::Now(vec![PIN_REQUIRED]);
        }
        let nonce = &bytes(request, 1)[..16];
        let id = [nonce, &self.secret("id", nonce)[..16]].concat();
        let key = to_cose(&self.credential_key(&id).public_key(), ES256);
        let mut data = self.authenticator_data(USER_PRESENT | ATTESTED, verified);
        data.extend([0x50; 16]);
        data.extend((id.len() as u16).to_be_bytes());
        data.extend(&id);
        data.extend(encoded(&key));
        if self.options.hmac_secret {
            data[32] |= EXTENSIONS;
            data.extend(encoded(&Value::Map(vec![(text("hmac-secret"), Value::Bool(true))])));
        }
        Answer::AfterTouch(success(&map([
            (1, text("none")),
            (2, Value::Bytes(data)),
            (3, Value::Map(vec![])),
        ])))
    }

    fn get_assertion(&mut self, request: &Value) -> Answer {
        assert_eq!(get(request, 1), &text("sesame"), "the relying party");
        let id = bytes(&array(request, 3)[0], "id");
        let up = find(request, 5).and_then(|options| find(options, "up"));
        let present = up != Some(&Value::Bool(false));
        let verified = match self.verified(request, 2, 6) {
            Ok(verified) => verified,
            Err(status) => return Answer::Now(vec![status]),
        };
        // It made the credential if it can make the second half of the id from the first.
        let (nonce, proof) = id.split_at(id.len().min(16));
        if proof != &self.secret("id", nonce)[..16] {
            let status = vec![NO_CREDENTIALS];
            return if present { Answer::AfterTouch(status) } else { Answer::Now(status) };
        }
        let mut data = self.authenticator_data(if present { USER_PRESENT } else { 0 }, verified);
        if let Some(extension) = find(request, 4).and_then(|all| find(all, "hmac-secret")) {
            assert!(present, "hmac-secret needs a touch");
            if self.options.hmac_secret {
                let verified = data[32] & USER_VERIFIED != 0;
                let output = self.hmac_secret(extension, &id, verified);
                data[32] |= EXTENSIONS;
                let output = vec![(text("hmac-secret"), Value::Bytes(output))];
                data.extend(encoded(&Value::Map(output)));
            }
        }
        let signed = [&data[..], &bytes(request, 2)].concat();
        let signature: DerSignature = SigningKey::from(self.credential_key(&id)).sign(&signed);
        let descriptor =
            Value::Map(vec![(text("id"), Value::Bytes(id)), (text("type"), text("public-key"))]);
        let answer = success(&map([
            (1, descriptor),
            (2, Value::Bytes(data)),
            (3, Value::Bytes(signature.as_bytes().to_vec())),
        ]));
        if present { Answer::AfterTouch(answer) } else { Answer::Now(answer) }
    }

    /// Whether the PIN was given, by the tag over the client data hash.
    fn verified(&self, request: &Value, hash: i128, tag: i128) -> Result<bool, u8> {
        let hash = bytes(request, hash);
        assert_eq!(hash.len(), 32, "the client data hash");
        let Some(Value::Bytes(tag)) = find(request, tag) else { return Ok(false) };
        if self.options.pin.is_none() {
            return Err(PIN_NOT_SET);
        }
        let expected = self.options.protocol.tag(&self.secret("PIN token", &[]), &hash);
        assert_eq!(*tag, expected, "the tag of the PIN token");
        Ok(true)
    }

    fn hmac_secret(&self, request: &Value, id: &[u8], verified: bool) -> Vec<u8> {
        let protocol = self.options.protocol;
        if protocol == Protocol::Two {
            assert_eq!(number(request, 4), protocol.number(), "the PIN protocol");
        }
        let shared = protocol.agree(&self.agreement_key(), get(request, 1));
        let salt = bytes(request, 2);
        assert_eq!(bytes(request, 3), shared.tag(&salt), "the tag of the salt");
        let salt = shared.decrypt(&salt);
        assert_eq!(salt.len(), 32, "one salt");
        let key = self.secret(if verified { "with PIN" } else { "without PIN" }, id);
        let mut output = hmac(&key, &[&salt]).to_vec();
        if self.options.manner == Manner::ShortSecret {
            output.truncate(16);
        }
        shared.encrypt(&output)
    }

    fn authenticator_data(&self, flags: u8, verified: bool) -> Vec<u8> {
        let verified = if verified || self.options.always_uv { USER_VERIFIED } else { 0 };
        [&Sha256::digest("sesame")[..], &[flags | verified], &[0, 0, 0, 1]].concat()
    }

    fn agreement_key(&self) -> SecretKey {
        let secret = self.secret("agreement", &self.agreement.to_be_bytes());
        SecretKey::from_slice(&secret).expect("all but one in 2^32 are keys")
    }

    fn credential_key(&self, id: &[u8]) -> SecretKey {
        let secret = self.secret("credential", id);
        SecretKey::from_slice(&secret).expect("all but one in 2^32 are keys")
    }

    fn secret(&self, purpose: &str, of: &[u8]) -> [u8; 32] {
        hmac(&[self.options.seed; 32], &[purpose.as_bytes(), &[0], of])
    }
}

/// A key in a map: a number or a name.
pub trait Key {
    fn is(&self, key: &Value) -> bool;
}

impl Key for i128 {
    fn is(&self, key: &Value) -> bool {
        key.as_integer().is_some_and(|key| i128::from(key) == *self)
    }
}

impl Key for &str {
    fn is(&self, key: &Value) -> bool {
        key.as_text() == Some(self)
    }
}

fn find(value: &Value, key: impl Key) -> Option<&Value> {
    value.as_map()?.iter().find(|(name, _)| key.is(name)).map(|(_, value)| value)
}

fn get(value: &Value, key: impl Key) -> &Value {
    find(value, key).expect("a parameter")
}

fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    get(value, name)
}

pub fn bytes(value: &Value, key: impl Key) -> Vec<u8> {
    get(value, key).as_bytes().expect("bytes").clone()
}

fn number(value: &Value, key: impl Key) -> i128 {
    get(value, key).as_integer().expect("a number").into()
}

fn array(value: &Value, key: impl Key) -> &Vec<Value> {
    get(value, key).as_array().expect("an array")
}

pub fn integer(value: i128) -> Value {
    Value::Integer(i64::try_from(value).expect("small").into())
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

/// In the order in which they are written, which must be that of CTAP2's canonical CBOR.
pub fn map<const N: usize>(entries: [(i128, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (integer(key), value)).collect())
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("into memory");
    bytes
}

fn success(value: &Value) -> Vec<u8> {
    [&[OK][..], &encoded(value)].concat()
}
