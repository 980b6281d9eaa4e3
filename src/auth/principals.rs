//! Whom a tenant lets in, and with which policies: the roles and users of its auth methods, now or as of a time, for whoever reviews
//! access.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::named;
use super::parameters::TokenParameters;
use super::token::grant;
use super::token::role::TokenRole;
use super::{approle, cert, jwt, kubernetes, userpass};
use crate::answer::Refusal;
use crate::commit::past::Known;
use crate::commit::{Tenant, Txn};
use crate::engine::directory::Mounted;
use crate::id::MountId;
use crate::mount::Engine;
use crate::record::{Address, Past, Record, SYSTEM};
use crate::time::Timestamp;

/// What a role or user gives to whom it lets in: what is kept of its past.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Admits {
    /// Policies that its tokens get.
    pub policies: Vec<String>,
    /// Of a token role: globs of policies that may be asked for besides.
    pub globs: Vec<String>,
    /// Of a token role: names and globs of policies that may not be asked for.
    pub refused: Vec<String>,
    /// A token role that leaves it to its user which policies its tokens get.
    pub any_policy: bool,
    /// What the mount calls who comes in with it, where that is one name.
    pub alias: Option<String>,
}

/// A role or user.
pub struct Principal {
    /// `token role`, `cert role`, `user`, ..
    pub kind: &'static str,
    /// The path of its mount.
    pub mount: String,
    /// Its name there.
    pub name: String,
    /// What it gives.
    pub admits: Admits,
    /// Whether it is known since when it was so.
    pub sure: bool,
}

/// Those of one mount.
#[derive(Default)]
pub struct Principals {
    /// What is known.
    pub known: Vec<Principal>,
    /// Names of those of which it is not known what they were then.
    pub forgotten: Vec<String>,
    /// There were more.
    pub cut: bool,
}

/// The roles and users that a mount had at a time, or has now, at most `limit`; none of a mount that lets nobody in.
pub async fn of_mount(
    tenant: &Arc<Tenant>,
    mounted: &Mounted,
    at: Option<Timestamp>,
    limit: usize,
    txn: &mut Txn,
) -> Result<Principals, Refusal> {
    let listing = Listing { tenant, mount: mounted.mount.id, path: &mounted.path, at, limit };
    match mounted.mount.engine {
        Engine::Token => listing.of_kind::<TokenRole>("token role", SYSTEM, txn).await,
        Engine::AppRole => approle::principals(&listing, txn).await,
        Engine::Userpass => userpass::principals(&listing, txn).await,
        Engine::Cert => cert::principals(&listing, txn).await,
        Engine::Jwt | Engine::Oidc => jwt::principals(&listing, txn).await,
        Engine::Kubernetes => kubernetes::principals(&listing, txn).await,
        Engine::Kv1 | Engine::Kv2 | Engine::System | Engine::Cubbyhole | Engine::Identity | Engine::Transit => {
            Ok(Principals::default())
        }
    }
}

impl Admits {
    /// What a role or user with these settings gives.
    pub(super) fn by(parameters: &TokenParameters) -> Self {
        let policies = grant::policies_of_login(&parameters.policies.value, parameters.no_default_policy).unwrap_or_default();
        Self { policies, ..Self::default() }
    }

    /// What a token role gives.
    pub(super) fn by_token_role(role: &TokenRole) -> Self {
        let any_policy = role.allowed_policies.is_empty() && role.allowed_policies_glob.is_empty();
        let refused: Vec<String> = role.disallowed_policies.iter().chain(&role.disallowed_policies_glob).cloned().collect();
        let mut policies = role.allowed_policies.clone();
        if !role.no_default_policy {
            policies.push("default".to_owned());
        }
        policies.retain(|policy| !grant::matches_any(&refused, policy));
        policies.sort_unstable();
        policies.dedup();
        Self { policies, globs: role.allowed_policies_glob.clone(), refused, any_policy, alias: None }
    }

    /// As it is kept.
    pub(super) fn past(&self) -> Option<Past> {
        Past::of(self)
    }
}

/// Where roles or users are listed.
pub(super) struct Listing<'a> {
    tenant: &'a Arc<Tenant>,
    mount: MountId,
    path: &'a str,
    at: Option<Timestamp>,
    limit: usize,
}

impl Listing<'_> {
    /// Those that are records of type `R`, whose past is what they give.
    pub(super) async fn of<R: Record>(&self, kind: &'static str, txn: &mut Txn) -> Result<Principals, Refusal> {
        self.of_kind::<R>(kind, self.mount, txn).await
    }

    async fn of_kind<R: Record>(&self, kind: &'static str, mount: MountId, txn: &mut Txn) -> Result<Principals, Refusal> {
        let names = txn.names_of(self.tenant, R::KIND, mount, self.at.is_some()).await?;
        let mut found = Principals { cut: names.len() > self.limit, ..Principals::default() };
        for name in names.iter().take(self.limit) {
            let address: Address = named::address::<R>(mount, name);
            let (admits, sure) = match txn.as_of::<R, Admits>(self.tenant, &address, "", self.at).await? {
                Known::Was(admits) => (admits, true),
                Known::First(admits) => (admits, false),
                Known::Absent => continue,
                Known::Forgotten => {
                    found.forgotten.push(format!("{kind} {}{name}", self.path));
                    continue;
                }
            };
            found.known.push(Principal { kind, mount: self.path.to_owned(), name: name.to_string(), admits, sure });
        }
        Ok(found)
    }
}
