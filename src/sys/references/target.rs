//! What references point to, whatever engine keeps it.

use std::sync::Arc;

use super::reading::Reading;
use crate::answer::{Data, Refusal};
use crate::commit::{Found, Place, Tenant, Txn};
use crate::engine::directory::Mounted;
use crate::engine::kv::{one_field, v1, v2};
use crate::engine::{directory, references, transit};
use crate::id::{MountId, ObjectId};
use crate::json::Json;
use crate::mount::{Engine, Mount};
use crate::path::Path;
use crate::reference::{Reference, ReferenceId};

/// A place in an engine that keeps what references can point to.
pub(in crate::sys) struct Target {
    /// The mount.
    pub(in crate::sys) place: Place,
    /// The path in it.
    pub(in crate::sys) path: String,
    engine: Keeps,
}

/// What an engine keeps for references. Another kind of target is another variant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeps {
    Secret,
    Versions,
    DataKeys,
}

/// What is at a target now.
pub(in crate::sys) struct Standing {
    /// Which object.
    pub(in crate::sys) object: ObjectId,
    /// The number of the version that was asked for, if it can be read.
    pub(in crate::sys) readable: Option<u64>,
    content: Content,
}

/// What was found in the engine, to go on from.
enum Content {
    Secret(Found<v1::KvSecret>),
    Versions(Arc<v2::Referred>),
    DataKey,
}

impl Standing {
    /// Of a secret with versions.
    pub(super) fn of_versions(found: Arc<v2::Referred>) -> Self {
        Self { object: found.object(), readable: found.readable, content: Content::Versions(found) }
    }

    /// The same again, which may be kept: none of its value is in it.
    pub(super) fn versions(&self) -> Option<&Arc<v2::Referred>> {
        match &self.content {
            Content::Versions(found) => Some(found),
            Content::Secret(_) | Content::DataKey => None,
        }
    }

    /// The standing reference.
    pub(in crate::sys) fn reference(&self) -> Option<&Reference> {
        match &self.content {
            Content::Secret(secret) => Some(&secret.value.reference),
            Content::Versions(found) => found.standing(),
            Content::DataKey => None,
        }
    }
}

impl Keeps {
    fn of(engine: Engine) -> Option<Self> {
        match engine {
            Engine::Kv1 => Some(Self::Secret),
            Engine::Kv2 => Some(Self::Versions),
            Engine::Transit => Some(Self::DataKeys),
            Engine::System
            | Engine::Token
            | Engine::Cubbyhole
            | Engine::Identity
            | Engine::AppRole
            | Engine::Userpass
            | Engine::Cert
            | Engine::Jwt
            | Engine::Oidc
            | Engine::Kubernetes => None,
        }
    }

    /// What all of it is below, in the mount.
    fn below(self) -> &'static str {
        match self {
            Self::Secret => "",
            Self::Versions => "data/",
            Self::DataKeys => transit::DATA_KEYS,
        }
    }
}

impl Target {
    /// What is read at `path` of a tenant; `None` when no such thing can be there.
    pub(in crate::sys) async fn at(tenant: &Arc<Tenant>, path: &Path, txn: &mut Txn) -> Result<Option<Self>, Refusal> {
        let mounted = directory::answering(tenant, path.as_str(), txn).await?;
        Ok(mounted.and_then(|mounted| Self::below(tenant, &mounted, path)))
    }

    /// The same of a mount that answers `path`.
    pub(in crate::sys) fn below(tenant: &Arc<Tenant>, mounted: &Mounted, path: &Path) -> Option<Self> {
        let engine = Keeps::of(mounted.mount.engine)?;
        let rest = path.as_str().strip_prefix(&mounted.path)?.strip_prefix(engine.below())?;
        let mount = Arc::clone(&mounted.mount);
        (!rest.is_empty()).then(|| Self::of_mount(tenant, mount, mounted.path.clone(), rest)).flatten()
    }

    /// A path in the mount with this id, wherever that is now; `None` when it is gone.
    pub(super) async fn in_mount(
        tenant: &Arc<Tenant>,
        mount: MountId,
        path: &str,
        txn: &mut Txn,
    ) -> Result<Option<Self>, Refusal> {
        let mounted = directory::by_id(tenant, mount, txn).await?;
        Ok(mounted.and_then(|mounted| Self::of_mount(tenant, mounted.mount, mounted.path, path)))
    }

    /// A path in a mount.
    pub(super) fn of_mount(tenant: &Arc<Tenant>, mount: Arc<Mount>, mounted_at: String, path: &str) -> Option<Self> {
        let engine = Keeps::of(mount.engine)?;
        Some(Self { place: Place { tenant: Arc::clone(tenant), mount, path: mounted_at }, path: path.to_owned(), engine })
    }

    /// The path that it is read at, which is what policy is asked about.
    pub(in crate::sys) fn read_path(&self) -> String {
        let path = if self.engine == Keeps::DataKeys { transit::kept::key_name(&self.path) } else { &self.path };
        [&self.place.path, self.engine.below(), path].concat()
    }

    /// Whether it has versions, which one can be pinned of.
    pub(super) fn has_versions(&self) -> bool {
        self.engine == Keeps::Versions
    }

    /// Whether references to it can be made at any time. A data key has the one that it was made with.
    pub(super) fn takes_references(&self) -> bool {
        self.engine != Keeps::DataKeys
    }

    /// What is there now.
    pub(in crate::sys) async fn standing(&self, pinned: Option<u64>, txn: &mut Txn) -> Result<Option<Standing>, Refusal> {
        Ok(match self.engine {
            Keeps::Secret => v1::secret(&self.place, &self.path, txn).await?.map(|secret| Standing {
                object: secret.object,
                readable: Some(secret.version),
                content: Content::Secret(secret),
            }),
            Keeps::Versions => {
                v2::referred(&self.place, &self.path, pinned, txn).await?.map(|found| Standing::of_versions(Arc::new(found)))
            }
            // Their object is the key that they were made with. A data key never changes.
            Keeps::DataKeys => {
                let found = transit::kept::find(&self.place, &self.path, txn).await?;
                let content = Content::DataKey;
                found.map(|(object, kept)| Standing { object, readable: kept.then_some(1), content })
            }
        })
    }

    /// The value in the form of KV version 2, so that a consumer need not know which engine keeps it.
    pub(super) async fn read(&self, standing: &Standing, field: Option<&str>, txn: &mut Txn) -> Result<Reading, Refusal> {
        Ok(match &standing.content {
            Content::Secret(secret) => {
                txn.note_read(secret.version);
                let value = match field {
                    Some(field) => one_field(&secret.value.value, field)?,
                    None => Json::from_text(secret.value.value.expose().to_vec()),
                };
                Reading::Written(Data::new(Some(Json::object(|data| {
                    data.raw("data", value.expose()).null("metadata");
                }))))
            }
            Content::DataKey => Reading::Written(transit::kept::read(&self.place, &self.path, txn).await?),
            Content::Versions(found) => Reading::Version(found.show(&self.place, txn).await?, field.map(str::to_owned)),
        })
    }

    /// Removes what nothing but one reference led to, which has ended.
    pub(super) async fn forget(&self, txn: &mut Txn) -> Result<(), Refusal> {
        match self.engine {
            Keeps::Secret | Keeps::Versions => Ok(()),
            Keeps::DataKeys => transit::kept::forget(&self.place, &self.path, txn).await,
        }
    }

    /// The ids of all references to what is there, the standing one first.
    pub(in crate::sys) async fn references(&self, txn: &mut Txn) -> Result<Vec<ReferenceId>, Refusal> {
        let Some(standing) = self.standing(None, txn).await? else { return Ok(Vec::new()) };
        let tenant = &self.place.tenant;
        let mut ids: Vec<ReferenceId> =
            standing.reference().into_iter().map(|reference| ReferenceId::of(tenant.keyring(), reference)).collect();
        ids.extend(references::of_object(tenant, standing.object, txn).await?);
        Ok(ids)
    }
}
