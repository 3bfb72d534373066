//! Requests to running daemons.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipc::secrets::{Purpose, SecretsReply, SecretsRequest};
use ipc::{
    Client, Credentials, Identity, Noise, Peer, Pool, Refusal, RefusalReason, Service, Suite, codec,
};
use secret_memory::{Secret, SecretBytes};
use site_config::{Daemon, Role, SecretName};
use testbed::Host;
use vault::{Context, Keys, Vault};

use crate::floors::{append_and_sync, median, on_one_cpu, ping_pong};
use crate::table::Table;

/// daemon-secrets keeps the working memory of a try for 30 s.
pub const WORKING_MEMORY_IS_RELEASED_AFTER: Duration = Duration::from_secs(33);

/// Size of the secret that is read.
pub const VALUE_BYTES: usize = 64;

fn request() -> SecretsRequest<'static> {
    SecretsRequest::SecretGet { profile: None, name: "bench", purpose: Purpose::Read }
}

fn get(client: &mut Client) {
    let reply = client.call(&request()).expect("a reply");
    assert!(matches!(codec::decode(reply.expose()), Ok(SecretsReply::Value(_))));
}

/// `secret get` on an open connection, with and without the durable entry in the trail.
pub fn open_connection(host: &Host, table: &mut Table) {
    let plain = codec::encode(&request()).expect("room").len();
    let reply = codec::encode(&SecretsReply::Value(&[0; VALUE_BYTES])).expect("room").len();
    // Header and tag of a frame on either side.
    let (raw, bare) = on_one_cpu(|| (ping_pong(plain + 20, reply + 20), without_trail()));
    let sync = append_and_sync(host.dir());
    let mut client = host.connect(Daemon::Secrets).expect("a connection");
    let recorded = median(2000, || get(&mut client));

    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    table.at_most(
        "secret get, no trail",
        micros(bare) / micros(raw),
        4.0,
        "times",
        &format!(
            "{:.1} us against a raw ping-pong of {:.1} us, both on one CPU",
            micros(bare),
            micros(raw)
        ),
    );
    let allowed = 4.0 * micros(raw) + micros(sync);
    table.at_most(
        "secret get, recorded",
        micros(recorded) / allowed,
        1.0,
        "times",
        &format!(
            "{:.0} us against 4 ping-pongs and one append+fdatasync of {:.0} us",
            micros(recorded),
            micros(sync)
        ),
    );
}

/// The server, the handshake, the frames and the vault of daemon-secrets, without daemon-audit.
fn without_trail() -> Duration {
    let directory = tempfile::tempdir().expect("a directory");
    let key = || Secret::from_fn(|key: &mut [u8; 32]| key.fill(7));
    let keys = Keys { database: key(), rows: key() };
    let context = Context { installation: [1; 16], profile: "default".to_owned() };
    let vault = Vault::create(&directory.path().join("vault.db"), keys, context).expect("a vault");
    vault.set("bench", &[b'x'; VALUE_BYTES]).expect("a row");

    let identity = Arc::new(Identity::generate().expect("random bytes"));
    let own = Identity::generate().expect("random bytes");
    let expected = ipc::client::Expected {
        key: *identity.public(),
        uid: Credentials::of(&std::os::unix::net::UnixStream::pair().expect("a pair").0)
            .expect("credentials")
            .uid,
    };
    let socket = directory.path().join("s");
    let noise = Arc::new(Noise::new(Unrecorded(vault), identity));
    let mut server = Pool::bind(&socket, 0o600, noise).expect("a socket");
    server.spawn(4, || true).expect("threads");
    server.open_gate();
    let mut client = connect(&socket, &own, &expected);
    median(20_000, || get(&mut client))
}

fn connect(socket: &Path, own: &Identity, server: &ipc::client::Expected) -> Client {
    Client::connect(socket, Suite::ALL[0], own, server, Duration::from_secs(10)).expect("welcome")
}

/// Answers `SecretGet` and records nothing.
struct Unrecorded(Vault);

impl Service for Unrecorded {
    type Worker = ();

    fn worker(&self) {}

    fn accepts(&self, _: Suite) -> bool {
        true
    }

    fn peer(&self, key: &[u8; 32], credentials: Credentials) -> Result<Peer, RefusalReason> {
        Ok(Peer { name: "bench".to_owned(), role: Role::Operator, key: *key, credentials })
    }

    fn refused(&self, (): &mut (), _: &Refusal) {}

    fn handle(&self, (): &mut (), _: &Peer, request: &[u8]) -> Option<SecretBytes> {
        let Ok(SecretsRequest::SecretGet { name, .. }) = codec::decode(request) else {
            return None;
        };
        let name = SecretName::try_from(name).ok()?;
        let value = self.0.get(name.as_str()).ok()??;
        codec::encode(&SecretsReply::Value(value.expose())).ok()
    }
}

/// 32 clients that read at once, each on its own connection.
pub fn many_clients(host: &Host, table: &mut Table) {
    const CLIENTS: usize = 32;
    const ROUNDS: usize = 150;
    let rate = |clients: usize| {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..clients {
                let mut client = host.connect(Daemon::Secrets).expect("a connection");
                scope.spawn(move || (0..ROUNDS).for_each(|_| get(&mut client)));
            }
        });
        (clients * ROUNDS) as f64 / start.elapsed().as_secs_f64()
    };
    let (one, many) = (rate(1), rate(CLIENTS));
    table.figure(
        "secret get, 32 clients at once",
        format!("{many:.0} per s"),
        &format!("{:.1} times what 1 client reaches ({one:.0} per s), all recorded", many / one),
    );
}
