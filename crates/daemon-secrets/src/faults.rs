//! Errors of the layers below, as a caller is told them.

use std::io;

use ipc::{Fault, FaultKind};
use key_hierarchy::share::ShareError;
use key_hierarchy::{EnrolmentError, KdfError, MetadataError, OpenError};
use site_config::NameError;
use vault::VaultError;

pub fn from_vault(error: &VaultError) -> Fault {
    let kind = match error {
        VaultError::Tampered { .. } | VaultError::Damaged { .. } => FaultKind::Tampered,
        VaultError::WrongKeyOrDamaged | VaultError::Format { .. } => FaultKind::Tampered,
        VaultError::OutOfSecretMemory | VaultError::InUse => FaultKind::Busy,
        VaultError::TooLarge { .. } => FaultKind::InvalidInput,
        VaultError::NotSqlCipher => FaultKind::Internal,
        _ => FaultKind::Storage,
    };
    let text = match error {
        VaultError::Io(cause) => format!("{error}: {cause}"),
        _ => error.to_string(),
    };
    Fault::new(kind, text)
}

pub fn from_name(error: &NameError) -> Fault {
    Fault::new(FaultKind::InvalidInput, error.to_string())
}

pub fn from_kdf(error: &KdfError) -> Fault {
    let kind = match error {
        KdfError::Parameters => FaultKind::Tampered,
        KdfError::Memory(_) | KdfError::OutOfMemory => FaultKind::Busy,
        KdfError::Random => FaultKind::Internal,
    };
    Fault::new(kind, error.to_string())
}

pub fn from_metadata(error: &MetadataError) -> Fault {
    let text = format!("{error}. Nothing was changed; restore the profile from a backup");
    Fault::new(FaultKind::Tampered, text)
}

pub fn from_enrolment(error: &EnrolmentError) -> Fault {
    let kind = match error {
        EnrolmentError::Kdf(error) => return from_kdf(error),
        EnrolmentError::NoFactor(_) => FaultKind::NotFound,
        EnrolmentError::LabelTaken(_) => FaultKind::Exists,
        EnrolmentError::TooMany | EnrolmentError::Unsatisfiable(_) => FaultKind::InvalidInput,
    };
    Fault::new(kind, format!("{error}; nothing was changed"))
}

pub fn from_open(error: &OpenError) -> Fault {
    match error {
        OpenError::Kdf(error) => from_kdf(error),
        OpenError::Incomplete => Fault::new(FaultKind::Incomplete, error.to_string()),
        OpenError::Edited => {
            Fault::new(FaultKind::Tampered, format!("{error}. Nothing was unlocked"))
        }
    }
}

pub fn from_share(error: &ShareError) -> Fault {
    let kind = match error {
        ShareError::Kdf(error) => return from_kdf(error),
        ShareError::WrongPassphrase { .. } => FaultKind::WrongFactor,
        _ => FaultKind::InvalidInput,
    };
    Fault::new(kind, error.to_string())
}

pub fn from_storage(what: &str, error: &io::Error) -> Fault {
    Fault::new(FaultKind::Storage, format!("{what}: {error}"))
}
