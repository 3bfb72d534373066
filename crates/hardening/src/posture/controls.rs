//! Which requirements a check is evidence for.
//!
//! Conservative: a control is listed where the measured property is (part of) what it asks for.
//! `SRG-OS-…` are requirements of DISA's General Purpose Operating System SRG.

/// Isolate security functions from nonsecurity functions (SC-3).
const ISOLATE_SECURITY_FUNCTIONS: &str = "SRG-OS-000134-GPOS-00068";
/// Prevent unintended information transfer via shared system resources (SC-4).
const SHARED_RESOURCES: &str = "SRG-OS-000138-GPOS-00069";
/// No software executes at higher privilege levels than its user (AC-6 (8)).
const NO_HIGHER_PRIVILEGE: &str = "SRG-OS-000326-GPOS-00126";
/// Non-executable data, against unauthorised code execution (SI-16).
const NON_EXECUTABLE_DATA: &str = "SRG-OS-000433-GPOS-00192";
/// Verify correct operation of all security functions (SI-6 a).
const VERIFY_SECURITY_FUNCTIONS: &str = "SRG-OS-000445-GPOS-00199";
/// Disable what is not essential (CM-7 a).
const ONLY_ESSENTIAL: &str = "SRG-OS-000095-GPOS-00049";
/// Prohibit or restrict functions, ports, protocols and services (CM-7 b).
const RESTRICT_PROTOCOLS: &str = "SRG-OS-000096-GPOS-00050";
/// Configure as the security guides say (CM-6 b); where the STIGs put core dumps.
const CONFIGURED_AS_GUIDED: &str = "SRG-OS-000480-GPOS-00227";

/// The controls of the check called `id`.
pub(super) fn of(id: &str) -> &'static [&'static str] {
    match id {
        "kernel-memfd-secret" | "kernel-config-secretmem" | "secret-memory" => {
            &["SC-4", "SC-39", "SI-16", SHARED_RESOURCES]
        }
        "locked-memory" => &["SC-4", SHARED_RESOURCES],
        "kernel-landlock" | "kernel-config-landlock" => {
            &["AC-3", "AC-6", "SC-3", "SC-39", ISOLATE_SECURITY_FUNCTIONS]
        }
        // These two are asked of every thread again at each start, and at each report.
        "landlock" => &[
            "AC-3",
            "AC-6",
            "SC-3",
            "SC-39",
            "SI-6",
            ISOLATE_SECURITY_FUNCTIONS,
            VERIFY_SECURITY_FUNCTIONS,
        ],
        "seccomp" => &[
            "AC-6",
            "CM-7",
            "SC-39",
            "SI-6",
            "SI-16",
            ONLY_ESSENTIAL,
            NON_EXECUTABLE_DATA,
            VERIFY_SECURITY_FUNCTIONS,
        ],
        "kernel-config-seccomp" | "kernel-config-seccomp-filter" => {
            &["CM-7", "SC-39", ONLY_ESSENTIAL]
        }
        "no-new-privs" => &["AC-6", "AC-6(8)", NO_HIGHER_PRIVILEGE],
        "capabilities" => &["AC-6", "CM-7", ONLY_ESSENTIAL],
        "dumpable" => &["SC-4", "SC-39", SHARED_RESOURCES],
        "core-limit" => &["SC-4", "CM-6", CONFIGURED_AS_GUIDED],
        "network" => &["SC-7", "CM-7", RESTRICT_PROTOCOLS],
        _ => &[],
    }
}
