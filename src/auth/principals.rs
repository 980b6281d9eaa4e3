//! Whom a tenant lets in, and with which policies: the roles and users of its auth methods, for whoever reviews access.

use std::sync::Arc;

use super::named;
use super::parameters::TokenParameters;
use super::token::grant;
use super::token::role::TokenRole;
use super::{approle, cert, jwt, kubernetes, userpass};
use crate::answer::Refusal;
use crate::commit::{Tenant, Txn};
use crate::engine::directory::Mounted;
use crate::id::MountId;
use crate::mount::Engine;
use crate::record::Record;

/// A role or user.
pub struct Principal {
    /// `token role`, `cert role`, `user`, ..
    pub kind: &'static str,
    /// The path of its mount.
    pub mount: String,
    /// Its name there.
    pub name: String,
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

/// All roles and users of a mount, at most `limit`; none of a mount that lets nobody in.
pub async fn of_mount(tenant: &Arc<Tenant>, mounted: &Mounted, limit: usize, txn: &mut Txn) -> Result<Vec<Principal>, Refusal> {
    let listing = Listing { tenant, mount: mounted.mount.id, path: &mounted.path, limit };
    match mounted.mount.engine {
        Engine::Token => token_roles(&listing, txn).await,
        Engine::AppRole => approle::principals(&listing, txn).await,
        Engine::Userpass => userpass::principals(&listing, txn).await,
        Engine::Cert => cert::principals(&listing, txn).await,
        Engine::Jwt | Engine::Oidc => jwt::principals(&listing, txn).await,
        Engine::Kubernetes => kubernetes::principals(&listing, txn).await,
        Engine::Kv1 | Engine::Kv2 | Engine::System | Engine::Cubbyhole | Engine::Identity | Engine::Transit => Ok(Vec::new()),
    }
}

/// Where roles or users are listed.
pub(super) struct Listing<'a> {
    tenant: &'a Arc<Tenant>,
    mount: MountId,
    path: &'a str,
    limit: usize,
}

impl Listing<'_> {
    /// Those that are records of type `R`; `say` tells what it gives to tokens, and the alias, if its name is known.
    pub(super) async fn of<R: Record>(
        &self,
        kind: &'static str,
        txn: &mut Txn,
        say: impl Fn(&R, &str) -> (TokenParameters, Option<String>),
    ) -> Result<Vec<Principal>, Refusal> {
        let mut found = Vec::new();
        for name in txn.names(self.tenant, R::KIND, self.mount, "").await?.iter().take(self.limit) {
            let Some(record) = txn.read::<R>(self.tenant, &named::address::<R>(self.mount, name)).await? else { continue };
            let (parameters, alias) = say(&record.value, name);
            let policies = grant::policies_of_login(&parameters.policies.value, parameters.no_default_policy).unwrap_or_default();
            found.push(Principal { policies, alias, ..self.principal(kind, name) });
        }
        Ok(found)
    }

    fn principal(&self, kind: &'static str, name: &str) -> Principal {
        let (globs, refused) = (Vec::new(), Vec::new());
        let (mount, name) = (self.path.to_owned(), name.to_owned());
        Principal { kind, mount, name, policies: Vec::new(), globs, refused, any_policy: false, alias: None }
    }
}

async fn token_roles(listing: &Listing<'_>, txn: &mut Txn) -> Result<Vec<Principal>, Refusal> {
    let mut found = Vec::new();
    for name in txn.names(listing.tenant, TokenRole::KIND, crate::record::SYSTEM, "").await?.iter().take(listing.limit) {
        let Some(record) = txn.read::<TokenRole>(listing.tenant, &super::token::role::address(name)).await? else { continue };
        let role = &record.value;
        let any_policy = role.allowed_policies.is_empty() && role.allowed_policies_glob.is_empty();
        let refused: Vec<String> = role.disallowed_policies.iter().chain(&role.disallowed_policies_glob).cloned().collect();
        let mut policies = role.allowed_policies.clone();
        if !role.no_default_policy {
            policies.push("default".to_owned());
        }
        policies.retain(|policy| !grant::matches_any(&refused, policy));
        policies.sort_unstable();
        policies.dedup();
        let globs = role.allowed_policies_glob.clone();
        found.push(Principal { policies, globs, refused, any_policy, ..listing.principal("token role", name) });
    }
    Ok(found)
}
