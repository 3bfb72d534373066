//! The secret keys of a log or a witness, and signing with them.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use ed25519_dalek::Signer;
use fips204::traits::{SerDes, Verifier};
use ml_dsa::{Keypair, MlDsa44};
use secret_memory::{Secret, with_clean_deep_stack};

use crate::checkpoint::{AddError, Checkpoint, SignedCheckpoint};
use crate::cosignature::{self, MAX_TIME};
use crate::keys::{PublicKeys, Role};
use crate::name::KeyName;
use crate::note::Signature;
use crate::verifier_key::{SignatureType, VerifierKey};

/// How deep key generation and signing go, in bytes, with a margin. ML-DSA-44 has its matrices and
/// vectors on the stack, and that is more than an ordinary wipe covers; unoptimised code has most
/// of them there several times. A test measures it.
const DEPTH: usize = if cfg!(debug_assertions) { 1 << 20 } else { 384 << 10 };

/// The key pairs of a log or a witness, as the two seeds that they grow from.
///
/// The seeds are in secret memory. The keys are expanded for each signature and wiped after it.
pub struct SigningKeys {
    ed25519: Secret<32>,
    ml_dsa_44: Secret<32>,
    public: PublicKeys,
}

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// A witness was to sign as a log, or a log as a witness.
    #[error("{name} is not a {wanted}, so it signs nothing as one")]
    Role {
        /// Whose keys.
        name: KeyName,
        /// What it would have to be.
        wanted: Role,
    },
    /// A log was to sign the checkpoint of another one.
    #[error("the checkpoint is of {origin}, and the log is {name}")]
    Origin {
        /// Whose checkpoint.
        origin: KeyName,
        /// Whose keys.
        name: KeyName,
    },
    /// A time of 0, which states nothing, or beyond [`MAX_TIME`].
    #[error("{0} is not a time of signing, in seconds since 1970; check the clock")]
    Time(u64),
    /// The witness has signed before, or there is no room.
    #[error(transparent)]
    Add(#[from] AddError),
    /// A signature was made that does not verify: a fault of the machine, or of a library. It was
    /// thrown away, for it may tell of the key.
    #[error("the new {0} signature does not verify and was discarded; check the machine")]
    SelfCheck(SignatureType),
}

impl SigningKeys {
    /// New keys, straight from the kernel into secret memory.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn generate(name: KeyName, role: Role) -> io::Result<Self> {
        let seed = || {
            Secret::try_from_fn(|seed| getrandom::fill(seed))
                .map_err(|_| io::Error::other("no random bytes from the kernel"))
        };
        Self::from_seeds(seed()?, seed()?, name, role)
    }

    /// Reads a key file: exactly 64 bytes, the seed of Ed25519 (RFC 8032 §5.1.5) and that of
    /// ML-DSA-44 (ξ in FIPS 204 §5.1).
    ///
    /// # Errors
    /// What opening or reading reported; `InvalidData` for any other size.
    pub fn load(path: &Path, name: KeyName, role: Role) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let wrong_size =
            || io::Error::new(io::ErrorKind::InvalidData, "a signing key file has 64 bytes");
        let mut seed = || {
            Secret::try_from_fn(|seed| {
                file.read_exact(seed).map_err(|error| match error.kind() {
                    io::ErrorKind::UnexpectedEof => wrong_size(),
                    _ => error,
                })
            })
        };
        let (ed25519, ml_dsa_44) = (seed()?, seed()?);
        if file.read(&mut [0])? != 0 {
            return Err(wrong_size());
        }
        Self::from_seeds(ed25519, ml_dsa_44, name, role)
    }

    pub(crate) fn from_seeds(
        ed25519: Secret<32>,
        ml_dsa_44: Secret<32>,
        name: KeyName,
        role: Role,
    ) -> io::Result<Self> {
        let first = with_clean_deep_stack::<DEPTH, _>(|| {
            ed25519_dalek::SigningKey::from_bytes(ed25519.expose()).verifying_key().to_bytes()
        });
        let second = with_clean_deep_stack::<DEPTH, _>(|| {
            let key = ml_dsa::SigningKey::<MlDsa44>::from_seed(ml_dsa_44.expose().into());
            key.verifying_key().encode()
        });
        let first = VerifierKey::new(name.clone(), role.ed25519_type(), &first);
        let second = VerifierKey::new(name, SignatureType::CosignatureMlDsa44, &second);
        let public =
            PublicKeys::new(first.map_err(io::Error::other)?, second.map_err(io::Error::other)?)
                .map_err(io::Error::other)?;
        Ok(Self { ed25519, ml_dsa_44, public })
    }

    /// Writes the content of a new key file, straight from secret memory.
    ///
    /// # Errors
    /// What `file` reported; it may have got a part then.
    pub fn write_to(&self, file: &mut impl Write) -> io::Result<()> {
        file.write_all(self.ed25519.expose())?;
        file.write_all(self.ml_dsa_44.expose())
    }

    /// The public keys.
    #[must_use]
    pub fn public(&self) -> &PublicKeys {
        &self.public
    }

    /// Signs a checkpoint of this log. `time` is in POSIX seconds.
    ///
    /// Whether the checkpoint continues what was signed before, the caller knows: a log that signs
    /// two that contradict each other has proved itself a forger.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign(&self, checkpoint: Checkpoint, time: u64) -> Result<SignedCheckpoint, SignError> {
        self.require(Role::Log)?;
        if &checkpoint.origin != self.public.name() {
            let (origin, name) = (checkpoint.origin, self.public.name().clone());
            return Err(SignError::Origin { origin, name });
        }
        let signatures = self.signatures(&checkpoint, time)?;
        Ok(SignedCheckpoint::new(checkpoint, signatures))
    }

    /// Adds the signatures of this witness. `time` is in POSIX seconds.
    ///
    /// Whether the log signed, and whether it continues what this witness saw before, is for the
    /// caller to verify first.
    ///
    /// # Errors
    /// [`SignError`]; `signed` is unchanged then.
    pub fn cosign(&self, signed: &mut SignedCheckpoint, time: u64) -> Result<(), SignError> {
        self.require(Role::Witness)?;
        let signatures = self.signatures(signed.checkpoint(), time)?;
        Ok(signed.add_signatures(signatures)?)
    }

    fn require(&self, wanted: Role) -> Result<(), SignError> {
        if self.public.role() == wanted {
            return Ok(());
        }
        Err(SignError::Role { name: self.public.name().clone(), wanted })
    }

    /// Both signatures, verified.
    fn signatures(&self, checkpoint: &Checkpoint, time: u64) -> Result<Vec<Signature>, SignError> {
        if time == 0 || time > MAX_TIME {
            return Err(SignError::Time(time));
        }
        [self.public.ed25519(), self.public.ml_dsa_44()]
            .into_iter()
            .map(|key| {
                let fault = || SignError::SelfCheck(key.signature_type());
                let message = cosignature::message(key, checkpoint, time);
                let signature = self.raw(key.signature_type(), &message).ok_or_else(fault)?;
                if !verifies(key, &message, &signature) {
                    return Err(fault());
                }
                let bytes = cosignature::with_time(key, time, &signature);
                Signature::new(key.name().clone(), key.id(), bytes).ok_or_else(fault)
            })
            .collect()
    }

    /// What the algorithm makes of the message: 64 bytes of Ed25519 or 2420 of ML-DSA-44, the
    /// deterministic variant with an empty context.
    pub(crate) fn raw(&self, signature_type: SignatureType, message: &[u8]) -> Option<Vec<u8>> {
        match signature_type {
            SignatureType::Ed25519 | SignatureType::CosignatureEd25519 => {
                let signature = with_clean_deep_stack::<DEPTH, _>(|| {
                    ed25519_dalek::SigningKey::from_bytes(self.ed25519.expose()).sign(message)
                });
                Some(signature.to_bytes().to_vec())
            }
            SignatureType::CosignatureMlDsa44 => {
                let signature = with_clean_deep_stack::<DEPTH, _>(|| {
                    let seed = self.ml_dsa_44.expose().into();
                    let key = ml_dsa::SigningKey::<MlDsa44>::from_seed(seed);
                    key.expanded_key().sign_deterministic(message, &[]).map(|s| s.encode())
                });
                signature.ok().map(|signature| signature.to_vec())
            }
        }
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKeys({:?})", self.public)
    }
}

/// Whether a new signature may leave. A wrong one can give the key away, so ML-DSA-44 is verified
/// by an implementation of other authors. It shares no lattice code with the one that signed, only
/// the ancestors of its SHAKE.
pub(crate) fn verifies(key: &VerifierKey, message: &[u8], signature: &[u8]) -> bool {
    if key.signature_type() != SignatureType::CosignatureMlDsa44 {
        return key.signed(message, signature);
    }
    let key = key.public_key().try_into().ok().map(fips204::ml_dsa_44::PublicKey::try_from_bytes);
    match (key, signature.try_into()) {
        (Some(Ok(key)), Ok(signature)) => key.verify(message, &signature, &[]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

    use std::mem::ManuallyDrop;
    use std::os::unix::fs::FileExt;
    use std::thread;

    use super::*;

    const PAINT: u8 = 0xa5;
    const CANVAS: usize = 2 << 20;

    fn keys(seed: u8, role: Role) -> SigningKeys {
        let name = "example.com/log".parse().unwrap();
        let (first, second) = (Secret::copy_of(&[seed; 32]), Secret::copy_of(&[seed + 1; 32]));
        SigningKeys::from_seeds(first, second, name, role).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: "example.com/log".parse().unwrap(), size: 7, root: [3; 32] }
    }

    /// What `work` left in the stack below this frame, which was paint before.
    #[inline(never)]
    fn stack_after(work: impl FnOnce()) -> Vec<u8> {
        let local = std::hint::black_box(0_u8);
        let here = std::ptr::from_ref(&local).addr();
        let memory = File::open("/proc/self/mem").unwrap();
        let mut stack = vec![0; CANVAS];
        paint();
        work();
        memory.read_exact_at(&mut stack, (here - CANVAS) as u64).unwrap();
        stack
    }

    #[inline(never)]
    fn paint() {
        std::hint::black_box(&mut [PAINT; CANVAS]);
    }

    /// Signs as `raw` does with a library that wipes nothing.
    #[inline(never)]
    fn sign_and_forget(seed: &[u8; 32]) {
        let key = ManuallyDrop::new(ml_dsa::SigningKey::<MlDsa44>::from_seed(seed.into()));
        std::hint::black_box(key.verifying_key().encode());
        std::hint::black_box(key.expanded_key().sign_deterministic(b"x", &[]).unwrap().encode());
        std::hint::black_box(&key);
    }

    /// The seed, K (FIPS 204 §5.1), and the beginning of each polynomial of s1 and s2 as the library
    /// has it in memory: 32 bits for each coefficient, modulo q.
    fn secrets(seed: &[u8; 32]) -> Vec<Vec<u8>> {
        #[allow(deprecated, reason = "the only way to a value that signing uses")]
        let key =
            ml_dsa::SigningKey::<MlDsa44>::from_seed(seed.into()).expanded_key().to_expanded();
        let polynomials = key[128..][..8 * 96].chunks_exact(96).map(|polynomial| {
            // Eight coefficients in three bytes, each as 2 minus itself.
            let bits = u32::from_le_bytes([polynomial[0], polynomial[1], polynomial[2], 0]);
            let coefficient = |n: u32| (8_380_417 + 2 - (bits >> (3 * n) & 7)) % 8_380_417;
            (0..8).flat_map(|n| coefficient(n).to_le_bytes()).collect()
        });
        [seed.to_vec(), key[32..64].to_vec()].into_iter().chain(polynomials).collect()
    }

    fn contains(stack: &[u8], secret: &[u8]) -> bool {
        stack.windows(secret.len()).any(|window| window == secret)
    }

    #[test]
    fn signing_stays_within_what_is_wiped_and_leaves_nothing_of_the_key() {
        let test = || {
            let keys = keys(40, Role::Log);
            let seed = keys.ml_dsa_44.expose();
            let stack = stack_after(|| sign_and_forget(seed));
            let depth = CANVAS - stack.iter().position(|byte| *byte != PAINT).unwrap();
            assert!(depth < DEPTH / 4 * 3, "signing went {depth} bytes deep");

            let found = |stack: &[u8]| secrets(seed).iter().any(|secret| contains(stack, secret));
            assert!(found(&stack), "the search finds what was left");

            let clean = stack_after(|| with_clean_deep_stack::<DEPTH, _>(|| sign_and_forget(seed)));
            assert!(!found(&clean));
            let clean = stack_after(|| {
                std::hint::black_box(keys.raw(SignatureType::CosignatureMlDsa44, b"x"));
            });
            assert!(!found(&clean));
            let clean = stack_after(|| {
                std::hint::black_box(keys.raw(SignatureType::Ed25519, b"x"));
            });
            assert!(!contains(&clean, keys.ed25519.expose()));
        };
        thread::Builder::new().stack_size(16 << 20).spawn(test).unwrap().join().unwrap();
    }

    #[test]
    fn a_signature_that_does_not_verify_never_leaves() {
        let signs = |keys: &SigningKeys| keys.sign(checkpoint(), 1);
        assert!(signs(&keys(1, Role::Log)).is_ok());
        let SigningKeys { ed25519, ml_dsa_44, .. } = keys(5, Role::Log);
        let faulty = SigningKeys { ed25519, ..keys(1, Role::Log) };
        assert_eq!(signs(&faulty), Err(SignError::SelfCheck(SignatureType::Ed25519)));
        let faulty = SigningKeys { ml_dsa_44, ..keys(1, Role::Log) };
        assert_eq!(signs(&faulty), Err(SignError::SelfCheck(SignatureType::CosignatureMlDsa44)));
    }

    #[test]
    fn the_second_implementation_refuses_every_flipped_byte() {
        let keys = keys(1, Role::Log);
        for key in [keys.public.ed25519(), keys.public.ml_dsa_44()] {
            let mut signature = keys.raw(key.signature_type(), b"x").unwrap();
            assert!(verifies(key, b"x", &signature) && key.signed(b"x", &signature));
            assert!(!verifies(key, b"y", &signature) && !key.signed(b"y", &signature));
            assert!(!verifies(key, b"x", &signature[1..]) && !key.signed(b"x", &signature[1..]));
            for at in (0..signature.len()).step_by(61) {
                signature[at] ^= 0x10;
                assert!(!verifies(key, b"x", &signature), "byte {at}");
                assert!(!key.signed(b"x", &signature), "byte {at}");
                signature[at] ^= 0x10;
            }
        }
    }

    #[test]
    fn debug_shows_no_seed() {
        let text = format!("{:?}", keys(0x41, Role::Witness));
        assert!(text.starts_with("SigningKeys(PublicKeys(witness example.com/log, "), "{text}");
        assert!(text.len() < 90 && !text.contains("65, 65"), "{text}");
    }
}
