//! Keys that somebody else made, wrapped to the mount's wrapping key: RSA-OAEP(ephemeral AES key) ‖ AES-KWP(key).

use super::batch::base64;
use super::keys::{self, NewKey};
use super::record::{self, TransitWrappingKey, wrapping_address};
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Txn};
use crate::crypto;
use crate::crypto::transit::{Hash, Key, KeyError, KeyType, WrappingKey};
use crate::fields::Fields;
use crate::json::Json;
use crate::secret::SecretBytes;

/// What is imported.
pub enum Given {
    /// A wrapped key, and the hash of its OAEP.
    Wrapped(Vec<u8>, Hash),
    /// A public key as PEM.
    Public(String),
}

/// The first version of a new key.
pub struct Import {
    new: NewKey,
    rotates: bool,
    given: Given,
}

impl Given {
    pub(super) fn parse(fields: &Fields<'_>) -> Result<Self, Refusal> {
        let text = |name: &str| Ok::<_, Refusal>(fields.text(name)?.filter(|text| !text.is_empty()));
        let hash = match text("hash_function")?.map(|name| name.to_ascii_uppercase()).as_deref() {
            None | Some("SHA256") => Hash::Sha256,
            Some("SHA1") => Hash::Sha1,
            Some("SHA384") => Hash::Sha384,
            Some("SHA512") => Hash::Sha512,
            Some(other) => {
                return Err(Refusal::Invalid(format!(
                    "unknown hash function: {}; SHA1, SHA256, SHA384 and SHA512 are known",
                    other.to_ascii_lowercase()
                )));
            }
        };
        match (text("ciphertext")?, text("public_key")?) {
            (Some(_), Some(_)) => {
                Err(Refusal::invalid("only one of the following fields, ciphertext and public_key, can be set"))
            }
            (Some(wrapped), None) => Ok(Self::Wrapped(base64(&wrapped).map_err(Refusal::Invalid)?, hash)),
            (None, Some(public)) => Ok(Self::Public(public)),
            (None, None) => Err(Refusal::invalid("no ciphertext (a wrapped key) and no public_key given to import")),
        }
    }
}

impl Import {
    pub(super) fn parse(fields: &Fields<'_>) -> Result<Self, Refusal> {
        let given = Given::parse(fields)?;
        let mut new = NewKey::parse(fields)?;
        if new.convergent {
            return Err(Refusal::invalid("import cannot be used on keys with convergent encryption enabled"));
        }
        // The length is that of what is imported.
        new.mac_bytes = 32;
        new.check()?;
        Ok(Self { new, rotates: fields.boolean("allow_rotation")?.unwrap_or(false), given })
    }
}

async fn stored(place: &Place, txn: &mut Txn) -> Result<SecretBytes, Refusal> {
    let address = wrapping_address(place);
    if let Some(found) = txn.read::<TransitWrappingKey>(&place.tenant, &address).await? {
        return Ok(found.value.0.duplicate());
    }
    let failed = || Refusal::Internal("a wrapping key could not be made".to_owned());
    let made = txn.once(crypto::sha256(&[b"strongroom transit wrapping key"]), async move {
        let made = tokio::task::spawn_blocking(WrappingKey::generate).await;
        made.map_err(|_| failed())?.map_err(|_| failed())
    });
    let made = TransitWrappingKey(made.await?.duplicate());
    txn.put(&place.tenant, &address, &made, None).await?;
    Ok(made.0)
}

/// The public key to wrap to; made when it is first asked for.
pub(super) async fn wrapping_key(place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let failed = |_| Refusal::Internal("the wrapping key cannot be used".to_owned());
    let public = WrappingKey::new(&stored(place, txn).await?).and_then(|key| key.public()).map_err(failed)?;
    Ok(Answer::data(Json::object(|out| {
        out.field("public_key", &public);
    })))
}

/// The key that was given. A wrapped key that does not open says no more than that.
async fn opened(kind: KeyType, given: Given, place: &Place, txn: &mut Txn) -> Result<Key, Refusal> {
    let made = match given {
        Given::Public(text) => Key::import_public(kind, &text),
        Given::Wrapped(wrapped, hash) => {
            if wrapped.len() < 512 + 16 {
                return Err(Refusal::invalid("provided ciphertext is too short"));
            }
            let wrapping = stored(place, txn).await?;
            let name = crypto::sha256(&[b"strongroom transit import", &wrapped]);
            let opened = txn.once(name, async move {
                let work = move || {
                    let key = WrappingKey::new(&wrapping)?.unwrap(hash, &wrapped)?;
                    Key::import(kind, &key)
                };
                let failed = |_| Refusal::Internal("a key could not be imported".to_owned());
                tokio::task::spawn_blocking(work).await.map_err(failed)
            });
            match opened.await?.as_ref() {
                Ok(key) => Ok(key.duplicate()),
                Err(error) => Err(*error),
            }
        }
    };
    made.map_err(|error| match error {
        KeyError::Import(text) => Refusal::Invalid(format!("error importing key: {text}")),
        _ => Refusal::invalid(
            "error importing key: the ciphertext does not open: it is RSA-OAEP of an AES key, by the wrapping_key of this mount, \
             and then AES-KWP of the key",
        ),
    })
}

/// Makes a key of what is imported.
pub(super) async fn import(name: &str, import: Import, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    if record::find(name, place, txn).await?.is_some() {
        return Err(Refusal::invalid(
            "the import path cannot be used with an existing key; use import-version to rotate an existing imported key",
        ));
    }
    let Import { new, rotates, given } = import;
    if new.derived && matches!(given, Given::Public(_)) {
        return Err(Refusal::invalid("a public key alone cannot be imported for a derived key"));
    }
    let first = opened(new.kind, given, place, txn).await?;
    let mut key = new.empty();
    key.settings.mac_bytes = if new.kind == KeyType::Hmac { first.mac_key().len() } else { 0 };
    key.settings.imported = true;
    key.settings.imported_rotates = rotates;
    key.push(first, txn.now());
    record::write(name, &key, place, txn).await?;
    Ok(Answer::Empty)
}

/// Adds a version to an imported key, or the private key to a public one.
pub(super) async fn import_version(
    name: &str,
    given: Given,
    into: Option<i64>,
    place: &Place,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    let found = record::read(name, place, txn).await?;
    let mut ring = found.ok_or_else(|| {
        Refusal::Invalid(format!("no key found with name {name}; to import a new key, use the import/ endpoint"))
    })?;
    let settings = &ring.key.settings;
    if !settings.imported {
        return Err(Refusal::invalid("the import_version endpoint can only be used with an imported key"));
    }
    if settings.convergent {
        return Err(Refusal::invalid("import_version cannot be used on keys with convergent encryption enabled"));
    }
    let key = opened(settings.kind, given, place, txn).await?;
    let version = match into {
        None => settings.latest,
        Some(version) => u32::try_from(version)
            .ok()
            .filter(|version| ring.key.keys.contains_key(version))
            .ok_or_else(|| Refusal::invalid("no such key version"))?,
    };
    let public_only = ring.key.keys.get(&version).is_some_and(|known| !known.has_private());
    let same = ring.key.keys.get(&version).is_some_and(|known| known.parts().1 == key.parts().1);
    match (public_only && key.has_private(), same, into) {
        (true, true, _) => {
            let (private, public, _) = key.parts();
            let mac = ring.key.keys.get(&version).map(|known| known.mac_key().duplicate());
            let mac = mac.unwrap_or_else(|| key.mac_key().duplicate());
            let whole = Key::stored(key.kind(), private.map(SecretBytes::duplicate), public.to_vec(), mac);
            ring.key.keys.insert(version, whole);
        }
        (true, false, Some(_)) => return Err(Refusal::invalid("cannot import key, key pair does not match")),
        (false, _, Some(_)) => return Err(Refusal::invalid("private key imported, key version cannot be updated")),
        (_, _, None) => {
            keys::full(&ring.key)?;
            ring.key.push(key, txn.now());
        }
    }
    record::write(name, &ring.key, place, txn).await?;
    Ok(Answer::Empty)
}
