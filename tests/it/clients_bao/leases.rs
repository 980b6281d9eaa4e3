//! `bao token` with roles and batch tokens, and `bao lease`.

use serde_json::json;

use crate::support::Target;
use crate::support::bao::Bao;

/// roles, batch tokens.
pub(super) fn roles(target: &Target) {
    let bao = Bao::new(target);
    bao.ok(&["write", "auth/token/roles/ci", "allowed_policies=default", "token_period=1h", "orphan=true"]);
    let role = bao.ok(&["read", "auth/token/roles/ci"]).row("token_period", "1h").row("orphan", "true");
    role.row("allowed_policies", "[default]").row("token_type", "default-service").row("path_suffix", "n/a");
    bao.ok(&["list", "auth/token/roles"]).says(&["ci"]);
    let auth = &bao.json(2, &["token", "create", "-role=ci"])["auth"];
    assert_eq!((&auth["orphan"], &auth["lease_duration"], &auth["policies"]), (&true.into(), &3600.into(), &json!(["default"])));
    let token = auth["client_token"].as_str().unwrap();
    bao.ok(&["token", "lookup", token]).row("role", "ci").row("path", "auth/token/create/ci").row("creation_ttl", "1h");
    bao.refused(&["token", "create", "-role=ci", "-policy=other"], "must be subset of the role's allowed policies");
    bao.refused(&["token", "create", "-role=nope"], "unknown role nope");
    bao.ok(&["delete", "auth/token/roles/ci"]);
    bao.run(&["read", "auth/token/roles/ci"]).exits(2).complains("No value found at auth/token/roles/ci");

    let batch = bao.ok(&["token", "create", "-type=batch", "-policy=default", "-ttl=1h", "-field=token"]).text().to_owned();
    assert!(batch.starts_with("b."), "{batch}");
    bao.with_token(&batch).ok(&["token", "lookup"]).row("type", "batch").row("accessor", "n/a").row("renewable", "false");
    bao.with_token(&batch).refused(&["token", "renew"], "batch tokens cannot be renewed");
    bao.refused(&["token", "revoke", &batch], "batch tokens cannot be revoked");
    bao.refused(&["token", "create", "-type=batch"], "batch tokens cannot be root tokens");
    bao.ok(&["write", "-f", "auth/token/tidy"]);
}

/// lookup, renew, revoke.
pub(super) fn leases(target: &Target) {
    let bao = Bao::new(target);
    bao.ok(&["write", "auth/token/roles/ci", "allowed_policies=default"]);
    let made = || bao.ok(&["token", "create", "-role=ci", "-ttl=1h", "-field=token"]).text().to_owned();
    let token = made();
    let listed = bao.json(1, &["list", "sys/leases/lookup/auth/token/create/ci"]);
    let id = format!("auth/token/create/ci/{}", listed[0].as_str().unwrap());
    bao.ok(&["lease", "lookup", &id]).row("id", &id).row("renewable", "true");
    bao.refused(&["lease", "lookup", "auth/token/create/ci/x"], "invalid lease");
    bao.refused(&["lease", "renew", &id], "tokens cannot be renewed through this endpoint");
    bao.ok(&["lease", "revoke", "-sync", &id]);
    bao.with_token(&token).refused(&["token", "lookup"], "permission denied");
    bao.refused(&["lease", "lookup", &id], "invalid lease");

    let (one, two) = (made(), made());
    bao.ok(&["lease", "revoke", "-prefix", "-sync", "auth/token/create/ci"]);
    for token in [&one, &two] {
        bao.with_token(token).refused(&["token", "lookup"], "permission denied");
    }
    let three = made();
    bao.ok(&["lease", "revoke", "-force", "-prefix", "-sync", "auth/token/create/ci"]);
    bao.with_token(&three).refused(&["token", "lookup"], "permission denied");
    bao.ok(&["lease", "revoke", "-sync", "auth/token/create/ci/unknown"]);
}
