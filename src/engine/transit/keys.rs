//! Named keys: making, rotating, configuring, trimming and deleting them.

use std::sync::Arc;
use std::time::Duration;

use super::encrypt::broken;
use super::record::{self, Ring, Settings, TransitConfig, TransitKey, TransitUses, uses_address};
use super::{VERSIONS_MAX, kept, shown};
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Txn};
use crate::crypto;
use crate::crypto::transit::{Key, KeyType};
use crate::fields::Fields;
use crate::record::Kind;
use crate::time::Timestamp;

/// Bytes of HMAC keys.
const MAC_BYTES: std::ops::RangeInclusive<usize> = 32..=512;
/// The shortest time between rotations, in seconds; the longest is a hundred years.
const ROTATE_SECONDS: std::ops::RangeInclusive<u64> = 3600..=100 * 366 * 86_400;

/// What a new key is to be.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "the API has these switches")]
pub struct NewKey {
    pub(super) kind: KeyType,
    pub(super) derived: bool,
    pub(super) convergent: bool,
    pub(super) exportable: bool,
    pub(super) plaintext_backup: bool,
    pub(super) mac_bytes: usize,
    pub(super) rotate_seconds: u64,
}

/// What is changed of a key. `None` leaves it as it is.
pub struct Change {
    min_decryption: Option<i64>,
    min_encryption: Option<i64>,
    deletion_allowed: Option<bool>,
    exportable: Option<bool>,
    plaintext_backup: Option<bool>,
    rotate_seconds: Option<u64>,
}

fn rotation(fields: &Fields<'_>) -> Result<Option<u64>, Refusal> {
    let seconds = fields.duration("auto_rotate_period")?.map(|period| period.as_secs());
    match seconds {
        Some(seconds) if seconds != 0 && seconds < *ROTATE_SECONDS.start() => {
            Err(Refusal::invalid("auto rotate period must be 0 to disable or at least an hour"))
        }
        Some(seconds) if seconds > *ROTATE_SECONDS.end() => Err(Refusal::invalid("auto rotate period: at most a hundred years")),
        other => Ok(other),
    }
}

impl NewKey {
    /// Reads what `keys/:name` and, for a key that is not there, `encrypt/:name` say.
    pub(super) fn parse(fields: &Fields<'_>) -> Result<Self, Refusal> {
        let name = fields.text("type")?.filter(|name| !name.is_empty());
        let name = name.as_deref().unwrap_or("aes256-gcm96");
        let kind = KeyType::parse(name).ok_or_else(|| Refusal::invalid(format!("unknown key type {name}")))?;
        let flag = |name| Ok::<_, Refusal>(fields.boolean(name)?.unwrap_or(false));
        let size = usize::try_from(fields.integer("key_size")?.unwrap_or(0)).unwrap_or(usize::MAX);
        if size != 0 && kind != KeyType::Hmac {
            return Err(Refusal::invalid(format!("key_size is not valid for algorithm {}", kind.name())));
        }
        if size != 0 && !MAC_BYTES.contains(&size) {
            return Err(Refusal::invalid(format!("invalid key_size {size}")));
        }
        Ok(Self {
            kind,
            derived: flag("derived")?,
            convergent: flag("convergent_encryption")?,
            exportable: flag("exportable")?,
            plaintext_backup: flag("allow_plaintext_backup")?,
            mac_bytes: size,
            rotate_seconds: rotation(fields)?.unwrap_or(0),
        })
    }

    /// Whether such a key can be.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let name = self.kind.name();
        if self.convergent && !self.derived {
            return Err(Refusal::invalid("convergent encryption requires derivation to be enabled"));
        }
        if (self.derived && !self.kind.derives()) || (self.convergent && !self.kind.is_symmetric()) {
            return Err(Refusal::Invalid(format!(
                "key derivation and convergent encryption not supported for keys of type {name}"
            )));
        }
        if self.kind == KeyType::Hmac && self.mac_bytes == 0 {
            return Err(Refusal::invalid("invalid key size for HMAC key, must be between 32 and 512 bytes"));
        }
        Ok(())
    }

    /// A key without any version.
    pub(super) fn empty(&self) -> TransitKey {
        let settings = Settings {
            kind: self.kind,
            derived: self.derived,
            convergent: self.convergent,
            exportable: self.exportable,
            plaintext_backup: self.plaintext_backup,
            deletion_allowed: false,
            min_decryption: 1,
            min_encryption: 0,
            min_available: 0,
            latest: 0,
            mac_bytes: self.mac_bytes,
            rotate_seconds: self.rotate_seconds,
            imported: false,
            imported_rotates: false,
            backup: None,
            restore: None,
            created: std::collections::BTreeMap::new(),
        };
        TransitKey { settings, keys: std::collections::BTreeMap::new() }
    }
}

impl Change {
    pub(super) fn parse(fields: &Fields<'_>) -> Result<Self, Refusal> {
        Ok(Self {
            min_decryption: fields.integer("min_decryption_version")?,
            min_encryption: fields.integer("min_encryption_version")?,
            deletion_allowed: fields.boolean("deletion_allowed")?,
            exportable: fields.boolean("exportable")?,
            plaintext_backup: fields.boolean("allow_plaintext_backup")?,
            rotate_seconds: rotation(fields)?,
        })
    }
}

/// A fresh version, made once in a request: RSA takes from a tenth of a second to some seconds.
async fn fresh(settings: &Settings, txn: &Txn) -> Result<Key, Refusal> {
    let Settings { kind, mac_bytes, latest, .. } = *settings;
    let name = crypto::sha256(&[b"strongroom transit fresh key", kind.name().as_bytes(), &latest.to_be_bytes()]);
    let made = txn.once(name, async move {
        if !kind.is_rsa() {
            return Key::generate(kind, mac_bytes).map_err(broken);
        }
        let made = tokio::task::spawn_blocking(move || Key::generate(kind, mac_bytes)).await;
        made.map_err(|_| Refusal::Internal("a key could not be made".to_owned()))?.map_err(broken)
    });
    Ok(made.await?.duplicate())
}

async fn create(name: &str, new: &NewKey, place: &Place, txn: &mut Txn) -> Result<(), Refusal> {
    new.check()?;
    let mut key = new.empty();
    let first = fresh(&key.settings, txn).await?;
    key.push(first, txn.now());
    record::write(name, &key, place, txn).await
}

async fn written(name: &str, place: &Place, txn: &mut Txn) -> Result<Ring, Refusal> {
    record::read(name, place, txn).await?.ok_or_else(|| Refusal::Internal("a key that was written is not there".to_owned()))
}

/// Makes a key; one that is there stays as it is.
pub(super) async fn make(name: &str, new: &NewKey, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    new.check()?;
    if !txn.exists(&place.tenant, &record::address(place, name)).await? {
        create(name, new, place, txn).await?;
    }
    changed(name, place, txn).await
}

/// Makes the key that a text is to be encrypted with.
pub(super) async fn upsert(name: &str, new: &NewKey, derived: bool, place: &Place, txn: &mut Txn) -> Result<Arc<Ring>, Refusal> {
    if new.convergent && !derived {
        return Err(Refusal::invalid("convergent encryption requires derivation to be enabled, so context is required"));
    }
    if !new.kind.is_symmetric() {
        return Err(Refusal::invalid(format!("key type {} not supported for this operation", new.kind.name())));
    }
    let config = txn.read::<TransitConfig>(&place.tenant, &record::config_address(place)).await?;
    if config.is_some_and(|config| config.value.disable_upsert) {
        return Err(Refusal::invalid(super::encrypt::NOT_FOUND));
    }
    let new = NewKey { derived, exportable: false, plaintext_backup: false, rotate_seconds: 0, ..new.clone() };
    create(name, &new, place, txn).await?;
    Ok(Arc::new(written(name, place, txn).await?))
}

/// Shows a key; of a derived one the public key that belongs to a context.
pub(super) async fn show(name: &str, context: Option<&[u8]>, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let ring = record::find(name, place, txn).await?.ok_or(Refusal::NotFound)?;
    Ok(Answer::data(shown::key(name, &ring, context, place, txn).await?))
}

/// Whether the server may make the next version itself.
pub(super) fn may_rotate(key: &TransitKey) -> bool {
    (!key.settings.imported || key.settings.imported_rotates) && key.keys.len() < VERSIONS_MAX
}

async fn push_fresh(name: &str, mut ring: Ring, place: &Place, txn: &mut Txn) -> Result<(), Refusal> {
    let settings = &ring.key.settings;
    if settings.imported && !settings.imported_rotates {
        return Err(Refusal::Invalid(format!("imported key {name} does not allow rotation within Vault")));
    }
    full(&ring.key)?;
    let key = fresh(settings, txn).await?;
    ring.key.push(key, txn.now());
    ring.key.settings.imported = false;
    record::write(name, &ring.key, place, txn).await
}

/// Refuses one version too many.
pub(super) fn full(key: &TransitKey) -> Result<(), Refusal> {
    if key.keys.len() >= VERSIONS_MAX {
        return Err(Refusal::Invalid(format!("the key has {VERSIONS_MAX} versions: trim old ones first (keys/:name/trim)")));
    }
    Ok(())
}

/// Makes the next version.
pub(super) async fn rotate(name: &str, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let ring = record::read(name, place, txn).await?.ok_or_else(|| Refusal::invalid("key not found"))?;
    push_fresh(name, ring, place, txn).await?;
    changed(name, place, txn).await
}

/// Makes the next version of a key whose newest one has encrypted enough.
pub(super) async fn rotate_worn(name: &str, place: &Place, txn: &mut Txn) -> Result<Arc<Ring>, Refusal> {
    let ring = written(name, place, txn).await?;
    push_fresh(name, ring, place, txn).await?;
    txn.note_detail("the key was rotated: its newest version had encrypted as much as its nonces allow".to_owned());
    Ok(Arc::new(written(name, place, txn).await?))
}

/// The answer of what changed a key.
pub(super) async fn changed(name: &str, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let ring = written(name, place, txn).await?;
    Ok(Answer::data(shown::key(name, &ring, None, place, txn).await?))
}

fn version(value: i64, what: &str, latest: u32) -> Result<u32, Refusal> {
    if value < 0 {
        return Err(Refusal::Invalid(format!("min {what} version cannot be negative")));
    }
    u32::try_from(value)
        .ok()
        .filter(|version| *version <= latest)
        .ok_or_else(|| Refusal::Invalid(format!("cannot set min {what} version of {value}, latest key version is {latest}")))
}

/// Changes settings. What makes a key exportable cannot be taken back.
pub(super) async fn configure(name: &str, change: &Change, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let found = record::read(name, place, txn).await?;
    let mut ring = found.ok_or_else(|| Refusal::Invalid(format!("no existing key named {name} could be found")))?;
    let settings = &mut ring.key.settings;
    if let Some(value) = change.min_decryption {
        settings.min_decryption = version(value, "decryption", settings.latest)?.max(1);
    }
    if let Some(value) = change.min_encryption {
        settings.min_encryption = version(value, "encryption", settings.latest)?;
    }
    let (decryption, encryption) = (settings.min_decryption, settings.min_encryption);
    if encryption > 0 && encryption < decryption {
        return Err(Refusal::Invalid(format!(
            "cannot set min encryption/decryption values; min encryption version of {encryption} must be greater than or equal \
             to min decryption version of {decryption}"
        )));
    }
    if decryption < settings.min_available {
        return Err(Refusal::Invalid(format!(
            "cannot set min decryption version of {decryption}, versions before {} were trimmed",
            settings.min_available
        )));
    }
    settings.deletion_allowed = change.deletion_allowed.unwrap_or(settings.deletion_allowed);
    settings.exportable |= change.exportable.unwrap_or(false);
    settings.plaintext_backup |= change.plaintext_backup.unwrap_or(false);
    settings.rotate_seconds = change.rotate_seconds.unwrap_or(settings.rotate_seconds);
    record::write(name, &ring.key, place, txn).await?;
    changed(name, place, txn).await
}

/// Removes old versions for ever.
pub(super) async fn trim(name: &str, below: i64, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let mut ring = record::read(name, place, txn).await?.ok_or_else(|| Refusal::invalid("invalid key name"))?;
    let settings = &mut ring.key.settings;
    let invalid = |text: &str| Err(Refusal::invalid(text));
    if settings.min_encryption == 0 {
        return invalid("minimum available version cannot be set when minimum encryption version is not set");
    }
    let below = match u32::try_from(below) {
        Ok(below) => below,
        Err(_) if below < 0 => return invalid("minimum available version cannot be negative"),
        Err(_) => u32::MAX,
    };
    if below < settings.min_available {
        return invalid("minimum available version cannot be decremented");
    }
    if below > settings.latest {
        return invalid("minimum available version cannot be greater than the latest key version");
    }
    if below > settings.min_encryption {
        return invalid("minimum available version cannot be greater than minmum encryption version");
    }
    if below > settings.min_decryption {
        return invalid("minimum available version cannot be greater than minimum decryption version");
    }
    settings.min_available = below;
    settings.created.retain(|version, _| *version >= below);
    ring.key.keys.retain(|version, _| *version >= below);
    record::write(name, &ring.key, place, txn).await?;
    changed(name, place, txn).await
}

/// Deletes a key, if that was allowed.
pub(super) async fn delete(name: &str, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let refuse = |text: &str| Refusal::Invalid(format!("error deleting policy {name}: {text}"));
    let ring = record::find(name, place, txn).await?.ok_or_else(|| refuse("could not delete key; not found"))?;
    if !ring.key.settings.deletion_allowed {
        return Err(refuse("deletion is not allowed for this key"));
    }
    remove(name, &ring, place, txn).await?;
    Ok(Answer::Empty)
}

/// Removes a key with what is counted of it; its data keys go in the background, and are out of reach from now on.
pub(super) async fn remove(name: &str, ring: &Ring, place: &Place, txn: &mut Txn) -> Result<(), Refusal> {
    kept::leave(ring, place, txn).await?;
    txn.remove::<TransitUses>(&place.tenant, &uses_address(place, ring.object)).await?;
    txn.remove::<TransitKey>(&place.tenant, &record::address(place, name)).await
}

fn is_due(key: &TransitKey, now: Timestamp) -> bool {
    let settings = &key.settings;
    let newest = settings.created.get(&settings.latest);
    let due = newest.map(|made| made.plus(Duration::from_secs(settings.rotate_seconds)));
    settings.rotate_seconds > 0 && may_rotate(key) && due.is_some_and(|due| due <= now)
}

/// Looks at so many keys after a name for one whose time has come, and rotates it. The last name that was looked at, unless all
/// were; and whether a key was rotated.
pub async fn rotate_due(
    place: &Place,
    after: Option<&str>,
    most: usize,
    txn: &mut Txn,
) -> Result<(Option<String>, bool), Refusal> {
    let names = txn.names(&place.tenant, Kind::TransitKey, place.mount.id, "").await?;
    let start = after.map_or(0, |after| names.partition_point(|name| **name <= *after));
    let mut last = None;
    for name in names.iter().skip(start).take(most) {
        last = Some(name.to_string());
        let Some(ring) = record::read(name, place, txn).await? else { continue };
        if is_due(&ring.key, txn.now()) {
            push_fresh(name, ring, place, txn).await?;
            return Ok((last, true));
        }
    }
    let more = last.as_deref().is_some_and(|last| names.last().is_some_and(|end| *last < **end));
    Ok((last.filter(|_| more), false))
}

/// Removes some keys of a disabled mount; true when none is left.
pub async fn purge(place: &Place, most: usize, txn: &mut Txn) -> Result<bool, Refusal> {
    let names = record::names(place, txn).await?;
    for name in names.iter().take(most) {
        if let Some(ring) = record::read(name, place, txn).await? {
            remove(name, &ring, place, txn).await?;
        }
    }
    if names.len() > most {
        return Ok(false);
    }
    txn.remove::<TransitConfig>(&place.tenant, &record::config_address(place)).await?;
    txn.remove::<record::TransitWrappingKey>(&place.tenant, &record::wrapping_address(place)).await?;
    Ok(true)
}
