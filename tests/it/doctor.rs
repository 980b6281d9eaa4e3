//! `operator doctor`: what is wrong is said before a start finds out, and nothing is changed by looking.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::seals::sqlite;
use crate::support::certificates::{Authority, BEGIN, END, Leaf, PAST};
use crate::support::client::Client;
use crate::support::postgres::Database;
use crate::support::process::{Finished, free_port, run};
use crate::support::server::{Server, storage_stanza};
use crate::support::softhsm::{SoftHsm, library};
use crate::support::tools;

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// `seal "static"`, whose key file is made.
fn key_file(folder: &Path) -> String {
    let path = folder.join("root.key");
    std::fs::write(&path, [7; 32]).unwrap();
    mode(&path, 0o600);
    format!("seal \"static\" \"file\" {{\n  key_file = \"{}\"\n}}\n", path.display())
}

fn ask(server: &Server, file: &Path, arguments: &[&str], address: bool) -> Finished {
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let target = server.target();
    let mut variables = vec![set("HOME", server.folder().to_str().unwrap())];
    if address {
        variables.extend([set("VAULT_ADDR", &target.url), set("VAULT_CACERT", target.ca.as_ref().unwrap().to_str().unwrap())]);
    }
    let whole = [&["operator", "doctor", "--config", file.to_str().unwrap()], arguments].concat();
    run(&tools::strongroom(), &whole, &variables, None)
}

/// All findings for a configuration, and the exit code; what every finding must be is checked.
fn findings_of(server: &Server, file: &Path, address: bool) -> (i32, Vec<Value>) {
    let done = ask(server, file, &["--format", "json"], address);
    let findings: Vec<Value> = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{}{}", done.stdout, done.stderr));
    for finding in &findings {
        assert_eq!(finding["outcome"] == "ok", finding["remedy"] == "", "{finding}");
    }
    let failed = findings.iter().any(|finding| finding["outcome"] == "fail");
    assert_eq!(done.code, i32::from(failed), "{}", done.stdout);
    (done.code, findings)
}

fn findings(server: &Server) -> Vec<Value> {
    findings_of(server, &server.folder().join("strongroom.hcl"), false).1
}

/// The one finding of this check whose outcome and text are these.
#[track_caller]
fn assert_finding(findings: &[Value], check: &str, outcome: &str, text: &str) {
    let is = |finding: &&Value| {
        finding["check"].as_str().unwrap().starts_with(check)
            && finding["outcome"] == outcome
            && finding["text"].as_str().unwrap().contains(text)
    };
    assert_eq!(findings.iter().filter(is).count(), 1, "{check} {outcome} {text}: {findings:#?}");
}

#[test]
fn a_server_that_is_well_is_found_so_while_it_runs_and_while_it_does_not() {
    let mut server = Server::configured(|folder| sqlite(folder) + &key_file(folder), "", 501);
    let file = server.folder().join("strongroom.hcl");
    let (_, found) = findings_of(&server, &file, true);
    assert_finding(&found, "running server", "warn", "is not initialised");
    let client = Client::new(&server.target());
    let init = client.call("PUT", "sys/init", Some(&json!({"recovery_shares": 1, "recovery_threshold": 1}))).expect(200).json();

    let (code, found) = findings_of(&server, &file, true);
    assert_eq!(code, 0, "{found:#?}");
    assert_finding(&found, "configuration", "ok", "1 listeners, 1 seals");
    assert_finding(&found, "seal \"file\"", "ok", "wraps, and opens what it wrapped");
    assert_finding(&found, "storage \"sqlite\"", "ok", &format!("(pid {})", server.process_id()));
    assert_finding(&found, "TLS of", "ok", "and its key fit");
    assert_finding(&found, "disk of", "ok", " MiB free");
    assert_finding(&found, "running server", "ok", "is open");
    assert_finding(&found, "clock of the running server", "ok", "s apart");
    let shown = ask(&server, &file, &[], true);
    assert_eq!(shown.stdout.lines().count(), found.len(), "{}", shown.stdout);
    assert!(shown.stdout.lines().all(|line| ["ok    ", "warn  "].iter().any(|word| line.starts_with(word))), "{}", shown.stdout);

    client.with_token(init["root_token"].as_str().unwrap()).call("PUT", "sys/seal", None).expect(204);
    let (_, found) = findings_of(&server, &file, true);
    assert_finding(&found, "running server", "fail", "is sealed");

    assert!(server.stop().success());
    let before: Vec<_> = std::fs::read_dir(server.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let (code, found) = findings_of(&server, &file, true);
    assert_eq!(code, 0, "{found:#?}");
    assert_finding(&found, "storage \"sqlite\"", "ok", "no server uses it now");
    assert_finding(&found, "running server", "warn", "refuses connections");
    let after: Vec<_> = std::fs::read_dir(server.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(before.len(), after.len(), "looking leaves nothing behind: {after:?}");
    server.start_again(200);
}

#[test]
fn what_is_wrong_with_files_is_named_with_what_to_do() {
    let mut server = Server::configured(|folder| sqlite(folder) + &key_file(folder), "", 501);
    assert!(server.stop().success());
    let folder = server.folder().to_owned();
    let [key, store, chain, tls_key] =
        ["root.key", "store.db", "server-cert.pem", "server-key.pem"].map(|name| folder.join(name));

    mode(&key, 0o644);
    assert_finding(&findings(&server), "seal \"file\"", "fail", "has mode 0644");
    mode(&key, 0o600);
    std::fs::write(&key, b"canary-of-a-short-key").unwrap();
    let found = findings(&server);
    assert_finding(&found, "seal \"file\"", "fail", "holds no key");
    assert!(!format!("{found:?}").contains("canary"), "{found:?}");
    std::fs::write(&key, [7; 32]).unwrap();

    mode(&store, 0o644);
    assert_finding(&findings(&server), "storage \"sqlite\"", "warn", "has mode 0644");
    mode(&store, 0o600);
    mode(&tls_key, 0o644);
    assert_finding(&findings(&server), "TLS of", "warn", "others than its owner may read the key");
    mode(&tls_key, 0o600);

    // Certificates: of another key, over, soon over.
    let (good_chain, good_key) = (std::fs::read(&chain).unwrap(), std::fs::read(&tls_key).unwrap());
    let authority = Authority::new("authority");
    let signed = |from: u64, until: u64| authority.sign(&Leaf { from, until, addresses: &[[127, 0, 0, 1]], ..Leaf::new() });
    std::fs::write(&chain, signed(BEGIN, END).pem).unwrap();
    assert_finding(&findings(&server), "TLS of", "fail", "is not the key of the certificate");
    let now = u64::try_from(strongroom::time::Clock::now(&strongroom::time::SystemClock).unix_seconds()).unwrap();
    for (until, outcome, text) in [(PAST, "fail", "and now is"), (now + 3 * 86_400 + 3_600, "warn", "3 days left")] {
        let made = signed(BEGIN, until);
        std::fs::write(&chain, made.pem).unwrap();
        std::fs::write(&tls_key, made.key).unwrap();
        assert_finding(&findings(&server), "TLS of", outcome, text);
    }
    std::fs::write(&chain, good_chain).unwrap();
    std::fs::write(&tls_key, good_key).unwrap();

    // The store: of other software, of a newer version, in a folder that is not there, not there itself.
    let whole = std::fs::read(&store).unwrap();
    for (at, bytes, text) in [
        (0, &b"not SQL"[..], "is no SQLite database"),
        (68, &[1, 2, 3, 4], "other software"),
        (60, &[0, 0, 0, 99], "newer strongroom"),
    ] {
        let mut changed = whole.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        std::fs::write(&store, changed).unwrap();
        assert_finding(&findings(&server), "storage \"sqlite\"", "fail", text);
    }
    std::fs::write(&store, whole).unwrap();
    let file = folder.join("other.hcl");
    let config = std::fs::read_to_string(folder.join("strongroom.hcl")).unwrap();
    for (name, check, outcome, text) in [
        ("nowhere/store.db", "storage \"sqlite\"", "fail", "No such file"),
        ("new.db", "storage \"sqlite\"", "ok", "is not there yet"),
    ] {
        std::fs::write(&file, config.replace("store.db", name)).unwrap();
        assert_finding(&findings_of(&server, &file, false).1, check, outcome, text);
    }
    std::fs::write(&file, config.replace("log_level", "log_levle")).unwrap();
    let (code, found) = findings_of(&server, &file, false);
    assert_finding(&found, "configuration", "fail", "log_levle: unknown key");
    assert_eq!(code, 1);
    server.start_again(501);
}

#[test]
fn a_database_is_examined_as_a_start_would() {
    let database = Database::new();
    let mut server = Server::configured(|folder| storage_stanza(&database) + "\n" + &key_file(folder), "", 501);
    let found = findings(&server);
    for (check, text) in [
        ("storage \"postgresql\" connection", "signed in"),
        ("storage \"postgresql\" server", "new enough"),
        ("storage \"postgresql\" role", "row-level security"),
        ("storage \"postgresql\" schema", "has version"),
        ("storage \"postgresql\" context key", "is the database's"),
        ("clock of the database", "s apart"),
    ] {
        assert_finding(&found, check, "ok", text);
    }
    assert!(server.stop().success());
    let grant = |verb: &str, word: &str| format!("{verb} UPDATE ON strongroom.log {word} strongroom_runtime");
    database.sql("strongroom_owner", &grant("GRANT", "TO"));
    assert_finding(&findings(&server), "storage \"postgresql\" schema", "fail", "has UPDATE on strongroom.log");
    database.sql("strongroom_owner", &grant("REVOKE", "FROM"));
    database.sql("strongroom_owner", "INSERT INTO strongroom.schema_version (version) VALUES (99)");
    assert_finding(&findings(&server), "storage \"postgresql\" schema", "fail", "schema version 99");
    database.sql("strongroom_owner", "DELETE FROM strongroom.schema_version WHERE version = 99");

    let file = server.folder().join("other.hcl");
    let config = std::fs::read_to_string(server.folder().join("strongroom.hcl")).unwrap();
    let other_key = server.folder().join("context.key");
    std::fs::write(&other_key, "a".repeat(64)).unwrap();
    mode(&other_key, 0o600);
    let url = format!("postgresql://u:canary-password@127.0.0.1:{}/x", free_port());
    for (from, to, check, text) in [
        (
            database.key_file().display().to_string(),
            other_key.display().to_string(),
            "storage \"postgresql\" context key",
            "context key",
        ),
        (database.url("strongroom_runtime"), url, "storage \"postgresql\" connection", "not available"),
        (database.url("strongroom_runtime"), database.url("strongroom_owner"), "storage \"postgresql\" role", "strongroom_owner"),
    ] {
        assert!(config.contains(&from), "{config}");
        std::fs::write(&file, config.replace(&from, &to)).unwrap();
        let (_, found) = findings_of(&server, &file, false);
        assert_finding(&found, check, "fail", text);
        assert!(!format!("{found:?}").contains("canary"), "{found:?}");
    }
}

#[test]
fn each_seal_is_tried_by_itself() {
    let mut server = Server::configured(|folder| sqlite(folder) + &key_file(folder), "", 501);
    assert!(server.stop().success());
    SoftHsm::new(server.folder());
    let hsm = |name: &str, pin: &str| {
        let module = library().display().to_string();
        format!(
            "seal \"pkcs11\" \"{name}\" {{\n lib = \"{module}\"\n token_label = \"strongroom\"\n pin = \"{pin}\"\n key_label = \"root\"\n}}\n"
        )
    };
    let transit = format!(
        "seal \"transit\" \"away\" {{\n address = \"http://127.0.0.1:{}\"\n token = \"canary-of-a-token\"\n key_name = \"root\"\n timeout = \"1s\"\n}}\n",
        free_port()
    );
    let config = std::fs::read_to_string(server.folder().join("strongroom.hcl")).unwrap();
    let file = server.folder().join("other.hcl");
    for (seals, code, outcomes) in [
        (
            hsm("good", crate::support::softhsm::PIN) + "seal \"recovery\" {}\n",
            0,
            vec![("good", "ok", "wraps"), ("recovery", "warn", "recovery shares")],
        ),
        (
            hsm("bad", "canary-pin-2") + &transit,
            1,
            vec![("bad", "fail", "the PIN is wrong"), ("away", "fail", "is not available"), ("file", "ok", "wraps")],
        ),
    ] {
        std::fs::write(&file, format!("{config}{seals}")).unwrap();
        let (found_code, found) = findings_of(&server, &file, false);
        assert_eq!(found_code, code, "{found:#?}");
        for (name, outcome, text) in outcomes {
            assert_finding(&found, &format!("seal \"{name}\""), outcome, text);
        }
        assert!(!format!("{found:?}").contains("canary"), "{found:?}");
    }
    server.start_again(501);
}
