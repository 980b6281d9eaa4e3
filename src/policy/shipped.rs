//! The policies that come with the server, from `policies/`. A new tenant gets them; `root` is none of them, because it
//! is not text but a property of a token.

/// One shipped policy.
pub struct Shipped {
    /// Its name.
    pub name: &'static str,
    /// Its HCL text.
    pub text: &'static str,
}

/// The policy that tokens have unless they are made without it.
pub const DEFAULT: Shipped = Shipped { name: "default", text: include_str!("../../policies/default.hcl") };

/// All shipped policies.
pub static ALL: [Shipped; 5] = [
    DEFAULT,
    Shipped { name: "service", text: include_str!("../../policies/service.hcl") },
    Shipped { name: "operator", text: include_str!("../../policies/operator.hcl") },
    Shipped { name: "auditor", text: include_str!("../../policies/auditor.hcl") },
    Shipped { name: "tenant-admin", text: include_str!("../../policies/tenant-admin.hcl") },
];

/// The policy of wrapping tokens. It is none of those that a tenant may list, change or give to a token.
pub static WRAPPING: Shipped = Shipped { name: "response-wrapping", text: include_str!("../../policies/response-wrapping.hcl") };

/// The shipped policy of that name.
pub fn named(name: &str) -> Option<&'static Shipped> {
    ALL.iter().chain([&WRAPPING]).find(|shipped| shipped.name == name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::policy::{Acl, Ask, Capability, Identity, Policy};
    use crate::time::Timestamp;

    fn acl(name: &str) -> Acl {
        let policy = Policy::parse(name, named(name).unwrap().text).unwrap();
        Acl::new(vec![Arc::new(policy)], &Identity::default(), Timestamp(0))
    }

    /// Rows are `(path, capability, may)`; `sudo:` before a capability asks for sudo besides.
    fn check(name: &str, rows: &[(&str, &str, bool)]) {
        let acl = acl(name);
        for (path, wanted, may) in rows {
            let (wanted, sudo) = wanted.strip_prefix("sudo:").map_or((*wanted, false), |rest| (rest, true));
            let ask = Ask { sudo, ..Ask::new(path, Capability::parse(wanted).unwrap()) };
            assert_eq!(acl.decide(&ask), *may, "{name}: {wanted} {path} (sudo {sudo})");
        }
    }

    #[test]
    fn default() {
        check(
            "default",
            &[
                ("auth/token/lookup-self", "read", true),
                ("auth/token/renew-self", "update", true),
                ("auth/token/revoke-self", "update", true),
                ("sys/capabilities-self", "update", true),
                // Its own entity: whoever stands for none may look at none.
                ("identity/entity/id/e1", "read", false),
                ("identity/entity/name/bob", "read", false),
                ("identity/entity/id", "list", false),
                ("cubbyhole/a/b", "create", true),
                ("cubbyhole/a", "read", true),
                ("cubbyhole/", "list", true),
                ("sys/wrapping/wrap", "update", true),
                ("sys/wrapping/unwrap", "update", true),
                ("sys/wrapping/lookup", "update", true),
                ("sys/wrapping/rewrap", "update", false),
                ("auth/token/lookup", "update", false),
                ("auth/token/create", "update", false),
                ("auth/token/create", "create", false),
                ("auth/token/revoke", "update", false),
                ("secret/data/a", "read", false),
                ("secret/metadata/", "list", false),
                ("sys/references/resolve", "update", false),
                ("sys/policies/acl/default", "read", false),
                ("sys/mounts", "read", false),
                ("cubbyhole", "read", false),
            ],
        );
    }

    #[test]
    fn default_lets_an_entity_look_at_itself() {
        let mut identity = Identity::default();
        identity.set("identity.entity.id", "e1");
        identity.set("identity.entity.name", "bob");
        let acl = Acl::new(vec![Arc::new(Policy::parse("default", DEFAULT.text).unwrap())], &identity, Timestamp(0));
        for (path, capability, may) in [
            ("identity/entity/id/e1", Capability::Read, true),
            ("identity/entity/name/bob", Capability::Read, true),
            ("identity/entity/id/e1", Capability::Update, false),
            ("identity/entity/id/e2", Capability::Read, false),
            ("identity/entity/name/eve", Capability::Read, false),
        ] {
            assert_eq!(acl.decide(&Ask::new(path, capability)), may, "{path}");
        }
    }

    #[test]
    fn service() {
        check(
            "service",
            &[
                ("secret/data/app/db", "read", true),
                ("secret/metadata/app", "list", true),
                ("secret/metadata/", "list", true),
                ("secret/metadata/app", "read", true),
                ("sys/references/resolve", "update", true),
                ("secret/data/app", "update", false),
                ("secret/data/app", "create", false),
                ("secret/data/app", "patch", false),
                ("secret/data/app", "delete", false),
                ("secret/metadata/app", "delete", false),
                ("secret/metadata/app", "scan", false),
                ("secret/destroy/app", "update", false),
                ("secret/config", "read", false),
                ("other/data/app", "read", false),
                ("sys/references/mint", "update", false),
                ("sys/policies/acl/service", "update", false),
                ("sys/mounts", "read", false),
                ("auth/token/create", "update", false),
            ],
        );
    }

    #[test]
    fn operator() {
        check(
            "operator",
            &[
                ("sys/health", "read", true),
                ("sys/seal-status", "read", true),
                ("sys/mounts", "read", true),
                ("sys/mounts/secret", "read", true),
                ("sys/namespaces", "list", true),
                ("sys/namespaces/", "list", true),
                ("sys/namespaces/team", "read", true),
                ("sys/key-status", "read", true),
                ("sys/rotate", "sudo:update", true),
                ("sys/rotate/keyring", "sudo:update", true),
                ("sys/rotate/root/init", "sudo:delete", true),
                ("sys/seal", "sudo:update", true),
                ("secret/data/a", "read", false),
                ("secret/a", "read", false),
                ("secret/metadata/", "list", false),
                ("sys/references/resolve", "update", false),
                ("sys/mounts/secret", "update", false),
                ("sys/mounts/secret", "delete", false),
                ("sys/namespaces/team", "update", false),
                ("sys/namespaces/team", "delete", false),
                ("sys/policies/acl/operator", "update", false),
                ("sys/policies/acl/operator", "read", false),
                ("sys/audit-log", "read", false),
                ("auth/token/create", "update", false),
                ("sys/generate-root-token/attempt", "update", false),
            ],
        );
    }

    #[test]
    fn auditor() {
        check(
            "auditor",
            &[
                ("sys/audit-log", "read", true),
                ("sys/audit-log/checkpoint", "sudo:read", true),
                ("sys/audit-log/", "list", true),
                ("sys/audit", "sudo:read", true),
                ("sys/audit-hash/file", "update", true),
                ("sys/policies/acl", "list", true),
                ("sys/policies/acl/service", "read", true),
                ("sys/mounts", "read", true),
                ("secret/data/a", "read", false),
                ("secret/metadata/", "list", false),
                ("sys/references/resolve", "update", false),
                ("sys/audit-log/x", "update", false),
                ("sys/audit-log/x", "delete", false),
                ("sys/audit/file", "sudo:update", false),
                ("sys/audit/file", "sudo:delete", false),
                ("sys/policies/acl/auditor", "update", false),
                ("sys/mounts/secret", "update", false),
                ("sys/rotate", "update", false),
                ("auth/token/create", "update", false),
            ],
        );
    }

    #[test]
    fn tenant_admin() {
        check(
            "tenant-admin",
            &[
                ("secret/data/a", "read", true),
                ("secret/data/a", "patch", true),
                ("secret/metadata/", "scan", true),
                ("sys/policies/acl/x", "update", true),
                ("sys/mounts/x", "create", true),
                ("sys/auth/x", "sudo:update", true),
                ("sys/namespaces/child", "create", true),
                ("auth/token/create", "update", true),
                ("auth/token/create-orphan", "sudo:update", true),
                ("auth/token/accessors/", "sudo:list", true),
                ("sys/remount", "sudo:update", true),
                ("sys/rotate/keyring", "sudo:update", true),
                ("sys/audit-log/x", "sudo:read", true),
                ("sys/config/auditing/request-headers", "sudo:read", true),
                ("sys/config/auditing/request-headers/x-a", "sudo:update", true),
                ("sys/references/resolve", "update", true),
                // Sudo is only where it is named.
                ("secret/data/a", "sudo:read", false),
                ("sys/new-thing", "sudo:update", false),
                ("sys/audit/file", "sudo:update", false),
                ("sys/audit-log/x", "delete", false),
                ("sys/seal", "sudo:update", false),
                ("sys/seal", "update", false),
                ("sys/step-down", "sudo:update", false),
                ("sys/raw/x", "read", false),
                ("sys/rotate/root/init", "update", false),
                ("sys/generate-root/attempt", "update", false),
                ("sys/generate-root-token/attempt", "update", false),
                ("sys/storage/raft/configuration", "read", false),
                ("sys/config/cors", "update", false),
            ],
        );
    }

    #[test]
    fn response_wrapping() {
        check(
            "response-wrapping",
            &[
                ("sys/wrapping/unwrap", "update", true),
                ("cubbyhole/response", "read", true),
                ("auth/token/revoke-self", "update", true),
                ("sys/wrapping/rewrap", "update", false),
                ("sys/wrapping/wrap", "update", false),
                ("cubbyhole/response", "update", false),
                ("cubbyhole/other", "read", false),
                ("cubbyhole/", "list", false),
                ("auth/token/lookup-self", "read", false),
                ("auth/token/renew-self", "update", false),
                ("auth/token/create", "update", false),
                ("secret/data/a", "read", false),
                ("sys/mounts", "read", false),
            ],
        );
        assert!(ALL.iter().all(|shipped| shipped.name != WRAPPING.name));
    }

    #[test]
    fn root_is_not_text() {
        assert!(named("root").is_none());
        assert_eq!(named("default").unwrap().text, DEFAULT.text);
    }
}
