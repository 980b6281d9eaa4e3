//! The door for auth methods: from somebody who has proved who they are to a token.
//!
//! A method proves (`Proven`), [`admit`] finds the entity and has the token made. What it was given for is noted in the token
//! ([`Login`]): a renewal asks the method again, through [`renewal`]. A login that fails ends in the one refusal of its method.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::effort::Effort;
use super::origin::{Fingerprint, Origin};
use super::parameters::TokenParameters;
use super::second_factor::{self, Gate};
use super::signed::{Issuers, When};
use super::token::cidr::Cidr;
use super::token::entry::{TokenEntry, TokenKind};
use super::token::lifetime::Wish;
use super::token::{NewToken, auth_json, grant, mint};
use super::{approle, cert, jwt, kubernetes, userpass};
use crate::answer::{Answer, Refusal};
use crate::audit::event::{self, Word};
use crate::commit::{Place, Tenant, Txn};
use crate::engine::identity::LastLogin;
use crate::engine::{directory, identity};
use crate::id::{MountId, TenantId};
use crate::mount::{Engine, LeaseTtl};
use crate::policy::ShownFactor;
use crate::secret::SecretText;
use crate::time::Timestamp;

/// A request to log in, besides its credentials.
#[derive(Clone, Copy)]
pub struct LoginCall<'a> {
    /// The connection.
    pub origin: &'a Origin,
    /// The path below the mount: `login/eve`.
    pub path: &'a str,
    /// Where work with passwords is done and remembered.
    pub effort: &'a Effort,
    /// The issuers of tokens that methods trust.
    pub issuers: &'a Issuers,
    /// `X-Vault-MFA`: what is sent along for second factors.
    pub passcodes: &'a [SecretText],
}

impl LoginCall<'_> {
    /// When keys may be fetched for this attempt: never while a group of requests may wait for it.
    pub(super) fn when(&self, txn: &Txn) -> (When, Timestamp) {
        (if self.effort.may_begin() { When::AtARate } else { When::Never }, txn.now())
    }
}

/// Somebody who has proved who they are.
pub struct Proven {
    /// The role or user that renewals ask for.
    pub role: String,
    /// What people know them by; empty where the mount's name says enough.
    pub display_name: String,
    /// What the mount calls them: their entity has an alias of this name.
    pub alias: String,
    /// Notes that the token carries.
    pub metadata: BTreeMap<String, String>,
    /// What the role says about its tokens.
    pub parameters: TokenParameters,
    /// Where the token may be used from, if that differs from what the role says.
    pub bound_cidrs: Option<Vec<Cidr>>,
    /// The subject of the signed token that was shown; `None` for every method that takes none.
    pub subject: Option<String>,
    /// Names of the groups that the method says they are in; `None` when it knows of none.
    pub groups: Option<Vec<String>>,
    /// The certificate that the token may be used with only.
    pub certificate: Option<Fingerprint>,
    /// What the method answers to every login that fails.
    pub refusal: Refusal,
}

/// What a token was logged in with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The mount of the method, wherever it is now.
    pub mount: MountId,
    /// The role or user there.
    pub role: String,
    /// The certificate of the connection that it was logged in on.
    #[serde(default)]
    pub certificate: Option<Fingerprint>,
    /// The subject of the signed token that it was logged in with.
    #[serde(default)]
    pub subject: Option<String>,
}

/// What holds for the renewal of a token that a method gave.
pub struct Terms {
    /// What mount and role allow.
    pub limits: LeaseTtl,
    /// The TTL where none is asked for; 0 for the default.
    pub ttl_seconds: u64,
    /// The period, if it is periodic; 0 otherwise.
    pub period_seconds: u64,
}

/// Somebody who may be let in, with all that their token is to be: what waits when a second factor is wanted.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Admitted {
    kind: TokenKind,
    policies: Vec<String>,
    metadata: BTreeMap<String, String>,
    display_name: String,
    path: String,
    pub(super) login: Login,
    certificate: Option<Fingerprint>,
    pub(super) entity_id: String,
    alias_id: String,
    bound_cidrs: Vec<Cidr>,
    parameters: TokenParameters,
}

/// Somebody who was let in.
pub(super) struct Completed {
    pub(super) entry: Arc<TokenEntry>,
    pub(super) answer: Answer,
}

/// Lets somebody in: the answer holds the token, or says which second factor is wanted first. The method's refusal when their
/// entity is disabled.
pub async fn admit(proven: Proven, call: LoginCall<'_>, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    txn.refuse_unconfirmed(&place.tenant).await?;
    let parameters = &proven.parameters;
    let kind = parameters.kind.at(place.mount.config.token_type.as_deref());
    if kind == TokenKind::Batch && parameters.uses > 0 {
        return Err(Refusal::invalid("the mount gives batch tokens, which cannot have \"token_num_uses\" set"));
    }
    let policies = grant::policies_of_login(&parameters.policies.value, parameters.no_default_policy)?;
    let known_as = (place.mount.accessor.as_str(), proven.alias.as_str());
    let entrant = match identity::login(txn, &place.tenant, known_as, proven.groups.as_deref()).await {
        Err(Refusal::Forbidden(_)) => return Err(proven.refusal),
        entrant => entrant?,
    };
    let bound_cidrs = match proven.bound_cidrs {
        _ if parameters.strictly_bind_ip => vec![Cidr::of(call.origin.address)],
        Some(bound) => bound,
        None => parameters.bound_cidrs.value.clone(),
    };
    let admitted = Admitted {
        kind,
        policies,
        metadata: proven.metadata,
        display_name: display_name(place, &proven.display_name),
        path: format!("{}{}", place.path, call.path),
        login: Login {
            mount: place.mount.id,
            role: proven.role,
            certificate: call.origin.certificate(),
            subject: proven.subject,
        },
        certificate: proven.certificate,
        entity_id: entrant.entity_id,
        alias_id: entrant.alias_id,
        bound_cidrs,
        parameters: proven.parameters,
    };
    match second_factor::gate(&admitted, call, place, txn).await? {
        Gate::Open(shown) => Ok(complete(admitted, shown, call.origin, place, txn).await?.answer),
        Gate::Wanted(demands) => second_factor::wait(admitted, &demands, place, txn).await,
    }
}

/// Makes the token of somebody who has shown all that there was to show.
pub(super) async fn complete(
    admitted: Admitted,
    shown: Vec<ShownFactor>,
    origin: &Origin,
    place: &Place,
    txn: &mut Txn,
) -> Result<Completed, Refusal> {
    txn.refuse_unconfirmed(&place.tenant).await?;
    let Admitted { kind, parameters, .. } = admitted;
    let terms = terms(&parameters, place, txn);
    let certificate = origin.certificate().map(String::from);
    let last = LastLogin { time: txn.now(), address: origin.address.to_canonical(), certificate };
    last.note(&admitted.alias_id, txn, &place.tenant).await?;
    let new = NewToken {
        kind,
        chosen: None,
        parent: None,
        policies: admitted.policies,
        meta: Some(admitted.metadata),
        display_name: admitted.display_name,
        path: admitted.path,
        role: None,
        login: Some(admitted.login),
        factors: shown,
        certificate: admitted.certificate,
        entity_id: admitted.entity_id,
        bound_cidrs: admitted.bound_cidrs,
        limits: terms.limits,
        wish: Wish {
            ttl_seconds: terms.ttl_seconds,
            // A batch token cannot be renewed, so there is nothing that a period could mean.
            period_seconds: if kind == TokenKind::Batch { 0 } else { terms.period_seconds },
            explicit_max_ttl_seconds: parameters.explicit_max_ttl,
        },
        uses: Some(parameters.uses).filter(|uses| *uses > 0),
        renewable: true,
    };
    let minted = mint(txn, &place.tenant, new).await?;
    let entry = minted.entry;
    txn.note_login(entry.as_event(place.tenant.id()));
    txn.note_detail(format!("login: token {} of entity {}", entry.accessor, entry.entity_id));
    let identity = identity::policies(txn, &place.tenant, &entry.entity_id).await?;
    let auth = auth_json(&entry, &identity, Some(&minted.token), true);
    Ok(Completed { entry, answer: Answer::Auth { auth, warnings: minted.warnings } })
}

impl Admitted {
    /// As the audit log names who waits.
    pub(super) fn as_event(&self, tenant: TenantId) -> Arc<event::Caller> {
        Arc::new(event::Caller {
            tenant,
            accessor: String::new(),
            display_name: self.display_name.clone(),
            policies: Vec::new(),
            kind: Word::new("pending"),
            entity: Some(self.entity_id.clone()),
        })
    }
}

/// What holds for the renewal of a token, by the method that gave it; `None` when no method did. `Invalid` when the method does
/// not renew it: its mount or role is gone, or gives other policies now.
pub async fn renewal(entry: &TokenEntry, tenant: &Arc<Tenant>, origin: &Origin, txn: &mut Txn) -> Result<Option<Terms>, Refusal> {
    let Some(login) = &entry.login else { return Ok(None) };
    let gone = || Refusal::invalid("the auth method that gave this token is gone, not renewing");
    let mounted = directory::by_id(tenant, login.mount, txn).await?.ok_or_else(gone)?;
    let place = Place { tenant: Arc::clone(tenant), mount: mounted.mount, path: mounted.path };
    let parameters = match place.mount.engine {
        Engine::AppRole => approle::renew(&login.role, &place, txn).await?,
        Engine::Jwt | Engine::Oidc => jwt::renew(&login.role, &place, txn).await?,
        Engine::Kubernetes => kubernetes::renew(&login.role, &place, txn).await?,
        Engine::Userpass => userpass::renew(&login.role, entry, &place, txn).await?,
        Engine::Cert => cert::renew(&login.role, entry, &place, origin, txn).await?,
        Engine::Kv1 | Engine::Kv2 | Engine::System | Engine::Token | Engine::Cubbyhole | Engine::Identity | Engine::Transit => {
            return Err(gone());
        }
    };
    Ok(Some(terms(&parameters, &place, txn)))
}

/// What a role's settings allow at its mount now. A periodic token has no other bound than the mount's.
fn terms(parameters: &TokenParameters, place: &Place, txn: &Txn) -> Terms {
    let limits = txn.lease_ttl().at(&place.mount.config);
    let period_seconds = parameters.period.value;
    let limits = if period_seconds > 0 { limits } else { limits.at_most(parameters.max_ttl.value) };
    Terms { limits, ttl_seconds: parameters.ttl.value, period_seconds }
}

/// `userpass-eve`: the mount's path and the name.
fn display_name(place: &Place, name: &str) -> String {
    let mount = place.path.strip_prefix("auth/").unwrap_or(&place.path).replace('/', "-");
    let name = format!("{mount}{name}");
    name.strip_suffix('-').map(str::to_owned).unwrap_or(name)
}

/// Whether a token has the policies that `parameters` give now.
pub fn has_same_policies(entry: &TokenEntry, parameters: &TokenParameters) -> bool {
    grant::policies_of_login(&parameters.policies.value, parameters.no_default_policy)
        .is_ok_and(|policies| policies == entry.policies)
}
