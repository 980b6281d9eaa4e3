//! Identity tokens, `identity/oidc/`: signed statements about an entity (JWT, RFC 7519) that others verify with published
//! keys, without asking this server.
//!
//! A named key (`key`) has a current and a next private key, sealed in its record; public keys are published from before
//! they sign until the tokens that they signed cannot be valid any more. A role (`role`) says what a token tells.
//! There is no OIDC provider here (`authorize`, `userinfo`): nobody logs in to others through this server.

mod issue;
mod key;
mod operation;
mod published;
mod role;
mod template;

pub use key::{KEYS_MAX, OidcKey, rotate_due};
pub use operation::Operation;
pub use role::ROLES_MAX;

pub(super) use operation::{CONFIG, INTROSPECT, KEY, ROLE, ROTATE, parse};

use super::run::Asker;
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Txn};
use crate::engine::table::Call;

/// Runs one operation.
pub(super) async fn run(operation: Operation, place: &Place, asker: &Asker<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    match operation {
        Operation::ReadConfig => published::read_config(tenant, txn).await,
        Operation::WriteConfig(issuer) => published::write_config(issuer, tenant, txn).await,
        Operation::Configuration => published::configuration(tenant, asker, txn).await,
        Operation::Keys => published::keys(tenant, txn).await,
        Operation::ListKeys(range) => key::list(&range, tenant, txn).await,
        Operation::ReadKey(name) => key::read(&name, tenant, txn).await,
        Operation::WriteKey(name, change) => key::write(&name, *change, tenant, txn).await,
        Operation::DeleteKey(name) => key::delete(&name, tenant, txn).await,
        Operation::RotateKey(name, verification_seconds) => key::rotate(&name, verification_seconds, tenant, txn).await,
        Operation::ListRoles(range) => role::list(&range, tenant, txn).await,
        Operation::ReadRole(name) => role::read(&name, tenant, txn).await,
        Operation::WriteRole(name, change) => role::write(&name, *change, tenant, txn).await,
        Operation::DeleteRole(name) => role::delete(&name, tenant, txn).await,
        Operation::Issue(name) => issue::issue(&name, tenant, asker, txn).await,
        Operation::Introspect { token, client_id } => issue::introspect(&token, client_id.as_deref(), tenant, asker, txn).await,
    }
}

/// Whether a key or role is there.
pub(super) async fn exists(place: &Place, call: &Call<'_>, txn: &mut Txn) -> Result<bool, Refusal> {
    let name = call.captures.get(0);
    let address = if call.path.as_str().starts_with("oidc/role/") { role::address(name) } else { key::address(name) };
    txn.exists(&place.tenant, &address).await
}
