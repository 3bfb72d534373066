//! How a TPM is reached.

use std::ffi::CString;
use std::fmt;
use std::str::FromStr;

use tss_esapi::tcti_ldr::TctiNameConf;

use super::TpmError;

/// How a TPM is reached: the TPM Command Transmission Interface (TCG TSS 2.0 TCTI).
///
/// `device:PATH` with a path from the root, or `swtpm:host=HOST,port=PORT` for a software TPM. The
/// default is the kernel's resource manager, `device:/dev/tpmrm0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcti(TctiNameConf);

impl Default for Tcti {
    fn default() -> Self {
        "device:/dev/tpmrm0".parse().expect("as the documentation has it")
    }
}

impl FromStr for Tcti {
    type Err = TpmError;

    /// Stricter than the library, which takes what it doesn't understand for the default, and knows
    /// transports that Sesame has no use for.
    fn from_str(text: &str) -> Result<Self, TpmError> {
        let understood = match text.split_once(':') {
            Some(("device", path)) => path.starts_with('/'),
            Some(("swtpm", address)) => is_address(address),
            _ => false,
        };
        let conf = if understood { TctiNameConf::from_str(text).ok() } else { None };
        // The library checks the rest, such as the host's name, when it makes this text of it.
        let conf = conf.filter(|conf| CString::try_from(conf.clone()).is_ok());
        conf.map(Self).ok_or_else(|| TpmError::NotATcti { text: text.to_owned() })
    }
}

fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.split_once(',') else { return false };
    let host = host.strip_prefix("host=").is_some_and(|host| !host.is_empty());
    let port = port.strip_prefix("port=").is_some_and(|port| port.parse::<u16>().is_ok());
    host && port
}

impl Tcti {
    pub(super) fn conf(&self) -> TctiNameConf {
        self.0.clone()
    }
}

impl fmt::Display for Tcti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match CString::try_from(self.conf()) {
            Ok(text) => f.write_str(&text.to_string_lossy()),
            Err(_) => f.write_str("a TPM"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_used() {
        for text in ["device:/dev/tpmrm0", "device:/dev/tpm1", "swtpm:host=127.0.0.1,port=2321"] {
            assert_eq!(text.parse::<Tcti>().unwrap().to_string(), text);
        }
        assert_eq!(Tcti::default().to_string(), "device:/dev/tpmrm0");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let texts = [
            "",
            "device",
            "device:",
            "device:tpm0",
            "swtpm",
            "swtpm:",
            "swtpm:port=2321",
            "swtpm:host=,port=1",
            "swtpm:host=a,port=70000",
            "swtpm:host=a,port=1,x=2",
            "swtpm:host=a b,port=1",
            "mssim:host=127.0.0.1,port=2321",
            "tabrmd",
            "/dev/tpmrm0",
            "device:/dev/tpm\0",
        ];
        for text in texts {
            let refused = text.parse::<Tcti>();
            assert!(matches!(refused, Err(TpmError::NotATcti { .. })), "{text}: {refused:?}");
        }
    }
}
