//! One row of a table of system calls, as plain data: a filter is compiled from it, and other
//! formats (an OCI `seccomp.json`) can be written from it.

/// A system call that is allowed, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The kernel's name of the call.
    pub name: &'static str,
    /// Its number on the architecture this was built for.
    pub number: i64,
    /// With which arguments it is allowed.
    pub allowed: Allowed,
    /// What in the daemon needs it.
    pub reason: &'static str,
}

/// With which arguments a call is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// With any.
    Always,
    /// When one argument passes one of the tests.
    When {
        /// Which argument, counted from 0.
        argument: u8,
        /// How much of it the kernel looks at.
        width: Width,
        /// The alternatives. Must not be empty.
        any_of: &'static [Test],
    },
}

/// How much of an argument the kernel looks at; the filter must look at exactly that much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// The lower 32 bits, for an `int`.
    Int,
    /// All 64 bits, for a `long` or a pointer.
    Long,
}

/// A test of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// It has this value.
    Equals(u64),
    /// None of these bits is set.
    NoneOf(u64),
    /// All of these bits are set.
    AllOf(u64),
}

/// `SYS_read` without its prefix, so that a name can't contradict its number.
pub(super) const fn name_of(constant: &'static str) -> &'static str {
    match constant.split_at_checked("SYS_".len()) {
        Some((_, name)) => name,
        None => constant,
    }
}

pub(super) const fn int(argument: u8, any_of: &'static [Test]) -> Allowed {
    Allowed::When { argument, width: Width::Int, any_of }
}

pub(super) const fn long(argument: u8, any_of: &'static [Test]) -> Allowed {
    Allowed::When { argument, width: Width::Long, any_of }
}

pub(super) const fn is(value: i32) -> Test {
    Test::Equals(value as u32 as u64)
}

/// A row; the name comes from the constant that gives the number.
macro_rules! allow {
    ($constant:ident, $reason:expr) => {
        allow!($constant = libc::$constant, $crate::seccomp::rule::Allowed::Always, $reason)
    };
    ($constant:ident, $allowed:expr, $reason:expr) => {
        allow!($constant = libc::$constant, $allowed, $reason)
    };
    ($constant:ident = $number:expr, $allowed:expr, $reason:expr) => {
        $crate::seccomp::rule::Rule {
            name: $crate::seccomp::rule::name_of(stringify!($constant)),
            number: $number,
            allowed: $allowed,
            reason: $reason,
        }
    };
}
