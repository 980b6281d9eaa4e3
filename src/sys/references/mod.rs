//! `sys/references`: opaque references that stand for secrets: made, bound, resolved, managed.
//!
//! A reference is looked up in the request's namespace only. Whoever resolves one needs `read` on what it points to, or is
//! one of the consumers that it is bound to; one that is unknown, of another namespace, or not for the caller is refused
//! with the same answer. What manages references shows their ids, never their texts, except the text of a new one.

mod manage;
mod many;
mod mint;
mod operation;
mod parse;
mod reading;
mod resolve;
mod target;

pub use many::BATCH_BYTES_MAX;
pub use mint::may_bind;
pub use operation::{Named, Operation, Query, Sought, TABLE, Wanted, Wish};
pub use parse::BATCH_MAX;

pub(super) use parse::canonical;
pub(super) use target::Target;

use crate::answer::{Answer, Refusal};
use crate::auth::Caller;
use crate::commit::{Place, Txn};

/// Runs one operation.
pub async fn run(operation: Operation, place: &Place, caller: Option<&Caller>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let caller = caller.ok_or(Refusal::NoToken)?;
    match operation {
        Operation::Resolve(wanted) => resolve::one(&wanted, place, caller, txn).await,
        Operation::ResolveAll(all) => many::resolve_all(all, place, caller, txn).await,
        Operation::Mint(wish) => mint::mint(wish, place, caller, txn).await,
        Operation::Bind(wish) => mint::bind(wish, place, caller, txn).await,
        Operation::List(range) => manage::list(&range, place, txn).await,
        Operation::Search(query) => manage::search(&query, place, txn).await,
        Operation::Describe(named) => manage::describe(&named, place, txn).await,
        Operation::Rotate(named) => manage::rotate(&named, place, txn).await,
        Operation::Revoke(sought) => manage::revoke(&sought, place, txn).await,
    }
}
