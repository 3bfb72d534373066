//! One end of the tunnel: a host with its daemons, a namespace, and what the kernel says there.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use cicada_client::{Client, PublicKey};
use data_encoding::BASE64;
use secret_memory::Secret;
use site_config::Daemon;
use testbed::{Host, binary};

use crate::namespace::Namespace;
use crate::ping::ping;

/// For the program that uses the keys, and for this one, which makes them; both are root here.
const CICADA_TOML: &str = r#"
[[allow]]
uid = 0
identity = "*"
operations = ["init", "create", "get_key", "sign", "public_key", "encapsulate", "decapsulate"]
"#;

const IDENTITY: &str = "cloud-sync";
const INTERFACE: &str = "wg0";
const PORT: &str = "51820";

/// Several handshake attempts fit.
const PATIENCE: Duration = Duration::from_secs(7);

/// Names and addresses of an end.
pub struct Place {
    pub name: &'static str,
    pub role: &'static str,
    /// On the cable.
    pub outside: &'static str,
    /// In the tunnel.
    pub inside: &'static str,
}

pub struct End {
    place: &'static Place,
    namespace: Namespace,
    host: Host,
    keys: PublicKey,
}

impl End {
    /// A host with a new identity.
    pub fn new(place: &'static Place) -> Self {
        let mut host = Host::builder().cicada(CICADA_TOML).provision();
        host.start();
        host.init();
        host.try_start(Daemon::Cicada).unwrap_or_else(|said| panic!("cicada starts: {said}"));
        let mut cicada =
            Client::connect(host.layout.socket(Daemon::Cicada)).expect("cicada listens");
        let unlock_key = Secret::from_fn(|key| key.fill(0x42));
        cicada.init(&unlock_key).expect("a new store");
        let keys = cicada.create(IDENTITY).expect("a new identity");
        Self { place, namespace: Namespace::new(), host, keys }
    }

    /// A veth(4) pair between the two.
    pub fn cable_to(&self, peer: &Self) {
        let there = peer.namespace.path();
        let pair =
            ["link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", &there];
        self.namespace.run("ip", &pair);
        for end in [self, peer] {
            let address = format!("{}/24", end.place.outside);
            end.namespace.run("ip", &["address", "add", &address, "dev", "cable"]);
            end.namespace.run("ip", &["link", "set", "cable", "up"]);
        }
    }

    /// Runs cloud-sync in the namespace, with this end's cicada.
    pub fn cloud_sync(&self, peer: &Self, exchange: &Path) {
        let pinned = exchange.join(format!("{}.ml-dsa-65", peer.place.name));
        fs::write(&pinned, BASE64.encode(&peer.keys.ml_dsa_65[..])).expect("a key file");
        let mut command = Command::new(binary("examples/cloud-sync"));
        command.arg("--socket").arg(self.host.layout.socket(Daemon::Cicada));
        command.arg("--exchange").arg(exchange).arg("--peer-key").arg(pinned);
        command.args(["--identity", IDENTITY, "--role", self.place.role]);
        command.args(["--interface", INTERFACE, "--listen-port", PORT]);
        command.args(["--address", &format!("{}/32", self.place.inside)]);
        command.args(["--endpoint", &format!("{}:{PORT}", peer.place.outside)]);
        command.args(["--allow", &format!("{}/32", peer.place.inside)]);
        let output = self.namespace.inside(|| command.output()).expect("cloud-sync is executable");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cloud-sync at {}: {said}", self.place.name);
    }

    /// # Errors
    /// When no reply comes.
    pub fn ping(&self, to: &str) -> io::Result<()> {
        let to = to.parse().expect("an IPv4 address");
        self.namespace.inside(|| ping(to, PATIENCE))
    }

    pub fn delete_interface(&self) {
        self.namespace.run("ip", &["link", "delete", INTERFACE]);
    }

    /// The X25519 key that cicada published, in base64.
    pub fn identity_public_key(&self) -> String {
        BASE64.encode(&self.keys.x25519)
    }

    /// The public half of the private key that the interface has, in base64.
    pub fn interface_public_key(&self) -> String {
        self.namespace.run("wg", &["show", INTERFACE, "public-key"]).trim().to_owned()
    }

    /// In base64, or `(none)`.
    pub fn preshared_key(&self) -> String {
        self.of_peer("preshared-keys", 1)
    }

    /// In seconds since 1970; 0 for never.
    pub fn latest_handshake(&self) -> u64 {
        self.of_peer("latest-handshakes", 1).parse().expect("a number")
    }

    pub fn received_bytes(&self) -> u64 {
        self.of_peer("transfer", 1).parse().expect("a number")
    }

    /// Changes nothing but the preshared key of the only peer.
    pub fn set_preshared_key(&self, key: &str) {
        let peer = self.of_peer("preshared-keys", 0);
        let mut command = Command::new("wg");
        command.args(["set", INTERFACE, "peer", &peer, "preshared-key", "/proc/self/fd/0"]);
        let status = self.namespace.inside(|| {
            let mut wg = command.stdin(Stdio::piped()).spawn().expect("wg is executable");
            let mut stdin = wg.stdin.take().expect("a pipe");
            stdin.write_all(key.as_bytes()).expect("wg reads");
            drop(stdin);
            wg.wait().expect("wg ends")
        });
        assert!(status.success());
        assert_eq!(self.preshared_key(), key);
    }

    /// A field of the line that `wg show` has for the only peer.
    fn of_peer(&self, what: &str, field: usize) -> String {
        let line = self.namespace.run("wg", &["show", INTERFACE, what]);
        assert_eq!(line.lines().count(), 1, "one peer: {line}");
        line.split_whitespace().nth(field).expect("wg(8)").to_owned()
    }
}
