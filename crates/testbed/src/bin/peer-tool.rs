//! A client with any key, to be run as any user: `peer-tool SOCKET KEYFILE SERVERKEY SERVERUID`.
//!
//! Asks daemon-secrets for its status; prints `answered`, or the error, and exits 0 or 1.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ipc::client::Expected;
use ipc::secrets::SecretsRequest;
use ipc::{Client, Identity, Suite};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, key_file, server_key, server_uid] = arguments.as_slice() else {
        eprintln!("usage: peer-tool SOCKET KEYFILE SERVERKEY SERVERUID");
        return ExitCode::from(2);
    };
    match ask(socket, key_file, server_key, server_uid) {
        Ok(()) => {
            println!("answered");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn ask(
    socket: &str,
    key_file: &str,
    key: &str,
    uid: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let identity = Identity::load(Path::new(key_file))?;
    let mut server = [0; 32];
    for (byte, digits) in server.iter_mut().zip(key.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits)?, 16)?;
    }
    let expected = Expected { key: server, uid: uid.parse()? };
    let timeout = Duration::from_secs(10);
    let mut client =
        Client::connect(Path::new(socket), Suite::ALL[0], &identity, &expected, timeout)?;
    client.call(&SecretsRequest::Status)?;
    Ok(())
}
