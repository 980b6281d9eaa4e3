//! `bao operator`, `status`, `login`, `secrets`.

use serde_json::Value;

use crate::support::Target;
use crate::support::bao::Bao;

/// From an empty server to an open one, sealed and opened again.
pub(super) fn ceremony(target: &Target) {
    let bao = Bao::new(target);
    bao.run(&["status"]).exits(2).row("Initialized", "false").row("Sealed", "true");
    bao.run(&["operator", "init", "-status"]).exits(2);
    let init = bao.json(2, &["operator", "init", "-key-shares=3", "-key-threshold=2"]);
    let shares: Vec<&str> = init["unseal_keys_b64"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let [first, second, third] = shares[..] else { panic!("three shares in {init}") };
    assert_eq!(init["unseal_keys_hex"].as_array().map(Vec::len), Some(3));
    assert_eq!((&init["unseal_shares"], &init["unseal_threshold"]), (&3.into(), &2.into()));
    let bao = bao.with_token(init["root_token"].as_str().unwrap());
    bao.refused(&["operator", "init"], "Vault is already initialized");
    bao.run(&["status"]).exits(2).row("Initialized", "true").row("Sealed", "true").row("Total Shares", "3");
    bao.refused(&["read", "sys/mounts"], "Vault is sealed");

    bao.ok(&["operator", "unseal", first]).row("Unseal Progress", "1/2").row("Sealed", "true");
    // The same share twice is still one share.
    bao.ok(&["operator", "unseal", first]).row("Unseal Progress", "1/2");
    bao.ok(&["operator", "unseal", "-reset"]).row("Unseal Progress", "0/2");
    // A share of no one: some servers refuse it, some count it until the threshold. It opens none.
    bao.run(&["operator", "unseal", "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"]);
    bao.run(&["operator", "unseal", first]);
    bao.run(&["status"]).exits(2).row("Sealed", "true");
    bao.ok(&["operator", "unseal", "-reset"]).row("Unseal Progress", "0/2");
    bao.refused(&["operator", "unseal", "AAAA"], "Code: 400");
    bao.ok(&["operator", "unseal", first]).row("Unseal Progress", "1/2");
    bao.ok(&["operator", "unseal", third]).row("Sealed", "false");
    bao.ok(&["status"]).row("Sealed", "false").row("Threshold", "2");
    bao.ok(&["operator", "init", "-status"]).says(&["initialized"]);

    bao.ok(&["secrets", "enable", "-path=team", "-version=2", "kv"]);
    bao.ok(&["kv", "put", "-mount=team", "kept", "a=1"]);
    bao.with_token("s.wrong").refused(&["operator", "seal"], "permission denied");
    bao.ok(&["operator", "seal"]).says(&["Success! Vault is sealed."]);
    bao.run(&["status"]).exits(2).row("Sealed", "true").row("Unseal Progress", "0/2");
    bao.refused(&["kv", "get", "-mount=team", "kept"], "Vault is sealed");
    bao.ok(&["operator", "unseal", third]);
    bao.ok(&["operator", "unseal", second]).row("Sealed", "false");
    assert_eq!(bao.ok(&["kv", "get", "-mount=team", "-field=a", "kept"]).text(), "1");
}

/// What a user does first.
pub(super) fn status_and_login(target: &Target) {
    let bao = Bao::new(target);
    bao.ok(&["status"]).row("Initialized", "true").row("Sealed", "false").row("Version", "").row("Storage Type", "");
    let status = bao.json(1, &["status"]);
    assert_eq!((&status["initialized"], &status["sealed"]), (&true.into(), &false.into()));
    let stranger = bao.without_token();
    stranger.ok(&["status"]);
    stranger.refused(&["read", "sys/mounts"], "permission denied");
    stranger.refused(&["login", "s.AAAAAAAAAAAAAAAAAAAAAAAA"], "permission denied");
    stranger.refused(&["token", "lookup"], "permission denied");
    stranger.ok(&["login", &target.token]).says(&["Success! You are now authenticated."]).row("token_policies", "[\"root\"]");
    assert_eq!(stranger.ok(&["print", "token"]).text(), target.token);
    stranger.ok(&["token", "lookup"]).row("policies", "[root]").row("type", "service").row("ttl", "0s");
    stranger.ok(&["read", "sys/health"]).row("sealed", "false");
    stranger.refused(&["read", "nosuch/path"], "No value found at nosuch/path");
    stranger.refused(&["write", "nosuch/path", "a=b"], "no handler for route");
    stranger.refused(&["delete", "sys/mounts"], "unsupported operation");
}

/// secrets enable, list, tune, disable.
pub(super) fn mounts(target: &Target) {
    let bao = Bao::new(target);
    bao.ok(&["secrets", "enable", "-path=team", "-version=2", "-description=main", "kv"]).says(&["kv secrets engine at: team/"]);
    bao.ok(&["secrets", "enable", "-path=deep/er", "kv-v2"]);
    bao.refused(&["secrets", "enable", "-path=team", "kv-v2"], "path is already in use at team/");
    bao.refused(&["secrets", "enable", "-path=team/inside", "kv-v2"], "path is already in use at team/");
    bao.refused(&["secrets", "enable", "nosuch"], "Code: 400");
    bao.ok(&["secrets", "list"]).says(&["team/", "deep/er/", "sys/", "main"]);
    bao.ok(&["secrets", "list", "-detailed"]).says(&["map[version:2]"]);
    let list = bao.json(2, &["secrets", "list"]);
    let team = &list["team/"];
    assert_eq!((&team["type"], &team["description"], &team["options"]["version"]), (&"kv".into(), &"main".into(), &"2".into()));
    for field in ["accessor", "uuid", "config", "local", "seal_wrap", "external_entropy_access"] {
        assert!(!team[field].is_null(), "no {field} in {team}");
    }
    bao.ok(&["secrets", "tune", "-default-lease-ttl=1h", "-description=other", "team/"]);
    bao.ok(&["read", "sys/mounts/team/tune"]).row("default_lease_ttl", "1h").row("description", "other");
    bao.ok(&["kv", "put", "-mount=team", "x", "a=b"]);
    bao.ok(&["secrets", "disable", "team"]).says(&["Disabled the secrets engine (if it existed) at: team/"]);
    bao.ok(&["secrets", "disable", "team"]);
    bao.ok(&["secrets", "list"]).keeps_quiet_about("team/");
    // A mount that is made again at the same place begins empty.
    bao.ok(&["secrets", "enable", "-path=team", "-version=2", "kv"]);
    bao.refused(&["kv", "get", "team/x"], "No value found");
}

/// secrets move.
pub(super) fn remount(target: &Target) {
    let bao = Bao::new(target);
    bao.ok(&["secrets", "enable", "-path=team", "kv-v2"]);
    bao.ok(&["kv", "put", "-mount=team", "x", "a=b"]);
    bao.refused(&["secrets", "move", "nosuch/", "moved/"], "no matching mount at \"nosuch/\"");
    bao.refused(&["secrets", "move", "team/", "sys/x"], "cannot remount to destination sys/x/");
    bao.ok(&["secrets", "enable", "-path=other", "kv-v2"]);
    bao.refused(&["secrets", "move", "team/", "other/"], "path already in use at \"other/\"");
    bao.refused(&["auth", "move", "auth/token/", "auth/moved/"], "cannot remount \"auth/token/\"");
    bao.ok(&["secrets", "move", "team/", "moved/"]).says(&["Success! Finished moving secrets engine team/ to moved/"]);
    assert_eq!(bao.ok(&["kv", "get", "-field=a", "moved/x"]).text(), "b");
    bao.refused(&["kv", "get", "-mount=team", "x"], "preflight capability check returned 403");
}

/// What an operator looks at.
pub(super) fn reads(target: &Target) {
    let bao = Bao::new(target);
    bao.ok(&["operator", "key-status"]).says(&["Key Term", "Install Time", "Encryption Count"]);
    bao.ok(&["version-history"]).says(&["2.7.2"]);
    bao.ok(&["operator", "members"]).says(&["Host Name"]);
    bao.ok(&["plugin", "list", "secret"]).says(&["kv"]);
    bao.ok(&["plugin", "info", "secret", "kv"]).row("builtin", "true").row("name", "kv");
    bao.refused(&["plugin", "info", "secret", "nosuch"], "404");
    bao.ok(&["path-help", "sys/mounts"]).says(&["Request:", "mounts", "## DESCRIPTION"]);
    bao.ok(&["path-help", "sys/tools/hash"]).says(&["## PARAMETERS", "input (string)"]);
    bao.refused(&["path-help", "nosuch/x"], "no handler for route \"nosuch/x\". route entry not found.");
    bao.refused(&["path-help", "sys/nosuch"], "unsupported path");
    bao.ok(&["read", "sys/config/cors"]).row("enabled", "false");
    bao.ok(&["write", "sys/config/cors", "allowed_origins=https://a.example,https://b.example", "allowed_headers=X-Own"]);
    bao.ok(&["read", "sys/config/cors"]).row("enabled", "true").row("allowed_origins", "[https://a.example https://b.example]");
    bao.refused(&["write", "sys/config/cors", "allowed_origins=*,https://a.example"], "to allow all origins the '*' must be");
    bao.ok(&["delete", "sys/config/cors"]);
    bao.ok(&["read", "sys/config/state/sanitized"]).says(&["storage", "listeners"]);
    bao.ok(&["read", "sys/host-info"]).says(&["timestamp"]);
    bao.ok(&["read", "sys/internal/ui/resultant-acl"]).row("root", "true");
    let random = bao.json(1, &["write", "sys/tools/random/16", "format=hex"]);
    assert_eq!(random["data"]["random_bytes"].as_str().map(str::len), Some(32), "{random}");
    bao.refused(&["write", "sys/tools/random", "bytes=0"], "'bytes' cannot be less than 1");
    bao.refused(&["write", "sys/tools/random", "bytes=131073"], "'bytes' should be less than 131072");
    bao.refused(&["write", "sys/tools/random/nope/8", "format=hex"], "unsupported entropy source \"nope\"");
    for (algorithm, sum) in [
        ("", "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"),
        ("/sha2-224", "1a15bca3e4ed3ab82367c6c434f86c41040bdac577fa1c2de62c3be0"),
    ] {
        bao.ok(&["write", &format!("sys/tools/hash{algorithm}"), "input=aGk="]).row("sum", sum);
    }
    bao.refused(&["write", "sys/tools/hash/md5", "input=aGk="], "unsupported algorithm md5");
    bao.refused(&["write", "sys/tools/hash", "input=***"], "unable to decode input as base64");
    bao.refused(&["write", "sys/loggers", "level=loud"], "invalid level provided: unknown log level: loud");
    bao.refused(&["write", "sys/loggers/nosuch", "level=warn"], "logger \"nosuch\" not found");
    bao.ok(&["write", "sys/loggers", "level=debug"]);
    bao.ok(&["delete", "sys/loggers"]);
    bao.ok(&["operator", "step-down"]);
}
