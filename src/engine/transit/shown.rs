//! How a key is shown: its settings, its versions, public keys; never a private one.

use super::record::{Ring, Stamp, TransitUses, uses_address};
use crate::answer::Refusal;
use crate::commit::{Place, Txn};
use crate::crypto::transit::KeyType;
use crate::json::{Json, Object};

fn stamp(out: &mut Object<'_>, name: &str, stamp: Option<&Stamp>) {
    if let Some(stamp) = stamp {
        out.object(name, |out| {
            out.field("time", &stamp.time.rfc3339()).field("version", &stamp.version);
        });
    }
}

/// All that the API shows of a key. With a context, the public keys of a derived one.
pub(super) async fn key(name: &str, ring: &Ring, context: Option<&[u8]>, place: &Place, txn: &mut Txn) -> Result<Json, Refusal> {
    let uses = if ring.key.settings.kind.is_counted() {
        txn.read::<TransitUses>(&place.tenant, &uses_address(place, ring.object)).await?
    } else {
        None
    };
    let settings = &ring.key.settings;
    let kind = settings.kind;
    Ok(Json::object(|out| {
        out.field("allow_plaintext_backup", &settings.plaintext_backup);
        out.field("auto_rotate_period", &settings.rotate_seconds);
        stamp(out, "backup_info", settings.backup.as_ref());
        if settings.derived {
            out.field("convergent_encryption", &settings.convergent).field("kdf", "hkdf_sha256");
        }
        if settings.convergent {
            // "The newest", which is 3: as others write it.
            out.field("convergent_encryption_version", &-1);
        }
        out.field("deletion_allowed", &settings.deletion_allowed).field("derived", &settings.derived);
        if let Some(uses) = &uses {
            out.field("encryptions_reserved", &uses.value.reserved);
        }
        out.field("exportable", &settings.exportable).field("imported_key", &settings.imported);
        if settings.imported {
            out.field("imported_key_allow_rotation", &settings.imported_rotates);
        }
        if settings.mac_bytes > 0 {
            out.field("key_size", &settings.mac_bytes);
        }
        if kind != KeyType::Hmac {
            out.object("keys", |out| versions(ring, context, out));
        }
        out.field("latest_version", &settings.latest).field("min_available_version", &settings.min_available);
        out.field("min_decryption_version", &settings.min_decryption);
        out.field("min_encryption_version", &settings.min_encryption).field("name", name);
        stamp(out, "restore_info", settings.restore.as_ref());
        out.field("soft_deleted", &false).field("supports_decryption", &kind.encrypts());
        out.field("supports_derivation", &kind.derives()).field("supports_encryption", &kind.encrypts());
        out.field("supports_signing", &kind.signs()).field("type", kind.name());
    }))
}

fn versions(ring: &Ring, context: Option<&[u8]>, out: &mut Object<'_>) {
    let settings = &ring.key.settings;
    for (version, key) in ring.key.keys.range(settings.min_decryption..) {
        let Some(made) = settings.created.get(version) else { continue };
        if settings.kind.is_symmetric() {
            out.field(&version.to_string(), &made.unix_seconds());
            continue;
        }
        let public = match (settings.derived, context) {
            (true, None) => String::new(),
            (true, context) => {
                key.derived_public(context).map(|public| data_encoding::BASE64.encode(&public)).unwrap_or_default()
            }
            (false, _) if settings.kind.signs_hashes() => format!("{}\n", key.public_text()),
            (false, _) => key.public_text(),
        };
        out.object(&version.to_string(), |out| {
            out.field("certificate_chain", "").field("creation_time", &made.rfc3339());
            out.field("name", settings.kind.public_name()).field("public_key", &public);
        });
    }
}
