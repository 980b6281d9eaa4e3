//! One entry of the audit log, and its canonical bytes: what is hashed into the tree, stored, and shown to auditors.
//!
//! # Canonical form
//!
//! One JSON object (RFC 8259) without white space. Fields stand in the order below; one that has no value is left out.
//! The bytes are stable for ever: whoever hashes them again gets the same leaf. Another field means another `v`: an event
//! is of the oldest version that has all of its fields, so what version 1 can say still has its bytes.
//!
//! | field | value |
//! |---|---|
//! | `nonce` | 32 hexadecimal digits, secret and random: a leaf hash tells nothing to who has not opened the batch |
//! | `v` | 1; 2 with `caller.entity` or `headers` |
//! | `time` | RFC 3339, UTC, up to nanoseconds |
//! | `request` | the request id that the answer carried |
//! | `tenant` | the tenant that was addressed: 32 hexadecimal digits |
//! | `caller` | `{tenant, accessor, display_name, policies, kind, entity}`: whose token it was; left out when none was verified |
//! | `certificate` | SHA-256 of the client certificate (DER), when one was verified |
//! | `operation` | `read`, `list`, `scan`, `write`, `patch`, `delete`, or the name of a job |
//! | `path` | the path as it was authorised; of a refused request as it came |
//! | `mount_type` | `kv`, `system`, `token`, ... when a mount was found |
//! | `read_version`, `written_version` | numbers |
//! | `reference` | keyed hash of the reference that was used: 64 hexadecimal digits |
//! | `status` | the HTTP status |
//! | `error` | one of the words of [`error_class`], when the request was refused |
//! | `remote` | address and port of the caller |
//! | `headers` | the request headers that the tenant wants in its log: `{name: [value, ..]}`, sorted by name; a keyed hash is `hmac-sha256:` and 64 hexadecimal digits |
//! | `detail` | one sentence: a job's summary, which token of which entity a login gave, or which wrapping token an answer was put away for or taken out with (its accessor) |

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::canonical::Writer;
use crate::answer::Refusal;
use crate::id::TenantId;
use crate::time::Timestamp;

/// The newest form that `Event::canonical` writes.
pub const VERSION: u64 = 2;

/// A fixed word of this program. Built from literals only, so that no text of a client gets in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Word(Cow<'static, str>);

impl Word {
    /// Takes a literal.
    pub const fn new(word: &'static str) -> Self {
        Self(Cow::Borrowed(word))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whose token a request came with. Made once for each cached token, and shared by its events.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Caller {
    /// The tenant that the token lives in: the addressed one, or an ancestor.
    pub tenant: TenantId,
    /// The token's accessor.
    pub accessor: String,
    /// The token's display name.
    pub display_name: String,
    /// Names of the token's policies, sorted.
    pub policies: Vec<String>,
    /// `service`, `batch`, ...
    pub kind: Word,
    /// Id of the entity that the token stands for, in the token's tenant.
    #[serde(default)]
    pub entity: Option<String>,
}

/// One entry. There is no field that could hold a secret value: what was read or written is named by its version.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Event {
    /// When the request was decided.
    #[serde(deserialize_with = "rfc3339")]
    pub time: Timestamp,
    /// The request id (UUID text) that the answer carries.
    pub request: Arc<str>,
    /// The tenant that was addressed.
    pub tenant: TenantId,
    /// Whose token it was; `None` when no token was verified.
    #[serde(default, deserialize_with = "shared")]
    pub caller: Option<Arc<Caller>>,
    /// SHA-256 of the DER of the verified client certificate.
    #[serde(default, deserialize_with = "hex32")]
    pub certificate: Option<[u8; 32]>,
    /// The verb, or the name of a job.
    pub operation: Word,
    /// The whole path; no query, no body.
    pub path: Arc<str>,
    /// The type of the mount that the path led to.
    #[serde(default)]
    pub mount_type: Option<Word>,
    /// The version that was read.
    #[serde(default)]
    pub read_version: Option<u64>,
    /// The version that was written.
    #[serde(default)]
    pub written_version: Option<u64>,
    /// `Keyring::reference_hash` of the reference that was used.
    #[serde(default, deserialize_with = "hex32")]
    pub reference: Option<[u8; 32]>,
    /// HTTP status of the answer.
    pub status: u16,
    /// See [`error_class`].
    #[serde(default)]
    pub error: Option<Word>,
    /// Who connected; `None` for a job.
    #[serde(default)]
    pub remote: Option<SocketAddr>,
    /// Request headers by name (lower case), in clear or as keyed hashes.
    #[serde(default)]
    pub headers: BTreeMap<String, Vec<String>>,
    /// A job's summary (counts and names of kinds), or the accessor of a wrapping token; never content.
    #[serde(default)]
    pub detail: Option<String>,
}

/// These bytes are not the canonical form of an event.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Not JSON, or a field is missing or of another type. Happens when a newer version wrote it.
    #[error("an audit event does not parse: {0}")]
    Syntax(#[from] serde_json::Error),
    /// The event is of a version that this program does not know.
    #[error("an audit event has version {0}, which is not known here")]
    Version(u64),
    /// It parses, but is not byte for byte what would have been written.
    #[error("an audit event is not in canonical form")]
    NotCanonical,
}

impl Event {
    /// What the server did by itself. `detail` says how much, and never holds content.
    pub fn of_job(time: Timestamp, tenant: TenantId, operation: Word, detail: String) -> Self {
        Self {
            time,
            request: crate::random::uuid().into(),
            tenant,
            caller: None,
            certificate: None,
            operation,
            path: "".into(),
            mount_type: None,
            read_version: None,
            written_version: None,
            reference: None,
            status: 204,
            error: None,
            remote: None,
            headers: BTreeMap::new(),
            detail: Some(detail),
        }
    }

    /// The oldest form that can say all of it.
    pub fn version(&self) -> u64 {
        let entity = self.caller.as_ref().is_some_and(|caller| caller.entity.is_some());
        if entity || !self.headers.is_empty() { VERSION } else { 1 }
    }

    /// Appends the canonical bytes (about 500) to `out`. `nonce` is fresh and random for every event.
    pub fn canonical(&self, nonce: [u8; 16], out: &mut Vec<u8>) {
        let mut object = Writer::open(out);
        object.hex("nonce", &nonce);
        self.asked(&mut object);
        self.outcome(&mut object);
        self.sent(&mut object);
        self.told(&mut object);
        object.close();
    }

    /// The same, for one of a request's events whose common part was written before.
    pub fn canonical_with(&self, common: &Common, nonce: [u8; 16], out: &mut Vec<u8>) {
        let mut object = Writer::open(out);
        object.hex("nonce", &nonce).fields(&common.asked);
        self.outcome(&mut object);
        object.fields(&common.sent);
        self.told(&mut object);
        object.close();
    }

    /// Whether it is of the same request, and says the same but for what came of it.
    pub fn is_beside(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.request, &other.request)
            && self.caller.as_ref().map(Arc::as_ptr) == other.caller.as_ref().map(Arc::as_ptr)
            && Arc::ptr_eq(&self.path, &other.path)
            && (self.time, self.tenant, self.certificate, self.remote)
                == (other.time, other.tenant, other.certificate, other.remote)
            && self.operation == other.operation
            && self.mount_type == other.mount_type
            && self.headers == other.headers
    }

    /// Who asked for what.
    fn asked(&self, object: &mut Writer<'_>) {
        object.number("v", self.version());
        object.plain("time", self.time.rfc3339()).text("request", &self.request).hex("tenant", &self.tenant.0);
        if let Some(caller) = &self.caller {
            object.object("caller", |object| caller.canonical(object));
        }
        if let Some(fingerprint) = &self.certificate {
            object.hex("certificate", fingerprint);
        }
        object.text("operation", self.operation.as_str()).text("path", &self.path);
        if let Some(word) = &self.mount_type {
            object.text("mount_type", word.as_str());
        }
    }

    /// What came of it.
    fn outcome(&self, object: &mut Writer<'_>) {
        if let Some(version) = self.read_version {
            object.number("read_version", version);
        }
        if let Some(version) = self.written_version {
            object.number("written_version", version);
        }
        if let Some(hash) = &self.reference {
            object.hex("reference", hash);
        }
        object.number("status", u64::from(self.status));
        if let Some(word) = &self.error {
            object.text("error", word.as_str());
        }
    }

    /// From where, and with what.
    fn sent(&self, object: &mut Writer<'_>) {
        if let Some(address) = self.remote {
            object.plain("remote", address);
        }
        if !self.headers.is_empty() {
            object.object("headers", |object| {
                for (name, values) in &self.headers {
                    object.texts(name, values);
                }
            });
        }
    }

    fn told(&self, object: &mut Writer<'_>) {
        if let Some(text) = &self.detail {
            object.text("detail", text);
        }
    }

    /// Reads canonical bytes back, with their nonce. Whatever is not byte for byte canonical is an error.
    pub fn parse(bytes: &[u8]) -> Result<([u8; 16], Self), EventError> {
        let head: Head = serde_json::from_slice(bytes)?;
        if !(1..=VERSION).contains(&head.v) {
            return Err(EventError::Version(head.v));
        }
        let event: Self = serde_json::from_slice(bytes)?;
        let mut again = Vec::with_capacity(bytes.len());
        event.canonical(head.nonce, &mut again);
        if again == bytes { Ok((head.nonce, event)) } else { Err(EventError::NotCanonical) }
    }
}

/// What the events of one request have in common, in canonical form: a batch has many, which differ in what came of each item.
pub struct Common {
    asked: Vec<u8>,
    sent: Vec<u8>,
}

impl Common {
    /// Of an event and of those beside it.
    pub fn of(event: &Event) -> Self {
        let mut common = Self { asked: Vec::with_capacity(512), sent: Vec::with_capacity(64) };
        event.asked(&mut Writer::go_on(&mut common.asked));
        event.sent(&mut Writer::go_on(&mut common.sent));
        common
    }
}

impl Caller {
    fn canonical(&self, object: &mut Writer<'_>) {
        object.hex("tenant", &self.tenant.0).text("accessor", &self.accessor).text("display_name", &self.display_name);
        object.texts("policies", &self.policies).text("kind", self.kind.as_str());
        if let Some(entity) = &self.entity {
            object.text("entity", entity);
        }
    }
}

/// The word that stands for a refusal in `Event::error`. Its text for the client may name what the client sent,
/// so it stays out of the log.
pub const fn error_class(refusal: &Refusal) -> Word {
    Word::new(match refusal {
        Refusal::Invalid(_) => "invalid",
        Refusal::NoToken => "no_token",
        Refusal::Denied => "denied",
        Refusal::Forbidden(_) => "forbidden",
        Refusal::NotFound => "not_found",
        Refusal::NoMount(_) => "no_mount",
        Refusal::UnsupportedPath => "unsupported_path",
        Refusal::Missing(_) | Refusal::MissingSilently => "missing",
        Refusal::UnsupportedOperation => "unsupported_operation",
        Refusal::Behind => "behind",
        Refusal::TooLarge => "too_large",
        Refusal::UnsupportedMedia(_) => "unsupported_media",
        Refusal::TooMany(_) => "too_many",
        Refusal::Internal(_) => "internal",
        Refusal::Unavailable(_) => "unavailable",
        Refusal::Sealed => "sealed",
        Refusal::NamespaceSealed => "namespace_sealed",
        Refusal::RolledBack => "rolled_back",
        Refusal::Locked(_) => "locked",
    })
}

/// What every version begins with.
#[derive(Deserialize)]
struct Head {
    #[serde(deserialize_with = "hex16")]
    nonce: [u8; 16],
    v: u64,
}

fn hex<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok().and_then(|raw| raw.try_into().ok());
    bytes.ok_or_else(|| serde::de::Error::custom(format_args!("not {} hexadecimal digits", N * 2)))
}

fn hex16<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 16], D::Error> {
    hex(deserializer)
}

fn hex32<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[u8; 32]>, D::Error> {
    hex(deserializer).map(Some)
}

fn rfc3339<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    Timestamp::parse_rfc3339(&text).ok_or_else(|| serde::de::Error::custom("not a time of RFC 3339"))
}

fn shared<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<Caller>>, D::Error> {
    Caller::deserialize(deserializer).map(|caller| Some(Arc::new(caller)))
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
