//! The mounts of a tenant, those included that are there without a record.

use std::sync::Arc;

use crate::answer::Refusal;
use crate::commit::past::Known;
use crate::commit::{Tenant, Txn};
use crate::crypto;
use crate::id::{MountId, TenantId};
use crate::mount::{Engine, Mount, MountConfig};
use crate::record::{Address, Kind, SYSTEM};
use crate::time::Timestamp;

/// The paths of the mounts that every tenant has, sorted.
pub const PERMANENT: [&str; 4] = ["auth/token/", "cubbyhole/", "identity/", "sys/"];

/// A mount and its whole path.
pub struct Mounted {
    /// `secret/`, `auth/token/`.
    pub path: String,
    /// The mount.
    pub mount: Arc<Mount>,
}

/// All paths with a mount, sorted.
pub async fn paths(tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Vec<Box<str>>, Refusal> {
    let mut paths = txn.names(tenant, Kind::Mount, SYSTEM, "").await?.to_vec();
    paths.extend(PERMANENT.into_iter().map(Box::from));
    paths.sort_unstable();
    paths.dedup();
    Ok(paths)
}

/// All mounts, sorted by path.
pub async fn all(tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Vec<Mounted>, Refusal> {
    let mut mounts = Vec::new();
    for path in paths(tenant, txn).await? {
        if let Some(mount) = at(tenant, &path, txn).await? {
            mounts.push(Mounted { path: path.into_string(), mount });
        }
    }
    Ok(mounts)
}

/// The mounts that a tenant had at a time, or has now, sorted by path.
pub async fn as_of(tenant: &Arc<Tenant>, at: Option<Timestamp>, txn: &mut Txn) -> Result<Earlier, Refusal> {
    let mut paths = txn.names_of(tenant, Kind::Mount, SYSTEM, at.is_some()).await?;
    paths.extend(PERMANENT.into_iter().map(Box::from));
    paths.sort_unstable();
    paths.dedup();
    let mut earlier = Earlier::default();
    for path in paths {
        let found = match txn.as_of::<Mount, Mount>(tenant, &Address::system(Kind::Mount, &*path), "", at).await? {
            Known::Was(mount) => Some((mount, true)),
            Known::First(mount) => Some((mount, false)),
            Known::Absent => permanent(tenant.id(), &path).map(|mount| (mount, true)),
            Known::Forgotten => {
                earlier.forgotten.push(path.into_string());
                continue;
            }
        };
        if let Some((mount, sure)) = found {
            earlier.mounts.push((Mounted { path: path.into_string(), mount: Arc::new(mount) }, sure));
        }
    }
    Ok(earlier)
}

/// Mounts at some time.
#[derive(Default)]
pub struct Earlier {
    /// Those that are known, and whether it is known since when they were so.
    pub mounts: Vec<(Mounted, bool)>,
    /// Paths of which it is not known what was there.
    pub forgotten: Vec<String>,
}

impl Earlier {
    /// The mount that answered `path`.
    pub fn answering(&self, path: &str) -> Option<&Mounted> {
        self.mounts.iter().map(|(mounted, _)| mounted).find(|mounted| answers(&mounted.path, path))
    }
}

/// The mount whose whole path is exactly `path`.
pub async fn at(tenant: &Arc<Tenant>, path: &str, txn: &mut Txn) -> Result<Option<Arc<Mount>>, Refusal> {
    let found = txn.read::<Mount>(tenant, &Address::system(Kind::Mount, path)).await?;
    Ok(found.map(|found| found.value).or_else(|| permanent(tenant.id(), path).map(Arc::new)))
}

/// The mount that answers `path`, a path below the tenant (`secret/data/app`), with or without a slash at the end.
pub async fn answering(tenant: &Arc<Tenant>, path: &str, txn: &mut Txn) -> Result<Option<Mounted>, Refusal> {
    let found = match PERMANENT.into_iter().find(|mount| answers(mount, path)) {
        Some(permanent) => permanent.to_owned(),
        None => match search(&txn.names(tenant, Kind::Mount, SYSTEM, "").await?, path) {
            Some(found) => found.to_owned(),
            None => return Ok(None),
        },
    };
    Ok(at(tenant, &found, txn).await?.map(|mount| Mounted { path: found, mount }))
}

/// Finds the mount that answers `path` in a sorted list. Mounts do not nest, so that it is the last one that does not
/// come after the path: whatever comes in between would begin with it.
fn search<'a>(mounts: &'a [Box<str>], path: &str) -> Option<&'a str> {
    let directory = format!("{}/", path.strip_suffix('/').unwrap_or(path));
    let after = mounts.partition_point(|mount| **mount <= *directory);
    mounts.get(after.checked_sub(1)?).map(|mount| &**mount).filter(|mount| answers(mount, path))
}

/// The mount with this id, wherever it is now.
pub async fn by_id(tenant: &Arc<Tenant>, id: MountId, txn: &mut Txn) -> Result<Option<Mounted>, Refusal> {
    for path in paths(tenant, txn).await? {
        match at(tenant, &path, txn).await? {
            Some(mount) if mount.id == id => return Ok(Some(Mounted { path: path.into_string(), mount })),
            _ => {}
        }
    }
    Ok(None)
}

/// The mount with this accessor, wherever it is now.
pub async fn by_accessor(tenant: &Arc<Tenant>, accessor: &str, txn: &mut Txn) -> Result<Option<Mounted>, Refusal> {
    Ok(all(tenant, txn).await?.into_iter().find(|mounted| mounted.mount.accessor == accessor))
}

/// Whole segments only: `secret/` answers `secret` and `secret/a`, not `secret2`.
fn answers(mount: &str, path: &str) -> bool {
    path.starts_with(mount) || mount.strip_suffix('/') == Some(path)
}

/// A mount that every tenant has, as it is before anybody tunes it. Its id and accessor follow from the tenant.
pub fn permanent(tenant: TenantId, path: &str) -> Option<Mount> {
    let (engine, description) = match path {
        "sys/" => (Engine::System, "system endpoints used for control, policy and debugging"),
        "auth/token/" => (Engine::Token, "token based credentials"),
        "cubbyhole/" => (Engine::Cubbyhole, "per-token private secret storage"),
        "identity/" => (Engine::Identity, "identity store"),
        _ => return None,
    };
    let digest = crypto::sha256(&[b"strongroom permanent mount", &tenant.0, path.as_bytes()]);
    let (accessor, rest) = digest.split_at(4);
    let mut id = [0; 16];
    id.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let header = match engine {
        Engine::System => Some("Accept"),
        Engine::Identity => Some("Authorization"),
        _ => None,
    };
    let passthrough_request_headers = header.map(|header| vec![header.to_owned()]);
    Some(Mount {
        id: MountId(id),
        engine,
        accessor: accessor_of(engine, accessor),
        description: description.to_owned(),
        options: None,
        config: MountConfig { passthrough_request_headers, ..MountConfig::default() },
        local: engine == Engine::Cubbyhole,
        seal_wrap: engine == Engine::System,
        external_entropy_access: false,
    })
}

/// The accessor of a mount, from its random part: `kv_1a2b3c4d`, `auth_approle_1a2b3c4d`.
pub fn accessor_of(engine: Engine, bytes: &[u8]) -> String {
    let class = if engine.is_auth_method() { "auth_" } else { "" };
    format!("{class}{}_{}", engine.type_name(), data_encoding::HEXLOWER.encode(bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_mount_answers_whole_segments() {
        assert!(answers("secret/", "secret/data/a"));
        assert!(answers("secret/", "secret/"));
        assert!(answers("secret/", "secret"));
        assert!(!answers("secret/", "secret2/a"));
        assert!(!answers("secret/", "secre"));
        assert!(!answers("a/b/", "a/"));
        assert!(!answers("a/b/", ""));
    }

    #[test]
    fn the_search_finds_what_looking_at_every_mount_finds() {
        let mut mounts: Vec<Box<str>> =
            ["auth/ci/", "a!/", "a/b/", "a/c/", "a0/", "b/", "ü/x/"].into_iter().map(Box::from).collect();
        mounts.sort_unstable();
        let paths =
            ["", "a", "a/", "a/b", "a/b/", "a/b!", "a/b/c", "a/bb", "a!", "a!/x", "a0/x/", "b", "b/z/z", "c", "ü/x/y", "zz"];
        for path in paths {
            let every = mounts.iter().find(|mount| answers(mount, path)).map(|mount| &**mount);
            assert_eq!(search(&mounts, path), every, "{path}");
        }
        assert_eq!(search(&[], "a"), None);
    }

    #[test]
    fn permanent_mounts_are_the_same_every_time_and_differ_between_tenants() {
        let (one, other) = (TenantId([1; 16]), TenantId([2; 16]));
        let mut seen = HashSet::new();
        for tenant in [one, other] {
            for path in PERMANENT {
                let mount = permanent(tenant, path).unwrap();
                assert_eq!(permanent(tenant, path), Some(mount.clone()));
                assert!(seen.insert(mount.id.to_string()) && seen.insert(mount.accessor));
            }
        }
        assert_eq!(permanent(one, "secret/"), None);
    }
}
