//! What goes wrong with an agent, and what to do.

use std::io;
use std::path::PathBuf;

use secret_memory::OutOfSecretMemory;

use super::UnusableKey;

/// Why an agent gave no evidence. Whatever it is, nothing was changed anywhere.
#[derive(Debug, thiserror::Error)]
pub enum SshAgentError {
    /// Nothing listens on the socket.
    #[error(
        "no ssh-agent at {}: {source}; nothing was changed. Start one with `eval $(ssh-agent)` and \
         `ssh-add`, or set SSH_AUTH_SOCK to the socket of the one that runs",
        socket.display()
    )]
    NoAgent {
        /// Where it was looked for.
        socket: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The connection broke before the answer was complete.
    #[error(
        "the ssh-agent went away before it had answered: {0}; nothing was changed. Look whether it \
         still runs with `ssh-add -l`, and try again"
    )]
    Broken(#[source] io::Error),
    /// The answer wasn't complete in time.
    #[error(
        "the ssh-agent did not answer within {seconds} s; nothing was changed. Confirm the use of the \
         key where the agent asks for it, or see with `ssh-add -l` whether it works, and try again"
    )]
    Silent {
        /// How long it had, in seconds.
        seconds: u64,
    },
    /// It holds keys, and not this one.
    #[error(
        "the ssh-agent does not hold the key {fingerprint}; nothing was changed. Add it with `ssh-add \
         FILE`, and try again"
    )]
    KeyMissing {
        /// Which key, as `ssh-add -l` shows it.
        fingerprint: String,
    },
    /// It holds no key at all; a locked agent says the same.
    #[error(
        "the ssh-agent holds no keys, or is locked; the key {fingerprint} is needed, and nothing was \
         changed. Unlock it with `ssh-add -X`, or add the key with `ssh-add FILE`, and try again"
    )]
    NoKeys {
        /// Which key is needed, as `ssh-add -l` shows it.
        fingerprint: String,
    },
    /// It holds the key, and doesn't sign.
    #[error(
        "the ssh-agent holds the key {fingerprint} and refused to sign with it; nothing was changed. \
         Confirm the use of the key when asked; if the key was added for certain hosts only \
         (`ssh-add -h`), add it without; then try again"
    )]
    Refused {
        /// Which key, as `ssh-add -l` shows it.
        fingerprint: String,
    },
    /// This kind of key can't be a factor.
    #[error(
        "the key {fingerprint} cannot be a factor: {reason}; nothing was changed. Make one with \
         `ssh-keygen -t ed25519`, and add it with `ssh-add FILE`"
    )]
    Unusable {
        /// Which key, as `ssh-add -l` shows it.
        fingerprint: String,
        /// Why not.
        reason: UnusableKey,
    },
    /// Two signatures over the same bytes differ.
    #[error(
        "the ssh-agent signs the same bytes differently each time with the key {fingerprint}, so the \
         key cannot be a factor; nothing was changed. Use a key that lies in a file, in the ssh-agent \
         of OpenSSH"
    )]
    NotDeterministic {
        /// Which key, as `ssh-add -l` shows it.
        fingerprint: String,
    },
    /// The answer isn't what the protocol says.
    #[error(
        "the ssh-agent's answer makes no sense: {0}; nothing was changed. Use the ssh-agent of OpenSSH"
    )]
    Malformed(&'static str),
    /// The stored public key can't be read or can't be a factor.
    #[error(
        "the stored public key of the factor is damaged; nothing was changed. Unlock with another \
         factor, revoke this one, and enrol it again"
    )]
    BadParameters,
    /// The answer has no room.
    #[error(
        "no secret memory is left for the ssh-agent's answer; nothing was changed. Close other \
             sessions, or raise the limit of locked memory (ulimit -l), and try again"
    )]
    Memory(#[from] OutOfSecretMemory),
    /// The kernel gave no random bytes.
    #[error("the kernel gave no random bytes for a challenge; nothing was changed. Try again")]
    Randomness,
}
