//! `seal "pkcs11"`: a key in a hardware security module, or in software that speaks PKCS #11. The keys are named as OpenBao
//! names them.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER_PERMISSIVE;

use super::seal::{allowed_keys, timeout};
use super::{ConfigError, FileSetting};
use crate::secret::SecretText;
use crate::stanza::Stanza;

/// `seal "pkcs11"`.
pub struct Pkcs11 {
    /// The module: a shared library, which runs in the server's process.
    pub library: FileSetting,
    /// Which token of the module.
    pub token: TokenChoice,
    /// Its user's PIN.
    pub pin: Pin,
    /// The label of the key.
    pub key_label: Option<String>,
    /// The id of the key (`CKA_ID`).
    pub key_id: Option<Vec<u8>>,
    /// The longest that one call may take.
    pub timeout: Duration,
    /// Labels of other keys of the token, which namespaces may choose for themselves.
    pub allowed_keys: Vec<String>,
}

/// Which token of a module.
pub enum TokenChoice {
    /// The one in this slot.
    Slot(u64),
    /// The one with this label.
    Label(String),
}

/// Where a PIN is.
pub enum Pin {
    /// In the configuration.
    Text(Arc<SecretText>),
    /// In a file, which may end in a newline.
    File(FileSetting),
}

pub(super) fn pkcs11(stanza: &mut Stanza) -> Result<Pkcs11, ConfigError> {
    let library = stanza.file("lib")?.ok_or_else(|| missing(stanza, "lib"))?;
    if !library.path.is_absolute() {
        return Err(library.setting.wrong("must be an absolute path: the library runs in the server's process"));
    }
    mechanism(stanza)?;
    let key_label = stanza.text("key_label")?.map(|(label, _)| label).filter(|label| !label.is_empty());
    let key_id = key_id(stanza)?;
    if key_label.is_none() && key_id.is_none() {
        return Err(missing(stanza, "key_label or key_id"));
    }
    Ok(Pkcs11 {
        library,
        token: token(stanza)?,
        pin: pin(stanza)?,
        key_label,
        key_id,
        timeout: timeout(stanza)?,
        allowed_keys: allowed_keys(stanza)?,
    })
}

fn missing(stanza: &Stanza, key: &str) -> ConfigError {
    ConfigError::Missing { place: stanza.place.clone(), problem: format!("seal \"pkcs11\" {key}: is missing") }
}

/// The one that is offered, if any is named.
fn mechanism(stanza: &mut Stanza) -> Result<(), ConfigError> {
    match stanza.text("mechanism")? {
        Some((mechanism, setting)) if !["CKM_AES_GCM", "0x1087", "0x00001087", "4231"].contains(&mechanism.as_str()) => {
            Err(setting.wrong("only \"CKM_AES_GCM\" (0x1087) is offered"))
        }
        _ => Ok(()),
    }
}

fn token(stanza: &mut Stanza) -> Result<TokenChoice, ConfigError> {
    let slot = stanza.integer("slot")?;
    let label = stanza.text("token_label")?.filter(|(label, _)| !label.is_empty());
    match (slot, label) {
        (Some((slot, _)), None) => Ok(TokenChoice::Slot(slot)),
        (None, Some((label, _))) => Ok(TokenChoice::Label(label)),
        (None, None) => Err(missing(stanza, "slot or token_label")),
        (Some((_, slot)), Some((_, label))) => Err(slot.wrong(format!("token_label is set in {}: keep either", label.place))),
    }
}

fn pin(stanza: &mut Stanza) -> Result<Pin, ConfigError> {
    match (stanza.secret("pin")?, stanza.file("pin_file")?) {
        (Some((pin, setting)), None) if pin.expose().is_empty() => Err(setting.wrong("must not be empty")),
        (Some((pin, _)), None) => Ok(Pin::Text(Arc::new(pin))),
        (None, Some(file)) => Ok(Pin::File(file)),
        (None, None) => Err(missing(stanza, "pin or pin_file")),
        (Some((_, setting)), Some(file)) => {
            Err(setting.wrong(format!("a pin_file is set in {}: keep either", file.setting.place)))
        }
    }
}

fn key_id(stanza: &mut Stanza) -> Result<Option<Vec<u8>>, ConfigError> {
    let Some((digits, setting)) = stanza.text("key_id")? else { return Ok(None) };
    let id = HEXLOWER_PERMISSIVE.decode(digits.strip_prefix("0x").unwrap_or(&digits).as_bytes());
    let id = id.ok().filter(|id| !id.is_empty());
    id.map(Some).ok_or_else(|| setting.wrong("must be the hexadecimal digits of the key's id, like \"0x01\""))
}
