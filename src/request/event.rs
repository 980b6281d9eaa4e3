//! What is known of a request, as its audit event.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chain::Resolved;
use super::route::{Incoming, Route};
use crate::answer::{Answer, Refusal};
use crate::audit::event::{self, Event, Word};
use crate::commit::{Item, Tenant, Txn};
use crate::engine::table::Verb;
use crate::id::TenantId;
use crate::spans::Facts;

/// Fills up as the request goes forward; whatever step it ends at, its event says how far it came.
#[derive(Default)]
pub(super) struct Trace {
    /// The tenant whose log takes the event; none until a caller is verified.
    pub(super) tenant: Option<Arc<Tenant>>,
    caller: Option<Arc<event::Caller>>,
    path: Option<String>,
    pub(super) mount_type: Option<&'static str>,
    pub(super) detail: Option<&'static str>,
    /// The request headers that the tenant wants in its log.
    pub(super) headers: BTreeMap<String, Vec<String>>,
}

impl Trace {
    /// The tenant was found. Its log takes the event only if the caller is known.
    pub(super) fn asked(&mut self, asked: &Resolved) {
        self.path = Some(format!("{}{}", asked.namespace, asked.path));
        let Some(caller) = &asked.caller else { return };
        self.tenant = Some(Arc::clone(&asked.tenant));
        self.caller = Some(caller.as_event());
    }

    /// Somebody has logged in: the event belongs to the tenant's log, and names the token that they were given.
    pub(super) fn logged_in(&mut self, tenant: &Arc<Tenant>, caller: Arc<event::Caller>) {
        if self.tenant.is_none() {
            (self.tenant, self.caller) = (Some(Arc::clone(tenant)), Some(caller));
        }
    }

    /// What a span may say of the request.
    pub(super) fn facts(&self, route: Option<&Route>) -> Facts {
        let tenant = self.tenant.as_ref().map(|tenant| tenant.id());
        Facts { tenant, mount_type: self.mount_type, operation: route.map(|route| word(route.verb)) }
    }

    /// One event; of a batch that was done, one for each of its items.
    pub(super) fn events(
        &self,
        incoming: &Incoming,
        route: Option<&Route>,
        tenant: TenantId,
        txn: &Txn,
        outcome: &Result<Answer, Refusal>,
    ) -> Vec<Event> {
        let event = self.event(incoming, route, tenant, txn, outcome);
        if outcome.is_err() || txn.items().is_empty() {
            return vec![event];
        }
        let of_item = |item: &Item| Event {
            read_version: item.notes.read_version,
            written_version: item.notes.written_version,
            reference: item.notes.reference,
            detail: item.notes.detail.clone(),
            status: item.status,
            error: item.error.clone(),
            ..event.clone()
        };
        txn.items().iter().map(of_item).collect()
    }

    fn event(
        &self,
        incoming: &Incoming,
        route: Option<&Route>,
        tenant: TenantId,
        txn: &Txn,
        outcome: &Result<Answer, Refusal>,
    ) -> Event {
        let (status, error) = match outcome {
            Ok(answer) => (answer.status(), None),
            Err(refusal) => (refusal.status(), Some(event::error_class(refusal))),
        };
        let notes = txn.notes();
        Event {
            time: txn.now(),
            request: Arc::clone(&incoming.id),
            tenant,
            caller: self.caller.clone(),
            certificate: incoming.certificate.as_ref().map(|presented| presented.fingerprint()),
            operation: Word::new(route.map_or("unknown", |route| word(route.verb))),
            path: self.path.as_deref().map_or_else(|| raw_path(incoming), Arc::from),
            mount_type: self.mount_type.map(Word::new),
            read_version: notes.read_version,
            written_version: notes.written_version,
            reference: notes.reference,
            status,
            error,
            remote: Some(incoming.remote),
            headers: self.headers.clone(),
            detail: self.detail.map(str::to_owned).or_else(|| notes.detail.clone()),
        }
    }
}

/// The path of a request that came no further: as it was sent, escaped and cut.
fn raw_path(incoming: &Incoming) -> Arc<str> {
    let raw: String = incoming.path.chars().take(256).flat_map(char::escape_default).collect();
    match &incoming.namespace {
        Some(namespace) => {
            format!("{}/{raw}", namespace.chars().take(256).flat_map(char::escape_default).collect::<String>()).into()
        }
        None => raw.into(),
    }
}

/// The verb's word.
fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::Read => "read",
        Verb::List => "list",
        Verb::Scan => "scan",
        Verb::Write => "write",
        Verb::Patch => "patch",
        Verb::Delete => "delete",
    }
}
