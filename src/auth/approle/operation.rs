//! The operations of an `AppRole` mount: the table, and from the call to typed fields.

use std::collections::BTreeMap;

use super::role::{Change, FIELDS, ID_BYTES_MAX, blocks, checked_role_id};
use super::setting::Setting;
use crate::answer::Refusal;
use crate::auth::name::canonical;
use crate::auth::token::cidr::Cidr;
use crate::auth::token::lifetime::whole_seconds;
use crate::engine::listing::Range;
use crate::engine::table::{Call, Field, Need, Row, Verb};
use crate::fields::Fields;
use crate::secret::SecretText;

/// The most notes of a secret id, and their length together in bytes.
const METADATA_PAIRS_MAX: usize = 64;
const METADATA_BYTES_MAX: usize = 4 << 10;

/// One operation. Roles are meant by name.
pub enum Operation {
    /// Log in.
    Login(Credentials),
    /// List the roles.
    Roles(Range),
    /// Show a role.
    ReadRole(String),
    /// Make or change a role.
    WriteRole(String, Box<Change>),
    /// Delete a role, with its secret ids.
    DeleteRole(String),
    /// Show the role id.
    ReadRoleId(String),
    /// Give the role another id.
    WriteRoleId(String, String),
    /// Show a setting.
    ReadSetting(String, Setting),
    /// Change a setting.
    WriteSetting(String, Setting, Box<Change>),
    /// Reset a setting.
    ResetSetting(String, Setting),
    /// Make a secret id.
    Issue(String, Box<Issue>),
    /// List the accessors of the secret ids.
    Accessors(String, Range),
    /// Show a secret id.
    Lookup(String, Which),
    /// Delete a secret id.
    Destroy(String, Which),
    /// Clear away what is left of deleted roles now.
    Tidy,
}

/// What somebody logs in with.
pub struct Credentials {
    /// Which role.
    pub role_id: SecretText,
    /// That they may; empty where none was sent.
    pub secret_id: SecretText,
}

/// Which secret id is meant.
pub enum Which {
    /// The one with this text.
    Text(SecretText),
    /// The one with this accessor.
    Accessor(String),
}

/// A secret id to be made.
pub struct Issue {
    /// Its text, if it was chosen.
    pub chosen: Option<SecretText>,
    /// Notes that its tokens carry.
    pub metadata: BTreeMap<String, String>,
    /// Where a login may come from.
    pub cidr_list: Vec<Cidr>,
    /// Where its tokens may be used from.
    pub token_bound_cidrs: Vec<Cidr>,
    /// How often it may be used, if that was said.
    pub num_uses: Option<u64>,
    /// How long it lives, if that was said.
    pub ttl_seconds: Option<u64>,
}

const fn field(name: &'static str, kind: &'static str, help: &'static str) -> Field {
    Field { name, kind, help }
}

const SECRET_ID: Field = field("secret_id", "string", "The secret id.");
const ACCESSOR: Field = field("secret_id_accessor", "string", "The accessor of the secret id.");
const METADATA: Field = field("metadata", "string", "Notes for its tokens: a map of strings, or the JSON text of one.");
const CIDR_LIST: Field = field("cidr_list", "array", "Addresses and blocks that a login with it may come from.");
const BOUND: Field = field("token_bound_cidrs", "array", "Addresses and blocks that its tokens may be used from.");
const USES: Field = field("num_uses", "integer", "How often it may be used; the role's by default, and never more.");
const TTL: Field = field("ttl", "duration", "How long it lives; the role's by default, and never longer.");
const ROLE_ID: Field = field("role_id", "string", "The id of the role.");
const LOGIN: &[Field] = &[ROLE_ID, SECRET_ID];

macro_rules! table {
    ([$($row:expr,)*] $($path:literal => $setting:ident, $help:literal;)*) => {
        &[
            $($row,)*
            $(
                Row::by_verb(Verb::Read, concat!("role/:role_name/", $path), &[], concat!("Show ", $help), |call| {
                    Ok(Operation::ReadSetting(role(call)?, Setting::$setting))
                }),
                Row::by_verb(Verb::Write, concat!("role/:role_name/", $path), FIELDS, concat!("Change ", $help), |call| {
                    Setting::$setting.check_named(call.fields)?;
                    Ok(Operation::WriteSetting(role(call)?, Setting::$setting, Box::new(Change::parse(call.fields)?)))
                }),
                Row::by_verb(Verb::Delete, concat!("role/:role_name/", $path), &[], concat!("Reset ", $help), |call| {
                    Ok(Operation::ResetSetting(role(call)?, Setting::$setting))
                }),
            )*
        ]
    };
}

/// Everything that an `AppRole` mount offers.
pub static TABLE: &[Row<Operation>] = table! {
    [
        Row::new(Verb::Write, "login", Need::Login, LOGIN, "Log in with a role id and a secret id.", login),
        Row::by_verb(Verb::List, "role", &[], "List the roles.", |call| Range::parse(call).map(Operation::Roles)),
        Row::by_verb(Verb::Read, "role/:role_name", &[], "Show a role.", |call| Ok(Operation::ReadRole(role(call)?))),
        Row::new(Verb::Write, "role/:role_name", Need::CreateOrUpdate, FIELDS, "Make or change a role.", |call| {
            Ok(Operation::WriteRole(role(call)?, Box::new(Change::parse(call.fields)?)))
        }),
        Row::by_verb(Verb::Delete, "role/:role_name", &[], "Delete a role, with its secret ids.", |call| {
            Ok(Operation::DeleteRole(role(call)?))
        }),
        Row::by_verb(Verb::Read, "role/:role_name/role-id", &[], "Show the id of a role.", |call| {
            Ok(Operation::ReadRoleId(role(call)?))
        }),
        Row::by_verb(Verb::Write, "role/:role_name/role-id", &[ROLE_ID], "Give a role another id.", |call| {
            let chosen = call.fields.text("role_id")?.filter(|text| !text.trim().is_empty());
            let chosen = chosen.ok_or_else(|| Refusal::invalid("missing role_id"))?;
            Ok(Operation::WriteRoleId(role(call)?, checked_role_id(&chosen)?))
        }),
        Row::by_verb(Verb::Write, "role/:role_name/secret-id", &[METADATA, CIDR_LIST, BOUND, USES, TTL], "Make a secret id.", |call| {
            Ok(Operation::Issue(role(call)?, Box::new(issue(call.fields, None)?)))
        }),
        Row::by_verb(Verb::List, "role/:role_name/secret-id", &[], "List the accessors of the secret ids.", |call| {
            Ok(Operation::Accessors(role(call)?, Range::parse(call)?))
        }),
        Row::by_verb(
            Verb::Write,
            "role/:role_name/custom-secret-id",
            &[SECRET_ID, METADATA, CIDR_LIST, BOUND, USES, TTL],
            "Take a secret id that was chosen; it is only as hard to guess as it was chosen.",
            |call| {
                let chosen = SecretText::new(secret_id(call)?.expose().to_owned());
                Ok(Operation::Issue(role(call)?, Box::new(issue(call.fields, Some(chosen))?)))
            },
        ),
        Row::by_verb(Verb::Write, "role/:role_name/secret-id/lookup", &[SECRET_ID], "Show a secret id.", |call| {
            Ok(Operation::Lookup(role(call)?, Which::Text(secret_id(call)?)))
        }),
        Row::by_verb(Verb::Write, "role/:role_name/secret-id/destroy", &[SECRET_ID], "Delete a secret id.", |call| {
            Ok(Operation::Destroy(role(call)?, Which::Text(secret_id(call)?)))
        }),
        Row::by_verb(Verb::Delete, "role/:role_name/secret-id/destroy", &[SECRET_ID], "Delete a secret id.", |call| {
            Ok(Operation::Destroy(role(call)?, Which::Text(secret_id(call)?)))
        }),
        Row::by_verb(
            Verb::Write,
            "role/:role_name/secret-id-accessor/lookup",
            &[ACCESSOR],
            "Show a secret id by its accessor.",
            |call| Ok(Operation::Lookup(role(call)?, accessor(call)?)),
        ),
        Row::by_verb(
            Verb::Write,
            "role/:role_name/secret-id-accessor/destroy",
            &[ACCESSOR],
            "Delete a secret id by its accessor.",
            |call| Ok(Operation::Destroy(role(call)?, accessor(call)?)),
        ),
        Row::by_verb(
            Verb::Delete,
            "role/:role_name/secret-id-accessor/destroy",
            &[ACCESSOR],
            "Delete a secret id by its accessor.",
            |call| Ok(Operation::Destroy(role(call)?, accessor(call)?)),
        ),
        Row::by_verb(Verb::Write, "tidy/secret-id", &[], "Clear away what is left of deleted roles now; this also happens by itself.", |_| {
            Ok(Operation::Tidy)
        }),
    ]
    "policies" => Policies, "the policies of a role's tokens.";
    "local-secret-ids" => LocalSecretIds, "whether secret ids are local, which is fixed when the role is made.";
    "bind-secret-id" => BindSecretId, "whether a login needs a secret id.";
    "secret-id-bound-cidrs" => SecretIdBoundCidrs, "where a login may come from.";
    "bound-cidr-list" => BoundCidrList, "where a login may come from, under the old name.";
    "token-bound-cidrs" => TokenBoundCidrs, "where a login and its tokens may come from.";
    "secret-id-num-uses" => SecretIdNumUses, "how often a secret id may be used.";
    "secret-id-ttl" => SecretIdTtl, "how long a secret id lives.";
    "token-num-uses" => TokenNumUses, "how often a token may be used.";
    "token-ttl" => TokenTtl, "the TTL of tokens.";
    "token-max-ttl" => TokenMaxTtl, "the most that tokens live.";
    "period" => Period, "the period of tokens.";
};

fn role(call: &Call<'_>) -> Result<String, Refusal> {
    canonical(call.captures.get(0))
}

/// Which role it is and whether a secret id is needed is not told to who does not know both.
fn login(call: &Call<'_>) -> Result<Operation, Refusal> {
    let text = |name: &str| -> Result<SecretText, Refusal> {
        let text = call.fields.secret(name)?.unwrap_or_else(|| SecretText::new(String::new()));
        Ok(SecretText::new(text.expose().trim().to_owned()))
    };
    let credentials = Credentials { role_id: text("role_id")?, secret_id: text("secret_id")? };
    if credentials.role_id.expose().is_empty() {
        return Err(Refusal::invalid("missing role_id"));
    }
    Ok(Operation::Login(credentials))
}

fn secret_id(call: &Call<'_>) -> Result<SecretText, Refusal> {
    let given = call.fields.secret("secret_id")?.filter(|text| !text.expose().trim().is_empty());
    let given = given.ok_or_else(|| Refusal::invalid("missing secret_id"))?;
    if given.expose().len() > ID_BYTES_MAX {
        return Err(Refusal::Invalid(format!("secret_id: at most {ID_BYTES_MAX} bytes")));
    }
    Ok(SecretText::new(given.expose().trim().to_owned()))
}

fn accessor(call: &Call<'_>) -> Result<Which, Refusal> {
    let given = call.fields.text("secret_id_accessor")?.filter(|text| !text.is_empty());
    given.map(Which::Accessor).ok_or_else(|| Refusal::invalid("missing secret_id_accessor"))
}

fn issue(fields: &Fields<'_>, chosen: Option<SecretText>) -> Result<Issue, Refusal> {
    let uses = fields.integer("num_uses")?.map(u64::try_from).transpose();
    Ok(Issue {
        chosen,
        metadata: metadata(fields)?,
        cidr_list: blocks(&fields.list("cidr_list")?.unwrap_or_default())?,
        token_bound_cidrs: blocks(&fields.list("token_bound_cidrs")?.unwrap_or_default())?,
        num_uses: uses.map_err(|_| Refusal::invalid("num_uses cannot be negative"))?,
        ttl_seconds: fields.duration("ttl")?.map(whole_seconds),
    })
}

/// A map of strings, or a string that holds the JSON text of one.
fn metadata(fields: &Fields<'_>) -> Result<BTreeMap<String, String>, Refusal> {
    let wrong = || Refusal::invalid("failed to parse metadata: expected a map of strings, or the JSON text of one");
    let metadata = match fields.text("metadata") {
        Ok(None) => BTreeMap::new(),
        Ok(Some(text)) if text.trim_start().starts_with('{') => {
            let inner = Fields::parse(text.as_bytes(), None).map_err(|_| wrong())?;
            let pair = |name: &str| Some((name.to_owned(), inner.text(name).ok().flatten()?));
            inner.names().map(pair).collect::<Option<_>>().ok_or_else(wrong)?
        }
        Ok(Some(text)) if text.is_empty() => BTreeMap::new(),
        _ => fields.map("metadata").map_err(|_| wrong())?.unwrap_or_default(),
    };
    let bytes: usize = metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if metadata.len() > METADATA_PAIRS_MAX || bytes > METADATA_BYTES_MAX {
        return Err(Refusal::Invalid(format!("metadata: at most {METADATA_PAIRS_MAX} pairs and {METADATA_BYTES_MAX} bytes")));
    }
    Ok(metadata)
}
