//! What is written down of an erasure: from the request that asked for it to the last backup that holds a key.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::answer::Refusal;
use crate::commit::{Tenant, Txn};
use crate::id::TenantId;
use crate::json::Object;
use crate::namespace::{Namespace, OwnSeal};
use crate::record::{Address, Kind, Listing, SYSTEM};
use crate::sys::backups::Backup;
use crate::time::Timestamp;

/// Namespaces that are looked at to see whether one of them has a key that is to be destroyed.
const NAMESPACES_MAX: usize = 1_000;

/// The erasure of one tenant. The root keeps it, for its parent may be erased as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Erasure {
    pub(super) tenant: TenantId,
    /// What it was called, from the root on; empty if that is not known.
    pub(super) path: String,
    /// When its keys were removed from the database.
    pub(super) begun: Timestamp,
    /// The list of erased tenants said so: the database is of before.
    pub(super) from_list: bool,
    /// The key that it had for itself.
    pub(super) own_key: Option<OwnSeal>,
    /// That key is to be destroyed so many days after the guardian was told.
    pub(super) destroy_after_days: Option<u32>,
    /// What the guardian said of the key last.
    pub(super) key: Option<KeyReport>,
    /// Why the guardian was not told yet; empty when it was, or nothing is wrong.
    pub(super) problem: String,
    /// When the last of its rows was gone.
    pub(super) rows_gone: Option<Timestamp>,
    /// Until when backups hold its keys; none: nobody said how long backups are kept.
    pub(super) backups_until: Option<Timestamp>,
    /// When nothing was left to wait for.
    pub(super) erased: Option<Timestamp>,
}

/// What a guardian said of a key, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyReport {
    pub(super) state: String,
    pub(super) deletion: Option<Timestamp>,
    pub(super) at: Timestamp,
}

crate::json_record!(Erasure, Kind::Erasure, Listing::Flat);

impl Erasure {
    pub(super) fn address(tenant: TenantId) -> Address {
        Address::system(Kind::Erasure, tenant.to_string())
    }

    pub(super) fn new(tenant: TenantId, path: String, begun: Timestamp) -> Self {
        Self {
            tenant,
            path,
            begun,
            from_list: false,
            own_key: None,
            destroy_after_days: None,
            key: None,
            problem: String::new(),
            rows_gone: None,
            backups_until: None,
            erased: None,
        }
    }

    /// What is still waited for.
    pub(super) fn waits_for(&self) -> Vec<&'static str> {
        if self.erased.is_some() {
            return Vec::new();
        }
        let rows = self.rows_gone.is_none().then_some("rows");
        let key = (self.destroy_after_days.is_some() && self.key.is_none()).then_some("key");
        rows.into_iter().chain(key).chain(["backups"]).collect()
    }

    /// Also names those of `backups` that hold its keys: begun before they were removed, and still there.
    pub(super) fn show(&self, data: &mut Object<'_>, backups: &[Arc<Backup>]) {
        data.field("path", &self.path).field("state", if self.erased.is_some() { "erased" } else { "pending" });
        data.strings("waits_for", &self.waits_for());
        data.field("begun", &self.begun.rfc3339());
        let times = [("rows_gone", self.rows_gone), ("backups_until", self.backups_until), ("erased", self.erased)];
        for (name, time) in times {
            if let Some(time) = time {
                data.field(name, &time.rfc3339());
            }
        }
        let held: Vec<&str> = backups.iter().filter(|backup| backup.may_hold(self.begun)).map(|backup| backup.called()).collect();
        data.strings("backups", &held);
        if self.from_list {
            data.field("from_list", &true);
        }
        let Some(own) = &self.own_key else { return };
        data.object("key", |data| {
            data.field("seal", &own.seal).field("key_id", &own.key_id);
            data.field("destroy", &self.destroy_after_days.is_some());
            if let Some(report) = &self.key {
                data.field("state", &report.state).field("at", &report.at.rfc3339());
                if let Some(deletion) = report.deletion {
                    data.field("deletion", &deletion.rfc3339());
                }
            }
            if !self.problem.is_empty() {
                data.field("problem", &self.problem);
            }
        });
    }
}

/// Writes down that a namespace, which is at `path`, is erased by this transaction. With `destroy_after_days` its own key is
/// destroyed.
pub(in crate::sys) async fn begin(
    namespace: &Namespace,
    path: String,
    destroy_after_days: Option<u32>,
    txn: &mut Txn,
) -> Result<(), Refusal> {
    let own_key = namespace.own_seal.clone();
    if destroy_after_days.is_some() {
        let Some(own) = &own_key else {
            return Err(Refusal::invalid("destroy_key: the namespace has no key of its own, only the deployment's wrap it"));
        };
        refuse_if_used(own, namespace.tenant, txn).await?;
    }
    let root = txn.tenants().root();
    let address = Erasure::address(namespace.tenant);
    let erasure = Erasure { own_key, destroy_after_days, ..Erasure::new(namespace.tenant, path, txn.now()) };
    txn.put(&root, &address, &erasure, None).await?;
    txn.wake_jobs(false);
    Ok(())
}

/// A key that another namespace has, too, is not destroyed. Every namespace is looked at, and none can be made meanwhile that nobody
/// has seen: what was read must be current when this is committed.
async fn refuse_if_used(own: &OwnSeal, except: TenantId, txn: &mut Txn) -> Result<(), Refusal> {
    // One key may be named by its id and by its ARN.
    let id = |own: &OwnSeal| own.key_id.rsplit('/').next().unwrap_or_default().to_owned();
    let (mut waiting, mut seen) = (vec![(txn.tenants().root(), String::new())], 0);
    while let Some((tenant, path)) = waiting.pop() {
        for (name, namespace) in children(&tenant, txn).await? {
            let path = format!("{path}{name}/");
            if namespace.tenant == except {
                continue;
            }
            seen += 1;
            if seen > NAMESPACES_MAX {
                return Err(Refusal::invalid(format!(
                    "destroy_key: there are more than {NAMESPACES_MAX} namespaces, and each of them would have to be asked whether it \
                     has the same key: destroy the key where it is guarded"
                )));
            }
            if namespace.own_seal.as_ref().is_some_and(|other| id(other) == id(own)) {
                return Err(Refusal::invalid(format!("destroy_key: namespace {path:?} has the same key")));
            }
            let child = txn.enter(&tenant, &name, &namespace).await.map_err(|_| {
                let text = format!("destroy_key: namespace {path:?} does not open now, and one below it may have the same key");
                Refusal::Unavailable(text)
            })?;
            waiting.push((child, path));
        }
    }
    Ok(())
}

/// The child namespaces of a tenant by their names.
pub(super) async fn children(tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Vec<(Box<str>, Arc<Namespace>)>, Refusal> {
    let mut found = Vec::new();
    for name in txn.names(tenant, Kind::Namespace, SYSTEM, "").await?.iter() {
        if let Some(namespace) = txn.read::<Namespace>(tenant, &Address::system(Kind::Namespace, &**name)).await? {
            found.push((name.clone(), namespace.value));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use async_trait::async_trait;

    use super::*;
    use crate::answer::Answer;
    use crate::audit::event::{Event, Word};
    use crate::commit::testing::Deployed;
    use crate::commit::{Attempt, Committer};

    /// Makes namespaces in the root, of these numbers.
    struct Make(std::ops::Range<usize>);

    #[async_trait]
    impl Attempt for Make {
        async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
            let root = txn.tenants().root();
            for number in self.0.clone() {
                txn.create_child(&root, &format!("n{number}"), BTreeMap::new(), None).await?;
            }
            txn.conclude(&root, &Event::of_job(txn.now(), root.id(), Word::new("test"), String::new()), false);
            Ok(Answer::Empty)
        }
    }

    #[tokio::test]
    async fn a_key_is_destroyed_when_so_many_namespaces_could_be_asked_and_no_more() {
        let deployed = Deployed::at(Timestamp(1_795_251_600_000_000_001)).await;
        let tenants = deployed.tenants().await;
        let committer = Committer::start(Arc::clone(&tenants)).unwrap();
        let own = OwnSeal { seal: "eu".to_owned(), key_id: "alias/mine".to_owned() };
        let begun = async || {
            let txn = &mut tenants.look();
            let (_, namespace) = children(&tenants.root(), txn).await?.remove(0);
            let owner = Namespace { own_seal: Some(own.clone()), ..Namespace::clone(&namespace) };
            begin(&owner, "n0/".to_owned(), Some(7), txn).await
        };
        // Its owner besides those that are asked.
        committer.run(Arc::new(Make(0..NAMESPACES_MAX + 1))).await.unwrap();
        begun().await.unwrap();
        committer.run(Arc::new(Make(NAMESPACES_MAX + 1..NAMESPACES_MAX + 2))).await.unwrap();
        assert!(matches!(begun().await, Err(Refusal::Invalid(text)) if text.contains("more than 1000 namespaces")));
        committer.stop().await;
    }
}
