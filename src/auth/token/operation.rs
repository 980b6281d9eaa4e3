//! The operations of `auth/token/`: the table, and from the call to typed fields.

use std::collections::BTreeMap;

use super::lifetime::{Wish, whole_seconds};
use super::role;
use crate::answer::Refusal;
use crate::engine::listing::Range;
use crate::engine::table::{Call, Field, Need, Row, Verb};
use crate::secret::SecretText;

/// The most names that one answer lists.
pub const NAMES_MAX: usize = 100_000;
const META_PAIRS_MAX: usize = 64;
const META_BYTES_MAX: usize = 16 << 10;
const NAME_BYTES_MAX: usize = 512;

/// What a client asks of the token method.
pub enum Operation {
    /// Make a token.
    Create(Box<Ask>),
    /// Show a token.
    Lookup(Which),
    /// Give a token a new TTL, at least `increment_seconds` from now on if that is not 0.
    Renew(Which, u64),
    /// End a token and all below it.
    Revoke(Which),
    /// End a token, and leave those below it as orphans.
    RevokeOrphan(SecretText),
    /// End all batch tokens of the tenant.
    RevokeBatches,
    /// Look for rows of dead tokens now.
    Tidy,
    /// List a part of the accessors.
    Accessors(Range),
    /// List a part of the roles.
    Roles(Range),
    /// Show a role.
    ReadRole(String),
    /// Make or change a role.
    WriteRole(String, Box<role::Change>),
    /// Delete a role.
    DeleteRole(String),
}

/// Which token is meant.
pub enum Which {
    /// The caller's own.
    Caller,
    /// The one with this text.
    Text(SecretText),
    /// The one with this accessor.
    Accessor(String),
}

/// Where a token is asked for.
pub enum Endpoint {
    /// `create`
    Plain,
    /// `create-orphan`
    Orphan,
    /// `create/:role`
    Role(String),
}

impl Endpoint {
    /// The path below the mount, which `sudo` is asked for.
    pub fn path(&self) -> String {
        match self {
            Self::Plain => "create".to_owned(),
            Self::Orphan => "create-orphan".to_owned(),
            Self::Role(role) => format!("create/{role}"),
        }
    }

    /// The name of the role, if there is one.
    pub fn role(&self) -> Option<&str> {
        match self {
            Self::Plain | Self::Orphan => None,
            Self::Role(role) => Some(role),
        }
    }
}

/// The kinds of tokens that may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedKind {
    /// Stored, renewed, revoked.
    Service,
    /// Not stored.
    Batch,
}

/// A token that somebody wants made.
pub struct Ask {
    /// Where it is asked for.
    pub endpoint: Endpoint,
    /// The text, if it was chosen.
    pub id: Option<SecretText>,
    /// Policies; empty to inherit the maker's.
    pub policies: Vec<String>,
    /// Which kind of token, if that was said.
    pub kind: Option<AskedKind>,
    /// Whom the token is to stand for.
    pub entity_alias: Option<String>,
    /// Do not add `default`.
    pub no_default_policy: bool,
    /// Notes about the token.
    pub meta: Option<BTreeMap<String, String>>,
    /// `token`, or `token-` and what was asked, reduced to letters, digits and hyphens.
    pub display_name: String,
    /// How often it may be used; none for no count.
    pub uses: Option<u64>,
    /// Make it an orphan, which needs `sudo`.
    pub no_parent: bool,
    /// Whether it may be renewed.
    pub renewable: bool,
    /// Its times.
    pub wish: Wish,
}

const fn field(name: &'static str, kind: &'static str, help: &'static str) -> Field {
    Field { name, kind, help }
}

const CREATE_FIELDS: &[Field] = &[
    field("id", "string", "Text of the token. Only with sudo, only in the root namespace; without a dot."),
    field("policies", "array", "Policies of the token; without, those of the caller."),
    field("no_default_policy", "boolean", "Do not add the policy default."),
    field("meta", "object", "Notes: a map of strings."),
    field("display_name", "string", "Name for people and the audit log."),
    field("num_uses", "integer", "How often the token may be used; 0 for any number."),
    field("no_parent", "boolean", "Make an orphan, which outlives the caller's token. Needs sudo."),
    field("renewable", "boolean", "Whether the token may be renewed; true by default."),
    field("ttl", "duration", "Time to live; 0 for the mount's default."),
    field("lease", "duration", "Old name of ttl."),
    field("explicit_max_ttl", "duration", "The most it may ever live, renewals included."),
    field("period", "duration", "Makes it periodic: each renewal gives this TTL, without a maximum. Needs sudo."),
    field("type", "string", "service or batch; a batch token is not stored, cannot be renewed, revoked or have children."),
    field("entity_alias", "string", "Only together with a role that allows it."),
];
const TOKEN: Field = field("token", "string", "Text of the token.");
const ACCESSOR: Field = field("accessor", "string", "Accessor of the token.");
const INCREMENT: Field = field("increment", "duration", "TTL to grant; 0 for the one granted before.");

/// Everything that `auth/token/` offers.
pub static TABLE: &[Row<Operation>] = &[
    Row::by_verb(Verb::Write, "create", CREATE_FIELDS, "Make a token below the caller's.", |call| ask(call, Endpoint::Plain)),
    Row::by_verb(Verb::Write, "create/:role", CREATE_FIELDS, "Make a token as a role says.", |call| {
        ask(call, Endpoint::Role(role::name(call)?))
    }),
    Row::by_verb(Verb::Write, "create-orphan", CREATE_FIELDS, "Make a token that outlives the caller's.", |call| {
        ask(call, Endpoint::Orphan)
    }),
    Row::by_verb(Verb::Read, "lookup-self", &[], "Show the caller's token.", |_| Ok(Operation::Lookup(Which::Caller))),
    Row::by_verb(Verb::Write, "lookup-self", &[TOKEN], "Show the caller's token.", |_| Ok(Operation::Lookup(Which::Caller))),
    Row::by_verb(Verb::Read, "lookup", &[], "Show the caller's token.", |_| Ok(Operation::Lookup(Which::Caller))),
    Row::by_verb(Verb::Write, "lookup", &[TOKEN], "Show a token.", |call| Ok(Operation::Lookup(text_or_caller(call)?))),
    Row::by_verb(Verb::Write, "lookup-accessor", &[ACCESSOR], "Show a token by its accessor.", |call| {
        Ok(Operation::Lookup(accessor(call)?))
    }),
    Row::by_verb(Verb::Write, "renew-self", &[INCREMENT, TOKEN], "Renew the caller's token.", |call| renew(call, Which::Caller)),
    Row::by_verb(Verb::Write, "renew", &[TOKEN, INCREMENT], "Renew a token.", |call| renew(call, Which::Text(text(call)?))),
    Row::by_verb(Verb::Write, "renew-accessor", &[ACCESSOR, INCREMENT], "Renew a token by its accessor.", |call| {
        renew(call, accessor(call)?)
    }),
    Row::by_verb(Verb::Write, "revoke-self", &[TOKEN], "End the caller's token and all below it.", |_| {
        Ok(Operation::Revoke(Which::Caller))
    }),
    Row::by_verb(Verb::Write, "revoke", &[TOKEN], "End a token and all below it.", |call| {
        Ok(Operation::Revoke(Which::Text(text(call)?)))
    }),
    Row::by_verb(Verb::Write, "revoke-accessor", &[ACCESSOR], "End a token by its accessor, and all below it.", |call| {
        Ok(Operation::Revoke(accessor(call)?))
    }),
    Row::by_verb(Verb::Write, "revoke-orphan", &[TOKEN], "End a token and leave those below it. Needs sudo.", |call| {
        Ok(Operation::RevokeOrphan(text(call)?))
    }),
    Row::new(Verb::Write, "revoke-batch", Need::Sudo, &[], "End all batch tokens of the namespace. Needs sudo.", |_| {
        Ok(Operation::RevokeBatches)
    }),
    Row::by_verb(Verb::Write, "tidy", &[], "Look for rows of dead tokens now; this also happens by itself.", |_| {
        Ok(Operation::Tidy)
    }),
    Row::new(Verb::List, "accessors", Need::Sudo, &[], "List the accessors of all tokens. Needs sudo.", |call| {
        Range::parse(call).map(Operation::Accessors)
    }),
    Row::by_verb(Verb::List, "roles", &[], "List the roles.", |call| Range::parse(call).map(Operation::Roles)),
    Row::by_verb(Verb::Read, "roles/:role", &[], "Show a role.", |call| Ok(Operation::ReadRole(role::name(call)?))),
    Row::new(Verb::Write, "roles/:role", Need::CreateOrUpdate, role::FIELDS, "Make or change a role.", |call| {
        Ok(Operation::WriteRole(role::name(call)?, Box::new(role::Change::parse(call.fields)?)))
    }),
    Row::by_verb(Verb::Delete, "roles/:role", &[], "Delete a role.", |call| Ok(Operation::DeleteRole(role::name(call)?))),
];

fn text(call: &Call<'_>) -> Result<SecretText, Refusal> {
    given(call)?.ok_or_else(|| Refusal::invalid("missing token ID"))
}

fn text_or_caller(call: &Call<'_>) -> Result<Which, Refusal> {
    Ok(given(call)?.map_or(Which::Caller, Which::Text))
}

fn given(call: &Call<'_>) -> Result<Option<SecretText>, Refusal> {
    Ok(call.fields.secret("token")?.filter(|text| !text.expose().is_empty()))
}

fn accessor(call: &Call<'_>) -> Result<Which, Refusal> {
    match call.fields.text("accessor")? {
        Some(accessor) if !accessor.is_empty() => Ok(Which::Accessor(accessor)),
        _ => Err(Refusal::invalid("missing accessor")),
    }
}

fn renew(call: &Call<'_>, which: Which) -> Result<Operation, Refusal> {
    Ok(Operation::Renew(which, seconds(call, "increment")?))
}

fn seconds(call: &Call<'_>, name: &str) -> Result<u64, Refusal> {
    Ok(call.fields.duration(name)?.map_or(0, whole_seconds))
}

fn ask(call: &Call<'_>, endpoint: Endpoint) -> Result<Operation, Refusal> {
    let fields = call.fields;
    let kind = match fields.text("type")?.as_deref() {
        None | Some("") => None,
        Some("service") => Some(AskedKind::Service),
        Some("batch") => Some(AskedKind::Batch),
        Some(_) => return Err(Refusal::invalid("invalid 'token_type' value")),
    };
    let uses = fields.integer("num_uses")?.unwrap_or(0);
    let uses = u64::try_from(uses).map_err(|_| Refusal::invalid("number of uses cannot be negative"))?;
    let entity_alias = fields.text("entity_alias")?.filter(|alias| !alias.is_empty());
    if entity_alias.is_some() && endpoint.role().is_none() {
        return Err(Refusal::invalid("'entity_alias' is only allowed in combination with token role"));
    }
    let meta = fields.map("meta")?;
    check_meta(meta.as_ref())?;
    let ttl_seconds = if fields.has("ttl") { seconds(call, "ttl")? } else { seconds(call, "lease")? };
    Ok(Operation::Create(Box::new(Ask {
        endpoint,
        kind,
        entity_alias,
        id: fields.secret("id")?.filter(|id| !id.expose().is_empty()),
        policies: fields.list("policies")?.unwrap_or_default(),
        no_default_policy: fields.boolean("no_default_policy")?.unwrap_or(false),
        meta,
        display_name: display_name(&fields.text("display_name")?.unwrap_or_default())?,
        uses: (uses > 0).then_some(uses),
        no_parent: fields.boolean("no_parent")?.unwrap_or(false),
        renewable: fields.boolean("renewable")?.unwrap_or(true),
        wish: Wish {
            ttl_seconds,
            period_seconds: seconds(call, "period")?,
            explicit_max_ttl_seconds: seconds(call, "explicit_max_ttl")?,
        },
    })))
}

fn check_meta(meta: Option<&BTreeMap<String, String>>) -> Result<(), Refusal> {
    let Some(meta) = meta else { return Ok(()) };
    let bytes: usize = meta.iter().map(|(key, value)| key.len() + value.len()).sum();
    if meta.len() > META_PAIRS_MAX || bytes > META_BYTES_MAX {
        return Err(Refusal::invalid(format!("meta: at most {META_PAIRS_MAX} pairs and {META_BYTES_MAX} bytes")));
    }
    Ok(())
}

fn display_name(asked: &str) -> Result<String, Refusal> {
    if asked.len() > NAME_BYTES_MAX {
        return Err(Refusal::invalid(format!("display_name: at most {NAME_BYTES_MAX} bytes")));
    }
    if asked.is_empty() {
        return Ok("token".to_owned());
    }
    let plain: String = asked.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = format!("token-{plain}");
    Ok(name.strip_suffix('-').map(str::to_owned).unwrap_or(name))
}

#[cfg(test)]
#[path = "operation_tests.rs"]
mod tests;
