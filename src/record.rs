//! Records: how everything a tenant keeps is addressed, and the types that a record's payload has.
//!
//! A record's place is an `Address` (kind, mount, directory, name). It reaches the store only as keyed hashes
//! (`RecordKey`, `DirKey`) and a sealed name.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::id::MountId;
use crate::secret::SecretBytes;

/// What a record is. Part of every key derivation and of the AAD: a record of one kind never opens as another.
/// Numbers are stored; they are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A child namespace, in its parent: opaque id, key generation and commitment.
    Namespace = 1,
    /// A mounted engine or auth method.
    Mount = 2,
    /// An ACL policy.
    Policy = 3,
    /// A token, by its keyed hash.
    Token = 4,
    /// An accessor, which leads to its token.
    TokenAccessor = 5,
    /// A child token, listed under its parent.
    TokenChild = 6,
    /// The configuration of one KV mount.
    KvConfig = 7,
    /// A KV 2 secret: its metadata and version list.
    KvMetadata = 8,
    /// One version of a KV 2 secret: the value.
    KvVersion = 9,
    /// An opaque reference, by its keyed hash.
    Reference = 10,
    /// A mount that was disabled, until a job has removed its records.
    RetiredMount = 11,
    /// A KV 1 secret: the value.
    KvSecret = 12,
    /// What a token keeps for itself.
    Cubbyhole = 13,
    /// An answer that was put away for whoever holds a wrapping token.
    Wrapped = 14,
    /// A role of the token method.
    TokenRole = 15,
    /// The lease of a token, listed by the path that it was made at.
    TokenLease = 16,
    /// Which tokens of a tenant were ended all together.
    TokenEpoch = 17,
    /// A child namespace whose keys are to be out of memory, in its parent.
    NamespaceLock = 18,
    /// Which web pages of other origins may call, in the root.
    CorsConfig = 19,
    /// That a mount was moved, for a while.
    RemountStatus = 20,
    /// When a tenant's keys were changed last.
    KeyState = 22,
    /// Which seals new tenants are wrapped by.
    SealEpoch = 23,
    /// An entity: somebody, whatever method they log in with.
    Entity = 25,
    /// What an entity is called by one mount.
    EntityAlias = 26,
    /// A group of entities.
    Group = 27,
    /// What an external group is called by one mount.
    GroupAlias = 28,
    /// Leads from a name, in its canonical form, to an entity, group or alias.
    IdentityName = 29,
    /// A named key that identity tokens are signed with.
    OidcKey = 30,
    /// A role that identity tokens are made for.
    OidcRole = 31,
    /// The settings of identity tokens of a tenant.
    OidcConfig = 32,
    /// That an entity is in a group, listed under the group.
    GroupMember = 33,
    /// A role of a cert mount.
    CertRole = 34,
    /// A revocation list of a cert mount.
    CertCrl = 35,
    /// The settings of a cert mount.
    CertConfig = 36,
    /// When a tenant's wrapping key is to be rotated by itself next, in the root.
    DueRotation = 37,
    /// A role of an `AppRole` mount.
    AppRole = 39,
    /// Leads from a role id to its role.
    RoleId = 40,
    /// A secret id of a role, by its keyed hash.
    SecretId = 41,
    /// Leads from the accessor of a secret id to it, listed under the role.
    SecretIdAccessor = 42,
    /// That secret ids of a deleted role are still to be cleared away.
    RoleRemains = 43,
    /// A user with a password.
    User = 44,
    /// That logins of a name have failed, whether there is such a user or not.
    FailedLogins = 45,
    /// When and from where a user logged in last.
    LastLogin = 46,
    /// A named key of a Transit mount, with all its versions.
    TransitKey = 47,
    /// How much each version of a Transit key is written down to have encrypted.
    TransitUses = 48,
    /// The settings of a Transit mount.
    TransitConfig = 49,
    /// The private key that keys are wrapped to for their import into a Transit mount.
    TransitWrappingKey = 50,
    /// The private key that the audit logs are signed with, in the root.
    LogKey = 51,
    /// A data key that a reference resolves to.
    TransitDataKey = 52,
    /// That data keys of a removed Transit key are still to be cleared away.
    TransitRemains = 53,
    /// What a record that has a past was, from its first version that is kept on.
    History = 54,
    /// That there is a reference, listed under what it points to and under whom it is for.
    ReferenceListing = 59,
    /// How far a tenant's values are wrapped by its newest wrapping key.
    Rewrap = 69,
    /// A kind of second factor that a tenant has.
    MfaMethod = 70,
    /// Which logins need a second factor.
    LoginEnforcement = 71,
    /// The second factors of an entity: secrets, what was used of them, recovery codes.
    EntityFactors = 72,
    /// A login that waits for a second factor.
    PendingLogin = 73,
    /// Whom a JWT mount trusts.
    JwtConfig = 63,
    /// A role of a JWT mount.
    JwtRole = 64,
    /// What a JWT mount proves itself to its provider with.
    OidcClientSecret = 65,
    /// That the state of a login in a browser was used.
    OidcSpent = 66,
    /// Which cluster a Kubernetes mount trusts.
    KubernetesConfig = 77,
    /// A role of a Kubernetes mount.
    KubernetesRole = 78,
    /// By which seals a tenant's key is wrapped.
    WrapState = 80,
    /// Rate limits.
    Quotas = 81,
    /// Which request headers a tenant has in its audit log.
    AuditedHeaders = 85,
    /// That a child namespace must not be erased, in its parent.
    LegalHold = 86,
    /// When a tenant's wrapping key is rotated by itself.
    RotationConfig = 87,
    /// How far the erasure of a tenant is, in the root.
    Erasure = 88,
    /// The epoch of a tenant's log, once its store was put back to an older one.
    LogEpoch = 89,
    /// That a tenant's values are being wrapped anew, in the root.
    UnfinishedRewrap = 91,
    /// How long the archive keeps a tenant's events.
    ArchiveSettings = 92,
    /// What of a tenant's events was deleted from the archive.
    ArchiveState = 93,
    /// What a policy was from some time on.
    PolicyVersion = 94,
    /// A backup that was asked for, is being made, or was made, in the root.
    Backup = 95,
}

/// Where a record lives in its tenant. `directory` is empty or ends in a slash; `name` is what a listing of the
/// directory shows, and may contain slashes (a mount is listed by its whole path).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// What it is.
    pub kind: Kind,
    /// The mount that owns it; `SYSTEM` for what belongs to the tenant itself.
    pub mount: MountId,
    /// The directory that lists it.
    pub directory: String,
    /// Its name in the directory.
    pub name: String,
}

/// The mount id of what belongs to the tenant itself rather than to an engine.
pub const SYSTEM: MountId = MountId([0; 16]);

impl Address {
    /// An entry of a flat listing, owned by the tenant itself.
    pub fn system(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind, mount: SYSTEM, directory: String::new(), name: name.into() }
    }

    /// An entry of a tree: `path` is split at its last slash (`a/b/c` is `c` in `a/b/`, `a/b/` is `b/` in `a/`).
    pub fn tree(kind: Kind, mount: MountId, path: &str) -> Self {
        let (directory, name) = crate::path::split_parent(path);
        Self { kind, mount, directory: directory.to_owned(), name: name.to_owned() }
    }
}

/// HMAC of an address under the tenant's index key: the primary key of a record row. Reveals only equality.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey(pub [u8; 32]);

/// HMAC of a directory under the tenant's directory key. All zero for a record that no listing shows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DirKey(pub [u8; 32]);

impl DirKey {
    /// Of a record that no listing shows.
    pub const NONE: Self = Self([0; 32]);
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0[..8]))
    }
}

impl fmt::Debug for DirKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0[..8]))
    }
}

/// How records of a kind are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Never listed: no directory, no name in the row.
    None,
    /// Listed in its directory; directories are not listed themselves.
    Flat,
    /// Listed in its directory, and every directory in its parent, as long as it holds something.
    Tree,
}

/// A record's payload does not decode: the row was written by a newer version, or the software has a flaw.
/// It opened, so it was not tampered with.
#[derive(Debug, thiserror::Error)]
#[error("a stored {kind:?} record does not decode: {reason}")]
pub struct DecodeError {
    /// What was being read.
    pub kind: Kind,
    /// Where decoding stopped; never any content.
    pub reason: String,
}

/// The payload of a record.
pub trait Record: Sized + Send + Sync + 'static {
    /// What it is.
    const KIND: Kind;
    /// How it is listed.
    const LISTING: Listing;
    /// Whether the decoded form may be kept in memory between requests. Never for secrets.
    const CACHED: bool = true;
    /// Whether some of it is kept when it is changed or removed (`commit::past`).
    const HAS_PAST: bool = false;

    /// What of it is kept, for whoever asks later what it was. Never a secret.
    fn past(&self) -> Option<Past> {
        None
    }

    /// The payload to seal.
    fn encode(&self) -> SecretBytes;

    /// Reads an opened payload back.
    fn decode(payload: SecretBytes) -> Result<Self, DecodeError>;
}

/// What is kept of a record that is changed or removed.
pub struct Past {
    /// What it is listed by, among those of its kind and mount: empty or ending in a slash.
    pub directory: String,
    /// What it was: JSON.
    pub was: Box<RawValue>,
}

impl Past {
    /// Something that is listed with all of its kind and mount.
    pub fn of(was: &impl Serialize) -> Option<Self> {
        Self::below(String::new(), was)
    }

    /// Something that is listed in a directory.
    pub fn below(directory: String, was: &impl Serialize) -> Option<Self> {
        // Plain structs of strings, numbers and maps with string keys always serialise.
        serde_json::value::to_raw_value(was).ok().map(|was| Self { directory, was })
    }
}

/// Implements `Record` for a type with serde derives, as JSON: fields may be added with `#[serde(default)]`. `past` is a function
/// that says what is kept of it.
#[macro_export]
macro_rules! json_record {
    ($type:ty, $kind:expr, $listing:expr $(, past = $past:expr)?) => {
        impl $crate::record::Record for $type {
            const KIND: $crate::record::Kind = $kind;
            const LISTING: $crate::record::Listing = $listing;
            $(
                const HAS_PAST: bool = true;

                fn past(&self) -> Option<$crate::record::Past> {
                    let past: fn(&Self) -> Option<$crate::record::Past> = $past;
                    past(self)
                }
            )?

            fn encode(&self) -> $crate::secret::SecretBytes {
                // Plain structs of strings, numbers and maps with string keys always serialise.
                $crate::secret::SecretBytes::new(serde_json::to_vec(self).unwrap_or_default())
            }

            fn decode(payload: $crate::secret::SecretBytes) -> Result<Self, $crate::record::DecodeError> {
                serde_json::from_slice(payload.expose()).map_err(|error| $crate::record::DecodeError {
                    kind: $kind,
                    reason: format!("line {} column {}", error.line(), error.column()),
                })
            }
        }
    };
}

/// Implements `Record` for a type that holds nothing but its payload, which is secret: it is never kept open.
#[macro_export]
macro_rules! secret_record {
    ($type:ident, $kind:expr, $listing:expr) => {
        impl $crate::record::Record for $type {
            const KIND: $crate::record::Kind = $kind;
            const LISTING: $crate::record::Listing = $listing;
            const CACHED: bool = false;

            fn encode(&self) -> $crate::secret::SecretBytes {
                self.0.duplicate()
            }

            fn decode(payload: $crate::secret::SecretBytes) -> Result<Self, $crate::record::DecodeError> {
                Ok(Self(payload))
            }
        }
    };
}
