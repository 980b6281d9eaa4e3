//! The operations of a JWT mount: the table, and from the call to typed fields.

use super::config::{self, NewConfig};
use super::role::{self, Change};
use crate::answer::Refusal;
use crate::auth::name::canonical;
use crate::engine::listing::Range;
use crate::engine::table::{Call, Field, Need, Row, Verb};
use crate::secret::SecretText;

/// One operation. Roles are meant by name.
pub enum Operation {
    /// Show whom the mount trusts.
    ReadConfig,
    /// Say whom it trusts.
    WriteConfig(Box<NewConfig>),
    /// List the roles.
    Roles(Range),
    /// Show a role.
    ReadRole(String),
    /// Make or change a role.
    WriteRole(String, Box<Change>),
    /// Delete a role.
    DeleteRole(String),
    /// Log in with a token. The role is as it was sent, maybe empty.
    Login(String, SecretText),
    /// Begin a login in a browser.
    Begin(Begin),
    /// End it.
    End(End),
}

/// The beginning of a login in a browser.
pub struct Begin {
    /// As it was sent; empty for the default one.
    pub role: String,
    /// Where the browser is to be sent back to.
    pub redirect_uri: String,
    /// What only who began it knows.
    pub client_nonce: String,
}

/// What the browser brought back.
pub struct End {
    /// What it was sent with.
    pub state: String,
    /// What the provider gave it.
    pub code: SecretText,
    /// What only who began it knows.
    pub client_nonce: String,
}

const fn field(name: &'static str, kind: &'static str, help: &'static str) -> Field {
    Field { name, kind, help }
}

const ROLE: Field = field("role", "string", "The role; the mount's default one if it has one.");
const LOGIN: &[Field] = &[ROLE, field("jwt", "string", "The signed token.")];
const BEGIN: &[Field] = &[
    ROLE,
    field("redirect_uri", "string", "Where the provider is to send the browser back to."),
    field("client_nonce", "string", "Anything that only the caller knows; it is to be sent again at the end."),
];

/// Everything that a JWT or OIDC mount offers.
pub static TABLE: &[Row<Operation>] = &[
    Row::by_verb(Verb::Read, "config", &[], "Show whose tokens are trusted.", |_| Ok(Operation::ReadConfig)),
    Row::by_verb(
        Verb::Write,
        "config",
        config::FIELDS,
        "Say whose tokens are trusted, in place of what was said before.",
        |call| Ok(Operation::WriteConfig(Box::new(NewConfig::parse(call.fields)?))),
    ),
    Row::by_verb(Verb::List, "role", &[], "List the roles.", |call| Range::parse(call).map(Operation::Roles)),
    Row::by_verb(Verb::Read, "role/:name", &[], "Show a role.", |call| Ok(Operation::ReadRole(role(call)?))),
    Row::new(Verb::Write, "role/:name", Need::CreateOrUpdate, role::FIELDS, "Make or change a role.", |call| {
        Ok(Operation::WriteRole(role(call)?, Box::new(Change::parse(call.fields)?)))
    }),
    Row::by_verb(Verb::Delete, "role/:name", &[], "Delete a role.", |call| Ok(Operation::DeleteRole(role(call)?))),
    Row::new(Verb::Write, "login", Need::Login, LOGIN, "Log in with a signed token.", |call| {
        let token = call.fields.secret("jwt")?.filter(|token| !token.expose().is_empty());
        let token = token.ok_or_else(|| Refusal::invalid("missing token"))?;
        Ok(Operation::Login(call.fields.text("role")?.unwrap_or_default(), token))
    }),
    Row::new(Verb::Write, "oidc/auth_url", Need::Login, BEGIN, "Begin a login in a browser.", |call| {
        let text = |name: &str| Ok::<_, Refusal>(call.fields.text(name)?.unwrap_or_default());
        let redirect_uri = text("redirect_uri")?;
        if redirect_uri.is_empty() {
            return Err(Refusal::invalid("missing redirect_uri"));
        }
        Ok(Operation::Begin(Begin { role: text("role")?, redirect_uri, client_nonce: text("client_nonce")? }))
    }),
    Row::new(
        Verb::Read,
        "oidc/callback",
        Need::Login,
        &[],
        "End a login in a browser, with the query that it brought back.",
        |call| {
            let text = |name: &str| call.query.value(name).unwrap_or_default().to_owned();
            let (state, code) = (text("state"), SecretText::new(text("code")));
            if state.is_empty() {
                return Err(Refusal::invalid("missing state"));
            }
            Ok(Operation::End(End { state, code, client_nonce: text("client_nonce") }))
        },
    ),
];

fn role(call: &Call<'_>) -> Result<String, Refusal> {
    canonical(call.captures.get(0))
}
