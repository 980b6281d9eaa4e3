//! What a set of policies allows on the path in question, at the time in question.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::answer::Refusal;
use crate::auth::policies;
use crate::auth::policy_history::{self, Known};
use crate::auth::token::entry::ROOT_POLICY;
use crate::commit::{Tenant, Txn};
use crate::policy::{Acl, Ask, Capability, Identity, Policy};
use crate::time::Timestamp;

/// Looks policies up once each.
pub(super) struct Judge<'a> {
    tenant: &'a Arc<Tenant>,
    path: &'a str,
    at: Option<Timestamp>,
    now: Timestamp,
    policies: HashMap<String, Option<Arc<Policy>>>,
    forgotten: BTreeSet<String>,
}

/// What somebody may do to the path.
#[derive(Default)]
pub(super) struct Verdict {
    /// Names of capabilities; none when nothing is granted, or it is denied.
    pub(super) capabilities: Vec<&'static str>,
    /// A policy has a template that may be about the path, and whom it is judged for is not known.
    pub(super) depends_on_entity: bool,
    /// Something is granted only to who has shown a second factor lately.
    pub(super) second_factor: bool,
}

impl Verdict {
    pub(super) fn may_read(&self) -> bool {
        self.capabilities.iter().any(|name| matches!(*name, "read" | "root"))
    }

    pub(super) fn is_something(&self) -> bool {
        !self.capabilities.is_empty() || self.depends_on_entity
    }
}

impl<'a> Judge<'a> {
    pub(super) fn new(tenant: &'a Arc<Tenant>, path: &'a str, at: Option<Timestamp>, now: Timestamp) -> Self {
        Self { tenant, path, at, now, policies: HashMap::new(), forgotten: BTreeSet::new() }
    }

    /// Judges these policies for whom `identity` describes; for somebody who is not known yet without one.
    pub(super) async fn judge(
        &mut self,
        names: &[String],
        identity: Option<&Identity>,
        txn: &mut Txn,
    ) -> Result<Verdict, Refusal> {
        if names.iter().any(|name| name == ROOT_POLICY) {
            return Ok(Verdict { capabilities: vec![ROOT_POLICY], ..Verdict::default() });
        }
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            found.extend(self.policy(&name.to_lowercase(), txn).await?);
        }
        let time = self.at.unwrap_or(self.now);
        let depends_on_entity = identity.is_none() && found.iter().any(|policy| policy.depends_on_caller(self.path));
        let acl = match identity {
            Some(identity) => Acl::new(found, identity, time),
            None => Acl::without_templates(found, time),
        };
        let granted = acl.capabilities(self.path);
        let capabilities = if granted.grants_something() { granted.names() } else { Vec::new() };
        let asks = [Capability::Read, Capability::Update, Capability::List, Capability::Delete];
        let second_factor = asks.into_iter().any(|capability| acl.wants(&Ask::new(self.path, capability)).is_some());
        Ok(Verdict { capabilities, depends_on_entity, second_factor })
    }

    /// Policies that were written at that time, and whose text of then is not kept any more.
    pub(super) fn forgotten(&self) -> Vec<&str> {
        self.forgotten.iter().map(String::as_str).collect()
    }

    async fn policy(&mut self, name: &str, txn: &mut Txn) -> Result<Option<Arc<Policy>>, Refusal> {
        if let Some(known) = self.policies.get(name) {
            return Ok(known.clone());
        }
        let policy = match self.at {
            None => policies::in_force(txn, self.tenant, name).await?,
            Some(time) => match policy_history::at(txn, self.tenant, name, time).await? {
                Known::Was(policy) => Some(policy),
                Known::NotWritten => policies::shipped(name),
                Known::Forgotten => {
                    self.forgotten.insert(name.to_owned());
                    None
                }
            },
        };
        self.policies.insert(name.to_owned(), policy.clone());
        Ok(policy)
    }
}
