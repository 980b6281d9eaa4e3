//! Identity: `identity/`, in every tenant. Who somebody is, whatever method they log in with, and what follows for them.
//!
//! An entity has one alias per mount that knows it, is a member of groups, and gives the tokens that stand for it its own
//! policies and those of its groups, at each use. `login` is the door for auth methods, `standing` the one for whoever
//! asks what an entity is; `oidc` makes signed identity tokens.
//!
//! Rows, all owned by the tenant itself and listed flat:
//! - `Entity`, `EntityAlias`, `Group`, `GroupAlias`, by id. Ids are random and never used again.
//! - `IdentityName`, by name in canonical form (`name`), in one directory per kind and, for aliases, per mount accessor.
//!   A name is read before it is taken, so of many who want one name in the same moment one gets it.
//! - `GroupMember`, listed under the group. The entity names its groups too.
//!
//! This folder must not know HTTP, tokens or policies' texts. Durations are whole seconds.

mod alias;
mod earlier;
mod entity;
mod group;
mod group_alias;
mod last_login;
mod list;
mod login;
mod merge;
pub mod mfa;
mod name;
pub mod oidc;
pub mod operation;
mod record;
mod rows;
mod run;
mod show;
mod standing;

pub use earlier::{EarlierGroups, Stood, groups_as_of, ids_as_of, standing_as_of};
pub use last_login::{LastLogin, forget_last_login, last_login};
pub use login::{Entrant, known_as, login};
pub use operation::Operation;
pub use record::Group;
pub use rows::TABLE;
pub use run::{Asker, exists, run};
pub use standing::{Standing, policies, standing};
