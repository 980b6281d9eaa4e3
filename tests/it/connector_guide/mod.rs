//! `docs/connector-secrets.md`: its blocks of code, as they stand there, on a server and a database of the platform's own.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use crate::support::fixture::{policy, ready, token};
use crate::support::on_stores;
use crate::support::postgres::Database;
use crate::support::process::run;
use crate::support::server::Server;
use crate::support::tools;

on_stores! {
    a_connector_is_installed_and_its_worker_gets_the_secret,
}

include!("worker.rs");

/// The block of code in this language.
fn block(language: &str) -> String {
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/connector-secrets.md")).unwrap();
    let (_, rest) = guide.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

fn a_connector_is_installed_and_its_worker_gets_the_secret(server: &mut Server) {
    let root = ready(server);
    policy(&root, "worker", r#"path "sys/references/resolve" { capabilities = ["update"] }"#);
    let installing = ["secret/data/connectors/*\" { capabilities = [\"create\", \"update\"] }"].concat();
    let binding = "sys/references/bind/secret/data/connectors/*\" { capabilities = [\"update\"] }";
    let keys = "datakey/reference/connectors\" { capabilities = [\"update\"] }";
    let keys = format!("path \"transit/{keys}\npath \"sys/references/bind/transit/{keys}");
    policy(&root, "installer", &format!("path \"{installing}\npath \"{binding}\n{keys}"));
    crate::transit::mount(&root);
    crate::transit::write(&root, "keys/connectors", &json!({}));
    let installer = token(&root, &json!({"policies": ["installer"]})).text;
    // The worker logs in with a name and password here; with a certificate it needs neither.
    root.call("POST", "sys/auth/userpass", Some(&json!({"type": "userpass"}))).expect(204);
    let user = json!({"password": "correct horse", "token_policies": ["worker"]});
    root.call("POST", "auth/userpass/users/worker", Some(&user)).expect(204);
    let login = root.call("POST", "auth/userpass/login/worker", Some(&json!({"password": "correct horse"}))).expect(200).json();
    let text = |name: &str| login["auth"][name].as_str().unwrap().to_owned();
    let (worker, entity) = (text("client_token"), text("entity_id"));

    let (target, database) = (server.target(), Database::new());
    let ca = target.ca.clone().unwrap();
    let tools_folder = tools::strongroom().parent().unwrap().display().to_string();
    let variables = |more: &[(&str, &str)]| -> Vec<(String, String)> {
        let common = [("BAO_ADDR", target.url.as_str()), ("BAO_CACERT", ca.to_str().unwrap())];
        common.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let platform = database.url("postgres");
    let path = format!("{tools_folder}:/usr/local/bin:/usr/bin:/bin");
    let given = variables(&[
        ("PATH", &path),
        ("BAO_TOKEN", &installer),
        ("PLATFORM_DB", &platform),
        ("CRM_PASSWORD", "hunter2"),
        ("WORKER", &entity),
    ]);
    let done = run(Path::new("/bin/sh"), &["-c", &block("shell")], &given, None);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    let done = run(Path::new("/bin/sh"), &["-c", &block("sh")], &given, None);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    let stored = |column: &str| {
        let query = format!("SELECT {column} FROM connector");
        let stored = run(Path::new("psql"), &["-tA", &platform, "-c", &query], &variables(&[]), None);
        let reference = stored.stdout.trim().to_owned();
        assert!(reference.starts_with("sref_") && reference.len() == 37, "{}{}", stored.stdout, stored.stderr);
        reference
    };
    let (reference, data_key) = (&stored("secret_reference"), &stored("data_key_reference"));

    let script = format!("{}{PYTHON}", block("python"));
    let given = variables(&[("VAULT_ADDR", &target.url), ("WORKER_TOKEN", &worker), ("REFERENCE", reference)]);
    let done = run(&tools::python(), &["-c", &script], &given, None);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);

    assert_eq!(block("rust"), include_str!("worker.rs"), "the guide's code is what is compiled here");
    let agent = agent(&ca);
    let secret = |token: &str, purpose: &str| resolve(&agent, &target.url, token, reference, purpose).unwrap();
    assert_eq!(secret(&worker, "crm-sync"), Some(json!({"user": "sync", "password": "hunter2"})));
    assert_eq!(secret(&worker, "another"), None);
    assert_eq!(secret(&target.token, "crm-sync"), None, "root is not the worker");
    let key = resolve(&agent, &target.url, &worker, data_key, "crm-data").unwrap().unwrap();
    assert!(key["plaintext"].is_string() && key["ciphertext"].is_string());
    assert_eq!(resolve(&agent, &target.url, &target.token, data_key, "crm-data").unwrap(), None, "root is not the worker");
    root.call("POST", "sys/references/revoke", Some(&json!({"reference": data_key}))).expect(200);
    assert_eq!(resolve(&agent, &target.url, &worker, data_key, "crm-data").unwrap(), None, "revoked");
    operate(&variables(&[("BAO_TOKEN", &target.token)]), reference, &entity);
    assert_eq!(secret(&worker, "crm-sync"), None, "revoked");
}

/// What an operator does with the command line.
fn operate(environment: &[(String, String)], reference: &str, entity: &str) {
    let reference_command = |arguments: &[&str]| {
        let done = run(&tools::strongroom(), &[&["reference"], arguments].concat(), environment, None);
        assert_eq!(done.code, 0, "{arguments:?}: {}{}", done.stdout, done.stderr);
        done.stdout
    };
    let lines = |text: &str| text.lines().count();
    let all = reference_command(&["list"]);
    assert_eq!((lines(&all), reference_command(&["list", "--entity", entity])), (1, all.clone()));
    assert_eq!(lines(&reference_command(&["list", "--path", "connectors/crm"])), 2, "the standing one, too");
    let told = reference_command(&["describe", all.trim()]);
    assert!(told.contains("secret/data/connectors/crm") && told.contains("crm-sync") && !told.contains("hunter2"), "{told}");
    let minted =
        reference_command(&["mint", "--secret-field", "password", "--uses", "1", "--field", "reference", "connectors/crm"]);
    let new = reference_command(&["rotate", "--field", "reference", &minted]);
    assert_eq!(reference_command(&["resolve", "--field", "password", &new]), "hunter2");
    assert!(reference_command(&["revoke", reference]).contains('1'));
    assert!(reference_command(&["revoke", "--path", "connectors/crm"]).contains('2'));
    let wrong = run(&tools::strongroom(), &["reference", "check", &reference.to_uppercase()], &[], None);
    assert_eq!(wrong.code, 1, "{}", wrong.stdout);
}

/// What calls the guide's function.
const PYTHON: &str = r#"
import os

client = hvac.Client(url=os.environ["VAULT_ADDR"], token=os.environ["WORKER_TOKEN"], verify=os.environ["BAO_CACERT"])
reference = os.environ["REFERENCE"]
wanted = [{"reference": reference, "purpose": "crm-sync"}, {"reference": "sref_" + "a" * 32}]
known = resolve(client, wanted, {})
assert list(known) == [reference], known
assert known[reference][1] == {"user": "sync", "password": "hunter2"}
assert resolve(client, wanted, known) == known
"#;

fn agent(ca: &Path) -> ureq::Agent {
    use ureq::tls::{Certificate, RootCerts, TlsConfig};
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let root = Certificate::from_pem(&fs::read(ca).unwrap()).unwrap();
    let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider).root_certs(RootCerts::new_with_certs(&[root]));
    ureq::Agent::config_builder().tls_config(tls.build()).build().into()
}
