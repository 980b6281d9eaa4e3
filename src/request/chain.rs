//! From a route to the tenant it is about, and to the caller. Walking down the tree of namespaces, the caller's token is
//! looked for in every tenant on the way.
//!
//! Opening a tenant's keys costs a call to its seal. Who has not shown a valid token yet makes that happen only for a
//! tenant whose label the token carries, or within a budget: so strangers cannot have keys opened at will.

use std::sync::Arc;

use super::route::{Credential, Route};
use crate::answer::Refusal;
use crate::auth::Origin;
use crate::auth::token::{self, Caller};
use crate::commit::{Tenant, Txn};
use crate::namespace::Namespace;
use crate::path::Path;
use crate::policy::{Ask, Capability};
use crate::record::{Address, Kind};

/// The tenant that a request is about, what it asks of it, and by whom.
pub(super) struct Resolved {
    pub(super) tenant: Arc<Tenant>,
    /// Namespaces from the root to the tenant: `a/b/`, empty for the root.
    pub(super) namespace: String,
    /// The path in the tenant.
    pub(super) path: Path,
    pub(super) caller: Option<Caller>,
    /// The topmost locked namespace on the way, as a path from the root.
    pub(super) locked: Option<String>,
}

/// Finds both. An unknown namespace looks like a forbidden one to whoever may not list its parent.
pub(super) async fn resolve(
    txn: &mut Txn,
    route: &Route,
    (credential, origin): (&Credential, &Origin),
) -> Result<Resolved, Refusal> {
    let root = txn.tenants().root();
    let mut walk = Walk {
        chain: vec![Arc::clone(&root)],
        here: root,
        names: Vec::new(),
        caller: None,
        found_at: 0,
        locked: None,
        credential,
        origin,
    };
    walk.look_for_caller(txn).await?;
    for name in route.namespace.segments() {
        if !walk.enter(txn, name).await? {
            return Err(walk.unknown_namespace());
        }
    }
    let mut path = route.path.clone();
    while let Some((name, rest)) = path.as_str().split_once('/') {
        if RESERVED.contains(&name) || !walk.enter(txn, name).await? {
            break;
        }
        path = Path::new(rest).map_err(|error| Refusal::invalid(error.to_string()))?;
    }
    Ok(walk.finish(path))
}

/// First segments that are never namespaces: looking them up would only fill the cache with absences.
const RESERVED: [&str; 4] = ["sys", "auth", "cubbyhole", "identity"];

struct Walk<'a> {
    /// Root first, `here` last.
    chain: Vec<Arc<Tenant>>,
    here: Arc<Tenant>,
    names: Vec<String>,
    caller: Option<Caller>,
    /// Where in the chain the caller's token lives.
    found_at: usize,
    locked: Option<String>,
    credential: &'a Credential,
    /// Where the request comes from.
    origin: &'a Origin,
}

impl Walk<'_> {
    /// Steps into a child namespace; false when there is none of that name.
    async fn enter(&mut self, txn: &mut Txn, name: &str) -> Result<bool, Refusal> {
        let parent = Arc::clone(&self.here);
        let Some(found) = txn.read::<Namespace>(&parent, &Address::system(Kind::Namespace, name)).await? else {
            return Ok(false);
        };
        if found.value.sealed {
            return Err(self.shut(name, &found.value, Refusal::NamespaceSealed));
        }
        if self.caller.is_none() && !self.may_open(txn, &found.value) {
            return Err(Refusal::NoToken);
        }
        let tenant = match txn.enter(&parent, name, &found.value).await {
            Err(refusal @ Refusal::RolledBack) => return Err(self.shut(name, &found.value, refusal)),
            entered => entered?,
        };
        self.chain.push(Arc::clone(&tenant));
        self.here = tenant;
        self.names.push(name.to_owned());
        if found.value.lock.is_some() && self.locked.is_none() {
            self.locked = Some(joined(&self.names));
        }
        self.look_for_caller(txn).await?;
        Ok(true)
    }

    fn may_open(&self, txn: &Txn, namespace: &Namespace) -> bool {
        self.is_labelled(namespace) || txn.tenants().may_open(namespace.tenant, txn.now())
    }

    /// A token that carries the label of a tenant may well be one of its tokens.
    fn is_labelled(&self, namespace: &Namespace) -> bool {
        match self.credential {
            Credential::Token(token) => token.expose().ends_with(&namespace.tenant.label()),
            Credential::None | Credential::Certificate { .. } | Credential::Conflicting(_) => false,
        }
    }

    /// Its own tokens cannot be verified while its keys are closed: whoever has one, or a token above that may list it or do
    /// something there, is told why. To others it looks like an unknown one.
    fn shut(&self, name: &str, namespace: &Namespace, why: Refusal) -> Refusal {
        let told = match &self.caller {
            Some(caller) => self.may_list(caller) || caller.acl.sees_below(&format!("{}{name}/", self.prefix())),
            None => self.is_labelled(namespace),
        };
        if told { why } else { Refusal::NoToken }
    }

    async fn look_for_caller(&mut self, txn: &mut Txn) -> Result<(), Refusal> {
        let (None, Credential::Token(token)) = (&self.caller, self.credential) else { return Ok(()) };
        self.caller = token::authenticate(txn, &self.chain, token, self.origin).await?;
        self.found_at = self.names.len();
        if self.caller.is_some() {
            txn.keep_guards();
        }
        Ok(())
    }

    fn unknown_namespace(&self) -> Refusal {
        match &self.caller {
            Some(caller) if self.may_list(caller) => Refusal::Missing("namespace not found".into()),
            _ => Refusal::NoToken,
        }
    }

    /// Whether the caller may list the namespaces that `here` is the parent of.
    fn may_list(&self, caller: &Caller) -> bool {
        caller.acl.decide(&Ask::new(&format!("{}sys/namespaces", self.prefix()), Capability::List))
    }

    /// Namespaces between the caller's token and here, as policies of the token's tenant name them.
    fn prefix(&self) -> String {
        joined(self.names.get(self.found_at..).unwrap_or_default())
    }

    fn finish(self, path: Path) -> Resolved {
        let prefix = self.prefix();
        let above = joined(self.names.get(..self.found_at).unwrap_or_default());
        let caller = self.caller.map(|caller| Caller { chain: self.chain, namespace: above, prefix, ..caller });
        Resolved { tenant: self.here, namespace: joined(&self.names), path, caller, locked: self.locked }
    }
}

fn joined(names: &[String]) -> String {
    names.iter().flat_map(|name| [name.as_str(), "/"]).collect()
}
