//! Second factors: `identity/mfa/`. Which kinds there are, which logins need one, and what each entity has.
//!
//! Rows, all owned by the tenant itself:
//! - `MfaMethod`, by id, and `LoginEnforcement`, by name: flat lists. Ids are random and never used again.
//! - `EntityFactors`, by entity: its TOTP secrets, the last time step that each was accepted for, the hashes of its recovery
//!   codes, and how often a proof has failed in a row. One row, so that whatever is accepted or refused for an entity is one
//!   history: a code or a guess counts once, on however many servers it arrives in the same moment.
//!
//! A secret is shown once, when it is made. What it was for may be gone while it is still here: a method's id leads nowhere then.
//! This folder must not know tokens, logins or HTTP. Periods are whole seconds.

mod enforcement;
mod enrolment;
mod factors;
mod method;
pub mod operation;
pub(super) mod parse;
mod proof;
mod recovery;

pub use enforcement::{Demand, ENFORCEMENTS_MAX, demands};
pub use factors::{WAIT_SECONDS, forget};
pub use method::{METHODS_MAX, Method, methods};
pub use operation::Operation;
pub use proof::{has, prove};
pub use recovery::CODES;

use super::run::Asker;
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Txn};

/// How long what a token has shown counts where factors themselves are changed, in seconds.
pub const FRESH_SECONDS: u64 = 5 * 60;

/// Runs one operation of `identity/mfa/`.
pub(super) async fn run(operation: Operation, place: &Place, asker: &Asker<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    match operation {
        Operation::WriteMethod(id, settings) => method::write(id, settings, place, txn).await,
        Operation::ReadMethod(id) => method::read(&id, place, asker, txn).await,
        Operation::DeleteMethod(id) => method::delete(&id, place, txn).await,
        Operation::Methods(range) => method::list(&range, place, asker, txn).await,
        Operation::Generate(ask) => enrolment::generate(&ask, place, asker, txn).await,
        Operation::AdminGenerate(ask) => enrolment::admin_generate(&ask, place, asker, txn).await,
        Operation::AdminDestroy(ask) => enrolment::admin_destroy(&ask, place, asker, txn).await,
        Operation::NewRecoveryCodes => recovery::generate(place, asker, txn).await,
        Operation::RecoveryCodes => recovery::count(place, asker, txn).await,
        Operation::WriteEnforcement(name, scope) => enforcement::write(name, *scope, place, txn).await,
        Operation::ReadEnforcement(name) => enforcement::read(&name, place, asker, txn).await,
        Operation::DeleteEnforcement(name) => enforcement::delete(&name, place, txn).await,
        Operation::Enforcements(range) => enforcement::list(&range, place, asker, txn).await,
    }
}
