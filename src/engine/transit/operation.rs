//! What can be asked of the Transit engine: the typed operations, their table, and their parse. Pure and total.

use super::batch::{Batch, context_field};
use super::datakey::{Shown, Wanted};
use super::encrypt::{self, Plain, Sealed};
use super::export;
use super::import::{Given, Import};
use super::keys::{Change, NewKey};
use super::settings::{Group, Setting};
use super::sign::{self, Claims, Text, Way};
use super::{mac, name_of, tools};
use crate::answer::Refusal;
use crate::crypto::transit::Export;
use crate::engine::listing::Range;
use crate::engine::references::conditions::{self, Conditions};
use crate::engine::table::{Call, Field, Need, Row, Verb};
use crate::secret::SecretText;

/// One operation.
pub enum Operation {
    /// List keys.
    List(Range),
    /// Show a key; of a derived one the public key for a context.
    Read(String, Option<Vec<u8>>),
    /// Make a key.
    Make(String, NewKey),
    /// Change a key's settings.
    Configure(String, Change),
    /// Make the next version.
    Rotate(String),
    /// Remove versions before this one.
    Trim(String, i64),
    /// Delete a key.
    Delete(String),
    /// Encrypt; with a key of this kind if there is none.
    Encrypt(String, Batch<Plain>, NewKey),
    /// Decrypt.
    Decrypt(String, Batch<Sealed>),
    /// Encrypt anew with the newest version.
    Rewrap(String, Batch<Sealed>),
    /// Make data keys.
    DataKey(String, Wanted, Shown),
    /// Make a data key that is kept, and a reference to it.
    KeepDataKey(String, Wanted, Conditions),
    /// Sign.
    Sign(String, Way, Batch<Text>),
    /// Verify signatures or HMACs.
    Verify(String, Claims),
    /// Make HMACs.
    Mac(String, mac::Wanted),
    /// Random bytes or a hash.
    Tool(tools::Operation),
    /// Answer keys: which half, which version.
    Export(String, Export, String),
    /// Answer a backup.
    Backup(String),
    /// Put a backup back; under its own name where this one is empty.
    Restore(String, SecretText, bool),
    /// Answer the public key to wrap keys to.
    WrappingKey,
    /// Make a key of what is imported.
    Import(String, Import),
    /// Add a version to an imported key, or its private key to this version.
    ImportVersion(String, Given, Option<i64>),
    /// Show settings of the mount.
    ReadSettings(Group),
    /// Change one.
    WriteSetting(Setting),
}

/// What kept data keys are below, in the mount.
pub const DATA_KEYS: &str = "datakey/reference/";

const fn field(name: &'static str, kind: &'static str, help: &'static str) -> Field {
    Field { name, kind, help }
}

const TYPE: Field = field("type", "string", "The type of key; `aes256-gcm96` unless given.");
const DERIVED: Field = field("derived", "boolean", "Each context has a key of its own.");
const CONVERGENT: Field = field("convergent_encryption", "boolean", "Equal texts make equal ciphertexts; of derived keys.");
const CONTEXT: Field = field("context", "string", "Of a derived key: what the key in use is derived for, in base64.");
const ASSOCIATED: Field = field("associated_data", "string", "Bound to the ciphertext and not in it, in base64.");
const VERSION: Field = field("key_version", "integer", "The version of the key; the newest unless given.");
const BATCH: Field = field("batch_input", "array", "Items, each an object with the fields of one request.");
const PARTIAL: Field =
    field("partial_failure_response_code", "integer", "The status if some items fail and others do not; 400 unless given.");
const REFERENCE: Field = field("reference", "string", "Of an item: comes back with its result.");
const PLAINTEXT: Field = field("plaintext", "string", "The text, in base64.");
const CIPHERTEXT: Field = field("ciphertext", "string", "As encrypting answered it: `vault:v1:...`.");
const INPUT: Field = field("input", "string", "The text, in base64.");
const HASH: Field = field("hash_algorithm", "string", "`sha2-256` unless given; `none` for PKCS #1 v1.5 of what is no hash.");
const ALGORITHM: Field = field("algorithm", "string", "The older name of `hash_algorithm`.");
const PREHASHED: Field = field("prehashed", "boolean", "The input is a hash already.");
const SIGNATURE_ALGORITHM: Field = field("signature_algorithm", "string", "Of RSA: `pss` (the default) or `pkcs1v15`.");
const MARSHALING: Field = field("marshaling_algorithm", "string", "`asn1` (the default) or `jws`.");
const SALT: Field = field("salt_length", "string", "Of PSS: `auto` (the default), `hash` or bytes.");
const EXPORTABLE: Field = field("exportable", "boolean", "The key may be exported; cannot be taken back.");
const PLAINTEXT_BACKUP: Field = field("allow_plaintext_backup", "boolean", "Backups may be taken; cannot be taken back.");
const AUTO_ROTATE: Field =
    field("auto_rotate_period", "duration", "The key rotates by itself this often, at least an hour; 0 for never.");
const PUBLIC: Field = field("public_key", "string", "A public key alone, as PEM.");
const WRAPPED: Field =
    field("ciphertext", "string", "The wrapped key: RSA-OAEP of an AES key, then AES-KWP of the key, in base64.");
const OAEP_HASH: Field = field("hash_function", "string", "The hash of OAEP: SHA1, SHA256 (the default), SHA384 or SHA512.");

const MAKE: &[Field] = &[
    TYPE,
    DERIVED,
    CONVERGENT,
    EXPORTABLE,
    PLAINTEXT_BACKUP,
    AUTO_ROTATE,
    CONTEXT,
    field("key_size", "integer", "Bytes of an HMAC key: 32 to 512."),
];
const CONFIG: &[Field] = &[
    field("min_decryption_version", "integer", "What older versions made is not decrypted or verified."),
    field("min_encryption_version", "integer", "Older versions do not encrypt or sign; 0 for the newest."),
    field("deletion_allowed", "boolean", "The key may be deleted."),
    EXPORTABLE,
    PLAINTEXT_BACKUP,
    AUTO_ROTATE,
];
const TRIM: &[Field] = &[field("min_available_version", "integer", "Versions before this one are removed for ever.")];
const ENCRYPT: &[Field] = &[PLAINTEXT, CONTEXT, ASSOCIATED, VERSION, BATCH, PARTIAL, REFERENCE, TYPE, CONVERGENT];
const DECRYPT: &[Field] = &[CIPHERTEXT, CONTEXT, ASSOCIATED, BATCH, PARTIAL, REFERENCE];
const REWRAP: &[Field] = &[CIPHERTEXT, CONTEXT, ASSOCIATED, VERSION, BATCH, REFERENCE];
const BITS: Field = field("bits", "integer", "128, 256 (the default) or 512.");
const DATAKEY: &[Field] =
    &[BITS, field("count", "integer", "So many data keys, in a list `data_keys`."), CONTEXT, ASSOCIATED, VERSION];
const DATAKEY_REFERENCE: &[Field] = &[
    BITS,
    CONTEXT,
    ASSOCIATED,
    VERSION,
    conditions::PURPOSE,
    conditions::NOT_BEFORE,
    conditions::EXPIRES,
    conditions::TTL,
    conditions::USES,
    conditions::ENTITIES,
    conditions::CERTIFICATES,
    conditions::URI_SANS,
    conditions::SUBJECTS,
];
const SIGN: &[Field] =
    &[INPUT, CONTEXT, VERSION, HASH, ALGORITHM, PREHASHED, SIGNATURE_ALGORITHM, MARSHALING, SALT, BATCH, REFERENCE];
const VERIFY: &[Field] = &[
    INPUT,
    field("signature", "string", "What is said to be the signature."),
    field("hmac", "string", "What is said to be the HMAC."),
    CONTEXT,
    HASH,
    ALGORITHM,
    PREHASHED,
    SIGNATURE_ALGORITHM,
    MARSHALING,
    SALT,
    BATCH,
    REFERENCE,
];
const MAC: &[Field] = &[INPUT, VERSION, HASH, ALGORITHM, BATCH, REFERENCE];
const RESTORE: &[Field] =
    &[field("backup", "string", "What a backup answered."), field("force", "boolean", "Instead of a key that is there.")];
const IMPORT: &[Field] = &[
    WRAPPED,
    PUBLIC,
    OAEP_HASH,
    TYPE,
    field("allow_rotation", "boolean", "The server may make further versions itself."),
    DERIVED,
    EXPORTABLE,
    PLAINTEXT_BACKUP,
    AUTO_ROTATE,
    CONTEXT,
];
const IMPORT_VERSION: &[Field] =
    &[WRAPPED, PUBLIC, OAEP_HASH, field("version", "integer", "The version whose private key is imported.")];
const CACHE: &[Field] = &[field("size", "integer", "0, or at least 10; kept and shown.")];
const UPSERT: &[Field] = &[field("disable_upsert", "boolean", "Encrypting does not make keys.")];

impl Operation {
    /// The path in the mount that it makes a reference to for certain consumers; `None` when it makes none such.
    pub fn binds(&self) -> Option<String> {
        match self {
            Self::KeepDataKey(name, _, conditions) if conditions.is_bound() => Some(format!("{DATA_KEYS}{name}")),
            _ => None,
        }
    }
}

/// All operations.
pub static TABLE: &[Row<Operation>] = &[
    Row::by_verb(Verb::List, "keys", &[], "Lists keys.", |call| Ok(Operation::List(Range::parse(call)?))),
    Row::by_verb(Verb::Read, "keys/:name", &[], "Shows a key: settings, versions, public keys.", read),
    Row::by_verb(Verb::Write, "keys/:name", MAKE, "Makes a key; one that is there stays as it is.", |call| {
        Ok(Operation::Make(name(call)?, NewKey::parse(call.fields)?))
    }),
    Row::by_verb(Verb::Delete, "keys/:name", &[], "Deletes a key, if its settings allow it.", |call| {
        Ok(Operation::Delete(name(call)?))
    }),
    Row::by_verb(Verb::Write, "keys/:name/config", CONFIG, "Changes a key's settings.", |call| {
        Ok(Operation::Configure(name(call)?, Change::parse(call.fields)?))
    }),
    Row::by_verb(Verb::Write, "keys/:name/rotate", &[], "Makes the next version of a key.", |call| {
        Ok(Operation::Rotate(name(call)?))
    }),
    Row::by_verb(Verb::Write, "keys/:name/trim", TRIM, "Removes old versions of a key for ever.", trim),
    Row::by_verb(Verb::Write, "keys/:name/import", IMPORT, "Makes a key of what is imported.", |call| {
        Ok(Operation::Import(name(call)?, Import::parse(call.fields)?))
    }),
    Row::by_verb(Verb::Write, "keys/:name/import_version", IMPORT_VERSION, "Adds a version to an imported key.", |call| {
        Ok(Operation::ImportVersion(name(call)?, Given::parse(call.fields)?, call.fields.integer("version")?))
    }),
    Row::new(
        Verb::Write,
        "encrypt/:name",
        Need::CreateOrUpdate,
        ENCRYPT,
        "Encrypts a text or a batch. A key that is not there is made.",
        |call| Ok(Operation::Encrypt(name(call)?, encrypt::plain(call)?, NewKey::parse(call.fields)?)),
    ),
    Row::by_verb(Verb::Write, "decrypt/:name", DECRYPT, "Decrypts a ciphertext or a batch.", |call| {
        Ok(Operation::Decrypt(name(call)?, encrypt::sealed(call)?))
    }),
    Row::by_verb(
        Verb::Write,
        "rewrap/:name",
        REWRAP,
        "Encrypts a ciphertext or a batch anew, with the newest version.",
        |call| Ok(Operation::Rewrap(name(call)?, encrypt::sealed(call)?)),
    ),
    Row::by_verb(
        Verb::Write,
        "datakey/reference/:name",
        DATAKEY_REFERENCE,
        "Makes a data key that is kept here, and a reference that resolves to it.",
        keep_data_key,
    ),
    Row::by_verb(Verb::Write, "datakey/:what/:name", DATAKEY, "Makes data keys: `plaintext` or `wrapped` only.", |call| {
        let shown = Shown::parse(call)?;
        Ok(Operation::DataKey(name_of(call.captures.get(1))?, Wanted::parse(call.fields)?, shown))
    }),
    Row::by_verb(Verb::Write, "sign/:name", SIGN, "Signs a text or a batch.", sign_of),
    Row::by_verb(Verb::Write, "sign/:name/:hash", SIGN, "Signs a text or a batch by this hash.", sign_of),
    Row::by_verb(Verb::Write, "verify/:name", VERIFY, "Verifies signatures or HMACs.", verify),
    Row::by_verb(Verb::Write, "verify/:name/:hash", VERIFY, "Verifies signatures or HMACs by this hash.", verify),
    Row::by_verb(Verb::Write, "hmac/:name", MAC, "Makes the HMAC of a text or a batch.", mac_of),
    Row::by_verb(Verb::Write, "hmac/:name/:hash", MAC, "Makes the HMAC of a text or a batch by this hash.", mac_of),
    Row::by_verb(Verb::Write, "random", tools::RANDOM, "Makes random bytes.", |call| {
        tools::random_bytes(None, None, call).map(Operation::Tool)
    }),
    Row::by_verb(Verb::Write, "random/:what", tools::RANDOM, "Makes random bytes: so many, or from this source.", |call| {
        tools::random_of(call).map(Operation::Tool)
    }),
    Row::by_verb(Verb::Write, "random/:source/:bytes", tools::RANDOM, "Makes random bytes: so many, from this source.", |call| {
        tools::random_bytes(Some(call.captures.get(0)), Some(call.captures.get(1)), call).map(Operation::Tool)
    }),
    Row::by_verb(Verb::Write, "hash", tools::HASH, "Hashes what is sent.", |call| tools::hash(None, call).map(Operation::Tool)),
    Row::by_verb(Verb::Write, "hash/:algorithm", tools::HASH, "Hashes what is sent, by this algorithm.", |call| {
        tools::hash(Some(call.captures.get(0)), call).map(Operation::Tool)
    }),
    Row::by_verb(Verb::Read, "export/:half/:name", &[], "Answers keys, if their settings allow it.", export_of),
    Row::by_verb(Verb::Read, "export/:half/:name/:version", &[], "Answers one version of a key, or the `latest`.", export_of),
    Row::by_verb(Verb::Read, "backup/:name", &[], "Answers a whole key, in the clear.", |call| {
        Ok(Operation::Backup(name(call)?))
    }),
    Row::by_verb(Verb::Write, "restore", RESTORE, "Puts a key back as a backup has it.", |call| restore("", call)),
    Row::by_verb(Verb::Write, "restore/:name", RESTORE, "Puts a key back under this name.", |call| restore(&name(call)?, call)),
    Row::by_verb(Verb::Read, "wrapping_key", &[], "Answers the public key that keys are wrapped to for their import.", |_| {
        Ok(Operation::WrappingKey)
    }),
    Row::by_verb(Verb::Read, "cache-config", &[], "Shows the size of the cache.", |_| Ok(Operation::ReadSettings(Group::Cache))),
    Row::by_verb(Verb::Write, "cache-config", CACHE, "Sets the size of the cache, which is only kept and shown.", cache),
    Row::by_verb(Verb::Read, "config/keys", &[], "Shows whether encrypting makes keys.", |_| {
        Ok(Operation::ReadSettings(Group::Keys))
    }),
    Row::by_verb(Verb::Write, "config/keys", UPSERT, "Says whether encrypting makes keys.", |call| {
        let disabled = call.fields.boolean("disable_upsert")?.unwrap_or(false);
        Ok(Operation::WriteSetting(Setting::DisableUpsert(disabled)))
    }),
];

type Parsed = Result<Operation, Refusal>;

fn name(call: &Call<'_>) -> Result<String, Refusal> {
    name_of(call.captures.get(0))
}

fn read(call: &Call<'_>) -> Parsed {
    let failed = "failed to base64-decode context";
    let context = match call.query.value("context").filter(|text| !text.is_empty()) {
        Some(text) => Some(super::batch::base64(text).map_err(|_| Refusal::invalid(failed))?),
        None => context_field(call.fields, failed)?,
    };
    Ok(Operation::Read(name(call)?, context))
}

fn keep_data_key(call: &Call<'_>) -> Parsed {
    let conditions = Conditions::parse(call.fields, conditions::consumers(call.fields)?)?;
    Ok(Operation::KeepDataKey(name(call)?, Wanted::parse(call.fields)?, conditions))
}

fn trim(call: &Call<'_>) -> Parsed {
    let below = call.fields.integer("min_available_version")?;
    Ok(Operation::Trim(name(call)?, below.ok_or_else(|| Refusal::invalid("missing min_available_version"))?))
}

fn sign_of(call: &Call<'_>) -> Parsed {
    let (way, batch) = sign::to_sign(call)?;
    Ok(Operation::Sign(name(call)?, way, batch))
}

fn verify(call: &Call<'_>) -> Parsed {
    Ok(Operation::Verify(name(call)?, sign::to_verify(call)?))
}

fn mac_of(call: &Call<'_>) -> Parsed {
    Ok(Operation::Mac(name(call)?, mac::Wanted::parse(call)?))
}

fn export_of(call: &Call<'_>) -> Parsed {
    let half = export::half(call.captures.get(0))?;
    Ok(Operation::Export(name_of(call.captures.get(1))?, half, call.captures.get(2).to_owned()))
}

fn restore(name: &str, call: &Call<'_>) -> Parsed {
    let backup = call.fields.secret("backup")?.filter(|backup| !backup.expose().is_empty());
    let backup = backup.ok_or_else(|| Refusal::invalid("'backup' must be supplied"))?;
    Ok(Operation::Restore(name.to_owned(), backup, call.fields.boolean("force")?.unwrap_or(false)))
}

fn cache(call: &Call<'_>) -> Parsed {
    let size = call.fields.integer("size")?.unwrap_or(0);
    match u64::try_from(size) {
        Ok(size) if size == 0 || size >= 10 => Ok(Operation::WriteSetting(Setting::CacheSize(size))),
        _ => Err(Refusal::invalid("size must be 0 or a value greater or equal to 10")),
    }
}
