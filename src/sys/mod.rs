//! The system engine: what is answered below `sys/` once the server is unsealed.
//!
//! One file or folder per part of the API, named after its path; each declares its operations in a table and runs them.
//! Here they are put together into one engine. This folder must not know HTTP; what an engine keeps, it asks that engine
//! for. TTLs are seconds.

pub mod archiving;
pub mod audit;
pub mod audit_log;
pub mod auditing;
pub mod backups;
pub mod barrier;
pub mod capabilities;
pub mod ceremonies;
pub mod cors;
pub mod erasure;
pub mod help;
mod host;
pub mod internal_ui;
mod jobs;
pub mod keyring;
pub mod leases;
pub mod locked_users;
pub mod mfa;
pub mod mounts;
pub mod namespaces;
pub mod openapi;
pub mod plugins;
pub mod policies;
pub mod process;
pub mod quotas;
pub mod references;
pub mod remount;
mod route;
pub mod seal;
pub mod secrets;
pub mod tools;
pub mod version_history;
pub mod wrapping;

pub use route::{Operation, Route, Routed, route, rows};

use crate::answer::{Answer, Refusal};
use crate::auth::Caller;
use crate::auth::login::LoginCall;
use crate::commit::{Place, Txn};

/// Refuses what is of the deployment in any other namespace than the root.
fn in_root(place: &Place) -> Result<(), Refusal> {
    match place.tenant.parent() {
        Some(_) => Err(Refusal::invalid("operation only available in root namespace")),
        None => Ok(()),
    }
}

/// Runs one operation. `place` is the `sys/` mount of the request's namespace; `caller` is there unless the operation
/// needs nobody; `login` is the request as one to log in sees it.
pub async fn run(
    operation: Operation,
    place: &Place,
    (caller, login): (Option<&Caller>, LoginCall<'_>),
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    match operation {
        Operation::Audit(operation) => audit::run(&operation, place, txn),
        // What it asks for is read after the commit: see `request::Errand`.
        Operation::AuditLog(operation) => audit_log::run(operation, place, caller, txn).await.0,
        Operation::Archiving(operation) => archiving::run(&operation, place, txn).await,
        Operation::Auditing(operation) => auditing::run(operation, place, txn).await,
        Operation::Backups(operation) => backups::run(operation, place, txn).await,
        Operation::Ceremonies(operation) => ceremonies::run(&operation, place),
        Operation::Keyring(operation) => keyring::run(operation, place, caller, txn).await,
        Operation::Capabilities(operation) => capabilities::run(operation, place, caller, txn).await,
        Operation::Cors(operation) => cors::run(operation, place, txn).await,
        Operation::Erasure(operation) => erasure::run(operation, place, txn).await,
        Operation::InternalUi(operation) => internal_ui::run(operation, place, caller, txn).await,
        Operation::Leases(operation) => leases::run(operation, place, caller, txn).await,
        Operation::LockedUsers(operation) => locked_users::run(operation, place, caller, txn).await,
        Operation::Mfa(operation) => mfa::run(operation, place, (caller, login), txn).await,
        Operation::Mounts(operation) => mounts::run(operation, place, txn).await,
        Operation::Namespaces(operation) => namespaces::run(operation, place, caller, txn).await,
        Operation::OpenApi(operation) => openapi::run(operation, place, caller, txn).await,
        Operation::Plugins(operation) => plugins::run(&operation),
        Operation::Policies(operation) => policies::run(operation, place, caller, txn).await,
        Operation::Process(operation) => process::run(operation, place),
        Operation::Quotas(operation) => quotas::run(operation, place, txn).await,
        Operation::References(operation) => references::run(operation, place, caller, txn).await,
        Operation::Remount(operation) => remount::run(operation, place, txn).await,
        Operation::Seal(operation) => seal::run(operation, place),
        Operation::Secrets(operation) => secrets::run(operation, place, caller, txn).await,
        Operation::VersionHistory(operation) => version_history::run(operation, place, txn).await,
        Operation::Wrapping(operation) => wrapping::run(operation, place, caller, txn).await,
        Operation::Tools(operation) => tools::run(&operation),
    }
}

#[cfg(test)]
mod tests;
