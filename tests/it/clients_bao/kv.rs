//! `bao kv`.

use serde_json::json;

use crate::support::Target;
use crate::support::bao::Bao;

/// put, get, list, patch on a KV 2 mount.
pub(super) fn values(target: &Target) {
    let bao = Bao::new(target);
    bao.ok(&["secrets", "enable", "-path=team", "-version=2", "kv"]);
    bao.ok(&["kv", "put", "-mount=team", "app/db", "user=a", "pass=b"]).says(&["team/data/app/db"]).row("version", "1");
    bao.ok(&["kv", "put", "team/app/db", "user=a", "pass=c"]).row("version", "2");
    bao.feed(&["kv", "put", "-mount=team", "app/json", "-"], r#"{"deep":{"n":1},"list":[1,2]}"#).exits(0).row("version", "1");
    bao.refused(
        &["kv", "put", "-mount=team", "-cas=0", "app/db", "x=y"],
        "check-and-set parameter did not match the current version",
    );
    bao.ok(&["kv", "put", "-mount=team", "-cas=2", "app/db", "user=a", "pass=d"]).row("version", "3").row("destroyed", "false");

    bao.ok(&["kv", "get", "-mount=team", "app/db"]).row("version", "3").row("pass", "d").row("user", "a");
    bao.ok(&["kv", "get", "team/app/db"]).row("pass", "d");
    assert_eq!(bao.ok(&["kv", "get", "-mount=team", "-field=pass", "app/db"]).text(), "d");
    bao.ok(&["kv", "get", "-mount=team", "-version=1", "app/db"]).row("version", "1").row("pass", "b");
    let read = bao.json(2, &["kv", "get", "-mount=team", "app/json"]);
    assert_eq!(read["data"]["data"], json!({"deep": {"n": 1}, "list": [1, 2]}));
    assert_eq!(read["data"]["metadata"]["version"], 1);
    bao.refused(&["kv", "get", "-mount=team", "-version=99", "app/db"], "No value found at team/data/app/db");
    bao.refused(&["kv", "get", "-mount=team", "no/such"], "No value found at team/data/no/such");
    bao.refused(&["kv", "get", "-mount=nomount", "x"], "preflight capability check returned 403");

    assert_eq!(bao.json(2, &["kv", "list", "-mount=team", "app"]), json!(["db", "json"]));
    assert_eq!(bao.json(2, &["kv", "list", "team/"]), json!(["app/"]));
    bao.refused(&["kv", "list", "-mount=team", "nope"], "No value found at team/metadata/nope");

    bao.ok(&["kv", "patch", "-mount=team", "app/db", "pass=e"]).row("version", "4");
    bao.ok(&["kv", "patch", "-mount=team", "-method=rw", "app/db", "extra=1"]).row("version", "5");
    bao.ok(&["kv", "get", "-mount=team", "app/db"]).row("user", "a").row("pass", "e").row("extra", "1");
    bao.refused(&["kv", "patch", "-mount=team", "-cas=1", "app/db", "x=1"], "check-and-set parameter did not match");
    bao.refused(&["kv", "patch", "-mount=team", "nope", "x=1"], "Code: 404");
    bao.ok(&["kv", "patch", "-mount=team", "-remove-data=extra", "app/db", "q=1"]).row("version", "6");
    bao.ok(&["kv", "get", "-mount=team", "app/db"]).row("q", "1").keeps_quiet_about("extra");

    bao.ok(&["read", "team/data/app/db"]).says(&["map[pass:e q:1 user:a]"]);
    bao.run(&["read", "team/app/db"]).complains("Invalid path for a versioned K/V secrets engine");
    bao.refused(&["write", "team/data/nodata", "foo=bar"], "Code: 400");
    let subkeys = bao.json(1, &["read", "team/subkeys/app/json"]);
    assert_eq!(subkeys["data"]["subkeys"], json!({"deep": {"n": null}, "list": null}));
}

/// delete, undelete, destroy, rollback.
pub(super) fn versions(target: &Target) {
    let bao = Bao::new(target);
    bao.ok(&["secrets", "enable", "-path=team", "-version=2", "kv"]);
    for value in ["a", "b", "c"] {
        bao.ok(&["kv", "put", "-mount=team", "app/db", &format!("pass={value}")]);
    }
    bao.ok(&["kv", "delete", "-mount=team", "app/db"]).says(&["Success! Data deleted (if it existed) at: team/data/app/db"]);
    let deleted = bao.ok(&["kv", "get", "-mount=team", "app/db"]).row("version", "3").row("destroyed", "false");
    deleted.row("deletion_time", "").keeps_quiet_about("=== Data ===");
    bao.ok(&["kv", "undelete", "-mount=team", "-versions=3", "app/db"]);
    bao.ok(&["kv", "get", "-mount=team", "app/db"]).row("pass", "c").row("deletion_time", "n/a");

    bao.ok(&["kv", "delete", "-mount=team", "-versions=1,2", "app/db"]);
    bao.ok(&["kv", "get", "-mount=team", "-version=2", "app/db"]).keeps_quiet_about("=== Data ===");
    bao.ok(&["kv", "get", "-mount=team", "app/db"]).row("pass", "c");
    bao.ok(&["kv", "undelete", "-mount=team", "-versions=2", "app/db"]);
    bao.ok(&["kv", "destroy", "-mount=team", "-versions=1", "app/db"]);
    bao.ok(&["kv", "get", "-mount=team", "-version=1", "app/db"]).row("destroyed", "true").keeps_quiet_about("=== Data ===");
    // What is destroyed does not come back.
    bao.ok(&["kv", "undelete", "-mount=team", "-versions=1", "app/db"]);
    bao.ok(&["kv", "get", "-mount=team", "-version=1", "app/db"]).row("destroyed", "true").keeps_quiet_about("=== Data ===");

    bao.ok(&["kv", "rollback", "-mount=team", "-version=2", "app/db"]).row("version", "4");
    assert_eq!(bao.ok(&["kv", "get", "-field=pass", "team/app/db"]).text(), "b");
    let refused = bao.refused(&["kv", "rollback", "-mount=team", "-version=1", "app/db"], "has been deleted");
    refused.complains("Cannot roll back to a version");
    bao.refused(&["kv", "rollback", "-mount=team", "-version=1", "nope"], "");
}

/// metadata put, patch, get, delete; the mount's configuration.
pub(super) fn metadata(target: &Target) {
    let bao = Bao::new(target);
    bao.ok(&["secrets", "enable", "-path=team", "-version=2", "kv"]);
    bao.ok(&["kv", "put", "-mount=team", "app/db", "a=1"]);
    let put = ["kv", "metadata", "put", "-mount=team", "-max-versions=2", "-custom-metadata=owner=x", "-cas-required"];
    bao.ok(&[&put[..], &["-delete-version-after=24h", "app/db"]].concat());
    let read = bao.ok(&["kv", "metadata", "get", "-mount=team", "app/db"]).says(&["team/metadata/app/db", "Version 1"]);
    let read = read.row("cas_required", "true").row("current_version", "1").row("custom_metadata", "map[owner:x]");
    read.row("delete_version_after", "24h0m0s").row("max_versions", "2").row("oldest_version", "0");
    bao.refused(&["kv", "put", "-mount=team", "app/db", "a=2"], "check-and-set parameter required for this call");
    bao.ok(&["kv", "put", "-mount=team", "-cas=1", "app/db", "a=2"]);
    bao.ok(&["kv", "put", "-mount=team", "-cas=2", "app/db", "a=3"]);
    bao.refused(&["kv", "get", "-mount=team", "-version=1", "app/db"], "No value found");

    let patch = ["kv", "metadata", "patch", "-mount=team", "-custom-metadata=team=y", "-remove-custom-metadata=owner", "app/db"];
    bao.ok(&patch);
    let read = bao.json(3, &["kv", "metadata", "get", "-mount=team", "app/db"]);
    assert_eq!(read["data"]["custom_metadata"], json!({"team": "y"}));
    assert_eq!(read["data"]["oldest_version"], 2);
    let versions = read["data"]["versions"].as_object().unwrap();
    assert_eq!(versions.keys().collect::<Vec<_>>(), ["2", "3"]);
    // A version of a secret with `delete_version_after` shows when it will go.
    assert_ne!(versions["3"]["deletion_time"], "");

    bao.refused(&["kv", "metadata", "get", "-mount=team", "nope"], "No value found at team/metadata/nope");
    bao.ok(&["kv", "metadata", "put", "-mount=team", "-custom-metadata=first=1", "early"]);
    bao.ok(&["kv", "metadata", "get", "-mount=team", "early"]).row("current_version", "0");
    bao.ok(&["kv", "metadata", "delete", "-mount=team", "app/db"]);
    bao.refused(&["kv", "get", "-mount=team", "app/db"], "No value found");
    assert_eq!(bao.json(2, &["kv", "list", "team/"]), json!(["early"]));

    bao.ok(&["write", "team/config", "max_versions=7", "cas_required=true", "delete_version_after=0s"]);
    bao.ok(&["read", "team/config"]).row("max_versions", "7").row("cas_required", "true").row("delete_version_after", "0s");
    bao.refused(&["kv", "put", "-mount=team", "new", "a=1"], "check-and-set parameter required for this call");
}

/// A KV 1 mount.
pub(super) fn version_one(target: &Target) {
    let bao = Bao::new(target);
    bao.ok(&["secrets", "enable", "-path=old", "-version=1", "kv"]);
    bao.ok(&["kv", "put", "-mount=old", "a/b", "x=1"]).says(&["Success! Data written to: old/a/b"]);
    bao.ok(&["kv", "get", "-mount=old", "a/b"]).row("x", "1");
    bao.ok(&["read", "old/a/b"]).row("x", "1").row("refresh_interval", "");
    assert_eq!(bao.json(2, &["kv", "list", "old/a"]), json!(["b"]));
    bao.refused(&["kv", "get", "-mount=old", "a/none"], "No value found at old/a/none");
    bao.refused(&["write", "-f", "old/empty"], "missing data fields");
    bao.ok(&["write", "old/ttl", "ttl=30m", "v=1"]);
    bao.ok(&["read", "old/ttl"]).row("refresh_interval", "30m");
    bao.ok(&["kv", "delete", "old/a/b"]).says(&["Success! Data deleted (if it existed) at: old/a/b"]);
    bao.refused(&["read", "old/a/b"], "No value found at old/a/b");
    bao.refused(&["list", "old/a"], "No value found at old/a");
}

/// From version 1 to version 2.
pub(super) fn upgrade(target: &Target) {
    let bao = Bao::new(target);
    bao.ok(&["secrets", "enable", "-path=old", "-version=1", "kv"]);
    bao.ok(&["kv", "put", "-mount=old", "a/b", "x=1"]);
    bao.ok(&["kv", "enable-versioning", "old"]).says(&["Success! Tuned the secrets engine at: old/"]);
    // OpenBao is away for a moment.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while bao.run(&["kv", "get", "-mount=old", "a/b"]).code != 0 {
        assert!(std::time::Instant::now() < deadline, "the mount did not come back");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    bao.ok(&["kv", "get", "-mount=old", "a/b"]).row("x", "1").row("version", "1");
    bao.ok(&["kv", "put", "-mount=old", "a/b", "x=2"]).row("version", "2");
    bao.ok(&["kv", "get", "-mount=old", "-version=1", "a/b"]).row("x", "1");
}
