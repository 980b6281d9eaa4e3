//! A role: who may log in with its id, and what they get.

use serde::{Deserialize, Serialize};

use crate::answer::Refusal;
use crate::auth::parameters::{self, TokenParameters, with_token_fields};
use crate::auth::principals::Admits;
use crate::auth::token::cidr::{Cidr, parse_list};
use crate::auth::token::lifetime::whole_seconds;
use crate::engine::table::Field;
use crate::fields::Fields;
use crate::id::MountId;
use crate::json::{Json, Object};
use crate::mount::LeaseTtl;
use crate::random;
use crate::record::{Address, Kind, Listing};

/// The longest role id or secret id that may be chosen, in bytes.
pub(super) const ID_BYTES_MAX: usize = 512;

/// A role.
#[expect(clippy::struct_field_names, reason = "as the API names them")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Role {
    /// What its secret ids are kept under: random, and never used again.
    pub id: String,
    /// What a machine names it by at a login.
    pub role_id: String,
    /// Whether a login needs a secret id.
    pub bind_secret_id: bool,
    /// Where a login may come from; empty for anywhere.
    pub secret_id_bound_cidrs: Vec<Cidr>,
    /// How often a secret id may be used; 0 for any number.
    pub secret_id_num_uses: u64,
    /// How long a secret id lives; 0 for ever.
    pub secret_id_ttl: u64,
    /// Accepted and shown; there is no replication that secret ids could be kept out of.
    pub local_secret_ids: bool,
    /// About its tokens.
    pub parameters: TokenParameters,
}

crate::json_record!(
    Role,
    Kind::AppRole,
    Listing::Flat,
    past = |role| { Admits { alias: Some(role.role_id.clone()), ..Admits::by(&role.parameters) }.past() }
);

/// Leads from a role id to its role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RoleId {
    /// The role's name.
    pub name: String,
}

crate::json_record!(RoleId, Kind::RoleId, Listing::None);

/// What may be written about a role.
pub(super) const FIELDS: &[Field] = &with_token_fields::<10, 20>([
    field("bind_secret_id", "boolean", "A login needs a secret id; true by default."),
    field("secret_id_bound_cidrs", "array", "Addresses and blocks that a login may come from."),
    field("bound_cidr_list", "array", "Old name of secret_id_bound_cidrs."),
    field("secret_id_num_uses", "integer", "How often a secret id may be used; 0 for any number."),
    field("secret_id_ttl", "duration", "How long a secret id lives; 0 for ever."),
    field("local_secret_ids", "boolean", "Kept and shown; only when the role is made."),
    field("role_id", "string", "The id that machines log in with; random by default."),
    field("policies", "array", "Old name of token_policies."),
    field("period", "duration", "Old name of token_period."),
    field("role_name", "string", "The name, as in the path."),
]);

const fn field(name: &'static str, kind: &'static str, help: &'static str) -> Field {
    Field { name, kind, help }
}

/// What a write says: what it does not name stays as it is.
#[derive(Debug, Default)]
pub struct Change {
    /// Another role id.
    pub role_id: Option<String>,
    bind_secret_id: Option<bool>,
    secret_id_bound_cidrs: Option<Vec<Cidr>>,
    secret_id_num_uses: Option<u64>,
    secret_id_ttl: Option<u64>,
    local_secret_ids: Option<bool>,
    parameters: parameters::Change,
}

impl Change {
    /// Reads the fields of a write.
    pub(super) fn parse(fields: &Fields<'_>) -> Result<Self, Refusal> {
        let bound = match fields.list("secret_id_bound_cidrs")? {
            Some(bound) => Some(bound),
            None => fields.list("bound_cidr_list")?,
        };
        let uses = fields.integer("secret_id_num_uses")?.map(u64::try_from).transpose();
        Ok(Self {
            role_id: fields.text("role_id")?.as_deref().map(checked_role_id).transpose()?,
            bind_secret_id: fields.boolean("bind_secret_id")?,
            secret_id_bound_cidrs: bound.map(|texts| blocks(&texts)).transpose()?,
            secret_id_num_uses: uses.map_err(|_| Refusal::invalid("secret_id_num_uses cannot be negative"))?,
            secret_id_ttl: fields.duration("secret_id_ttl")?.map(whole_seconds),
            local_secret_ids: fields.boolean("local_secret_ids")?,
            parameters: parameters::Change::parse(fields, &["policies", "period"])?,
        })
    }

    /// The role as it is afterwards, and warnings; `None` makes one. `limits` are those of the mount.
    pub(super) fn apply(self, before: Option<&Role>, limits: LeaseTtl) -> Result<(Role, Vec<String>), Refusal> {
        let role = before.map_or_else(Role::new, Role::clone);
        if before.is_some() && self.local_secret_ids.is_some_and(|local| local != role.local_secret_ids) {
            return Err(Refusal::invalid("local_secret_ids can only be modified during role creation"));
        }
        let (parameters, mut warnings) = self.parameters.apply(&role.parameters, limits)?;
        let role = Role {
            id: role.id,
            role_id: self.role_id.unwrap_or(role.role_id),
            bind_secret_id: self.bind_secret_id.unwrap_or(role.bind_secret_id),
            secret_id_bound_cidrs: self.secret_id_bound_cidrs.unwrap_or(role.secret_id_bound_cidrs),
            secret_id_num_uses: self.secret_id_num_uses.unwrap_or(role.secret_id_num_uses),
            secret_id_ttl: self.secret_id_ttl.unwrap_or(role.secret_id_ttl),
            local_secret_ids: self.local_secret_ids.unwrap_or(role.local_secret_ids),
            parameters,
        };
        role.check()?;
        if role.secret_id_ttl > limits.max_seconds {
            warnings
                .push("secret_id_ttl is greater than the mount's maximum TTL; secret ids will live as long as that".to_owned());
        }
        Ok((role, warnings))
    }
}

impl Role {
    /// One of which nothing is said.
    pub(super) fn new() -> Self {
        Self {
            id: random::base62(22),
            role_id: random::uuid(),
            bind_secret_id: true,
            secret_id_bound_cidrs: Vec::new(),
            secret_id_num_uses: 0,
            secret_id_ttl: 0,
            local_secret_ids: false,
            parameters: TokenParameters::default(),
        }
    }

    /// A role that anybody could log in with from anywhere is none.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let bound = !self.secret_id_bound_cidrs.is_empty() || !self.parameters.bound_cidrs.value.is_empty();
        if self.bind_secret_id || bound {
            return Ok(());
        }
        Err(Refusal::invalid("at least one constraint should be enabled on the role"))
    }

    /// The `data` of a read.
    pub(super) fn json(&self) -> Json {
        Json::object(|data| {
            data.field("bind_secret_id", &self.bind_secret_id).field("local_secret_ids", &self.local_secret_ids);
            self.show_bound_cidrs("secret_id_bound_cidrs", data);
            data.field("secret_id_num_uses", &self.secret_id_num_uses).field("secret_id_ttl", &self.secret_id_ttl);
            self.parameters.show(data);
        })
    }

    /// `null` for anywhere, as clients know it.
    pub(super) fn show_bound_cidrs(&self, name: &str, data: &mut Object<'_>) {
        match self.secret_id_bound_cidrs.as_slice() {
            [] => data.null(name),
            blocks => data.strings(name, &texts(blocks)),
        };
    }
}

impl RoleId {
    /// Where a role id is.
    pub(super) fn address(mount: MountId, role_id: &str) -> Address {
        Address { kind: Kind::RoleId, mount, directory: String::new(), name: role_id.to_owned() }
    }
}

/// A role id that was chosen.
pub(super) fn checked_role_id(role_id: &str) -> Result<String, Refusal> {
    let role_id = role_id.trim();
    if role_id.is_empty() || role_id.len() > ID_BYTES_MAX || role_id.chars().any(char::is_control) {
        return Err(Refusal::invalid("invalid role_id supplied, or failed to generate a role_id"));
    }
    Ok(role_id.to_owned())
}

/// Blocks of addresses that a login may come from.
pub(super) fn blocks(texts: &[String]) -> Result<Vec<Cidr>, Refusal> {
    if let Some(wrong) = texts.iter().find(|text| Cidr::parse(text.trim()).is_none()) {
        return Err(Refusal::invalid(format!("failed to validate CIDR blocks: invalid CIDR address: {wrong}")));
    }
    parse_list(texts)
}

/// Blocks as they are shown: `127.0.0.1/32`.
pub(super) fn texts(blocks: &[Cidr]) -> Vec<String> {
    blocks.iter().map(Cidr::block).collect()
}
