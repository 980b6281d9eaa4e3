//! `audit access`: who may do what to a path, now and earlier, beside who did; and who did and may not any more.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::fixture::{policy, put, ready, token};
use crate::support::on_stores;
use crate::support::process::run;
use crate::support::server::Server;
use crate::support::tools;

on_stores! {
    everybody_whose_policies_allow_it_is_named_now_and_earlier,
    who_read_it_is_shown_and_whether_they_still_may,
    a_page_of_hostile_names_is_a_page_of_texts,
    what_was_of_policies_is_kept_within_a_bound,
    roles_users_and_groups_are_as_they_were_then,
    references_are_as_they_were_then,
    what_a_role_was_is_kept_within_a_bound,
}

const PATH: &str = "secret/data/db";

fn rules(path: &str, level: &str) -> String {
    format!(r#"path "{path}" {{ capabilities = ["{level}"] }}"#)
}

fn post(client: &Client, path: &str, body: &Value) {
    let status = client.call("POST", path, Some(body)).status;
    assert!([200, 204].contains(&status), "{path}: {status}");
}

/// KV with one secret, methods of every kind, each with something whose tokens have the policy `reader`.
fn stage(server: &Server) -> Client {
    let root = ready(server);
    put(&root, "db", &json!({"k": "v"}));
    policy(&root, "reader", &rules(PATH, "read"));
    policy(&root, "denied", &rules(PATH, "deny"));
    policy(&root, "own", r#"path "secret/data/{{identity.entity.name}}" { capabilities = ["update"] }"#);
    for method in ["userpass", "approle", "cert", "jwt", "kubernetes"] {
        post(&root, &format!("sys/auth/{method}"), &json!({"type": method}));
    }
    let pem = Authority::new("clients").pem();
    for (path, body) in [
        ("auth/userpass/users/bob", json!({"password": "a long one", "token_policies": "reader"})),
        ("auth/userpass/users/eve", json!({"password": "a long one", "token_policies": "reader,denied"})),
        ("auth/userpass/users/tim", json!({"password": "a long one", "token_policies": "own"})),
        ("auth/approle/role/app", json!({"token_policies": "reader"})),
        ("auth/cert/certs/web", json!({"certificate": pem, "token_policies": "reader"})),
        ("auth/token/roles/ci", json!({"allowed_policies_glob": "rea*"})),
        ("auth/token/roles/free", json!({})),
        ("identity/entity", json!({"name": "db", "policies": ["own"]})),
        ("identity/group", json!({"name": "dbas", "policies": ["reader"]})),
    ] {
        post(&root, path, &body);
    }
    root
}

fn auditor(root: &Client) -> Client {
    root.with_token(&token(root, &json!({"policies": ["auditor"]})).text)
}

fn access(client: &Client, query: &str) -> Value {
    client.call("GET", &format!("sys/audit-log/access/{PATH}?{query}"), None).expect(200).json()["data"].take()
}

/// What everybody may do, by kind and name; tokens left out.
fn who(client: &Client, query: &str) -> BTreeMap<String, String> {
    let all = access(client, query);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let may = |row: &Value| row["capabilities"].as_array().unwrap().iter().map(text).collect::<Vec<_>>().join(",");
    let rows = all["principals"].as_array().unwrap().iter().filter(|row| row["kind"] != "token");
    // An entity is shown with its id.
    let name = |row: &Value| text(&row["name"]).split(" (").next().unwrap().to_owned();
    rows.map(|row| (format!("{} {}", row["kind"].as_str().unwrap(), name(row)), may(row))).collect()
}

fn everybody_whose_policies_allow_it_is_named_now_and_earlier(server: &mut Server) {
    let root = stage(server);
    let auditor = auditor(&root);
    post(&root, &format!("sys/references/bind/{PATH}"), &json!({"entities": [entity(&root)]}));
    let expected = |level: &str| -> BTreeMap<String, String> {
        let all = [
            ("user bob", level),
            ("user tim", ""),
            ("approle role app", level),
            ("cert role web", level),
            ("token role ci", level),
            ("token role free", ""),
            ("entity db", "update"),
            ("group dbas", level),
        ];
        let named = all.map(|(who, may)| (who.to_owned(), may.to_owned()));
        let consumer = (format!("reference entity:{}", entity(&root)), "resolve".to_owned());
        named
            .into_iter()
            .chain([consumer])
            .filter(|(who, may)| !may.is_empty() || who.ends_with("tim") || who.ends_with("free"))
            .collect()
    };
    let then = access(&auditor, "")["at"].as_str().unwrap().to_owned();
    assert_eq!(who(&auditor, ""), expected("read"));
    policy(&root, "reader", &rules(PATH, "list"));
    assert_eq!(who(&auditor, ""), expected("list"));
    assert_eq!(who(&auditor, &format!("at={then}")), expected("read"));
    root.call("DELETE", "sys/policies/acl/reader", None).expect(204);
    assert_eq!(who(&auditor, ""), expected(""));
    assert_eq!(who(&auditor, &format!("at={then}")), expected("read"));
    let earlier = access(&auditor, "at=24h");
    assert!(earlier["basis"].as_str().unwrap().contains("as they were then"), "{earlier}");
    // All was made later, but for what every namespace has.
    assert_eq!((&earlier["principals"], &earlier["forgotten"]), (&json!([]), &json!([])), "{earlier}");
    let old = access(&auditor, "at=10000h");
    assert_eq!(old["forgotten"], json!(["whoever was removed more than 400 days ago"]), "{old}");

    let tim = access(&auditor, "")["principals"].as_array().unwrap().iter().find(|row| row["name"] == "tim").unwrap().clone();
    assert_eq!((&tim["depends_on_entity"], &tim["mount"]), (&json!(true), &json!("auth/userpass/")));
    // In pages.
    let first = access(&auditor, "limit=1");
    assert_eq!((first["principals"].as_array().unwrap().len(), &first["next"]), (1, &json!(1)));
    assert_ne!(access(&auditor, "limit=1&offset=1")["principals"], first["principals"]);
    for (path, status) in
        [("access/?", 400), ("access/a?at=x", 400), ("access/a?at=2999-01-01T00:00:00Z", 400), ("readers/a?cursor=x", 400)]
    {
        let status_there = auditor.call("GET", &format!("sys/audit-log/{path}"), None).status;
        assert!([status, 404].contains(&status_there), "{path}: {status_there}");
    }
    let weak = root.with_token(&token(&root, &json!({"policies": ["default"]})).text);
    weak.call("GET", &format!("sys/audit-log/access/{PATH}"), None).expect(403);
    weak.call("GET", &format!("sys/audit-log/readers/{PATH}"), None).expect(403);
}

fn entity(root: &Client) -> String {
    root.call("GET", "identity/entity/name/db", None).expect(200).json()["data"]["id"].as_str().unwrap().to_owned()
}

fn login(root: &Client, name: &str) -> Client {
    let body = json!({"password": "a long one"});
    let reply = root.without_token().call("POST", &format!("auth/userpass/login/{name}"), Some(&body)).expect(200).json();
    root.with_token(reply["auth"]["client_token"].as_str().unwrap())
}

/// Of each reader: how often, and whether they still may.
fn readers(client: &Client) -> BTreeMap<String, (u64, Value)> {
    let page = client.call("GET", &format!("sys/audit-log/readers/{PATH}"), None).expect(200).json()["data"].take();
    assert_eq!(page["more"], json!(false));
    let row = |row: &Value| {
        assert!(row["first"].as_str().unwrap() <= row["last"].as_str().unwrap(), "{row}");
        (row["display_name"].as_str().unwrap().to_owned(), (row["count"].as_u64().unwrap(), row["may_read"].clone()))
    };
    page["readers"].as_array().unwrap().iter().map(row).collect()
}

fn who_read_it_is_shown_and_whether_they_still_may(server: &mut Server) {
    let root = stage(server);
    let auditor = auditor(&root);
    let bob = login(&root, "bob");
    let job = token(&root, &json!({"policies": ["reader"], "display_name": "job"}));
    let minted = root.call("POST", "sys/references/mint", Some(&json!({"path": PATH}))).expect(200).json();
    let reference = json!({"reference": minted["data"]["reference"]});
    let read = |client: &Client| drop(client.call("GET", PATH, None).expect(200));
    read(&bob);
    read(&bob);
    root.with_token(&job.text).call("POST", "sys/references/resolve", Some(&reference)).expect(403);
    policy(&root, "resolver", &rules("sys/references/resolve", "update"));
    let helper = token(&root, &json!({"policies": ["reader", "resolver"], "display_name": "helper"}));
    root.with_token(&helper.text).call("POST", "sys/references/resolve", Some(&reference)).expect(200);
    read(&root.with_token(&job.text));
    login(&root, "eve").call("GET", PATH, None).expect(403);
    let yes = |count: u64| (count, json!(true));
    let no = |count: u64| (count, json!(false));
    let helper = ("token-helper".to_owned(), yes(1));
    let named = |bob, job| BTreeMap::from([("userpass-bob".to_owned(), bob), ("token-job".to_owned(), job), helper.clone()]);
    assert_eq!(readers(&auditor), named(yes(2), yes(1)));

    // The token is gone, but another login would do; then no login does, then nobody does.
    bob.call("POST", "auth/token/revoke-self", None).expect(204);
    assert_eq!(readers(&auditor), named(yes(2), yes(1)));
    post(&root, "auth/userpass/users/bob", &json!({"token_policies": "default"}));
    root.call("POST", "auth/token/revoke-accessor", Some(&json!({"accessor": job.accessor}))).expect(204);
    assert_eq!(readers(&auditor), named(no(2), no(1)));
}

fn a_page_of_hostile_names_is_a_page_of_texts(server: &mut Server) {
    let root = stage(server);
    let hostile = "\"><img src=x onerror=alert(1)>'<script>alert(2)";
    post(&root, "identity/entity", &json!({"name": hostile, "policies": ["reader"]}));
    root.call("GET", PATH, None).expect(200);
    let target = server.target();
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let ca = target.ca.as_ref().unwrap().to_str().unwrap();
    let auditor = token(&root, &json!({"policies": ["auditor"]})).text;
    let variables = [set("BAO_ADDR", &target.url), set("BAO_CACERT", ca), set("BAO_TOKEN", &auditor)];
    let file = server.folder().join("access.html");
    let arguments = ["audit", "access", PATH, "--html", file.to_str().unwrap(), "--format", "json"];
    let done = run(&tools::strongroom(), &arguments, &variables, None);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let report: Value = serde_json::from_str(&done.stdout).unwrap();
    let names: Vec<&str> = report["principals"].as_array().unwrap().iter().filter_map(|row| row["name"].as_str()).collect();
    assert!(names.iter().any(|name| name.starts_with(hostile)), "{names:?}");
    assert_eq!(report["readers"][0]["display_name"], json!("root"));
    let page = std::fs::read_to_string(&file).unwrap();
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;") && page.contains("userpass/bob"));
    for markup in ["<img", "<script", "http://", "https://", "src=\""] {
        assert!(!page.contains(markup), "{markup}");
    }
    let table = run(&tools::strongroom(), &["audit", "access", PATH], &variables, None);
    assert!(
        table.stdout.contains("user auth/userpass/bob: read") && table.stdout.contains("who did, and no longer may"),
        "{}",
        table.stdout
    );
}

fn what_was_of_policies_is_kept_within_a_bound(server: &mut Server) {
    let root = ready(server);
    post(&root, "sys/auth/userpass", &json!({"type": "userpass"}));
    post(&root, "auth/userpass/users/bob", &json!({"password": "a long one", "token_policies": "reader"}));
    policy(&root, "reader", &rules(PATH, "read"));
    let then = access(&root, "")["at"].as_str().unwrap().to_owned();
    assert_eq!(access(&root, &format!("at={then}"))["forgotten_policies"], json!([]));
    for at in 0..strongroom::auth::policy_history::VERSIONS_MAX {
        // The same once more is no other version.
        policy(&root, "reader", &rules(PATH, if at % 2 == 0 { "update" } else { "list" }));
    }
    policy(&root, "reader", &rules(PATH, "list"));
    let forgotten = access(&root, &format!("at={then}"));
    assert_eq!(forgotten["forgotten_policies"], json!(["reader"]), "{forgotten}");
    assert_eq!(who(&root, "")["user bob"], "list");
}

/// The server's time now, behind everything that was done.
fn now(client: &Client) -> String {
    access(client, "")["at"].as_str().unwrap().to_owned()
}

/// Who may read, and whether it is said since when.
fn readers_at(client: &Client, at: &str) -> Vec<String> {
    let all = access(client, &format!("at={at}"));
    assert_eq!((&all["forgotten"], &all["forgotten_policies"]), (&json!([]), &json!([])), "{all}");
    let rows = all["principals"].as_array().unwrap().iter().filter(|row| row["kind"] != "token");
    let name = |row: &Value| {
        assert_eq!(row["since_unknown"], json!(false), "{row}");
        let text = |name: &str| row[name].as_str().unwrap();
        format!("{} {}{}", text("kind"), text("mount"), text("name").split(" (").next().unwrap())
    };
    rows.filter(|row| row["capabilities"] == json!(["read"])).map(name).collect()
}

fn roles_users_and_groups_are_as_they_were_then(server: &mut Server) {
    let root = ready(server);
    put(&root, "db", &json!({"k": "v"}));
    policy(&root, "reader", &rules(PATH, "read"));
    let auditor = auditor(&root);
    for method in ["userpass", "approle", "cert", "jwt", "kubernetes"] {
        post(&root, &format!("sys/auth/{method}"), &json!({"type": method}));
    }
    let empty = now(&auditor);
    let pem = Authority::new("clients").pem();
    let account = json!({"bound_service_account_names": "a", "bound_service_account_namespaces": "b"});
    let with = |mut body: Value, policies: &str| {
        body["token_policies"] = json!(policies);
        body
    };
    let jwt = json!({"role_type": "jwt", "user_claim": "sub", "bound_subject": "s"});
    let write = |policies: &str| {
        for (path, body) in [
            ("auth/userpass/users/bob", with(json!({"password": "a long one"}), policies)),
            ("auth/approle/role/app", with(json!({}), policies)),
            ("auth/cert/certs/web", with(json!({"certificate": pem}), policies)),
            ("auth/jwt/role/ci", with(jwt.clone(), policies)),
            ("auth/kubernetes/role/pod", with(account.clone(), policies)),
            ("auth/token/roles/job", json!({"allowed_policies": policies})),
            ("identity/entity", json!({"name": "ann", "policies": [policies]})),
            ("identity/group", json!({"name": "dbas", "policies": [policies]})),
        ] {
            post(&root, path, &body);
        }
    };
    let all = [
        "approle role auth/approle/app",
        "cert role auth/cert/web",
        "entity identity/ann",
        "group identity/dbas",
        "jwt role auth/jwt/ci",
        "kubernetes role auth/kubernetes/pod",
        "token role auth/token/job",
        "user auth/userpass/bob",
    ];
    write("reader");
    let made = now(&auditor);
    // Nothing about access changes: neither does the answer.
    post(&root, "auth/userpass/users/bob", &json!({"password": "another long one"}));
    write("default");
    let changed = now(&auditor);
    write("reader");
    let again = now(&auditor);
    for path in [
        "auth/userpass/users/bob",
        "auth/approle/role/app",
        "auth/cert/certs/web",
        "auth/jwt/role/ci",
        "auth/token/roles/job",
        "identity/entity/name/ann",
        "identity/group/name/dbas",
    ] {
        root.call("DELETE", path, None).expect(204);
    }
    // A mount goes with all its roles, and is moved with them.
    root.call("DELETE", "sys/auth/kubernetes", None).expect(204);
    post(&root, "auth/approle/role/late", &json!({"token_policies": "reader"}));
    post(&root, "sys/remount", &json!({"from": "auth/approle", "to": "auth/machines"}));
    let gone = now(&auditor);
    for (at, expected) in
        [(&empty, &[][..]), (&made, &all), (&changed, &[]), (&again, &all), (&gone, &["approle role auth/machines/late"])]
    {
        assert_eq!(readers_at(&auditor, at), expected, "at {at}");
    }

    // By what it was in then: an entity reads by its group, and by its name.
    policy(&root, "own", r#"path "secret/data/{{identity.entity.name}}" { capabilities = ["read"] }"#);
    post(&root, "identity/entity", &json!({"name": "db", "policies": ["own"]}));
    post(&root, "identity/entity", &json!({"name": "member"}));
    let id = root.call("GET", "identity/entity/name/member", None).expect(200).json()["data"]["id"].clone();
    post(&root, "identity/group", &json!({"name": "team", "policies": ["reader"], "member_entity_ids": [id]}));
    let joined = now(&auditor);
    let db = entity(&root);
    post(&root, &format!("identity/entity/id/{db}"), &json!({"name": "other"}));
    post(&root, "identity/group", &json!({"name": "team", "policies": ["reader"], "member_entity_ids": []}));
    let left = now(&auditor);
    let late = "approle role auth/machines/late";
    assert_eq!(readers_at(&auditor, &joined), [late, "entity identity/db", "entity identity/member", "group identity/team"]);
    assert_eq!(readers_at(&auditor, &left), [late, "group identity/team"]);
}

fn references_are_as_they_were_then(server: &mut Server) {
    let root = ready(server);
    put(&root, "db", &json!({"k": "v"}));
    let auditor = auditor(&root);
    let for_whom = |at: &str| -> Vec<String> {
        let all = access(&auditor, at)["principals"].take();
        let rows = all.as_array().unwrap().iter().filter(|row| row["kind"] == "reference");
        rows.map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    let empty = now(&auditor);
    let bind = |name: &str| {
        let body = json!({"uri_sans": [format!("spiffe://example/{name}")], "uses": 5});
        root.call("POST", &format!("sys/references/bind/{PATH}"), Some(&body)).expect(200).json()["data"]["id"].take()
    };
    let revoke = |id: Value| drop(root.call("POST", "sys/references/revoke", Some(&json!({"id": id}))).expect(200));
    let (a, b) = (bind("a"), bind("b"));
    let both = now(&auditor);
    revoke(a);
    let one = now(&auditor);
    revoke(b);
    bind("c");
    let other = now(&auditor);
    root.call("DELETE", "secret/metadata/db", None).expect(204);
    let named = |names: &[&str]| names.iter().map(|name| format!("uri:spiffe://example/{name}")).collect::<Vec<_>>();
    for (at, expected) in [(empty, &[][..]), (both, &["a", "b"]), (one, &["b"]), (other, &["c"])] {
        assert_eq!(for_whom(&format!("at={at}")), named(expected), "at {at}");
    }
    assert_eq!(for_whom(""), named(&[]));
}

fn what_a_role_was_is_kept_within_a_bound(server: &mut Server) {
    let root = ready(server);
    policy(&root, "reader", &rules(PATH, "read"));
    let role = |policies: &str| post(&root, "auth/token/roles/ci", &json!({"allowed_policies": policies}));
    role("reader");
    let then = now(&root);
    for at in 0..strongroom::commit::past::VERSIONS_MAX {
        role(if at % 2 == 0 { "default" } else { "reader" });
    }
    let forgotten = access(&root, &format!("at={then}"));
    assert_eq!(forgotten["forgotten"], json!(["token role auth/token/ci"]), "{forgotten}");
    assert!(!who(&root, &format!("at={then}")).contains_key("token role ci"));
    assert_eq!(who(&root, "")["token role ci"], "read");
}
