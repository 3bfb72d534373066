//! The system calls of a daemon in its service phase, and no other.

#[macro_use]
mod rule;

pub mod oci;
mod service;
mod startup;

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

pub use rule::{Allowed, Rule, Test, Width};
pub use service::SERVICE;
pub use startup::{STARTUP, UNKNOWN};

/// What a system call outside the table returns.
///
/// An error, and not the end of the process: a C library that uses a call nobody foresaw must
/// degrade, because a ceremony can't be patched that day. The call is denied either way.
pub const MISMATCH_ERRNO: i32 = libc::EPERM;

/// Why the filter is not in force.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    /// Two rules of the table are about one system call, and the second would replace the first.
    #[error("the table of system calls has two rules for {0}")]
    Duplicate(&'static str),
    /// The table can't be turned into a filter, on this architecture or at all.
    #[error("the table of system calls can't be compiled")]
    Compile(#[from] seccompiler::BackendError),
    /// The kernel refused the filter.
    #[error("cannot apply the seccomp filter; the kernel needs CONFIG_SECCOMP_FILTER=y")]
    Apply(#[source] io::Error),
    /// One thread has a filter of its own that is not an ancestor of this one. None was changed.
    #[error("thread {0} can't take the seccomp filter, because it has another one")]
    Thread(i64),
}

/// Allows every thread of this process what `table` lists, at once and for good.
///
/// The threads must exist by now: `clone(2)` is not in [`SERVICE`].
///
/// # Errors
/// [`SeccompError`]; no thread is under the filter then.
pub fn apply_to_every_thread(table: &[Rule]) -> Result<(), SeccompError> {
    let program = compile(table)?;
    seccompiler::apply_filter_all_threads(&program).map_err(|error| match error {
        seccompiler::Error::Backend(error) => SeccompError::Compile(error),
        seccompiler::Error::ThreadSync(thread) => SeccompError::Thread(thread),
        seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => {
            SeccompError::Apply(error)
        }
        error => SeccompError::Apply(io::Error::other(error)),
    })
}

/// The filter for the architecture this was built for, as the kernel takes it.
///
/// A call by another architecture's numbers (32-bit x86) ends the process.
///
/// # Errors
/// [`SeccompError::Duplicate`] and [`SeccompError::Compile`].
pub fn compile(table: &[Rule]) -> Result<BpfProgram, SeccompError> {
    let mut rules = BTreeMap::new();
    for rule in table {
        if rules.insert(rule.number, conditions(&rule.allowed)?).is_some() {
            return Err(SeccompError::Duplicate(rule.name));
        }
    }
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    // The kernel reports an errno as a positive number.
    let mismatch = SeccompAction::Errno(MISMATCH_ERRNO.unsigned_abs());
    let filter = SeccompFilter::new(rules, mismatch, SeccompAction::Allow, architecture)?;
    Ok(BpfProgram::try_from(filter)?)
}

/// One [`SeccompRule`] for each alternative; none at all means that every argument will do.
fn conditions(allowed: &Allowed) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let Allowed::When { argument, width, any_of } = allowed else {
        return Ok(Vec::new());
    };
    let width = || match width {
        Width::Int => SeccompCmpArgLen::Dword,
        Width::Long => SeccompCmpArgLen::Qword,
    };
    let alternative = |test: &Test| {
        let (operator, value) = match *test {
            Test::Equals(value) => (SeccompCmpOp::Eq, value),
            Test::NoneOf(mask) => (SeccompCmpOp::MaskedEq(mask), 0),
            Test::AllOf(mask) => (SeccompCmpOp::MaskedEq(mask), mask),
        };
        SeccompRule::new(vec![SeccompCondition::new(*argument, width(), operator, value)?])
    };
    any_of.iter().map(alternative).collect()
}
