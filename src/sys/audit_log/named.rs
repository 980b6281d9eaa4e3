//! What a record is, of which only the key is known: a keyed hash of its address. The addresses are tried that the requests
//! of the row are about which changed it last.

use super::sources::Source;
use crate::answer::Refusal;
use crate::audit::event::Event;
use crate::commit::Tenants;
use crate::engine::directory::Mounted;
use crate::engine::kv::v2::{KvMetadata, KvVersion};
use crate::id::{MountId, ObjectId};
use crate::mount::Engine;
use crate::path::split_parent;
use crate::record::{Address, Kind, RecordKey, SYSTEM};

/// Requests whose paths are tried.
const EVENTS_MAX: usize = 2_048;

/// Kinds of records that people have given a path. Others (tokens, what leads to them) are known by hashes only.
const KINDS: [Kind; 33] = [
    Kind::Namespace,
    Kind::Mount,
    Kind::Policy,
    Kind::KvConfig,
    Kind::KvMetadata,
    Kind::KvSecret,
    Kind::KvVersion,
    Kind::TokenRole,
    Kind::NamespaceLock,
    Kind::CorsConfig,
    Kind::Entity,
    Kind::EntityAlias,
    Kind::Group,
    Kind::GroupAlias,
    Kind::IdentityName,
    Kind::OidcKey,
    Kind::OidcRole,
    Kind::CertRole,
    Kind::CertCrl,
    Kind::CertConfig,
    Kind::AppRole,
    Kind::User,
    Kind::TransitKey,
    Kind::TransitConfig,
    Kind::MfaMethod,
    Kind::LoginEnforcement,
    Kind::JwtConfig,
    Kind::JwtRole,
    Kind::KubernetesConfig,
    Kind::KubernetesRole,
    Kind::WrapState,
    Kind::Rewrap,
    Kind::AuditedHeaders,
];

/// A record whose address was found.
pub(super) struct Found {
    pub(super) kind: Kind,
    /// As a client names it.
    pub(super) path: String,
}

/// The word for the kind with this number.
pub(super) fn kind(number: u8) -> String {
    let others = [
        Kind::Token,
        Kind::TokenAccessor,
        Kind::TokenChild,
        Kind::TokenLease,
        Kind::Reference,
        Kind::ReferenceListing,
        Kind::SecretId,
        Kind::SecretIdAccessor,
        Kind::RoleId,
        Kind::Cubbyhole,
        Kind::Wrapped,
        Kind::GroupMember,
        Kind::LastLogin,
        Kind::LogKey,
        Kind::TransitDataKey,
        Kind::History,
    ];
    let known = KINDS.into_iter().chain(others).find(|kind| *kind as u8 == number);
    known.map_or_else(|| format!("kind {number}"), |kind| format!("{kind:?}"))
}

/// The record at `key`, if a path of `events` leads to it.
pub(super) async fn find(
    tenants: &Tenants,
    source: &Source,
    mounts: &[Mounted],
    key: RecordKey,
    events: &[Event],
) -> Result<Option<Found>, Refusal> {
    for event in events.iter().take(EVENTS_MAX) {
        let Some(path) = event.path.strip_prefix(source.namespace.as_str()) else { continue };
        let path = path.trim_end_matches('/');
        let Some(mounted) = mounts.iter().find(|mounted| format!("{path}/").starts_with(&mounted.path)) else { continue };
        let rest = path.get(mounted.path.len()..).unwrap_or_default();
        if let Some(kind) = at_any(source, mounted.mount.id, rest, key) {
            return Ok(Some(Found { kind, path: path.to_owned() }));
        }
        if mounted.mount.engine == Engine::Kv2
            && let Some(version) = version(tenants, source, mounted.mount.id, rest, key, event).await?
        {
            return Ok(Some(Found { kind: Kind::KvVersion, path: format!("{path} version {version}") }));
        }
    }
    Ok(None)
}

/// The kind that has `key` at the end of a path, behind whatever words of the API stand at its beginning.
fn at_any(source: &Source, mount: MountId, rest: &str, key: RecordKey) -> Option<Kind> {
    let keyring = source.tenant.keyring();
    let behind = |words: usize| rest.splitn(words + 1, '/').nth(words);
    let fixed = ["config", "values", ""].into_iter();
    let names: Vec<&str> = (0..4).filter_map(behind).chain(fixed).collect();
    for kind in KINDS {
        for name in &names {
            let (directory, last) = split_parent(name);
            for (directory, name) in [("", *name), (directory, last)] {
                for name in [name.to_owned(), format!("{name}/")] {
                    for mount in [mount, SYSTEM] {
                        let address = Address { kind, mount, directory: directory.to_owned(), name: name.clone() };
                        if keyring.record_key(&address) == key {
                            return Some(kind);
                        }
                    }
                }
            }
        }
    }
    None
}

/// The version of a KV 2 secret that has `key`: its address has the object id of the secret's metadata.
async fn version(
    tenants: &Tenants,
    source: &Source,
    mount: MountId,
    rest: &str,
    key: RecordKey,
    event: &Event,
) -> Result<Option<u64>, Refusal> {
    let (Some((_, path)), Some(version)) = (rest.split_once('/'), event.written_version) else { return Ok(None) };
    let keyring = source.tenant.keyring();
    let metadata = keyring.record_key(&KvMetadata::address(mount, path));
    let Some(row) = tenants.stored_at(&source.tenant, metadata).await? else { return Ok(None) };
    let Some(object) = row.sealed.first_chunk() else { return Ok(None) };
    let address = KvVersion::address(mount, ObjectId(*object), version);
    Ok((keyring.record_key(&address) == key).then_some(version))
}
