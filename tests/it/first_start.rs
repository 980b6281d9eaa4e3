//! `initialize` stanzas: a deployment that begins as its configuration says, without anybody who holds a root token.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::client::Client;
use crate::support::postgres::Database;
use crate::support::process::run;
use crate::support::server::Server;
use crate::support::tools;

const TOKEN: &str = "canary-first-token";

/// A key that opens by itself, and the requests. The secret is in a file beside the configuration.
fn stanzas(folder: &Path) -> String {
    let (key, token) = (folder.join("root.key"), folder.join("token"));
    fs::write(&key, [7; 32]).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&token, TOKEN).unwrap();
    format!(
        r#"
seal "static" {{ key_file = "{key}" }}
initialize "mounts" {{
  request "kv" {{
    operation = "update"
    path      = "sys/mounts/secret"
    data      = {{ type = "kv-v2" }}
  }}
  request "again" {{
    operation     = "update"
    path          = "sys/mounts/secret"
    data          = {{ type = "kv-v2" }}
    allow_failure = true
  }}
}}
initialize "people" {{
  request "policy" {{
    operation = "create"
    path      = "sys/policies/acl/admin"
    data {{
      policy = "path \"*\" {{ capabilities = [\"create\", \"read\", \"update\", \"delete\", \"list\", \"sudo\"] }}"
    }}
  }}
  request "token" {{
    operation = "update"
    path      = "auth/token/create-orphan"
    data      = {{
      id       = {{ eval_source = "file", eval_type = "string", path = "{token}" }}
      policies = ["admin"]
    }}
  }}
}}
"#,
        key = key.display(),
        token = token.display()
    )
}

/// Starts on an empty store, and once more; the server as it runs then.
fn begins_as_it_is_told_once(storage: impl FnOnce(&Path) -> String) -> Server {
    let mut server = Server::configured(|folder| storage(folder) + &stanzas(folder), "", 200);
    let admin = Client::new(&server.target()).with_token(TOKEN);
    admin.call("GET", "secret/config", None).expect(200);
    // The root token is gone: only the one that a request made is there.
    let accessors = admin.call("LIST", "auth/token/accessors", None).expect(200).json();
    assert_eq!(accessors["data"]["keys"].as_array().map(Vec::len), Some(1), "{accessors}");
    let own = admin.call("GET", "auth/token/lookup-self", None).expect(200).json();
    assert_eq!((&own["data"]["orphan"], &own["data"]["policies"][0]), (&true.into(), &"admin".into()));
    assert!(server.output().contains("allowed to fail"), "{}", server.output());

    // What is changed afterwards stays: nothing is run again.
    admin.call("DELETE", "sys/mounts/secret", None).expect(204);
    assert!(server.stop().success(), "{}", server.output());
    server.start_again(200);
    admin.call("GET", "secret/config", None).expect(404);
    assert!(!server.output().contains("canary"), "{}", server.output());
    server
}

#[test]
fn begins_as_it_is_told_once_on_sqlite() {
    let storage = |folder: &Path| format!("storage \"sqlite\" {{\n  path = \"{}\"\n}}\n", folder.join("store.db").display());
    let mut server = begins_as_it_is_told_once(storage);
    assert!(server.stop().success());
    // The root token, four requests, its end; and the five requests of the test.
    let logs = server.tables().logs(100);
    let events: Vec<u64> = logs.iter().map(|rows| rows.iter().map(|row| u64::from(row.tail.count)).sum()).collect();
    assert!(events.iter().any(|count| *count >= 11), "{events:?}");
}

#[test]
fn begins_as_it_is_told_once_on_postgresql() {
    let database = Database::new();
    let (url, key) = (database.url("strongroom_runtime"), database.key_file());
    let key = key.display();
    begins_as_it_is_told_once(|_| {
        format!("storage \"postgresql\" {{\n  connection_url = \"{url}\"\n  context_key_file = \"{key}\"\n}}\n")
    });
}

#[test]
fn a_request_that_is_refused_ends_the_start_and_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let listener = "listener \"tcp\" {\n  address = \"127.0.0.1:0\"\n  tls_disable = true\n}\n";
    let storage = format!("storage \"sqlite\" {{\n  path = \"{}\"\n}}\n", folder.path().join("store.db").display());
    let bad = "initialize \"later\" {\n  request \"bad\" {\n    operation = \"update\"\n    path = \"sys/mounts/x\"\n    data = { type = \"nosuch\" }\n  }\n}\n";
    let file = folder.path().join("server.hcl");
    let start = |stanzas: &str| {
        fs::write(&file, [listener, &storage, stanzas].concat()).unwrap();
        run(&tools::strongroom(), &["server", "--config", file.to_str().unwrap()], &[], None)
    };
    let good = stanzas(folder.path());

    // What stands elsewhere is read before anything is made.
    fs::remove_file(folder.path().join("token")).unwrap();
    let done = start(&good);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("eval_source: ") && done.stderr.contains("token cannot be read"), "{}", done.stderr);
    fs::write(folder.path().join("token"), TOKEN).unwrap();

    let done = start(&(good + bad));
    assert_eq!(done.code, 1, "{}", done.stderr);
    let line = done.stderr.lines().last().unwrap();
    assert!(line.contains("request \"later\" request \"bad\"") || line.contains("initialize \"later\" request"), "{line}");
    assert!(line.contains("(POST sys/mounts/x): 400 ") && line.contains("4 of 5 requests were done"), "{line}");
    assert!(!done.stderr.contains("canary"), "{}", done.stderr);
}
