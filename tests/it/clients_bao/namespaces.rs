//! `bao namespace`: tenants.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::Target;
use crate::support::bao::Bao;

/// create, list, lookup, patch, delete; nesting; isolation.
pub(super) fn tree(target: &Target) {
    let bao = Bao::new(target);
    let made = bao.ok(&["namespace", "create", "-custom-metadata=tier=gold", "team1"]);
    made.row("path", "team1/").row("custom_metadata", "map[tier:gold]").row("id", "").row("uuid", "").row("locked", "false");
    bao.ok(&["namespace", "create", "team2"]);
    bao.in_namespace("team1").ok(&["namespace", "create", "sub"]).row("path", "team1/sub/");
    // OpenBao lists namespaces in any order.
    let listed = bao.json(2, &["namespace", "list"]);
    assert!(listed == json!(["team1/", "team2/"]) || listed == json!(["team2/", "team1/"]), "{listed}");
    bao.ok(&["namespace", "lookup", "team1"]).row("path", "team1/").row("custom_metadata", "map[tier:gold]");
    bao.refused(&["namespace", "lookup", "nope"], "Namespace not found");
    let patch = ["namespace", "patch", "-custom-metadata=env=prod", "-remove-custom-metadata=tier", "team1"];
    bao.ok(&patch).row("custom_metadata", "map[env:prod]");

    let (team1, team2) = (bao.in_namespace("team1"), bao.in_namespace("team2"));
    for (team, value) in [(&team1, "one"), (&team2, "two")] {
        team.ok(&["secrets", "enable", "-path=kv", "-version=2", "kv"]);
        team.ok(&["kv", "put", "-mount=kv", "x", &format!("v={value}")]);
    }
    assert_eq!(team1.ok(&["kv", "get", "-field=v", "kv/x"]).text(), "one");
    assert_eq!(team2.ok(&["kv", "get", "-field=v", "kv/x"]).text(), "two");
    bao.ok(&["read", "team1/kv/data/x"]).says(&["map[v:one]"]);
    bao.ok(&["secrets", "list"]).keeps_quiet_about("kv/");
    bao.in_namespace("team1/sub").ok(&["secrets", "list"]).says(&["sys/"]).keeps_quiet_about("kv/");
    team1.ok(&["policy", "list"]).says(&["default"]).keeps_quiet_about("root");

    // A token of one tenant is nobody in another, not even with the same policy there.
    let reader = r#"path "kv/data/*" { capabilities = ["read"] }"#;
    for team in [&team1, &team2] {
        team.feed(&["policy", "write", "reader", "-"], reader).exits(0);
    }
    let token = team1.ok(&["token", "create", "-policy=reader", "-field=token"]).text().to_owned();
    assert_eq!(team1.with_token(&token).ok(&["kv", "get", "-field=v", "kv/x"]).text(), "one");
    team2.with_token(&token).refused(&["read", "kv/data/x"], "permission denied");
    bao.with_token(&token).refused(&["read", "team2/kv/data/x"], "permission denied");
    team1.with_token(&token).ok(&["token", "lookup"]).row("namespace_path", "team1/");

    bao.refused(&["namespace", "delete", "team1"], "Code: 400");
    team1.ok(&["namespace", "delete", "sub"]);
    gone(&team1, "sub");
    bao.ok(&["namespace", "delete", "team1"]).says(&["team1/"]);
    gone(&bao, "team1");
    bao.ok(&["namespace", "delete", "nope"]);
    assert_eq!(team2.ok(&["kv", "get", "-field=v", "kv/x"]).text(), "two");
    // The name is free again, and what comes under it is new.
    bao.ok(&["namespace", "create", "team1"]);
    team1.ok(&["secrets", "list"]).keeps_quiet_about("kv/");
    team1.with_token(&token).run(&["token", "lookup"]).exits(2);
}

/// lock, unlock; what is locked answers nobody, also below.
pub(super) fn locks(target: &Target) {
    const LOCKED: &str = "API access to this namespace has been locked by an administrator - \"team1/\" must be unlocked";
    let bao = Bao::new(target);
    bao.ok(&["namespace", "create", "team1"]);
    let (team, sub) = (bao.in_namespace("team1"), bao.in_namespace("team1/sub"));
    team.ok(&["namespace", "create", "sub"]);
    bao.refused(&["namespace", "lock", "nosuch"], "requested namespace does not exist");
    bao.refused(&["namespace", "unlock", "team1"], "namespace \"team1/\" is not locked");
    let locked = bao.json(2, &["namespace", "lock", "team1"]);
    bao.refused(&["namespace", "lock", "team1"], "cannot lock namespace \"team1/\": is already locked");
    bao.ok(&["namespace", "lookup", "team1"]).row("locked", "true");
    for inside in [&team, &sub] {
        inside.refused(&["secrets", "list"], LOCKED);
        inside.refused(&["read", "nosuch/path"], LOCKED);
    }
    bao.refused(&["namespace", "unlock", "-unlock-key=wrong", "team1"], "incorrect unlock key");
    let key = locked["unlock_key"].as_str().unwrap_or_else(|| panic!("no unlock_key in {locked}"));
    bao.ok(&["namespace", "unlock", &format!("-unlock-key={key}"), "team1"]);
    sub.ok(&["secrets", "list"]);

    // From inside, and freed by the root's right without the key.
    team.ok(&["namespace", "lock"]);
    team.refused(&["secrets", "list"], LOCKED);
    team.ok(&["namespace", "unlock"]);
    team.ok(&["secrets", "list"]);
    bao.ok(&["namespace", "lock", "team1/sub"]);
    team.ok(&["secrets", "list"]);
    sub.refused(&["secrets", "list"], "\"team1/sub/\" must be unlocked");
    bao.refused(&["namespace", "lock"], "root namespace cannot be locked/unlocked");
}

/// Deletion goes on after its answer: waits for the end of it.
fn gone(bao: &Bao, name: &str) {
    let start = Instant::now();
    while bao.run(&["namespace", "lookup", name]).code == 0 {
        assert!(start.elapsed() < Duration::from_secs(30), "{name} is still there");
        std::thread::sleep(Duration::from_millis(100));
    }
}
