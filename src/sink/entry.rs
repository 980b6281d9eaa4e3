//! From an event of the log to an entry in the form of Vault's audit devices. Our log has one event for each request, written when
//! it was decided, so there is one entry, of type `response`: it says what was asked, by whom, and what came of it. What the
//! event does not have is left out: bodies, and the values in them. Accessors are hashed under the tenant's key, unless that is
//! turned off; `sys/audit-hash` gives the same hash.

use crate::audit::event::{Caller, Event};
use crate::commit::Tenant;
use crate::json::{Json, Object};

/// What an entry says besides its event.
pub(super) struct Context<'a> {
    /// Whose log it is from.
    pub(super) tenant: &'a Tenant,
    /// Its namespace, from the root on: empty or ending in a slash.
    pub(super) namespace: &'a str,
    /// Its index in the log.
    pub(super) index: u64,
    /// Accessors are hashed.
    pub(super) hmac_accessor: bool,
}

/// One object, without the end of the line.
pub(super) fn entry(event: &Event, context: &Context<'_>) -> Json {
    Json::object(|out| {
        out.field("time", &event.time.rfc3339()).field("type", "response");
        out.object("auth", |auth| {
            if let Some(caller) = &event.caller {
                of_caller(auth, caller, context);
            }
        });
        out.object("request", |request| of_request(request, event, context));
        out.object("response", |response| {
            if let Some(word) = &event.mount_type {
                response.field("mount_type", word.as_str());
            }
        });
        if let Some(word) = &event.error {
            out.field("error", word.as_str());
        }
        out.object("strongroom", |own| of_our_own(own, event, context));
    })
}

fn of_caller(auth: &mut Object<'_>, caller: &Caller, context: &Context<'_>) {
    if !caller.accessor.is_empty() {
        let hashed = || context.tenant.keyring().audit_hash(caller.accessor.as_bytes());
        auth.field("accessor", &if context.hmac_accessor { hashed() } else { caller.accessor.clone() });
    }
    auth.field("display_name", &caller.display_name).strings("policies", &caller.policies);
    auth.strings("token_policies", &caller.policies).field("token_type", caller.kind.as_str());
    if let Some(entity) = &caller.entity {
        auth.field("entity_id", entity);
    }
}

fn of_request(request: &mut Object<'_>, event: &Event, context: &Context<'_>) {
    request.field("id", &*event.request).field("operation", operation(event.operation.as_str()));
    if let Some(word) = &event.mount_type {
        request.field("mount_type", word.as_str());
    }
    request.object("namespace", |namespace| {
        let id = if context.namespace.is_empty() { "root".to_owned() } else { event.tenant.to_string() };
        namespace.field("id", &id).field("path", context.namespace);
    });
    request.field("path", event.path.strip_prefix(context.namespace).unwrap_or(&event.path));
    if let Some(remote) = event.remote {
        request.field("remote_address", &remote.ip().to_string()).field("remote_port", &remote.port());
    }
    if !event.headers.is_empty() {
        request.field("headers", &event.headers);
    }
}

/// What makes the entry findable in the log, and what Vault's form has no place for.
fn of_our_own(own: &mut Object<'_>, event: &Event, context: &Context<'_>) {
    own.field("tenant", &context.tenant.id().to_string()).field("index", &context.index).field("status", &event.status);
    if let Some(fingerprint) = &event.certificate {
        own.field("certificate", &data_encoding::HEXLOWER.encode(fingerprint));
    }
    for (name, version) in [("read_version", event.read_version), ("written_version", event.written_version)] {
        if let Some(version) = version {
            own.field(name, &version);
        }
    }
    if let Some(hash) = &event.reference {
        own.field("reference", &data_encoding::HEXLOWER.encode(hash));
    }
    // Of a request it may name an accessor; of a job it counts.
    if let Some(detail) = event.detail.as_ref().filter(|_| event.remote.is_none() || !context.hmac_accessor) {
        own.field("detail", detail);
    }
}

/// In Vault's words.
fn operation(word: &str) -> &str {
    if word == "write" { "update" } else { word }
}
