//! A role: which tokens of the issuer may log in with it, and what they get.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::answer::Refusal;
use crate::auth::bounded::{ITEMS_MAX, TEXT_BYTES_MAX, list, text, too_much};
use crate::auth::parameters::{self, TokenParameters, with_token_fields};
use crate::auth::principals::Admits;
use crate::auth::signed::{Leeway, Leeways, Scalar};
use crate::engine::table::Field;
use crate::fields::Fields;
use crate::json::{Json, Object};
use crate::mount::LeaseTtl;
use crate::record::{Kind, Listing};

/// A role.
#[expect(clippy::struct_field_names, reason = "as the API names them")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Role {
    /// How somebody logs in with it.
    pub role_type: RoleType,
    /// The token must be for one of them.
    pub bound_audiences: Vec<String>,
    /// Its subject; empty for any.
    pub bound_subject: String,
    /// Values that claims must have.
    pub bound_claims: BTreeMap<String, Bound>,
    /// How they are compared.
    pub bound_claims_type: Match,
    /// The claim that names somebody.
    pub user_claim: String,
    /// That is a JSON pointer.
    pub user_claim_json_pointer: bool,
    /// The claim with the names of their groups; empty for none.
    pub groups_claim: String,
    /// Claims that become notes of the token, by their names there.
    pub claim_mappings: BTreeMap<String, String>,
    /// How much the clocks may differ.
    pub clock_skew_leeway: Leeway,
    /// How long a token without an end is valid.
    pub expiration_leeway: Leeway,
    /// How long before its end a token without a beginning is valid.
    pub not_before_leeway: Leeway,
    /// Where the issuer may send a browser back to.
    pub allowed_redirect_uris: Vec<String>,
    /// What is asked for besides `openid`.
    pub oidc_scopes: Vec<String>,
    /// How long ago somebody may have signed in at the issuer; 0 for any time.
    pub max_age: u64,
    /// Kept and shown: claims are never logged.
    pub verbose_oidc_logging: bool,
    /// About its tokens.
    pub parameters: TokenParameters,
}

/// How somebody logs in with a role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RoleType {
    /// With a token that they have.
    Jwt,
    /// In a browser.
    #[default]
    Oidc,
}

/// How bound claims are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Match {
    /// As they are.
    #[default]
    String,
    /// A star stands for anything.
    Glob,
}

/// What a claim is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Bound {
    /// One value.
    One(Scalar),
    /// One of them.
    Many(Vec<Scalar>),
}

crate::json_record!(Role, Kind::JwtRole, Listing::Flat, past = |role| Admits::by(&role.parameters).past());

/// What may be written about a role.
pub(super) const FIELDS: &[Field] = &with_token_fields::<25, 35>([
    field("role_type", "string", "oidc (by default) or jwt."),
    field("bound_audiences", "array", "Audiences of which the token must have one."),
    field("bound_subject", "string", "The subject that it must have."),
    field("bound_claims", "object", "Claims, and the value or list of values that each must have one of."),
    field("bound_claims_type", "string", "string, or glob for values with stars."),
    field("user_claim", "string", "The claim that names the user."),
    field("user_claim_json_pointer", "boolean", "The user claim is a JSON pointer."),
    field("groups_claim", "string", "The claim with the names of the user's groups."),
    field("claim_mappings", "object", "Claims, and the names under which the token's metadata has them."),
    field("clock_skew_leeway", "integer", "Seconds by which clocks may differ; 0 for 60, -1 for none."),
    field("expiration_leeway", "integer", "Seconds that a token without an end is valid; 0 for 150, -1 for none."),
    field(
        "not_before_leeway",
        "integer",
        "Seconds before its end that one without a beginning is valid; 0 for 150, -1 for none.",
    ),
    field("allowed_redirect_uris", "array", "Where a browser may be sent back to; needed by oidc roles."),
    field("oidc_scopes", "array", "Scopes to ask for besides openid."),
    field("max_age", "duration", "How long ago the user may have signed in at the provider."),
    field("verbose_oidc_logging", "boolean", "Kept and shown; claims are never logged."),
    field("token_policies_template_claims", "boolean", "Only false: policies are names."),
    field("oauth2_metadata", "array", "Only empty: tokens of the provider are given to nobody."),
    field("callback_mode", "string", "client, the only one that is offered."),
    field("name", "string", "The name, as in the path."),
    field("policies", "array", "Old name of token_policies."),
    field("ttl", "duration", "Old name of token_ttl."),
    field("max_ttl", "duration", "Old name of token_max_ttl."),
    field("period", "duration", "Old name of token_period."),
    field("bound_cidrs", "array", "Old name of token_bound_cidrs."),
]);

const fn field(name: &'static str, kind: &'static str, help: &'static str) -> Field {
    Field { name, kind, help }
}

/// What a write says: what it does not name stays as it is.
#[derive(Debug, Default)]
pub struct Change {
    role_type: Option<RoleType>,
    bound_audiences: Option<Vec<String>>,
    bound_subject: Option<String>,
    bound_claims: Option<BTreeMap<String, Bound>>,
    bound_claims_type: Option<Match>,
    user_claim: Option<String>,
    user_claim_json_pointer: Option<bool>,
    groups_claim: Option<String>,
    claim_mappings: Option<BTreeMap<String, String>>,
    clock_skew_leeway: Option<Leeway>,
    expiration_leeway: Option<Leeway>,
    not_before_leeway: Option<Leeway>,
    allowed_redirect_uris: Option<Vec<String>>,
    oidc_scopes: Option<Vec<String>>,
    max_age: Option<u64>,
    verbose_oidc_logging: Option<bool>,
    parameters: parameters::Change,
}

impl Change {
    /// Reads the fields of a write.
    pub(super) fn parse(fields: &Fields<'_>) -> Result<Self, Refusal> {
        if fields.text("callback_mode")?.is_some_and(|mode| !matches!(mode.as_str(), "" | "client")) {
            return Err(Refusal::invalid("invalid 'callback_mode': only client is offered"));
        }
        if fields.boolean("token_policies_template_claims")? == Some(true) {
            return Err(Refusal::invalid(
                "token_policies_template_claims: only false: policies are names; bind claims, or map groups",
            ));
        }
        if fields.list("oauth2_metadata")?.is_some_and(|names| !names.is_empty()) {
            return Err(Refusal::invalid("oauth2_metadata: only empty: tokens of the provider are given to nobody"));
        }
        if fields.has("num_uses") {
            return Err(Refusal::invalid("num_uses is not offered: use token_num_uses"));
        }
        Ok(Self {
            role_type: fields.text("role_type")?.map(|text| role_type(&text)).transpose()?,
            bound_audiences: list(fields, "bound_audiences")?,
            bound_subject: text(fields, "bound_subject")?,
            bound_claims: bound_claims(fields)?,
            bound_claims_type: fields.text("bound_claims_type")?.map(|text| how(&text)).transpose()?,
            user_claim: text(fields, "user_claim")?,
            user_claim_json_pointer: fields.boolean("user_claim_json_pointer")?,
            groups_claim: text(fields, "groups_claim")?,
            claim_mappings: claim_mappings(fields)?,
            clock_skew_leeway: leeway(fields, "clock_skew_leeway")?,
            expiration_leeway: leeway(fields, "expiration_leeway")?,
            not_before_leeway: leeway(fields, "not_before_leeway")?,
            allowed_redirect_uris: list(fields, "allowed_redirect_uris")?,
            oidc_scopes: list(fields, "oidc_scopes")?,
            max_age: fields.duration("max_age")?.map(|age| age.as_secs()),
            verbose_oidc_logging: fields.boolean("verbose_oidc_logging")?,
            parameters: parameters::Change::parse(fields, &["policies", "ttl", "max_ttl", "period", "bound_cidrs"])?,
        })
    }

    /// The role as it is afterwards, and warnings; `None` makes one. `limits` are those of the mount.
    pub(super) fn apply(self, before: Option<&Role>, limits: LeaseTtl) -> Result<(Role, Vec<String>), Refusal> {
        let role = before.map_or_else(Role::new, Role::clone);
        let (parameters, warnings) = self.parameters.apply(&role.parameters, limits)?;
        let role = Role {
            role_type: self.role_type.unwrap_or(role.role_type),
            bound_audiences: self.bound_audiences.unwrap_or(role.bound_audiences),
            bound_subject: self.bound_subject.unwrap_or(role.bound_subject),
            bound_claims: self.bound_claims.unwrap_or(role.bound_claims),
            bound_claims_type: self.bound_claims_type.unwrap_or(role.bound_claims_type),
            user_claim: self.user_claim.unwrap_or(role.user_claim),
            user_claim_json_pointer: self.user_claim_json_pointer.unwrap_or(role.user_claim_json_pointer),
            groups_claim: self.groups_claim.unwrap_or(role.groups_claim),
            claim_mappings: self.claim_mappings.unwrap_or(role.claim_mappings),
            clock_skew_leeway: self.clock_skew_leeway.unwrap_or(role.clock_skew_leeway),
            expiration_leeway: self.expiration_leeway.unwrap_or(role.expiration_leeway),
            not_before_leeway: self.not_before_leeway.unwrap_or(role.not_before_leeway),
            allowed_redirect_uris: self.allowed_redirect_uris.unwrap_or(role.allowed_redirect_uris),
            oidc_scopes: self.oidc_scopes.unwrap_or(role.oidc_scopes),
            max_age: self.max_age.unwrap_or(role.max_age),
            verbose_oidc_logging: self.verbose_oidc_logging.unwrap_or(role.verbose_oidc_logging),
            parameters,
        };
        role.check()?;
        Ok((role, warnings))
    }
}

impl Default for Role {
    fn default() -> Self {
        Self::new()
    }
}

impl Role {
    /// One of which nothing is said.
    pub(super) fn new() -> Self {
        Self {
            role_type: RoleType::default(),
            bound_audiences: Vec::new(),
            bound_subject: String::new(),
            bound_claims: BTreeMap::new(),
            bound_claims_type: Match::default(),
            user_claim: String::new(),
            user_claim_json_pointer: false,
            groups_claim: String::new(),
            claim_mappings: BTreeMap::new(),
            clock_skew_leeway: Leeway::default(),
            expiration_leeway: Leeway::default(),
            not_before_leeway: Leeway::default(),
            allowed_redirect_uris: Vec::new(),
            oidc_scopes: Vec::new(),
            max_age: 0,
            verbose_oidc_logging: false,
            parameters: TokenParameters::default(),
        }
    }

    /// How much is let pass of a token's times.
    pub(super) fn leeways(&self) -> Leeways {
        Leeways { skew: self.clock_skew_leeway, expiration: self.expiration_leeway, not_before: self.not_before_leeway }
    }

    /// A role that any token of the issuer could log in with is none.
    fn check(&self) -> Result<(), Refusal> {
        if self.user_claim.is_empty() {
            return Err(Refusal::invalid("a user claim must be defined on the role"));
        }
        if self.role_type == RoleType::Oidc && self.allowed_redirect_uris.is_empty() {
            return Err(Refusal::invalid("'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified."));
        }
        let bound = !self.bound_audiences.is_empty()
            || !self.bound_subject.is_empty()
            || !self.bound_claims.is_empty()
            || !self.parameters.bound_cidrs.value.is_empty();
        if self.role_type == RoleType::Jwt && !bound {
            return Err(Refusal::invalid("must have at least one bound constraint when creating/updating a role"));
        }
        let all = self.bound_claims.values().flat_map(|bound| match bound {
            Bound::One(one) => std::slice::from_ref(one),
            Bound::Many(many) => many.as_slice(),
        });
        if self.bound_claims_type == Match::Glob && all.into_iter().any(|value| !matches!(value, Scalar::Text(_))) {
            return Err(Refusal::invalid("claim is not a string: bound claims of type glob are strings"));
        }
        Ok(())
    }

    /// The `data` of a read.
    pub(super) fn json(&self) -> Json {
        Json::object(|data| {
            strings_or_null(data, "allowed_redirect_uris", &self.allowed_redirect_uris);
            strings_or_null(data, "bound_audiences", &self.bound_audiences);
            if self.bound_claims.is_empty() {
                data.null("bound_claims");
            } else {
                data.field("bound_claims", &self.bound_claims);
            }
            data.field("bound_claims_type", &self.bound_claims_type)
                .field("bound_subject", &self.bound_subject)
                .field("callback_mode", "client");
            if self.claim_mappings.is_empty() {
                data.null("claim_mappings");
            } else {
                data.field("claim_mappings", &self.claim_mappings);
            }
            data.field("clock_skew_leeway", &self.clock_skew_leeway)
                .field("expiration_leeway", &self.expiration_leeway)
                .field("groups_claim", &self.groups_claim)
                .field("max_age", &self.max_age)
                .field("not_before_leeway", &self.not_before_leeway)
                .null("oauth2_metadata")
                .field("oidc_disable_confirmation", &false);
            strings_or_null(data, "oidc_scopes", &self.oidc_scopes);
            data.field("role_type", &self.role_type)
                .field("token_policies_template_claims", &false)
                .field("user_claim", &self.user_claim)
                .field("user_claim_json_pointer", &self.user_claim_json_pointer)
                .field("verbose_oidc_logging", &self.verbose_oidc_logging);
            self.parameters.show(data);
        })
    }
}

/// `null` for an empty list, as clients know it.
fn strings_or_null(data: &mut Object<'_>, name: &str, texts: &[String]) {
    match texts {
        [] => data.null(name),
        texts => data.strings(name, texts),
    };
}

fn role_type(text: &str) -> Result<RoleType, Refusal> {
    match text {
        "jwt" => Ok(RoleType::Jwt),
        "oidc" | "" => Ok(RoleType::Oidc),
        other => Err(Refusal::Invalid(format!("invalid 'role_type': {other}"))),
    }
}

fn how(text: &str) -> Result<Match, Refusal> {
    match text {
        "string" | "" => Ok(Match::String),
        "glob" => Ok(Match::Glob),
        other => Err(Refusal::Invalid(format!("invalid 'bound_claims_type': {other}"))),
    }
}

/// Seconds as a number or text, also below zero.
fn leeway(fields: &Fields<'_>, name: &str) -> Result<Option<Leeway>, Refusal> {
    if let Ok(seconds) = fields.integer(name) {
        return Ok(seconds.map(Leeway));
    }
    let seconds = fields.duration(name)?.map(|leeway| i64::try_from(leeway.as_secs()).unwrap_or(i64::MAX));
    Ok(seconds.map(Leeway))
}

fn bound_claims(fields: &Fields<'_>) -> Result<Option<BTreeMap<String, Bound>>, Refusal> {
    let Some(raw) = fields.object("bound_claims")? else { return Ok(None) };
    let bound: BTreeMap<String, Bound> = serde_json::from_str(raw.get())
        .map_err(|_| Refusal::invalid("bound_claims: each must be a string, number or boolean, or a list of them"))?;
    let fits = |text: &Scalar| !matches!(text, Scalar::Text(text) if text.len() > TEXT_BYTES_MAX);
    let within = bound.iter().all(|(claim, bound)| {
        claim.len() <= TEXT_BYTES_MAX
            && match bound {
                Bound::One(one) => fits(one),
                Bound::Many(many) => many.len() <= ITEMS_MAX && many.iter().all(fits),
            }
    });
    if bound.len() > ITEMS_MAX || !within { Err(too_much("bound_claims")) } else { Ok(Some(bound)) }
}

fn claim_mappings(fields: &Fields<'_>) -> Result<Option<BTreeMap<String, String>>, Refusal> {
    let Some(mappings) = fields.map("claim_mappings")? else { return Ok(None) };
    if mappings.len() > ITEMS_MAX || mappings.iter().any(|(from, to)| from.len().max(to.len()) > TEXT_BYTES_MAX) {
        return Err(too_much("claim_mappings"));
    }
    let mut seen = std::collections::BTreeSet::new();
    for to in mappings.values() {
        if to == "role" {
            return Err(Refusal::invalid("metadata key \"role\" is reserved and may not be a mapping destination"));
        }
        if !seen.insert(to) {
            return Err(Refusal::Invalid(format!("multiple keys are mapped to metadata key {to:?}")));
        }
    }
    Ok(Some(mappings))
}
