//! Roles of the token method: what tokens made at `create/:role` get, whoever makes them.

use serde::{Deserialize, Serialize};

use super::cidr::{Cidr, parse_list};
use super::lifetime::whole_seconds;
use crate::answer::Refusal;
use crate::auth::parameters::{Aged, aged};
use crate::auth::principals::Admits;
use crate::engine::table::{Call, Field};
use crate::fields::Fields;
use crate::json::Json;
use crate::mount::LeaseTtl;
use crate::record::{Address, Kind, Listing};

/// The longest name, and the longest suffix of a path, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// The most names or globs in one list.
const NAMES_MAX: usize = 256;

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own in the API")]
pub struct TokenRole {
    /// Which policies may be given, and are given when none is asked for.
    pub allowed_policies: Vec<String>,
    /// The same as globs; these are not given unasked.
    pub allowed_policies_glob: Vec<String>,
    /// Which may not.
    pub disallowed_policies: Vec<String>,
    /// The same as globs.
    pub disallowed_policies_glob: Vec<String>,
    /// Names and globs of entity aliases that a token may stand for; none before any was set.
    pub allowed_entity_aliases: Option<Vec<String>>,
    /// Its tokens are orphans.
    pub orphan: bool,
    /// Its tokens may be renewed.
    pub renewable: bool,
    /// Appended to the path of its tokens.
    pub path_suffix: String,
    /// The period of its tokens; 0 for none.
    pub period: Aged<u64>,
    /// The most that its tokens live; 0 for no such bound.
    pub explicit_max_ttl: Aged<u64>,
    /// Where its tokens may be used from.
    pub bound_cidrs: Aged<Vec<Cidr>>,
    /// Its tokens may be used from the address only that they were asked for from.
    pub strictly_bind_ip: bool,
    /// How often its tokens may be used; 0 for any number.
    pub uses: u64,
    /// Do not add the policy `default`.
    pub no_default_policy: bool,
    /// Which kind its tokens are.
    pub kind: RoleKind,
}

/// Which kind of token a role gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoleKind {
    /// Service tokens, whatever is asked for.
    Service,
    /// Batch tokens, whatever is asked for.
    Batch,
    /// Service tokens, unless batch is asked for.
    DefaultService,
    /// Batch tokens, unless service is asked for.
    DefaultBatch,
}

crate::json_record!(TokenRole, Kind::TokenRole, Listing::Flat, past = |role| Admits::by_token_role(role).past());

const fn field(name: &'static str, kind: &'static str, help: &'static str) -> Field {
    Field { name, kind, help }
}

/// What may be written about a role.
pub const FIELDS: &[Field] = &[
    field("allowed_policies", "array", "Policies that may be asked for; all of them are given when none is."),
    field("allowed_policies_glob", "array", "The same as globs; not given unasked."),
    field("disallowed_policies", "array", "Policies that may not be asked for."),
    field("disallowed_policies_glob", "array", "The same as globs."),
    field("allowed_entity_aliases", "array", "Names and globs of entity aliases that may be asked for."),
    field("orphan", "boolean", "Tokens are orphans."),
    field("renewable", "boolean", "Tokens may be renewed; true by default."),
    field("path_suffix", "string", "Appended to the path of tokens."),
    field("token_period", "duration", "Tokens are periodic: each renewal gives this TTL."),
    field("period", "duration", "Old name of token_period."),
    field("token_explicit_max_ttl", "duration", "The most that tokens live, renewals included."),
    field("explicit_max_ttl", "duration", "Old name of token_explicit_max_ttl."),
    field("token_bound_cidrs", "array", "Addresses and blocks that tokens may be used from."),
    field("bound_cidrs", "array", "Old name of token_bound_cidrs."),
    field("token_strictly_bind_ip", "boolean", "Tokens may be used only from the address that they were asked for from."),
    field("token_num_uses", "integer", "How often tokens may be used; 0 for any number."),
    field("token_no_default_policy", "boolean", "Do not add the policy default."),
    field("token_type", "string", "service, batch, default-service or default-batch."),
    // Of the settings that methods with logins share; a role of this method has no use for them, as in OpenBao.
    field("token_policies", "array", "Accepted, without effect."),
    field("token_ttl", "duration", "Accepted, without effect."),
    field("token_max_ttl", "duration", "Accepted, without effect."),
];

/// Where a role is.
pub fn address(name: &str) -> Address {
    Address::system(Kind::TokenRole, name)
}

/// The name in the path of a call.
pub fn name(call: &Call<'_>) -> Result<String, Refusal> {
    let name = call.captures.get(0);
    if name.len() > NAME_BYTES_MAX {
        return Err(Refusal::invalid(format!("a role name is at most {NAME_BYTES_MAX} bytes")));
    }
    Ok(name.to_owned())
}

impl Default for TokenRole {
    fn default() -> Self {
        Self {
            allowed_policies: Vec::new(),
            allowed_policies_glob: Vec::new(),
            disallowed_policies: Vec::new(),
            disallowed_policies_glob: Vec::new(),
            allowed_entity_aliases: None,
            orphan: false,
            renewable: true,
            path_suffix: String::new(),
            period: Aged::default(),
            explicit_max_ttl: Aged::default(),
            bound_cidrs: Aged::default(),
            strictly_bind_ip: false,
            uses: 0,
            no_default_policy: false,
            kind: RoleKind::DefaultService,
        }
    }
}

/// What a write says: what it does not name stays as it is.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    allowed_policies: Option<Vec<String>>,
    allowed_policies_glob: Option<Vec<String>>,
    disallowed_policies: Option<Vec<String>>,
    disallowed_policies_glob: Option<Vec<String>>,
    allowed_entity_aliases: Option<Vec<String>>,
    orphan: Option<bool>,
    renewable: Option<bool>,
    path_suffix: Option<String>,
    period: Option<Aged<u64>>,
    explicit_max_ttl: Option<Aged<u64>>,
    bound_cidrs: Option<Aged<Vec<Cidr>>>,
    strictly_bind_ip: Option<bool>,
    uses: Option<u64>,
    no_default_policy: Option<bool>,
    kind: Option<RoleKind>,
    warnings: Vec<String>,
}

impl Change {
    /// Reads the fields of a write.
    pub fn parse(fields: &Fields<'_>) -> Result<Self, Refusal> {
        let mut warnings = Vec::new();
        let seconds = |name: &str| Ok(fields.duration(name)?.map(whole_seconds));
        let cidrs = |name: &str| fields.list(name)?.map(|texts| parse_list(&texts)).transpose();
        let uses = fields.integer("token_num_uses")?.map(u64::try_from).transpose();
        Ok(Self {
            allowed_policies: names(fields, "allowed_policies")?,
            allowed_policies_glob: names(fields, "allowed_policies_glob")?,
            disallowed_policies: names(fields, "disallowed_policies")?,
            disallowed_policies_glob: names(fields, "disallowed_policies_glob")?,
            allowed_entity_aliases: names(fields, "allowed_entity_aliases")?,
            orphan: fields.boolean("orphan")?,
            renewable: fields.boolean("renewable")?,
            path_suffix: fields.text("path_suffix")?.map(checked_suffix).transpose()?,
            period: aged("period", seconds, &mut warnings)?,
            explicit_max_ttl: aged("explicit_max_ttl", seconds, &mut warnings)?,
            bound_cidrs: aged("bound_cidrs", cidrs, &mut warnings)?,
            strictly_bind_ip: fields.boolean("token_strictly_bind_ip")?,
            uses: uses.map_err(|_| Refusal::invalid("error parsing role fields: 'token_num_uses' cannot be negative"))?,
            no_default_policy: fields.boolean("token_no_default_policy")?,
            kind: fields.text("token_type")?.map(|text| kind(&text)).transpose()?,
            warnings,
        })
    }

    /// The role as it is afterwards, and warnings. `limits` are those of the mount.
    pub fn apply(self, role: &TokenRole, limits: LeaseTtl) -> Result<(TokenRole, Vec<String>), Refusal> {
        let role = TokenRole::clone(role);
        let role = TokenRole {
            allowed_policies: self.allowed_policies.unwrap_or(role.allowed_policies),
            allowed_policies_glob: self.allowed_policies_glob.unwrap_or(role.allowed_policies_glob),
            disallowed_policies: self.disallowed_policies.unwrap_or(role.disallowed_policies),
            disallowed_policies_glob: self.disallowed_policies_glob.unwrap_or(role.disallowed_policies_glob),
            allowed_entity_aliases: self.allowed_entity_aliases.or(role.allowed_entity_aliases),
            orphan: self.orphan.unwrap_or(role.orphan),
            renewable: self.renewable.unwrap_or(role.renewable),
            path_suffix: self.path_suffix.unwrap_or(role.path_suffix),
            period: self.period.unwrap_or(role.period),
            explicit_max_ttl: self.explicit_max_ttl.unwrap_or(role.explicit_max_ttl),
            bound_cidrs: self.bound_cidrs.unwrap_or(role.bound_cidrs),
            strictly_bind_ip: self.strictly_bind_ip.unwrap_or(role.strictly_bind_ip),
            uses: self.uses.unwrap_or(role.uses),
            no_default_policy: self.no_default_policy.unwrap_or(role.no_default_policy),
            kind: self.kind.unwrap_or(role.kind),
        };
        role.check()?;
        let mut warnings = self.warnings;
        if role.explicit_max_ttl.value > limits.max_seconds {
            warnings.push(format!(
                "Given explicit max TTL of {} is greater than system/mount allowed value of {} seconds",
                role.explicit_max_ttl.value, limits.max_seconds
            ));
        }
        Ok((role, warnings))
    }
}

impl TokenRole {
    /// A batch token cannot be listed, counted or renewed, so a role that promises any of this gives none.
    fn check(&self) -> Result<(), Refusal> {
        if self.kind != RoleKind::Batch {
            return Ok(());
        }
        let wrong = [
            (!self.orphan, "non-orphan tokens"),
            (self.period.value > 0, "periodic tokens"),
            (self.renewable, "renewable tokens"),
            (self.explicit_max_ttl.value > 0, "tokens with an explicit max TTL"),
        ];
        match wrong.into_iter().find(|(wrong, _)| *wrong) {
            Some((_, what)) => {
                Err(Refusal::invalid(format!("'token_type' cannot be 'batch' when role is set to generate {what}")))
            }
            None => Ok(()),
        }
    }

    /// The `data` of a read.
    pub fn json(&self, name: &str) -> Json {
        let old = |aged: &Aged<u64>| if aged.old { aged.value } else { 0 };
        Json::object(|data| {
            data.field("allowed_entity_aliases", &self.allowed_entity_aliases)
                .strings("allowed_policies", &self.allowed_policies)
                .strings("allowed_policies_glob", &self.allowed_policies_glob)
                .strings("disallowed_policies", &self.disallowed_policies)
                .strings("disallowed_policies_glob", &self.disallowed_policies_glob)
                .field("explicit_max_ttl", &old(&self.explicit_max_ttl))
                .field("name", name)
                .field("orphan", &self.orphan)
                .field("path_suffix", &self.path_suffix)
                .field("period", &old(&self.period))
                .field("renewable", &self.renewable)
                .field("token_explicit_max_ttl", &self.explicit_max_ttl.value)
                .field("token_no_default_policy", &self.no_default_policy)
                .field("token_period", &self.period.value)
                .field("token_type", &self.kind);
            if !self.bound_cidrs.value.is_empty() {
                data.field("token_bound_cidrs", &self.bound_cidrs.value);
                if self.bound_cidrs.old {
                    data.field("bound_cidrs", &self.bound_cidrs.value);
                }
            }
            if self.uses > 0 {
                data.field("token_num_uses", &self.uses);
            }
            if self.strictly_bind_ip {
                data.field("token_strictly_bind_ip", &true);
            }
        })
    }
}

fn names(fields: &Fields<'_>, name: &str) -> Result<Option<Vec<String>>, Refusal> {
    let Some(given) = fields.list(name)? else { return Ok(None) };
    let mut names: Vec<String> = given.iter().map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() > NAMES_MAX || names.iter().any(|name| name.len() > NAME_BYTES_MAX) {
        return Err(Refusal::invalid(format!("{name}: at most {NAMES_MAX} names of {NAME_BYTES_MAX} bytes")));
    }
    Ok(Some(names))
}

/// One segment of letters, digits, `_`, `-` and `.`, neither beginning nor ending in one of the last two.
fn checked_suffix(suffix: String) -> Result<String, Refusal> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = suffix.as_bytes();
    let ends = bytes.first().is_some_and(|first| word(*first)) && bytes.last().is_some_and(|last| word(*last));
    let fits = (3..=NAME_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(|byte| word(*byte) || b"-.".contains(byte));
    if suffix.is_empty() || (ends && fits) {
        return Ok(suffix);
    }
    Err(Refusal::invalid(r"given role path suffix contains invalid characters; must match \w[\w-.]+\w"))
}

fn kind(text: &str) -> Result<RoleKind, Refusal> {
    Ok(match text {
        "service" => RoleKind::Service,
        "batch" => RoleKind::Batch,
        "default-batch" => RoleKind::DefaultBatch,
        "default-service" | "" => RoleKind::DefaultService,
        _ => return Err(Refusal::invalid(format!("invalid 'token_type' value {text:?}"))),
    })
}

#[cfg(test)]
#[path = "role_tests.rs"]
mod tests;
