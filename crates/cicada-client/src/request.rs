//! Requests as JSON, in secret memory.

use std::io::{self, Write};

use secret_memory::SecretBytes;
use serde::Serialize;

use crate::connection::MAX_REQUEST_BYTES;
use crate::error::ClientError;

/// Every field that an operation can have; what it does not take is absent. Bytes are base64.
#[derive(Default, Serialize)]
pub struct Request<'a> {
    pub op: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ciphertext: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unlock_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<u64>,
}

impl Request<'_> {
    /// The bytes to send.
    ///
    /// # Errors
    /// [`ClientError::TooLarge`], [`ClientError::OutOfMemory`].
    pub fn to_json(&self) -> Result<SecretBytes, ClientError> {
        let mut sink = Sink { bytes: SecretBytes::new(), error: None };
        // serde_json hands every piece of a string to the sink from where it lies.
        if serde_json::to_writer(&mut sink, self).is_err() {
            return Err(sink.error.unwrap_or(ClientError::TooLarge));
        }
        Ok(sink.bytes)
    }
}

struct Sink {
    bytes: SecretBytes,
    error: Option<ClientError>,
}

impl Write for Sink {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let appended = if self.bytes.len() + piece.len() > MAX_REQUEST_BYTES {
            Err(ClientError::TooLarge)
        } else {
            self.bytes.extend_from_slice(piece).map_err(ClientError::from)
        };
        match appended {
            Ok(()) => Ok(piece.len()),
            Err(error) => {
                self.error = Some(error);
                Err(io::ErrorKind::Other.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_the_one_that_the_protocol_shows() {
        let identity = Some("cloud-sync");
        let request = Request { op: "get_key", identity, format: Some("wg"), ..Request::default() };
        let expected = br#"{"op":"get_key","identity":"cloud-sync","format":"wg"}"#;
        assert_eq!(request.to_json().unwrap().expose(), expected);
    }

    #[test]
    fn a_name_cannot_break_out_of_its_string() {
        let identity = Some("x\",\"op\":\"lock");
        let request = Request { op: "status", identity, ..Request::default() };
        let json = request.to_json().unwrap();
        let value: serde_json::Value = serde_json::from_slice(json.expose()).unwrap();
        assert_eq!(value["op"], "status");
        assert_eq!(value["identity"], "x\",\"op\":\"lock");
    }

    #[test]
    fn a_request_of_65536_bytes_is_sent_and_one_of_65537_is_not() {
        let overhead = Request { op: "sign", data: Some(""), ..Request::default() };
        let overhead = overhead.to_json().unwrap().len();
        let of = |bytes: usize| {
            let data = "A".repeat(bytes - overhead);
            Request { op: "sign", data: Some(&data), ..Request::default() }.to_json()
        };
        assert_eq!(of(MAX_REQUEST_BYTES).unwrap().len(), MAX_REQUEST_BYTES);
        assert!(matches!(of(MAX_REQUEST_BYTES + 1), Err(ClientError::TooLarge)));
    }
}
