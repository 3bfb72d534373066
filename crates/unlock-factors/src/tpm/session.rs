//! One conversation with a TPM, and what is left of it in the TPM: nothing.

use secret_memory::{Secret, SecretBytes};
use sha2::{Digest as _, Sha256};
use tss_esapi::attributes::{ObjectAttributes, SessionAttributesBuilder};
use tss_esapi::constants::{CapabilityType, PropertyTag, SessionType};
use tss_esapi::handles::{KeyHandle, ObjectHandle};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{
    Auth, CapabilityData, Digest, EccParameter, EccPoint, EccScheme, KeyDerivationFunctionScheme,
    KeyedHashScheme, PcrSelectionList, PcrSlot, Private, Public, PublicBuffer, PublicBuilder,
    PublicEccParametersBuilder, PublicKeyedHashParameters, SensitiveData, SymmetricDefinition,
    SymmetricDefinitionObject,
};
use tss_esapi::traits::{Marshall, UnMarshall};
use tss_esapi::{Context, WrapperErrorKind};

use super::error::Reason;
use super::{Tcti, TpmError};

/// A connection with its storage primary and one session salted to it.
///
/// Dropping the context flushes every session and every object that it made, also after an error.
pub(super) struct Session {
    context: Context,
    primary: KeyHandle,
    name: Vec<u8>,
    /// Authenticates, and where asked for encrypts, what no policy session does.
    salted: AuthSession,
}

/// What the TPM compares: the SHA-256 of the PIN, so that it takes a PIN of any length.
pub(super) struct AuthValue(Secret<32>);

impl AuthValue {
    pub(super) fn from_pin(pin: &SecretBytes) -> Result<Self, TpmError> {
        if pin.is_empty() {
            return Err(TpmError::PinEmpty);
        }
        Ok(Self(Secret::from_fn(|digest| {
            Sha256::new_with_prefix(pin.expose()).finalize_into(digest.into());
        })))
    }

    fn to_auth(&self) -> Result<Auth, TpmError> {
        Auth::try_from(self.0.expose().as_slice()).map_err(during("taking the PIN"))
    }
}

impl Session {
    /// Of any TPM: for enrolment.
    pub(super) fn open(tcti: &Tcti) -> Result<Self, TpmError> {
        Self::start(tcti, None)
    }

    /// Of the TPM whose primary has this Name; nothing is sent to another but the request for it.
    pub(super) fn open_known(tcti: &Tcti, name: &[u8]) -> Result<Self, TpmError> {
        Self::start(tcti, Some(name))
    }

    pub(super) fn describe(tcti: &Tcti) -> Result<String, TpmError> {
        let mut context = connect(tcti)?;
        let vendor =
            tss_esapi::utils::get_tpm_vendor(&mut context).map_err(during("asking who made it"))?;
        let manufacturer = property(&mut context, PropertyTag::Manufacturer)?;
        let version = property(&mut context, PropertyTag::FirmwareVersion1)?;
        let (major, minor) = (version >> 16, version & 0xffff);
        let text = manufacturer.to_be_bytes().map(char::from).into_iter().chain([' ']);
        let text: String = text.chain(vendor.trim().chars()).filter(printable).collect();
        Ok(format!("{}, firmware {major}.{minor}", text.trim_end()))
    }

    fn start(tcti: &Tcti, expected: Option<&[u8]>) -> Result<Self, TpmError> {
        let mut context = connect(tcti)?;
        let primary = create_primary(&mut context)?;
        // The library has checked that the Name belongs to the key that the salt is encrypted to.
        let name = context.tr_get_name(primary.into()).map_err(during("reading a Name"))?;
        let name = name.value().to_vec();
        if expected.is_some_and(|expected| expected != name) {
            return Err(TpmError::OtherTpm);
        }
        let salted = start_salted(&mut context, primary, SessionType::Hmac)?;
        Ok(Self { context, primary, name, salted })
    }

    pub(super) fn primary_name(&self) -> &[u8] {
        &self.name
    }

    /// A TPM takes PCRs that no bank has for none at all, and the policy would demand nothing.
    pub(super) fn require_bank(&mut self, pcrs: &[u8]) -> Result<(), TpmError> {
        if pcrs.is_empty() {
            return Ok(());
        }
        let (assigned, _) = self
            .context
            .get_capability(CapabilityType::AssignedPcr, 0, 1)
            .map_err(during("listing its PCRs"))?;
        let CapabilityData::AssignedPcr(banks) = assigned else { return Err(TpmError::NoPcrBank) };
        let bank = banks
            .get_selections()
            .iter()
            .find(|bank| bank.hashing_algorithm() == HashingAlgorithm::Sha256)
            .ok_or(TpmError::NoPcrBank)?;
        match slots(pcrs)?.iter().all(|&slot| bank.is_selected(slot)) {
            true => Ok(()),
            false => Err(TpmError::NoPcrBank),
        }
    }

    /// Seals `piece`; gives the marshalled public part, and the private one, encrypted by the TPM.
    pub(super) fn seal(
        &mut self,
        piece: &SecretBytes,
        pcrs: &[u8],
        auth: Option<&AuthValue>,
    ) -> Result<(Vec<u8>, Vec<u8>), TpmError> {
        let doing = "sealing";
        let trial = self.policy(SessionType::Trial, pcrs, auth.is_some())?;
        let policy = self
            .salted(Protect::Integrity, |context| context.policy_get_digest(trial))
            .map_err(during("making the policy"))?;
        let template = sealed_template(policy, auth.is_some()).map_err(during(doing))?;
        let data = SensitiveData::try_from(piece.expose()).map_err(during(doing))?;
        let auth = auth.map(AuthValue::to_auth).transpose()?;
        let primary = self.primary;
        let sealed = self
            .salted(Protect::Content, |context| {
                context.create(primary, template, auth, Some(data), None, None)
            })
            .map_err(during(doing))?;
        let public = PublicBuffer::try_from(sealed.out_public).map_err(during(doing))?;
        Ok((public.marshall().map_err(during(doing))?, sealed.out_private.value().to_vec()))
    }

    /// Loads what [`Session::seal`] gave, and asks for the piece.
    pub(super) fn unseal(
        &mut self,
        public: &[u8],
        private: &[u8],
        pcrs: &[u8],
        auth: Option<&AuthValue>,
    ) -> Result<SecretBytes, TpmError> {
        let object = self.load(public, private)?;
        if let Some(auth) = auth {
            let auth = auth.to_auth()?;
            self.context.tr_set_auth(object, auth).map_err(during("taking the PIN"))?;
        }
        let policy = self.policy(SessionType::Policy, pcrs, auth.is_some())?;
        let piece = self
            .context
            .execute_with_session(Some(policy.into()), |context| context.unseal(object))
            .map_err(|error| match Reason::of(&error) {
                Reason::Policy => TpmError::PcrsChanged { pcrs: pcrs.to_vec() },
                Reason::Auth => TpmError::WrongPin,
                Reason::Lockout => TpmError::Lockout,
                _ => TpmError::during("unsealing", error),
            })?;
        Ok(SecretBytes::copy_of(piece.value())?)
    }

    fn load(&mut self, public: &[u8], private: &[u8]) -> Result<ObjectHandle, TpmError> {
        let private = Private::try_from(private);
        let (Ok(public), Ok(private)) = (parse_public(public), private) else {
            return Err(TpmError::Damaged);
        };
        let primary = self.primary;
        let loaded = self
            .salted(Protect::Integrity, |context| context.load(primary, private, public))
            .map_err(|error| match Reason::of(&error) {
                Reason::Parameter => TpmError::Damaged,
                _ => TpmError::during("loading the sealed piece", error),
            })?;
        Ok(loaded.into())
    }

    /// A session in which the PCRs and the PIN have been demanded, in this order.
    ///
    /// The commands carry the salted session too, so that nobody in between drops one or bends it.
    fn policy(
        &mut self,
        kind: SessionType,
        pcrs: &[u8],
        pin: bool,
    ) -> Result<PolicySession, TpmError> {
        let session = start_salted(&mut self.context, self.primary, kind)?;
        let policy = PolicySession::try_from(session).map_err(during("starting a session"))?;
        let selection = selection(pcrs)?;
        if let Some(selection) = selection {
            // The empty digest stands for the present values.
            self.salted(Protect::Integrity, |context| {
                context.policy_pcr(policy, Digest::default(), selection)
            })
            .map_err(during("demanding the PCRs"))?;
        }
        if pin {
            self.salted(Protect::Integrity, |context| context.policy_auth_value(policy))
                .map_err(during("demanding the PIN"))?;
        }
        Ok(policy)
    }

    /// Runs `command` with the salted session.
    fn salted<T>(
        &mut self,
        protect: Protect,
        command: impl FnOnce(&mut Context) -> tss_esapi::Result<T>,
    ) -> tss_esapi::Result<T> {
        self::protect(&mut self.context, self.salted, protect)?;
        self.context.execute_with_session(Some(self.salted), command)
    }
}

/// The library finds out with the first command whether what it opened is a TPM.
fn connect(tcti: &Tcti) -> Result<Context, TpmError> {
    if std::env::var_os("TSS2_LOG").is_some_and(|level| level != "all+NONE") {
        return Err(TpmError::LogIsOn);
    }
    let unreachable = |_| TpmError::Unreachable { tcti: tcti.to_string() };
    let mut context = Context::new(tcti.conf()).map_err(unreachable)?;
    context.get_tpm_property(PropertyTag::Manufacturer).map_err(unreachable)?;
    Ok(context)
}

fn property(context: &mut Context, tag: PropertyTag) -> Result<u32, TpmError> {
    let value = context.get_tpm_property(tag).map_err(during("asking who made it"))?;
    Ok(value.unwrap_or_default())
}

/// What a TPM says of itself goes onto a screen.
fn printable(character: &char) -> bool {
    character.is_ascii_graphic() || *character == ' '
}

fn create_primary(context: &mut Context) -> Result<KeyHandle, TpmError> {
    let doing = "making the storage primary";
    let template = storage_template().map_err(during(doing))?;
    let made = context.execute_with_session(Some(AuthSession::Password), |context| {
        context.create_primary(Hierarchy::Owner, template, None, None, None, None)
    });
    let primary = made.map_err(|error| match Reason::of(&error) {
        Reason::Auth => TpmError::OwnerPassword,
        _ => TpmError::during(doing, error),
    })?;
    Ok(primary.key_handle)
}

/// The storage root key of TCG TPM v2.0 Provisioning Guidance §7.5.1, template H-2 of the EK profile with
/// the attributes of an SRK: ECC P-256 with AES-128-CFB. The same each time, until the TPM is cleared.
fn storage_template() -> tss_esapi::Result<Public> {
    let attributes = ObjectAttributes::builder()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_restricted(true)
        .with_decrypt(true)
        .build()?;
    let parameters = PublicEccParametersBuilder::new()
        .with_symmetric(SymmetricDefinitionObject::AES_128_CFB)
        .with_ecc_scheme(EccScheme::Null)
        .with_curve(EccCurve::NistP256)
        .with_key_derivation_function_scheme(KeyDerivationFunctionScheme::Null)
        .with_is_decryption_key(true)
        .with_restricted(true)
        .build()?;
    let zeros = || EccParameter::try_from(vec![0; 32]);
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_ecc_parameters(parameters)
        .with_ecc_unique_identifier(EccPoint::new(zeros()?, zeros()?))
        .build()
}

/// Only the policy opens it (`userWithAuth` is clear), and nobody changes its authorization value
/// (`adminWithPolicy` is set, and the policy allows no such command). With a PIN, `noDA` is clear: wrong
/// PINs are counted. Without one there is nothing to guess, and others' wrong PINs must not lock it.
fn sealed_template(policy: Digest, pin: bool) -> tss_esapi::Result<Public> {
    let attributes = ObjectAttributes::builder()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_admin_with_policy(true)
        .with_no_da(!pin)
        .build()?;
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::KeyedHash)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_auth_policy(policy)
        .with_keyed_hash_parameters(PublicKeyedHashParameters::new(KeyedHashScheme::Null))
        .with_keyed_hash_unique_identifier(Digest::default())
        .build()
}

/// The library takes a size that isn't that of the content.
fn parse_public(bytes: &[u8]) -> tss_esapi::Result<Public> {
    let public = PublicBuffer::unmarshall(bytes)?;
    if public.marshall()? != bytes {
        return Err(tss_esapi::Error::WrapperError(WrapperErrorKind::InvalidParam));
    }
    Public::try_from(public)
}

/// A session whose keys only the holder of the primary's private key can know; it encrypts the first
/// parameter both ways.
fn start_salted(
    context: &mut Context,
    primary: KeyHandle,
    kind: SessionType,
) -> Result<AuthSession, TpmError> {
    let doing = "starting a session";
    let symmetric = SymmetricDefinition::AES_128_CFB;
    let session = context
        .start_auth_session(Some(primary), None, None, kind, symmetric, HashingAlgorithm::Sha256)
        .map_err(during(doing))?
        .ok_or(TpmError::Tampered)?;
    protect(context, session, Protect::Content).map_err(during(doing))?;
    Ok(session)
}

/// What a salted session does for a command and its answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protect {
    /// Nobody changes them.
    Integrity,
    /// Nobody changes them, nor reads their first parameter. Only for commands that have one.
    Content,
}

fn protect(context: &mut Context, session: AuthSession, protect: Protect) -> tss_esapi::Result<()> {
    let encrypt = protect == Protect::Content;
    // A TPM refuses a session that serves neither authorization, encryption nor audit.
    let (attributes, mask) = SessionAttributesBuilder::new()
        .with_decrypt(encrypt)
        .with_encrypt(encrypt)
        .with_audit(!encrypt)
        .build();
    context.tr_sess_set_attributes(session, attributes, mask)
}

fn selection(pcrs: &[u8]) -> Result<Option<PcrSelectionList>, TpmError> {
    if pcrs.is_empty() {
        return Ok(None);
    }
    let list = PcrSelectionList::builder().with_selection(HashingAlgorithm::Sha256, &slots(pcrs)?);
    list.build().map(Some).map_err(during("selecting PCRs"))
}

fn slots(pcrs: &[u8]) -> Result<Vec<PcrSlot>, TpmError> {
    let slot = |&pcr: &u8| {
        let bit = 1_u32.checked_shl(pcr.into()).unwrap_or_default();
        PcrSlot::try_from(bit).map_err(|_| TpmError::NoSuchPcr { pcr })
    };
    pcrs.iter().map(slot).collect()
}

fn during(doing: &'static str) -> impl Fn(tss_esapi::Error) -> TpmError {
    move |error| TpmError::during(doing, error)
}
