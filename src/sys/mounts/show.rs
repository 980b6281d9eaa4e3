//! How a mount is shown. `nested` says that its tenant has a parent: the permanent mounts look different there.

use crate::json::{Json, Object};
use crate::mount::{Engine, LeaseTtl, Mount, UserLockout};

/// What the API shows as the version of a built-in engine.
pub(in crate::sys) const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"), "+builtin.strongroom");

/// What may be shown to a caller without a token.
pub(in crate::sys) fn public(mount: &Mount, nested: bool) -> Json {
    Json::object(|out| {
        out.field("description", &mount.description);
        out.field("options", &mount.options);
        out.field("type", &type_name(mount.engine, nested));
    })
}

/// All that the API shows of a mount.
pub(in crate::sys) fn whole(mount: &Mount, nested: bool) -> Json {
    Json::object(|out| {
        out.field("accessor", &mount.accessor);
        out.object("config", |out| {
            out.field("default_lease_ttl", &mount.config.default_lease_ttl_seconds);
            out.field("max_lease_ttl", &mount.config.max_lease_ttl_seconds);
            settings(out, mount, nested);
            if let Some(lockout) = mount.config.user_lockout {
                out.object("user_lockout_config", |out| show_lockout(out, lockout));
            }
        });
        if matches!(mount.engine, Engine::Kv1 | Engine::Kv2) || mount.engine.is_auth_method() {
            out.field("deprecation_status", "supported");
        }
        out.field("description", &mount.description);
        out.field("external_entropy_access", &mount.external_entropy_access);
        out.field("local", &mount.local);
        out.field("options", &mount.options);
        out.field("plugin_version", "");
        out.field("running_plugin_version", VERSION);
        out.field("running_sha256", "");
        out.field("seal_wrap", &mount.seal_wrap);
        out.field("type", &type_name(mount.engine, nested));
        out.field("uuid", &mount.id.uuid());
    })
}

/// The settings, with the TTLs that apply.
pub(super) fn tuning(mount: &Mount, server: LeaseTtl, nested: bool) -> Json {
    let limits = server.at(&mount.config);
    Json::object(|out| {
        out.field("default_lease_ttl", &limits.default_seconds);
        out.field("description", &mount.description);
        out.field("max_lease_ttl", &limits.max_seconds);
        if let Some(options) = mount.options.as_ref().filter(|options| !options.is_empty()) {
            out.field("options", options);
        }
        settings(out, mount, nested);
        if let Some(lockout) = mount.config.user_lockout {
            show_lockout(out, lockout);
        }
    })
}

/// As it was set: 0 is what is usual.
fn show_lockout(out: &mut Object<'_>, lockout: UserLockout) {
    out.field("user_lockout_counter_reset_duration", &lockout.counter_reset_seconds);
    out.field("user_lockout_disable", &lockout.disabled);
    out.field("user_lockout_duration", &lockout.duration_seconds);
    out.field("user_lockout_threshold", &lockout.threshold);
}

/// What is not set is left out, except for the kind of token of an auth mount.
fn settings(out: &mut Object<'_>, mount: &Mount, nested: bool) {
    let config = &mount.config;
    out.field("force_no_cache", &config.force_no_cache);
    if let Some(visibility) = &config.listing_visibility {
        out.field("listing_visibility", visibility);
    }
    for (name, list) in [
        ("audit_non_hmac_request_keys", &config.audit_non_hmac_request_keys),
        ("audit_non_hmac_response_keys", &config.audit_non_hmac_response_keys),
        ("passthrough_request_headers", &config.passthrough_request_headers),
        ("allowed_response_headers", &config.allowed_response_headers),
    ] {
        if let Some(list) = list {
            out.strings(name, list);
        }
    }
    if mount.engine == Engine::Token || mount.engine.is_auth_method() {
        let default = if nested && mount.engine == Engine::Token { "default" } else { "default-service" };
        out.field("token_type", config.token_type.as_deref().unwrap_or(default));
    }
}

/// In a child namespace the permanent mounts have types of their own, as in `OpenBao`.
fn type_name(engine: Engine, nested: bool) -> String {
    match engine {
        Engine::System | Engine::Token | Engine::Cubbyhole | Engine::Identity if nested => format!("ns_{}", engine.type_name()),
        _ => engine.type_name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::engine::directory::permanent;
    use crate::id::{MountId, TenantId};
    use crate::mount::MountConfig;

    fn value(json: &Json) -> Value {
        serde_json::from_slice(json.expose()).unwrap()
    }

    /// The fields that clients know, required ones among them, as they were recorded.
    #[test]
    fn an_engine_is_shown_as_clients_know_it() {
        let config = MountConfig {
            default_lease_ttl_seconds: 3600,
            listing_visibility: Some("unauth".to_owned()),
            audit_non_hmac_request_keys: Some(vec!["foo".to_owned()]),
            ..MountConfig::default()
        };
        let mount = Mount {
            id: MountId([0xab; 16]),
            engine: Engine::Kv2,
            accessor: "kv_51b23bd0".to_owned(),
            description: "main".to_owned(),
            options: Some(BTreeMap::from([("version".to_owned(), "2".to_owned())])),
            config,
            local: false,
            seal_wrap: false,
            external_entropy_access: false,
        };
        let expected = json!({
            "accessor": "kv_51b23bd0",
            "config": {"audit_non_hmac_request_keys": ["foo"], "default_lease_ttl": 3600, "force_no_cache": false,
                "listing_visibility": "unauth", "max_lease_ttl": 0},
            "deprecation_status": "supported", "description": "main", "external_entropy_access": false, "local": false,
            "options": {"version": "2"}, "plugin_version": "", "running_plugin_version": VERSION, "running_sha256": "",
            "seal_wrap": false, "type": "kv", "uuid": "abababab-abab-abab-abab-abababababab"
        });
        assert_eq!(value(&whole(&mount, false)), expected);
        assert_eq!(whole(&mount, true).expose(), whole(&mount, false).expose());
        let expected = json!({
            "audit_non_hmac_request_keys": ["foo"], "default_lease_ttl": 3600, "description": "main", "force_no_cache": false,
            "listing_visibility": "unauth", "max_lease_ttl": 2_764_800, "options": {"version": "2"}
        });
        assert_eq!(value(&tuning(&mount, LeaseTtl::USUAL, false)), expected);
        let expected = json!({"description": "main", "options": {"version": "2"}, "type": "kv"});
        assert_eq!(value(&public(&mount, false)), expected);
    }

    #[test]
    fn the_token_mount_has_another_type_in_a_namespace() {
        let mount = permanent(TenantId([1; 16]), "auth/token/").unwrap();
        for (nested, type_name, token_type) in [(false, "token", "default-service"), (true, "ns_token", "default")] {
            let shown = value(&whole(&mount, nested));
            assert_eq!(shown.get("type"), Some(&json!(type_name)));
            assert_eq!(shown.pointer("/config/token_type"), Some(&json!(token_type)));
            assert_eq!(shown.get("options"), Some(&Value::Null));
            assert_eq!(shown.get("deprecation_status"), None);
        }
    }
}
