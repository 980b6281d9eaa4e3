//! Exporting keys, and backups of whole keys in the form of `OpenBao`.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::batch::base64;
use super::keys::{self, NewKey};
use super::record::{self, Ring, Stamp};
use super::{KEYS_MAX_NAME, VERSIONS_MAX, name_of};
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Txn};
use crate::crypto::transit::{Export, Key, KeyError, KeyType};
use crate::json::{Json, Object};
use crate::secret::{SecretBytes, SecretText};
use crate::time::Timestamp;

/// Which half: as the path says it.
pub(super) fn half(name: &str) -> Result<Export, Refusal> {
    Ok(match name {
        "encryption-key" => Export::Encryption,
        "signing-key" => Export::Signing,
        "public-key" => Export::Public,
        "hmac-key" => Export::Mac,
        other => return Err(Refusal::Invalid(format!("invalid export type: {other}"))),
    })
}

/// Answers keys: all versions that may still be used, the newest, or one.
pub(super) async fn export(name: &str, half: Export, version: &str, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let ring = record::find(name, place, txn).await?.ok_or(Refusal::NotFound)?;
    let settings = &ring.key.settings;
    let kind = settings.kind;
    if half != Export::Public && !settings.exportable {
        return Err(Refusal::invalid("private key material is not exportable"));
    }
    match half {
        Export::Encryption if !kind.encrypts() => return Err(Refusal::invalid("encryption not supported for the key")),
        Export::Signing if !kind.signs() => return Err(Refusal::invalid("signing not supported for the key")),
        Export::Public if !kind.signs() && !kind.is_rsa() => {
            return Err(Refusal::Invalid(format!("unknown key type {} for export type public-key", kind.name())));
        }
        _ => {}
    }
    let range = match version {
        "" => settings.min_decryption..=settings.latest,
        "latest" => settings.latest..=settings.latest,
        text => {
            let version: u32 = text.parse().map_err(|_| Refusal::invalid("invalid key version"))?;
            if version < settings.min_decryption {
                return Err(Refusal::invalid("version for export is below minimum decryption version"));
            }
            if !ring.key.keys.contains_key(&version) {
                return Err(Refusal::invalid("version does not exist or cannot be found"));
            }
            version..=version
        }
    };
    let mut exported: Vec<(u32, SecretText)> = Vec::new();
    for (version, key) in ring.key.keys.range(range) {
        let text = key.export(half).map_err(|error| match error {
            KeyError::NoPrivateKey => Refusal::invalid("no private key: only the public key of this version was imported"),
            error => Refusal::Internal(format!("a key could not be exported: {error}")),
        })?;
        exported.push((*version, text));
    }
    Ok(Answer::data(Json::object(|out| {
        out.object("keys", |out| {
            for (version, text) in &exported {
                out.field(&version.to_string(), text.expose());
            }
        });
        out.field("name", name).field("type", kind.name());
    })))
}

/// Types by the numbers that backups have for them; those of ours alone begin at a thousand.
const NUMBERS: [(u64, KeyType); 16] = [
    (0, KeyType::Aes256Gcm96),
    (1, KeyType::EcdsaP256),
    (2, KeyType::Ed25519),
    (3, KeyType::Rsa2048),
    (4, KeyType::Rsa4096),
    (5, KeyType::ChaCha20Poly1305),
    (6, KeyType::EcdsaP384),
    (7, KeyType::EcdsaP521),
    (8, KeyType::Aes128Gcm96),
    (9, KeyType::Rsa3072),
    (10, KeyType::Hmac),
    (11, KeyType::XChaCha20Poly1305),
    (12, KeyType::MlDsa44),
    (13, KeyType::MlDsa65),
    (14, KeyType::MlDsa87),
    (1_000, KeyType::Aes256GcmCommitting),
];
/// The only way of deriving keys: HKDF.
const KDF: u64 = 1;
/// The only version of convergent encryption; in the settings -1 stands for it.
const CONVERGENT: i64 = 3;
const NANOSECONDS: u64 = 1_000_000_000;
/// The time of what is not there.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// Answers a backup, and notes when.
pub(super) async fn backup(name: &str, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let found = record::read(name, place, txn).await?;
    let mut ring = found.ok_or_else(|| Refusal::Invalid(format!("key {name:?} not found")))?;
    if !ring.key.settings.exportable {
        return Err(Refusal::invalid("exporting is disallowed on the policy"));
    }
    if !ring.key.settings.plaintext_backup {
        return Err(Refusal::invalid("plaintext backup is disallowed on the policy"));
    }
    ring.key.settings.backup = Some(Stamp { time: txn.now(), version: ring.key.settings.latest });
    record::write(name, &ring.key, place, txn).await?;
    let json = written(name, &ring).map_err(|error| Refusal::Internal(format!("a key could not be written: {error}")))?;
    let text = SecretText::new(BASE64.encode(json.expose()));
    Ok(Answer::data(Json::object(|out| {
        out.field("backup", text.expose());
    })))
}

fn written(name: &str, ring: &Ring) -> Result<Json, KeyError> {
    let settings = &ring.key.settings;
    let mut failed = None;
    let json = Json::object_of(4096 * ring.key.keys.len(), |out| {
        out.object("policy", |out| {
            out.field("name", name);
            if settings.mac_bytes > 0 {
                out.field("key_size", &settings.mac_bytes);
            }
            out.object("keys", |out| {
                for (version, key) in ring.key.keys.range(settings.min_decryption..) {
                    out.object(&version.to_string(), |out| failed = entry(ring, *version, key, out).err().or(failed));
                }
            });
            let number = NUMBERS.iter().find(|(_, kind)| *kind == settings.kind).map_or(0, |(number, _)| *number);
            out.field("derived", &settings.derived).field("kdf", &if settings.derived { KDF } else { 0 });
            out.field("convergent_encryption", &settings.convergent).field("exportable", &settings.exportable);
            out.field("min_decryption_version", &settings.min_decryption);
            out.field("min_encryption_version", &settings.min_encryption);
            out.field("latest_version", &settings.latest).field("archive_version", &settings.latest);
            out.field("archive_min_version", &0).field("min_available_version", &settings.min_available);
            out.field("deletion_allowed", &settings.deletion_allowed);
            out.field("convergent_version", &if settings.convergent { -1 } else { 0 }).field("type", &number);
            stamp("backup_info", settings.backup.as_ref(), out);
            stamp("restore_info", settings.restore.as_ref(), out);
            out.field("allow_plaintext_backup", &settings.plaintext_backup);
            out.field("version_template", "").field("storage_prefix", "");
            out.field("auto_rotate_period", &(settings.rotate_seconds * NANOSECONDS));
            out.field("Imported", &settings.imported).field("AllowImportedKeyRotation", &settings.imported_rotates);
            out.field("soft_deleted", &false);
        });
        out.object("archived_keys", |out| {
            // All versions, from the first that was not trimmed; without any, one that stands for version 0.
            let mut list = Json::list();
            for version in settings.min_available..=settings.latest {
                list.object(|out| match ring.key.keys.get(&version) {
                    Some(key) => failed = entry(ring, version, key, out).err().or(failed),
                    None => nothing(out),
                });
            }
            out.raw("keys", list.close().expose());
        });
    });
    failed.map_or(Ok(json), Err)
}

fn stamp(name: &str, stamp: Option<&Stamp>, out: &mut Object<'_>) {
    match stamp {
        Some(stamp) => out.object(name, |out| {
            out.field("time", &stamp.time.rfc3339()).field("version", &stamp.version);
        }),
        None => out.null(name),
    };
}

fn entry(ring: &Ring, version: u32, key: &Key, out: &mut Object<'_>) -> Result<(), KeyError> {
    let made = ring.key.settings.created.get(&version).copied();
    key.write_portable(out)?;
    out.field("time", &made.map_or_else(|| NO_TIME.to_owned(), Timestamp::rfc3339));
    out.field("convergent_version", &if ring.key.settings.convergent { CONVERGENT } else { 0 });
    out.field("creation_time", &made.map_or(0, Timestamp::unix_seconds));
    out.null("certificate_chain").field("external_key_ref", "");
    Ok(())
}

fn nothing(out: &mut Object<'_>) {
    for name in ["key", "hmac_key", "ec_x", "ec_y", "ec_d", "rsa_key", "rsa_public_key", "certificate_chain"] {
        out.null(name);
    }
    out.field("time", NO_TIME).field("public_key", "").field("convergent_version", &0).field("creation_time", &0);
}

#[derive(Deserialize)]
struct Backup<'a> {
    #[serde(borrow)]
    policy: Policy<'a>,
    #[serde(borrow, default)]
    archived_keys: Option<Archive<'a>>,
}

#[derive(Deserialize)]
struct Archive<'a> {
    #[serde(borrow, default)]
    keys: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "backups have these switches")]
struct Policy<'a> {
    name: String,
    #[serde(default)]
    key_size: usize,
    #[serde(borrow)]
    keys: BTreeMap<String, &'a RawValue>,
    #[serde(default)]
    derived: bool,
    #[serde(default)]
    kdf: u64,
    #[serde(default)]
    convergent_encryption: bool,
    #[serde(default)]
    exportable: bool,
    #[serde(default)]
    min_decryption_version: u32,
    #[serde(default)]
    min_encryption_version: u32,
    latest_version: u32,
    #[serde(default)]
    min_available_version: u32,
    #[serde(default)]
    deletion_allowed: bool,
    #[serde(rename = "type")]
    kind: u64,
    #[serde(default)]
    allow_plaintext_backup: bool,
    #[serde(default)]
    auto_rotate_period: u64,
    #[serde(default, rename = "Imported")]
    imported: bool,
    #[serde(default, rename = "AllowImportedKeyRotation")]
    imported_rotates: bool,
    #[serde(default)]
    soft_deleted: bool,
    #[serde(default)]
    backup_info: Option<Taken>,
}

/// When the backup was taken.
#[derive(Deserialize)]
struct Taken {
    time: String,
    version: u32,
}

#[derive(Deserialize)]
struct Times {
    #[serde(default)]
    time: String,
    #[serde(default)]
    convergent_version: i64,
}

/// What a restored key is called where the path does not say, and the key.
fn parse(text: &SecretText, now: Timestamp) -> Result<(String, record::TransitKey), Refusal> {
    let invalid = |text: &str| Refusal::Invalid(format!("the backup cannot be restored: {text}"));
    let json = SecretBytes::new(base64(text.expose()).map_err(Refusal::Invalid)?);
    let backup: Backup<'_> = serde_json::from_slice(json.expose()).map_err(|error| {
        Refusal::Invalid(format!("the backup cannot be restored: it does not parse at column {}", error.column()))
    })?;
    let policy = backup.policy;
    let kind = NUMBERS.iter().find(|(number, _)| *number == policy.kind).map(|(_, kind)| *kind);
    let kind = kind.ok_or_else(|| invalid("its type of key is not known here"))?;
    if policy.derived && policy.kdf != KDF {
        return Err(invalid("its keys are derived in a way that is no longer used"));
    }
    if policy.soft_deleted {
        return Err(invalid("the key is deleted in it"));
    }
    let new = NewKey {
        kind,
        derived: policy.derived,
        convergent: policy.convergent_encryption,
        exportable: policy.exportable,
        plaintext_backup: policy.allow_plaintext_backup,
        mac_bytes: if kind == KeyType::Hmac { policy.key_size } else { 0 },
        rotate_seconds: policy.auto_rotate_period / NANOSECONDS,
    };
    new.check()?;
    let mut key = new.empty();
    let settings = &mut key.settings;
    settings.min_decryption = policy.min_decryption_version.max(1);
    settings.min_encryption = policy.min_encryption_version;
    settings.min_available = policy.min_available_version;
    settings.latest = policy.latest_version;
    settings.deletion_allowed = policy.deletion_allowed;
    settings.imported = policy.imported;
    settings.imported_rotates = policy.imported_rotates;
    settings.backup =
        policy.backup_info.and_then(|Taken { time, version }| Some(Stamp { time: Timestamp::parse_rfc3339(&time)?, version }));
    let in_order = settings.min_available <= settings.min_decryption
        && settings.min_decryption <= settings.latest
        && (settings.min_encryption == 0 || settings.min_encryption >= settings.min_decryption)
        && settings.min_encryption <= settings.latest;
    let first = settings.min_available.max(1);
    if !in_order || usize::try_from(settings.latest - first).is_ok_and(|versions| versions >= VERSIONS_MAX) {
        return Err(invalid("its versions are not in order, or too many"));
    }
    let archived = backup.archived_keys.and_then(|archive| archive.keys).unwrap_or_default();
    for version in first..=settings.latest {
        let at = usize::try_from(version - settings.min_available).unwrap_or(usize::MAX);
        let json = policy.keys.get(&version.to_string()).or(archived.get(at));
        let json = json.ok_or_else(|| invalid("a version is missing"))?.get();
        let times: Times = serde_json::from_str(json).map_err(|_| invalid("a version does not parse"))?;
        if policy.convergent_encryption && times.convergent_version != CONVERGENT {
            return Err(invalid("its convergent encryption is of an old version"));
        }
        let read = Key::read_portable(kind, json).map_err(|error| invalid(&error.to_string()))?;
        settings.created.insert(version, Timestamp::parse_rfc3339(&times.time).unwrap_or(now));
        key.keys.insert(version, read);
    }
    settings.restore = Some(Stamp { time: now, version: settings.latest });
    Ok((policy.name, key))
}

/// Puts a key back as a backup has it.
pub(super) async fn restore(
    name: &str,
    backup: &SecretText,
    force: bool,
    place: &Place,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    let (own, key) = parse(backup, txn.now())?;
    let name = if name.is_empty() { own.as_str() } else { name };
    if name_of(name).is_err() {
        return Err(Refusal::Invalid(format!(
            "the name of a key: at most {KEYS_MAX_NAME} letters, digits, \"_\", \"-\" and \".\""
        )));
    }
    if let Some(old) = record::read(name, place, txn).await? {
        if !force {
            return Err(Refusal::Invalid(format!("key {name:?} already exists")));
        }
        // What the old key has encrypted does not count for the new one.
        keys::remove(name, &old, place, txn).await?;
    }
    record::write(name, &key, place, txn).await?;
    Ok(Answer::Empty)
}
