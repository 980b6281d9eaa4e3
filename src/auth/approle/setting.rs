//! Settings of a role that have a path of their own: each can be read, written and reset.

use super::role::Role;
use crate::answer::{Answer, Data, Refusal};
use crate::auth::parameters::Aged;
use crate::fields::Fields;
use crate::json::{Json, Object};

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `policies`
    Policies,
    /// `local-secret-ids`
    LocalSecretIds,
    /// `bind-secret-id`
    BindSecretId,
    /// `secret-id-bound-cidrs`
    SecretIdBoundCidrs,
    /// `bound-cidr-list`, the old name of the same.
    BoundCidrList,
    /// `token-bound-cidrs`
    TokenBoundCidrs,
    /// `secret-id-num-uses`
    SecretIdNumUses,
    /// `secret-id-ttl`
    SecretIdTtl,
    /// `token-num-uses`
    TokenNumUses,
    /// `token-ttl`
    TokenTtl,
    /// `token-max-ttl`
    TokenMaxTtl,
    /// `period`
    Period,
}

impl Setting {
    /// Refuses a write that does not name the setting.
    pub(super) fn check_named(self, fields: &Fields<'_>) -> Result<(), Refusal> {
        let names = self.names();
        if names.iter().any(|name| fields.has(name)) {
            return Ok(());
        }
        Err(Refusal::Invalid(format!("missing {}", names.first().copied().unwrap_or_default())))
    }

    /// Names in a body, the first of which is the usual one.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Policies => &["token_policies", "policies"],
            Self::LocalSecretIds => &["local_secret_ids"],
            Self::BindSecretId => &["bind_secret_id"],
            Self::SecretIdBoundCidrs => &["secret_id_bound_cidrs"],
            Self::BoundCidrList => &["bound_cidr_list"],
            Self::TokenBoundCidrs => &["token_bound_cidrs"],
            Self::SecretIdNumUses => &["secret_id_num_uses"],
            Self::SecretIdTtl => &["secret_id_ttl"],
            Self::TokenNumUses => &["token_num_uses"],
            Self::TokenTtl => &["token_ttl"],
            Self::TokenMaxTtl => &["token_max_ttl"],
            Self::Period => &["token_period", "period"],
        }
    }

    /// Takes it over from one role to another.
    pub(super) fn take(self, from: &Role, to: &mut Role) {
        let (new, old) = (&from.parameters, &mut to.parameters);
        match self {
            Self::Policies => old.policies.clone_from(&new.policies),
            Self::LocalSecretIds => to.local_secret_ids = from.local_secret_ids,
            Self::BindSecretId => to.bind_secret_id = from.bind_secret_id,
            Self::SecretIdBoundCidrs | Self::BoundCidrList => to.secret_id_bound_cidrs.clone_from(&from.secret_id_bound_cidrs),
            Self::TokenBoundCidrs => old.bound_cidrs.clone_from(&new.bound_cidrs),
            Self::SecretIdNumUses => to.secret_id_num_uses = from.secret_id_num_uses,
            Self::SecretIdTtl => to.secret_id_ttl = from.secret_id_ttl,
            Self::TokenNumUses => old.uses = new.uses,
            Self::TokenTtl => old.ttl.clone_from(&new.ttl),
            Self::TokenMaxTtl => old.max_ttl.clone_from(&new.max_ttl),
            Self::Period => old.period.clone_from(&new.period),
        }
    }

    /// The answer to a read.
    pub(super) fn answer(self, role: &Role) -> Answer {
        let mut data = Data::new(Some(Json::object(|data| self.show(role, data))));
        if self == Self::BoundCidrList {
            data.warnings.push(
                "The \"bound_cidr_list\" field is deprecated and will be removed. Please use \"secret_id_bound_cidrs\" instead."
                    .to_owned(),
            );
        }
        Answer::Data(data)
    }

    fn show(self, role: &Role, data: &mut Object<'_>) {
        let parameters = &role.parameters;
        match self {
            Self::Policies => {
                let Aged { value, old } = &parameters.policies;
                data.strings("token_policies", value);
                if *old {
                    data.strings("policies", value);
                }
            }
            Self::LocalSecretIds => drop(data.field("local_secret_ids", &role.local_secret_ids)),
            Self::BindSecretId => drop(data.field("bind_secret_id", &role.bind_secret_id)),
            Self::SecretIdBoundCidrs => role.show_bound_cidrs("secret_id_bound_cidrs", data),
            Self::BoundCidrList => role.show_bound_cidrs("bound_cidr_list", data),
            Self::TokenBoundCidrs => drop(data.field("token_bound_cidrs", &parameters.bound_cidrs.value)),
            Self::SecretIdNumUses => drop(data.field("secret_id_num_uses", &role.secret_id_num_uses)),
            Self::SecretIdTtl => drop(data.field("secret_id_ttl", &role.secret_id_ttl)),
            Self::TokenNumUses => drop(data.field("token_num_uses", &parameters.uses)),
            Self::TokenTtl => drop(data.field("token_ttl", &parameters.ttl.value)),
            Self::TokenMaxTtl => drop(data.field("token_max_ttl", &parameters.max_ttl.value)),
            Self::Period => {
                data.field("token_period", &parameters.period.value);
                if parameters.period.old {
                    data.field("period", &parameters.period.value);
                }
            }
        }
    }
}
