//! `bao policy` and `bao token`.

use serde_json::json;

use crate::support::Target;
use crate::support::bao::Bao;

const DEVELOPER: &str = r#"
path "team/data/app/*"     { capabilities = ["create", "read", "update"] }
path "team/metadata/app/*" { capabilities = ["list"] }
path "team/data/app/no"    { capabilities = ["deny"] }
"#;

/// write, list, read, fmt, delete.
pub(super) fn policies(target: &Target) {
    let bao = Bao::new(target);
    bao.feed(&["policy", "write", "dev", "-"], DEVELOPER).exits(0).says(&["Success! Uploaded policy: dev"]);
    bao.ok(&["policy", "list"]).says(&["default\n", "dev\n", "root\n"]);
    assert_eq!(bao.ok(&["policy", "read", "dev"]).text(), DEVELOPER.trim());
    bao.ok(&["policy", "read", "default"]).says(&["auth/token/lookup-self"]);
    bao.refused(&["policy", "read", "nope"], "No policy named: nope");
    bao.feed(&["policy", "write", "bad", "-"], r#"path "x" { capabilities = ["nonsense"] }"#).exits(2).complains("Code: 400");
    bao.feed(&["policy", "write", "bad", "-"], "path \"x\" {").exits(2).complains("Code: 400");
    bao.feed(&["policy", "write", "root", "-"], DEVELOPER).exits(2).complains("Code: 400");
    bao.refused(&["policy", "read", "bad"], "No policy named: bad");
    bao.refused(&["policy", "delete", "root"], "Code: 400");
    bao.refused(&["policy", "delete", "default"], "Code: 400");
    bao.ok(&["policy", "delete", "dev"]).says(&["Success! Deleted policy: dev"]);
    bao.refused(&["policy", "read", "dev"], "No policy named: dev");
}

/// create, lookup, renew, revoke.
pub(super) fn lifetime(target: &Target) {
    let bao = Bao::new(target);
    let create = ["token", "create", "-policy=default", "-ttl=30m", "-display-name=x", "-metadata=k=v"];
    let auth = &bao.json(2, &create)["auth"];
    assert_eq!((&auth["policies"], &auth["metadata"]), (&json!(["default"]), &json!({"k": "v"})));
    assert_eq!((&auth["lease_duration"], &auth["renewable"], &auth["orphan"]), (&1800.into(), &true.into(), &false.into()));
    let (token, accessor) = (auth["client_token"].as_str().unwrap(), auth["accessor"].as_str().unwrap());

    let lookup = bao.ok(&["token", "lookup", token]).row("display_name", "token-x").row("id", token).row("meta", "map[k:v]");
    lookup.row("creation_ttl", "30m").row("policies", "[default]").row("accessor", accessor).row("num_uses", "0");
    bao.ok(&["token", "lookup", "-accessor", accessor]).row("id", "n/a").row("display_name", "token-x");
    bao.refused(&["token", "lookup", "s.AAAAAAAAAAAAAAAAAAAAAAAA"], "bad token");
    bao.ok(&["list", "auth/token/accessors"]).says(&[accessor]);

    let holder = bao.with_token(token);
    holder.ok(&["token", "lookup"]).row("id", token);
    holder.ok(&["token", "renew"]).row("token_renewable", "true").row("token_policies", "[\"default\"]");
    bao.ok(&["token", "renew", "-increment=10m", token]).row("token_duration", "10m");
    bao.ok(&["token", "renew", "-accessor", accessor]);
    bao.refused(&["token", "renew"], "Code: 400");

    bao.ok(&["token", "revoke", "-accessor", accessor]).says(&["Success! Revoked token (if it existed)"]);
    holder.refused(&["token", "lookup"], "permission denied");
    bao.refused(&["token", "lookup", token], "bad token");

    let parent = bao.ok(&["token", "create", "-field=token"]).text().to_owned();
    let child = bao.with_token(&parent).ok(&["token", "create", "-policy=default", "-field=token"]).text().to_owned();
    let orphan = bao.with_token(&parent).ok(&["token", "create", "-orphan", "-policy=default", "-field=token"]).text().to_owned();
    bao.ok(&["token", "revoke", &parent]);
    bao.with_token(&child).refused(&["token", "lookup"], "permission denied");
    bao.with_token(&orphan).ok(&["token", "lookup"]).row("orphan", "true");
    bao.with_token(&orphan).ok(&["token", "revoke", "-self"]);
    bao.with_token(&orphan).refused(&["token", "lookup"], "permission denied");

    let twice = bao.ok(&["token", "create", "-policy=default", "-use-limit=2", "-field=token"]).text().to_owned();
    for _ in 0..2 {
        bao.with_token(&twice).ok(&["token", "lookup"]);
    }
    bao.with_token(&twice).refused(&["token", "lookup"], "permission denied");
}

/// What a token may do is what its policies say.
pub(super) fn rights(target: &Target) {
    let bao = Bao::new(target);
    bao.ok(&["secrets", "enable", "-path=team", "-version=2", "kv"]);
    bao.feed(&["policy", "write", "dev", "-"], DEVELOPER).exits(0);
    for path in ["app/db", "app/no", "other/x"] {
        bao.ok(&["kv", "put", "-mount=team", path, "a=1"]);
    }
    let token = bao.ok(&["token", "create", "-policy=dev", "-field=token"]).text().to_owned();
    let developer = bao.with_token(&token);
    developer.ok(&["kv", "get", "-mount=team", "app/db"]).row("a", "1");
    developer.ok(&["kv", "put", "-mount=team", "app/new", "a=1"]);
    developer.ok(&["kv", "list", "-mount=team", "app/"]).says(&["db", "new"]);
    developer.refused(&["kv", "get", "-mount=team", "app/no"], "permission denied");
    developer.refused(&["kv", "delete", "-mount=team", "app/db"], "permission denied");
    developer.refused(&["kv", "put", "-mount=team", "other/x", "a=b"], "permission denied");
    developer.refused(&["kv", "list", "-mount=team", "other"], "permission denied");
    developer.refused(&["secrets", "list"], "permission denied");
    developer.refused(&["operator", "seal"], "permission denied");
    developer.refused(&["token", "create"], "permission denied");

    let asked = |path: &str| bao.ok(&["token", "capabilities", &token, path]).text().to_owned();
    assert_eq!(asked("team/data/app/db"), "create, read, update");
    assert_eq!(asked("team/data/app/no"), "deny");
    assert_eq!(asked("team/data/other"), "deny");
    assert_eq!(developer.ok(&["token", "capabilities", "team/metadata/app/x"]).text(), "list");
    assert_eq!(bao.ok(&["token", "capabilities", "anything"]).text(), "root");

    // A policy that changes holds from the next request on, also for tokens that exist.
    bao.feed(&["policy", "write", "dev", "-"], r#"path "team/data/other/*" { capabilities = ["read"] }"#).exits(0);
    developer.refused(&["kv", "get", "-mount=team", "app/db"], "permission denied");
    developer.ok(&["kv", "get", "-mount=team", "other/x"]).row("a", "1");
}

/// Each token has its own.
pub(super) fn cubbyhole(target: &Target) {
    let bao = Bao::new(target);
    bao.ok(&["write", "cubbyhole/a/b", "x=1"]).says(&["Success! Data written to: cubbyhole/a/b"]);
    bao.ok(&["read", "cubbyhole/a/b"]).row("x", "1");
    assert_eq!(bao.json(1, &["list", "cubbyhole/a"]), json!(["b"]));
    bao.refused(&["write", "-f", "cubbyhole/c"], "missing data fields");
    bao.ok(&["secrets", "list"]).says(&["cubbyhole/", "per-token private secret storage"]);
    bao.refused(&["secrets", "disable", "cubbyhole"], "Code: 400");
    let token = bao.ok(&["token", "create", "-policy=default", "-field=token"]).text().to_owned();
    let other = bao.with_token(&token);
    other.refused(&["read", "cubbyhole/a/b"], "No value found at cubbyhole/a/b");
    other.ok(&["write", "cubbyhole/mine", "x=2"]);
    other.ok(&["read", "-field=x", "cubbyhole/mine"]).says(&["2"]);
    bao.ok(&["delete", "cubbyhole/a/b"]).says(&["Success! Data deleted (if it existed) at: cubbyhole/a/b"]);
    bao.refused(&["list", "cubbyhole/"], "No value found at cubbyhole");
}

/// `-wrap-ttl`, `unwrap`, and what is below `sys/wrapping`.
pub(super) fn wrapping(target: &Target) {
    let bao = Bao::new(target);
    bao.ok(&["secrets", "enable", "-path=team", "-version=2", "kv"]);
    bao.ok(&["kv", "put", "-mount=team", "app", "user=a"]);
    let wrap = |arguments: &[&str]| {
        let said = bao.ok(arguments).json();
        assert_eq!((&said["data"], &said["request_id"], &said["wrap_info"]["ttl"]), (&json!(null), &json!(""), &json!(300)));
        said["wrap_info"]["token"].as_str().unwrap().to_owned()
    };
    let token = wrap(&["kv", "get", "-mount=team", "-wrap-ttl=5m", "-format=json", "app"]);
    bao.ok(&["write", "sys/wrapping/lookup", &format!("token={token}")])
        .row("creation_path", "team/data/app")
        .row("creation_ttl", "5m");
    let inside = bao.ok(&["unwrap", "-format=json", &token]).json();
    assert_eq!(inside["data"]["data"], json!({"user": "a"}));
    bao.refused(&["unwrap", &token], "wrapping token is not valid or does not exist");

    let token = wrap(&["write", "-wrap-ttl=5m", "-format=json", "sys/wrapping/wrap", "foo=bar"]);
    bao.with_token(&token).ok(&["unwrap"]).row("foo", "bar");
    bao.with_token(&token).refused(&["unwrap"], "wrapping token is not valid or does not exist");

    let token = wrap(&["write", "-wrap-ttl=5m", "-format=json", "sys/wrapping/wrap", "foo=bar"]);
    let other = bao.ok(&["write", "-format=json", "sys/wrapping/rewrap", &format!("token={token}")]).json();
    let other = other["wrap_info"]["token"].as_str().unwrap().to_owned();
    bao.refused(&["unwrap", &token], "wrapping token is not valid or does not exist");
    bao.with_token(&other).ok(&["read", "cubbyhole/response"]).says(&["bar"]);

    let made = wrap(&["token", "create", "-policy=default", "-wrap-ttl=5m", "-format=json"]);
    let token = bao.ok(&["unwrap", "-field=token", &made]).text().to_owned();
    bao.with_token(&token).ok(&["token", "lookup"]).row("policies", "[default]");
    bao.refused(&["read", "-wrap-ttl=-5m", "team/data/app"], "cannot be negative");
}
