//! A role: which service accounts may log in with it, and what they get.

use serde::{Deserialize, Serialize};

use super::account::Account;
use crate::answer::Refusal;
use crate::auth::bounded::{list, text};
use crate::auth::parameters::{self, TokenParameters, with_token_fields};
use crate::auth::principals::Admits;
use crate::auth::signed::{Claims, Reason};
use crate::auth::token::grant::matches_any;
use crate::engine::table::Field;
use crate::fields::Fields;
use crate::json::Json;
use crate::mount::LeaseTtl;
use crate::record::{Kind, Listing};

/// What is said about a role that takes tokens for any audience.
const ANY_AUDIENCE: &str = "the role has no audience: a token that a workload gave to another service logs in with it, too";

/// A role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Role {
    /// Globs, of which one must fit the name of the service account.
    names: Vec<String>,
    /// Globs, of which one must fit its namespace.
    namespaces: Vec<String>,
    /// Whom the token must be for; empty for anybody.
    audience: String,
    /// What the mount calls an account.
    alias: AliasSource,
    /// About its tokens.
    pub(super) parameters: TokenParameters,
}

/// What the mount calls an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum AliasSource {
    /// By its uid: who is made later under the same name is somebody else.
    #[default]
    #[serde(rename = "serviceaccount_uid")]
    Uid,
    /// By `namespace/name`.
    #[serde(rename = "serviceaccount_name")]
    Name,
}

crate::json_record!(Role, Kind::KubernetesRole, Listing::Flat, past = |role| Admits::by(&role.parameters).past());

/// What may be written about a role.
pub(super) const FIELDS: &[Field] = &with_token_fields::<11, 21>([
    field("bound_service_account_names", "array", "Globs of names of service accounts; * alone for all."),
    field("bound_service_account_namespaces", "array", "Globs of their namespaces in the cluster; * alone for all."),
    field("bound_service_account_namespace_selector", "string", "Must be empty: the cluster is not asked for labels."),
    field("audience", "string", "Whom the token must be for."),
    field("alias_name_source", "string", "serviceaccount_uid (by default) or serviceaccount_name."),
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
    names: Option<Vec<String>>,
    namespaces: Option<Vec<String>>,
    audience: Option<String>,
    alias: Option<AliasSource>,
    parameters: parameters::Change,
}

impl Change {
    /// Reads the fields of a write.
    pub(super) fn parse(fields: &Fields<'_>) -> Result<Self, Refusal> {
        if fields.text("bound_service_account_namespace_selector")?.is_some_and(|selector| !selector.is_empty()) {
            return Err(Refusal::invalid(
                "bound_service_account_namespace_selector is not offered: the cluster is not asked for labels; set \
                 'bound_service_account_namespaces'",
            ));
        }
        if fields.has("num_uses") {
            return Err(Refusal::invalid("num_uses is not offered: use token_num_uses"));
        }
        Ok(Self {
            names: list(fields, "bound_service_account_names")?,
            namespaces: list(fields, "bound_service_account_namespaces")?,
            audience: text(fields, "audience")?,
            alias: fields.text("alias_name_source")?.map(|text| alias_source(&text)).transpose()?,
            parameters: parameters::Change::parse(fields, &["policies", "ttl", "max_ttl", "period", "bound_cidrs"])?,
        })
    }

    /// The role as it is afterwards, and warnings. `limits` are those of the mount.
    pub(super) fn apply(self, before: &Role, limits: LeaseTtl) -> Result<(Role, Vec<String>), Refusal> {
        let (parameters, mut warnings) = self.parameters.apply(&before.parameters, limits)?;
        let role = Role {
            names: self.names.unwrap_or_else(|| before.names.clone()),
            namespaces: self.namespaces.unwrap_or_else(|| before.namespaces.clone()),
            audience: self.audience.unwrap_or_else(|| before.audience.clone()),
            alias: self.alias.unwrap_or(before.alias),
            parameters,
        };
        for (name, globs) in
            [("bound_service_account_names", &role.names), ("bound_service_account_namespaces", &role.namespaces)]
        {
            if globs.iter().all(String::is_empty) {
                return Err(Refusal::Invalid(format!("{name:?} can not be empty")));
            }
            if globs.len() > 1 && globs.iter().any(|glob| glob == "*") {
                return Err(Refusal::invalid("can not mix \"*\" with values"));
            }
        }
        if role.audience.is_empty() {
            warnings.push(ANY_AUDIENCE.to_owned());
        }
        Ok((role, warnings))
    }
}

impl Role {
    /// Checks that a token of an account is for this role.
    pub(super) fn check(&self, account: &Account, claims: &Claims) -> Result<(), Reason> {
        let audiences = claims.texts("aud").map_err(|_| "its audience is neither text nor a list of texts")?.unwrap_or_default();
        if !self.audience.is_empty() && !audiences.contains(&self.audience) {
            return Err("it is for another audience");
        }
        if !matches_any(&self.names, &account.name) {
            return Err("it is of another service account");
        }
        if matches_any(&self.namespaces, &account.namespace) { Ok(()) } else { Err("it is of another namespace") }
    }

    /// What the mount calls an account.
    pub(super) fn alias(&self, account: &Account) -> String {
        match self.alias {
            AliasSource::Uid => account.uid.clone(),
            AliasSource::Name => account.path(),
        }
    }

    /// The `data` of a read.
    pub(super) fn json(&self) -> Json {
        Json::object(|data| {
            data.field("alias_name_source", &self.alias);
            if !self.audience.is_empty() {
                data.field("audience", &self.audience);
            }
            data.field("bound_service_account_names", &self.names)
                .field("bound_service_account_namespace_selector", "")
                .field("bound_service_account_namespaces", &self.namespaces);
            self.parameters.show(data);
        })
    }
}

fn alias_source(text: &str) -> Result<AliasSource, Refusal> {
    match text {
        "serviceaccount_uid" | "" => Ok(AliasSource::Uid),
        "serviceaccount_name" => Ok(AliasSource::Name),
        _ => Err(Refusal::invalid("invalid alias_name_source, must be one of: serviceaccount_uid, serviceaccount_name")),
    }
}
