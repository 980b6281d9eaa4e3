//! The settings of the tokens that a login gives: the same for the roles and users of all methods, read, kept and shown
//! here only. Times are whole seconds, and 0 is "nothing asked".

use serde::{Deserialize, Serialize};

use super::token::cidr::{Cidr, parse_list};
use super::token::entry::{ROOT_POLICY, TokenKind};
use super::token::grant::POLICIES_MAX;
use super::token::lifetime::whole_seconds;
use crate::answer::Refusal;
use crate::engine::table::Field;
use crate::fields::Fields;
use crate::json::Object;
use crate::mount::LeaseTtl;

/// The longest name of a policy, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// What a role or user says about its tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenParameters {
    /// Their policies, as they were written.
    pub policies: Aged<Vec<String>>,
    /// TTL of a login and of each renewal.
    pub ttl: Aged<u64>,
    /// The most that they live, within what the mount allows.
    pub max_ttl: Aged<u64>,
    /// The TTL of each renewal of a periodic token.
    pub period: Aged<u64>,
    /// The most that they live, whatever changes later.
    pub explicit_max_ttl: u64,
    /// Where somebody may log in and use them from; empty for anywhere.
    pub bound_cidrs: Aged<Vec<Cidr>>,
    /// They may be used from the address only that the login came from.
    pub strictly_bind_ip: bool,
    /// How often they may be used; 0 for any number.
    pub uses: u64,
    /// Do not add the policy `default`.
    pub no_default_policy: bool,
    /// Which kind they are.
    pub kind: LoginKind,
}

/// A value that has an old name besides its own, under which it is shown if it came under it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aged<T> {
    /// The value.
    pub value: T,
    /// It came under its old name.
    pub old: bool,
}

/// Which kind of token a login gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginKind {
    /// As the mount says.
    #[default]
    Default,
    /// Service tokens, unless the mount forces another kind.
    Service,
    /// Batch tokens, likewise.
    Batch,
}

impl LoginKind {
    /// The kind at a mount that is tuned to `token_type`.
    pub fn at(self, token_type: Option<&str>) -> TokenKind {
        let batch = match token_type {
            Some("batch") => true,
            Some("service") => false,
            Some("default-batch") => self != Self::Service,
            _ => self == Self::Batch,
        };
        if batch { TokenKind::Batch } else { TokenKind::Service }
    }
}

/// The fields that every method has, for its table.
pub const FIELDS: [Field; 10] = [
    field("token_policies", "array", "Policies of its tokens."),
    field("token_ttl", "duration", "TTL of its tokens; 0 for the mount's default."),
    field("token_max_ttl", "duration", "The most that its tokens live, renewals included; 0 for the mount's maximum."),
    field("token_period", "duration", "Its tokens are periodic: each renewal gives this TTL, without a maximum."),
    field("token_explicit_max_ttl", "duration", "The most that its tokens live, whatever is changed later."),
    field("token_bound_cidrs", "array", "Addresses and blocks that a login and its tokens may come from."),
    field("token_strictly_bind_ip", "boolean", "Its tokens may be used only from the address that the login came from."),
    field("token_num_uses", "integer", "How often its tokens may be used; 0 for any number."),
    field("token_no_default_policy", "boolean", "Do not add the policy default."),
    field("token_type", "string", "service, batch, or default for what the mount says."),
];

/// A table's fields of a role or user: those of every method and `own` ones.
///
/// # Panics
/// When it is compiled, unless `ALL` is the number of all fields.
#[expect(clippy::indexing_slicing, reason = "runs when it is compiled")]
pub const fn with_token_fields<const OWN: usize, const ALL: usize>(own: [Field; OWN]) -> [Field; ALL] {
    assert!(ALL == FIELDS.len() + OWN, "the number of all fields");
    let mut all = [FIELDS[0]; ALL];
    let mut at = 0;
    while at < ALL {
        all[at] = if at < FIELDS.len() { FIELDS[at] } else { own[at - FIELDS.len()] };
        at += 1;
    }
    all
}

const fn field(name: &'static str, kind: &'static str, help: &'static str) -> Field {
    Field { name, kind, help }
}

/// What a write says: what it does not name stays as it is.
#[derive(Debug, Default)]
pub struct Change {
    policies: Option<Aged<Vec<String>>>,
    ttl: Option<Aged<u64>>,
    max_ttl: Option<Aged<u64>>,
    period: Option<Aged<u64>>,
    explicit_max_ttl: Option<u64>,
    bound_cidrs: Option<Aged<Vec<Cidr>>>,
    strictly_bind_ip: Option<bool>,
    uses: Option<u64>,
    no_default_policy: Option<bool>,
    kind: Option<LoginKind>,
    warnings: Vec<String>,
}

impl Change {
    /// Reads the fields of a write. `old` are the old names that the method still takes (`ttl`, `policies`, ...).
    pub fn parse(fields: &Fields<'_>, old: &[&str]) -> Result<Self, Refusal> {
        let mut warnings = Vec::new();
        let seconds = |name: &str| Ok(fields.duration(name)?.map(whole_seconds));
        let cidrs = |name: &str| fields.list(name)?.map(|texts| parse_list(&texts)).transpose();
        let uses = fields.integer("token_num_uses")?.map(u64::try_from).transpose();
        Ok(Self {
            policies: named(old, "policies", |name| policies(fields, name), &mut warnings)?,
            ttl: named(old, "ttl", seconds, &mut warnings)?,
            max_ttl: named(old, "max_ttl", seconds, &mut warnings)?,
            period: named(old, "period", seconds, &mut warnings)?,
            explicit_max_ttl: seconds("token_explicit_max_ttl")?,
            bound_cidrs: named(old, "bound_cidrs", cidrs, &mut warnings)?,
            strictly_bind_ip: fields.boolean("token_strictly_bind_ip")?,
            uses: uses.map_err(|_| Refusal::invalid("'token_num_uses' cannot be negative"))?,
            no_default_policy: fields.boolean("token_no_default_policy")?,
            kind: fields.text("token_type")?.map(|text| kind(&text, &mut warnings)).transpose()?,
            warnings,
        })
    }

    /// Reads a write that is about the policies only, under either name.
    pub fn policies(fields: &Fields<'_>) -> Result<Self, Refusal> {
        let mut warnings = Vec::new();
        let policies = aged("policies", |name| policies(fields, name), &mut warnings)?;
        Ok(Self { policies, warnings, ..Self::default() })
    }

    /// What holds afterwards, and warnings. `limits` are those of the mount. `Invalid` when the settings contradict each other.
    pub fn apply(self, before: &TokenParameters, limits: LeaseTtl) -> Result<(TokenParameters, Vec<String>), Refusal> {
        let before = TokenParameters::clone(before);
        let after = TokenParameters {
            policies: self.policies.unwrap_or(before.policies),
            ttl: self.ttl.unwrap_or(before.ttl),
            max_ttl: self.max_ttl.unwrap_or(before.max_ttl),
            period: self.period.unwrap_or(before.period),
            explicit_max_ttl: self.explicit_max_ttl.unwrap_or(before.explicit_max_ttl),
            bound_cidrs: self.bound_cidrs.unwrap_or(before.bound_cidrs),
            strictly_bind_ip: self.strictly_bind_ip.unwrap_or(before.strictly_bind_ip),
            uses: self.uses.unwrap_or(before.uses),
            no_default_policy: self.no_default_policy.unwrap_or(before.no_default_policy),
            kind: self.kind.unwrap_or(before.kind),
        };
        after.check()?;
        let mut warnings = self.warnings;
        if after.max_ttl.value > limits.max_seconds {
            warnings.push(
                "token_max_ttl is greater than the backend mount's maximum TTL value; issued tokens' max TTL value will be \
                 truncated"
                    .to_owned(),
            );
        }
        Ok((after, warnings))
    }
}

impl TokenParameters {
    /// Adds the fields of a read. A list is never `null`.
    pub fn show(&self, data: &mut Object<'_>) {
        data.field("token_bound_cidrs", &self.bound_cidrs.value)
            .field("token_explicit_max_ttl", &self.explicit_max_ttl)
            .field("token_max_ttl", &self.max_ttl.value)
            .field("token_no_default_policy", &self.no_default_policy)
            .field("token_num_uses", &self.uses)
            .field("token_period", &self.period.value)
            .strings("token_policies", &self.policies.value)
            .field("token_strictly_bind_ip", &self.strictly_bind_ip)
            .field("token_ttl", &self.ttl.value)
            .field("token_type", &self.kind);
        if self.policies.old {
            data.strings("policies", &self.policies.value);
        }
        for (name, aged) in [("ttl", &self.ttl), ("max_ttl", &self.max_ttl), ("period", &self.period)] {
            if aged.old {
                data.field(name, &aged.value);
            }
        }
        if self.bound_cidrs.old {
            data.field("bound_cidrs", &self.bound_cidrs.value);
        }
    }

    /// A batch token cannot be counted or renewed, so who asks for any of this together gets neither.
    fn check(&self) -> Result<(), Refusal> {
        let batch = self.kind == LoginKind::Batch;
        let wrong = [
            (self.max_ttl.value > 0 && self.ttl.value > self.max_ttl.value, "'token_ttl' cannot be greater than 'token_max_ttl'"),
            (
                batch && self.uses > 0,
                "'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited use count",
            ),
            (
                batch && self.period.value > 0,
                "'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens",
            ),
        ];
        wrong.into_iter().find(|(wrong, _)| *wrong).map_or(Ok(()), |(_, text)| Err(Refusal::invalid(text)))
    }
}

/// A setting under its own name (`token_` before the old one), or under the old one if the method still takes that.
fn named<T>(
    old: &[&str],
    old_name: &str,
    read: impl Fn(&str) -> Result<Option<T>, Refusal>,
    warnings: &mut Vec<String>,
) -> Result<Option<Aged<T>>, Refusal> {
    if old.contains(&old_name) {
        return aged(old_name, read, warnings);
    }
    Ok(read(&format!("token_{old_name}"))?.map(|value| Aged { value, old: false }))
}

/// A setting under its own name (`token_` before the old one) or the old one.
pub fn aged<T>(
    old_name: &str,
    read: impl Fn(&str) -> Result<Option<T>, Refusal>,
    warnings: &mut Vec<String>,
) -> Result<Option<Aged<T>>, Refusal> {
    let new_name = format!("token_{old_name}");
    let (new, old) = (read(&new_name)?, read(old_name)?);
    if new.is_some() && old.is_some() {
        warnings.push(format!("Both '{new_name}' and deprecated '{old_name}' value supplied, ignoring the deprecated value"));
    }
    Ok(match (new, old) {
        (Some(value), _) => Some(Aged { value, old: false }),
        (None, Some(value)) => Some(Aged { value, old: true }),
        (None, None) => None,
    })
}

/// As they are written: a client that compares what it wrote with what it reads finds no difference.
fn policies(fields: &Fields<'_>, name: &str) -> Result<Option<Vec<String>>, Refusal> {
    let Some(given) = fields.list(name)? else { return Ok(None) };
    let names: Vec<String> = given.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    if names.len() > POLICIES_MAX || names.iter().any(|name| name.len() > NAME_BYTES_MAX) {
        return Err(Refusal::invalid(format!("{name}: at most {POLICIES_MAX} names of {NAME_BYTES_MAX} bytes")));
    }
    if names.iter().any(|name| name.eq_ignore_ascii_case(ROOT_POLICY)) {
        return Err(Refusal::invalid("auth methods cannot create root tokens"));
    }
    Ok(Some(names))
}

fn kind(text: &str, warnings: &mut Vec<String>) -> Result<LoginKind, Refusal> {
    Ok(match text {
        "" | "default" => LoginKind::Default,
        "service" => LoginKind::Service,
        "batch" => LoginKind::Batch,
        "default-service" => {
            warnings.push("default-service has no useful meaning; adjusting to service".to_owned());
            LoginKind::Service
        }
        "default-batch" => {
            warnings.push("default-batch has no useful meaning; adjusting to batch".to_owned());
            LoginKind::Batch
        }
        _ => return Err(Refusal::invalid(format!("invalid 'token_type' value {text:?}"))),
    })
}

#[cfg(test)]
#[path = "parameters_tests.rs"]
mod tests;
