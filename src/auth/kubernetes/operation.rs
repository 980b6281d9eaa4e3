//! The operations of a Kubernetes mount: the table, and from the call to typed fields.

use super::config::{self, Config};
use super::role::{self, Change};
use crate::answer::Refusal;
use crate::auth::name::canonical;
use crate::engine::listing::Range;
use crate::engine::table::{Call, Field, Need, Row, Verb};
use crate::secret::SecretText;

/// One operation. Roles are meant by name.
pub enum Operation {
    /// Show which cluster is trusted.
    ReadConfig,
    /// Say which one.
    WriteConfig(Box<Config>),
    /// List the roles.
    Roles(Range),
    /// Show a role.
    ReadRole(String),
    /// Make or change a role.
    WriteRole(String, Box<Change>),
    /// Delete a role.
    DeleteRole(String),
    /// Log in with a token. The role is as it was sent.
    Login(String, SecretText),
}

const LOGIN: &[Field] = &[
    Field { name: "role", kind: "string", help: "The role." },
    Field { name: "jwt", kind: "string", help: "The token of a service account." },
];

/// Everything that a Kubernetes mount offers.
pub static TABLE: &[Row<Operation>] = &[
    Row::by_verb(Verb::Read, "config", &[], "Show whose tokens are trusted.", |_| Ok(Operation::ReadConfig)),
    Row::by_verb(
        Verb::Write,
        "config",
        config::FIELDS,
        "Say whose tokens are trusted, in place of what was said before.",
        |call| Ok(Operation::WriteConfig(Box::new(Config::parse(call.fields)?))),
    ),
    Row::by_verb(Verb::List, "role", &[], "List the roles.", |call| Range::parse(call).map(Operation::Roles)),
    Row::by_verb(Verb::Read, "role/:name", &[], "Show a role.", |call| Ok(Operation::ReadRole(role(call)?))),
    Row::new(Verb::Write, "role/:name", Need::CreateOrUpdate, role::FIELDS, "Make or change a role.", |call| {
        Ok(Operation::WriteRole(role(call)?, Box::new(Change::parse(call.fields)?)))
    }),
    Row::by_verb(Verb::Delete, "role/:name", &[], "Delete a role.", |call| Ok(Operation::DeleteRole(role(call)?))),
    Row::new(Verb::Write, "login", Need::Login, LOGIN, "Log in with the token of a service account.", |call| {
        let role = call.fields.text("role")?.filter(|role| !role.is_empty());
        let role = role.ok_or_else(|| Refusal::invalid("missing role"))?;
        let token = call.fields.secret("jwt")?.filter(|token| !token.expose().is_empty());
        let token = token.ok_or_else(|| Refusal::invalid("missing jwt"))?;
        Ok(Operation::Login(role, token))
    }),
];

fn role(call: &Call<'_>) -> Result<String, Refusal> {
    canonical(call.captures.get(0))
}
