//! Does what was asked of `sys/mounts` and `sys/auth`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::operation::Operation;
use super::paths::{Class, MountPath, conflict};
use super::settings::{NewMount, Tuning};
use super::show;
use crate::answer::{Answer, Refusal};
use crate::auth::token::epoch::end_path;
use crate::commit::{Place, Tenant, Txn};
use crate::engine::{directory, kv};
use crate::id::MountId;
use crate::json::Json;
use crate::mount::{Engine, Mount, RetiredMount};
use crate::random;
use crate::record::{Address, Kind, SYSTEM};

/// Runs one operation.
pub async fn run(operation: Operation, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    match operation {
        Operation::List(class) => list(tenant, class, txn).await,
        Operation::Read(path) => read(tenant, &path, txn).await,
        Operation::Enable(path, new) => enable(tenant, &path, *new, txn).await,
        Operation::Disable(path) => disable(tenant, &path, txn).await,
        Operation::ReadTuning(path) => read_tuning(tenant, &path, txn).await,
        Operation::Tune(path, tuning) => tune(tenant, &path, &tuning, txn).await,
    }
}

async fn list(tenant: &Arc<Tenant>, class: Class, txn: &mut Txn) -> Result<Answer, Refusal> {
    let mounts = directory::all(tenant, txn).await?;
    Ok(Answer::doubled(Json::object(|out| {
        for mounted in &mounts {
            let name = match (class, mounted.path.strip_prefix("auth/")) {
                (Class::Auth, Some(name)) => name,
                (Class::Secret, None) => &mounted.path,
                _ => continue,
            };
            out.raw(name, show::whole(&mounted.mount, tenant.parent().is_some()).expose());
        }
    })))
}

async fn read(tenant: &Arc<Tenant>, path: &MountPath, txn: &mut Txn) -> Result<Answer, Refusal> {
    match (directory::at(tenant, &path.whole(), txn).await?, path.class) {
        (Some(mount), _) => Ok(Answer::doubled(show::whole(&mount, tenant.parent().is_some()))),
        (None, Class::Secret) => Err(Refusal::invalid(format!("No secret engine mount at {}", path.path))),
        (None, Class::Auth) => Err(Refusal::invalid(format!("No auth engine at {}", path.path))),
    }
}

async fn enable(tenant: &Arc<Tenant>, path: &MountPath, new: NewMount, txn: &mut Txn) -> Result<Answer, Refusal> {
    let whole = path.whole();
    let mounts = directory::paths(tenant, txn).await?;
    let namespaces = txn.names(tenant, Kind::Namespace, SYSTEM, "").await?;
    if let Some(taken) = conflict(&whole, &mounts, &namespaces) {
        return Err(Refusal::invalid(format!("path is already in use at {taken}")));
    }
    let mount = Mount {
        id: MountId::random(),
        engine: new.engine,
        accessor: directory::accessor_of(new.engine, &random::bytes::<4>()),
        description: new.description,
        options: Some(new.options),
        config: new.config,
        local: new.local,
        seal_wrap: new.seal_wrap,
        external_entropy_access: new.external_entropy_access,
    };
    txn.put(tenant, &Address::system(Kind::Mount, whole), &mount, None).await?;
    Ok(Answer::Empty)
}

/// The mount's id goes with its record, and with it every way to what it kept.
async fn disable(tenant: &Arc<Tenant>, path: &MountPath, txn: &mut Txn) -> Result<Answer, Refusal> {
    let whole = path.whole();
    if whole == "auth/token/" {
        return Err(Refusal::invalid("token credential backend cannot be disabled"));
    }
    if directory::PERMANENT.contains(&whole.as_str()) {
        return Err(Refusal::invalid(format!("{whole} cannot be disabled")));
    }
    let address = Address::system(Kind::Mount, whole.clone());
    let Some(found) = txn.read::<Mount>(tenant, &address).await? else { return Ok(Answer::Empty) };
    txn.remove::<Mount>(tenant, &address).await?;
    if found.value.engine.is_auth_method() {
        // Tokens that it gave end with it.
        end_path(txn, tenant, whole).await?;
    }
    let retired = RetiredMount { mount: Mount::clone(&found.value) };
    txn.put(tenant, &RetiredMount::address(retired.mount.id), &retired, None).await?;
    Ok(Answer::Empty)
}

async fn read_tuning(tenant: &Arc<Tenant>, path: &MountPath, txn: &mut Txn) -> Result<Answer, Refusal> {
    match directory::at(tenant, &path.whole(), txn).await? {
        Some(mount) => Ok(Answer::doubled(show::tuning(&mount, txn.lease_ttl(), tenant.parent().is_some()))),
        None => Err(Refusal::invalid(format!("cannot fetch sysview for path {:?}", path.whole()))),
    }
}

async fn tune(tenant: &Arc<Tenant>, path: &MountPath, tuning: &Tuning, txn: &mut Txn) -> Result<Answer, Refusal> {
    if path.is_reserved() {
        return Err(Refusal::invalid(format!("cannot tune {:?}", path.path)));
    }
    let whole = path.whole();
    let Some(mount) = directory::at(tenant, &whole, txn).await? else {
        return Err(Refusal::invalid(format!("tune of path {:?} failed: no mount entry found", path.whole())));
    };
    let mut mount = Mount::clone(&mount);
    tuning.apply(mount.engine, &mut mount.config)?;
    mount.options = options(&mount, &tuning.options)?;
    if let Some(description) = &tuning.description {
        mount.description.clone_from(description);
    }
    if upgrades(&mount, tuning) {
        mount.engine = Engine::Kv2;
        let place = Place { tenant: Arc::clone(tenant), mount: Arc::new(mount.clone()), path: whole.clone() };
        kv::upgrade(&place, txn).await?;
    }
    txn.put(tenant, &Address::system(Kind::Mount, whole), &mount, None).await?;
    Ok(Answer::Empty)
}

/// `bao kv enable-versioning`.
fn upgrades(mount: &Mount, tuning: &Tuning) -> bool {
    mount.engine == Engine::Kv1 && tuning.options.get("version").is_some_and(|version| version == "2")
}

/// The mount's options with `changes`; one with an empty value is removed.
fn options(mount: &Mount, changes: &BTreeMap<String, String>) -> Result<Option<BTreeMap<String, String>>, Refusal> {
    if let Some(version) = changes.get("version") {
        match (mount.engine, version.as_str()) {
            (Engine::Kv2, "1") => return Err(Refusal::invalid("cannot downgrade mount from version 2")),
            (Engine::Kv1, "1" | "2") | (Engine::Kv2, "2") => {}
            (Engine::Kv1 | Engine::Kv2, _) => return Err(Refusal::invalid("invalid version provided: a KV mount has 1 or 2")),
            _ => {}
        }
    }
    let mut options = mount.options.clone().unwrap_or_default();
    for (name, value) in changes {
        if value.is_empty() {
            options.remove(name);
        } else {
            options.insert(name.clone(), value.clone());
        }
    }
    Ok(Some(options).filter(|options| mount.options.is_some() || !options.is_empty()))
}
