//! The operations of a userpass mount: the table, and from the call to typed fields.

use crate::answer::Refusal;
use crate::auth::name::canonical;
use crate::auth::parameters::{Change, with_token_fields};
use crate::crypto::password::PasswordHash;
use crate::engine::listing::Range;
use crate::engine::table::{Call, Field, Need, Row, Verb};
use crate::fields::Fields;
use crate::secret::SecretText;

/// The longest password, in bytes.
pub(super) const PASSWORD_BYTES_MAX: usize = 1_024;

/// One operation. Users are meant by name.
pub enum Operation {
    /// Log in.
    Login(String, SecretText),
    /// List the users.
    Users(Range),
    /// Show a user.
    Read(String),
    /// Make or change a user.
    Write(String, Option<NewPassword>, Box<Change>),
    /// Delete a user.
    Delete(String),
    /// Give a user another password.
    SetPassword(String, NewPassword),
    /// Give a user other policies.
    SetPolicies(String, Box<Change>),
}

/// A password to be set.
pub enum NewPassword {
    /// Itself.
    Text(SecretText),
    /// Its hash.
    Hash(PasswordHash),
}

const fn field(name: &'static str, kind: &'static str, help: &'static str) -> Field {
    Field { name, kind, help }
}

const PASSWORD: Field = field("password", "string", "The password.");
const HASH: Field = field("password_hash", "string", "A bcrypt or argon2 hash of the password, instead of it.");
const USERNAME: Field = field("username", "string", "The name, as in the path.");
const POLICIES: Field = field("policies", "array", "Old name of token_policies.");
const FIELDS: &[Field] = &with_token_fields::<7, 17>([
    PASSWORD,
    HASH,
    POLICIES,
    field("ttl", "duration", "Old name of token_ttl."),
    field("max_ttl", "duration", "Old name of token_max_ttl."),
    field("bound_cidrs", "array", "Old name of token_bound_cidrs."),
    USERNAME,
]);
const POLICY_FIELDS: &[Field] = &[field("token_policies", "array", "Policies of its tokens."), POLICIES, USERNAME];

/// Everything that a userpass mount offers.
pub static TABLE: &[Row<Operation>] = &[
    Row::new(Verb::Write, "login/:username", Need::Login, &[PASSWORD, USERNAME], "Log in with a name and a password.", login),
    Row::by_verb(Verb::List, "users", &[], "List the users.", |call| Range::parse(call).map(Operation::Users)),
    Row::by_verb(Verb::Read, "users/:username", &[], "Show a user.", |call| Ok(Operation::Read(user(call)?))),
    Row::new(Verb::Write, "users/:username", Need::CreateOrUpdate, FIELDS, "Make or change a user.", |call| {
        let change = Change::parse(call.fields, &["policies", "ttl", "max_ttl", "bound_cidrs"])?;
        Ok(Operation::Write(user(call)?, password(call.fields)?, Box::new(change)))
    }),
    Row::by_verb(Verb::Delete, "users/:username", &[], "Delete a user.", |call| Ok(Operation::Delete(user(call)?))),
    Row::by_verb(Verb::Write, "users/:username/password", &[PASSWORD, HASH, USERNAME], "Give a user another password.", |call| {
        let password = password(call.fields)?.ok_or_else(needs_password)?;
        Ok(Operation::SetPassword(user(call)?, password))
    }),
    Row::by_verb(Verb::Write, "users/:username/policies", POLICY_FIELDS, "Give a user other policies.", |call| {
        let policies = Change::policies(call.fields)?;
        Ok(Operation::SetPolicies(user(call)?, Box::new(policies)))
    }),
];

fn user(call: &Call<'_>) -> Result<String, Refusal> {
    canonical(call.captures.get(0))
}

fn login(call: &Call<'_>) -> Result<Operation, Refusal> {
    let password = text(call.fields, "password")?.ok_or_else(|| Refusal::invalid("missing password"))?;
    Ok(Operation::Login(user(call)?, password))
}

fn text(fields: &Fields<'_>, name: &str) -> Result<Option<SecretText>, Refusal> {
    let text = fields.secret(name)?.filter(|text| !text.expose().is_empty());
    if text.as_ref().is_some_and(|text| text.expose().len() > PASSWORD_BYTES_MAX) {
        return Err(Refusal::Invalid(format!("{name}: at most {PASSWORD_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn password(fields: &Fields<'_>) -> Result<Option<NewPassword>, Refusal> {
    Ok(match (text(fields, "password")?, text(fields, "password_hash")?) {
        (Some(_), Some(_)) => return Err(Refusal::invalid("only one of password or password_hash may be provided")),
        (Some(password), None) => Some(NewPassword::Text(password)),
        (None, Some(hash)) => {
            let hash =
                PasswordHash::parse(hash.expose()).map_err(|error| Refusal::Invalid(format!("password_hash is {error}")))?;
            Some(NewPassword::Hash(hash))
        }
        (None, None) => None,
    })
}

pub(super) fn needs_password() -> Refusal {
    Refusal::invalid("must provide either password or password_hash")
}
