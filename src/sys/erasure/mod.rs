//! `sys/erasures`, `sys/erased-list`: what became of deleted namespaces.
//!
//! A deletion removes every wrap of the tenant's key, and its keyring, in the transaction of the request; from then on nothing of
//! the tenant opens with the database of now. The rest is the work of a job, each step of which can be done again: the rows are
//! deleted, the tenant's own key is destroyed where that was asked for, the tenant gets into the signed list outside of the database.
//! It stays `pending` until the last backup that holds a wrap is gone.
//!
//! Must not look into tenants: all that is known of an erased one is its id and what it was called.

mod job;
mod list;
mod record;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) use job::Eraser;
use record::Erasure;
pub(super) use record::begin;

use crate::answer::{Answer, Refusal};
use crate::audit::note::LogKey;
use crate::commit::{Place, Txn};
use crate::engine::table::{Call, Row, Verb};
use crate::id::{DeploymentId, TenantId};
use crate::json::{Json, Object};
use crate::record::{Kind, SYSTEM};
use crate::sys::backups;

/// Erasures that one listing shows in full.
const SHOWN_MAX: usize = 10_000;

/// What the configuration says of erasure.
#[derive(Clone, Debug, Default)]
pub struct ErasureSettings {
    /// Where the signed list is kept.
    pub list_file: Option<PathBuf>,
    /// How long backups are kept; none: nobody said.
    pub backup_retention: Option<Duration>,
}

/// The tenants that a signed list names; `None` when there is no such file. `key` is any log key of the deployment.
///
/// # Errors
/// It is not one that the deployment has signed.
pub fn erased_by_list(file: &Path, key: &LogKey, deployment: DeploymentId) -> Result<Option<Vec<TenantId>>, String> {
    let read = list::read(file, &key.named(&list::name(deployment))).map_err(|error| error.to_string())?;
    Ok(read.map(|erased| erased.into_keys().collect()))
}

/// One operation.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation {
    /// All erasures.
    List,
    /// One.
    Read(TenantId),
    /// The signed list, and the key that it is verified with.
    Signed,
}

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row::by_verb(Verb::List, "erasures", &[], "Lists what is erased, or being erased.", |_| Ok(Operation::List)),
    Row::by_verb(Verb::Read, "erasures/:id", &[], "Shows how far the erasure of a namespace is.", |call: &Call<'_>| {
        TenantId::parse(call.captures.get(0)).map(Operation::Read).ok_or(Refusal::NotFound)
    }),
    Row::by_verb(Verb::Read, "erased-list", &[], "Shows the signed list of erased namespaces.", |_| Ok(Operation::Signed)),
];

/// Runs one operation. What was erased is the deployment's to know: a tenant that is gone has no administrator.
pub async fn run(operation: Operation, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    super::in_root(place)?;
    match operation {
        Operation::List => list(place, txn).await,
        Operation::Read(tenant) => {
            let found = txn.read::<Erasure>(&place.tenant, &Erasure::address(tenant)).await?.ok_or(Refusal::NotFound)?;
            let backups = backups::all(txn).await?;
            Ok(Answer::data(Json::object(|data| found.value.show(data.field("id", &tenant.to_string()), &backups))))
        }
        Operation::Signed => signed(place, txn).await,
    }
}

async fn list(place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let found = all(place, txn).await?;
    if found.is_empty() {
        return Err(Refusal::NotFound);
    }
    let backups = backups::all(txn).await?;
    let one = |out: &mut Object<'_>, erasure: &Erasure| erasure.show(out, &backups);
    Ok(Answer::data(Json::object(|data| {
        data.object("key_info", |data| {
            for erasure in &found {
                data.object(&erasure.tenant.to_string(), |data| one(data, erasure));
            }
        });
        let keys: Vec<String> = found.iter().map(|erasure| erasure.tenant.to_string()).collect();
        data.strings("keys", &keys.iter().map(String::as_str).collect::<Vec<_>>());
    })))
}

/// The list is signed anew from the records: the file of a server holds the same.
async fn signed(place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let erased = all(place, txn).await?.iter().map(|erasure| (erasure.tenant, erasure.begun)).collect();
    let name = list::name(txn.tenants().deployment());
    let key = txn.log_key(&place.tenant).await?.ok_or(Refusal::NotFound)?.named(&name);
    let note = txn.sign_text(&name, &list::text(&name, &erased)).await?.ok_or(Refusal::NotFound)?;
    Ok(Answer::data(Json::object(|data| {
        data.field("key", &key.to_string()).field("note", &note);
    })))
}

async fn all(place: &Place, txn: &mut Txn) -> Result<Vec<Erasure>, Refusal> {
    let names = txn.names(&place.tenant, Kind::Erasure, SYSTEM, "").await?;
    if names.len() > SHOWN_MAX {
        return Err(Refusal::invalid(format!("more than {SHOWN_MAX} namespaces were erased: read sys/erasures/:id")));
    }
    let mut found = Vec::with_capacity(names.len());
    for tenant in names.iter().filter_map(|name| TenantId::parse(name)) {
        if let Some(erasure) = txn.read::<Erasure>(&place.tenant, &Erasure::address(tenant)).await? {
            found.push(Erasure::clone(&erasure.value));
        }
    }
    Ok(found)
}
