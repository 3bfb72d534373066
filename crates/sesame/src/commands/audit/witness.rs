//! `sesame audit witness`: the key and the memory of somebody who cosigns other machines' trails.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use audit_log::Head;
use nix::fcntl::{Flock, FlockArg};
use secret_memory::Secret;
use serde_json::json;
use sha2::{Digest, Sha256};
use site_config::durable::{create_new_atomically, write_atomically};
use tlog::{KeyName, PublicKeys, Role, SigningKeys};

use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;

/// The length of the key file, in bytes: two seeds.
const KEY_BYTES: usize = 64;

/// Makes the key, or shows the one that there is.
pub fn run(dir: Option<PathBuf>, output: &Output, name: &str) -> Result<(), Failure> {
    let name: KeyName = name
        .parse()
        .map_err(|error| Failure::new(Code::INVALID, format!("the name of a witness: {error}")))?;
    let context = Context::load(dir)?;
    let directory = directory(&context)?;
    make_directory(&directory)?;
    make(&directory, &name).map_err(storage(&directory))?;
    let witness = Witness::open(&context)?;
    let keys = witness.keys.public();
    if keys.name() != &name {
        let text = format!("there is a witness here already, called {}", keys.name());
        return Err(Failure::new(Code::EXISTS, text));
    }
    let json = json!({ "name": keys.name().to_string(), "public_key": keys.to_string() });
    output.result(&keys.to_string(), json)
}

/// Makes what is missing of the key. One that is there is never replaced: somebody may count on it.
fn make(directory: &Path, name: &KeyName) -> io::Result<()> {
    let (key, public) = (directory.join("key"), directory.join("public-key.txt"));
    let keys = match SigningKeys::load(&key, name.clone(), Role::Witness) {
        Ok(keys) => keys,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let keys = SigningKeys::generate(name.clone(), Role::Witness)?;
            let seeds =
                Secret::<KEY_BYTES>::try_from_fn(|seeds| keys.write_to(&mut seeds.as_mut_slice()));
            create_new_atomically(&key, seeds?.expose(), 0o600)?;
            keys
        }
        Err(error) => return Err(error),
    };
    match create_new_atomically(&public, keys.public().to_string().as_bytes(), 0o644) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        written => written,
    }
}

/// A witness at work; there is one at a time.
pub struct Witness {
    directory: PathBuf,
    pub keys: SigningKeys,
    _lock: Flock<File>,
}

/// What a witness remembers of a trail.
#[derive(Clone)]
pub struct Memory {
    /// The key that it was signed with when the witness first saw it.
    pub key: PublicKeys,
    /// The largest head that it cosigned.
    pub head: Head,
}

impl Witness {
    pub fn open(context: &Context) -> Result<Self, Failure> {
        let directory = directory(context)?;
        let public = directory.join("public-key.txt");
        let absent = || {
            let text = "there is no witness here; `sesame audit witness NAME` makes one";
            Failure::new(Code::NOT_FOUND, text)
        };
        let text = match fs::read_to_string(&public) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(absent()),
            Err(error) => return Err(storage(&public)(error)),
        };
        let damaged = || {
            let text = format!("{} does not belong to the key beside it", public.display());
            Failure::new(Code::TAMPERED, text)
        };
        let expected: PublicKeys = text.parse().map_err(|_| damaged())?;
        let path = directory.join("key");
        let lock = File::open(&path).map_err(storage(&path))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|_| {
            Failure::new(Code::BUSY, "this witness is at work in another process; try again")
        })?;
        let keys = SigningKeys::load(&path, expected.name().clone(), Role::Witness)
            .map_err(storage(&path))?;
        if keys.public() != &expected {
            return Err(damaged());
        }
        Ok(Self { directory, keys, _lock: lock })
    }

    /// What it remembers of the trail of this origin.
    pub fn memory(&self, origin: &KeyName) -> Result<Option<Memory>, Failure> {
        let path = self.memory_file(origin);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(storage(&path)(error)),
        };
        let parsed = text.split_once('\n').and_then(|(head, key)| {
            Some(Memory { head: head.parse().ok()?, key: key.parse().ok()? })
        });
        let damaged = || {
            let text = format!("{} is not what a witness writes", path.display());
            Failure::new(Code::TAMPERED, text)
        };
        parsed.map(Some).ok_or_else(damaged)
    }

    /// Remembers it; durable on return.
    pub fn remember(&self, memory: &Memory) -> io::Result<()> {
        let text = format!("{}\n{}", memory.head, memory.key);
        write_atomically(&self.memory_file(memory.key.name()), text.as_bytes(), 0o600)
    }

    fn memory_file(&self, origin: &KeyName) -> PathBuf {
        let digest = Sha256::digest(origin.as_str());
        let name = data_encoding::HEXLOWER.encode(&digest);
        self.directory.join(format!("trail-{name}.txt"))
    }
}

fn directory(context: &Context) -> Result<PathBuf, Failure> {
    Ok(context.site.layout.operator_state()?.join("witness"))
}

fn make_directory(directory: &Path) -> Result<(), Failure> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(storage(directory))
}

fn storage(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::new(Code::STORAGE, format!("{}: {error}", path.display()))
}
