//! `strongroom apply`: from nothing to what files describe, and nothing more than that.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::client::Client;
use crate::support::fixture::{namespace, policy, put, token};
use crate::support::openbao::OpenBao;
use crate::support::process::{Finished, run};
use crate::support::server::Server;
use crate::support::{Target, on_stores, tools};

on_stores! {
    the_example_is_applied_once_and_drift_is_repaired,
    a_dry_run_says_what_would_be_done_and_does_nothing,
    an_error_in_the_middle_says_what_was_done_and_a_further_run_goes_on,
    pruning_removes_what_is_described_nowhere_and_data_only_when_told_to,
    secrets_come_from_elsewhere_and_are_never_printed,
    roles_groups_and_objects_are_described_too,
    audit_settings_are_described_too,
}

/// The command line, in a folder of its own.
struct Cli {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

impl Cli {
    fn new(target: &Target) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut variables = vec![set("HOME", folder.path().to_str().unwrap()), set("BAO_ADDR", &target.url)];
        variables.extend(target.ca.as_ref().map(|ca| set("BAO_CACERT", ca.to_str().unwrap())));
        variables.push(set("BAO_TOKEN", &target.token));
        Self { folder, variables }
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        fs::write(&file, text).unwrap();
        file
    }

    fn apply(&self, path: &Path, flags: &[&str]) -> Finished {
        let arguments = [&["apply", path.to_str().unwrap()], flags].concat();
        run(&tools::strongroom(), &arguments, &self.variables, None)
    }

    /// Applies and expects this exit code; what was printed.
    #[track_caller]
    fn expect(&self, code: i32, path: &Path, flags: &[&str]) -> String {
        let done = self.apply(path, flags);
        assert_eq!(done.code, code, "{}{}", done.stdout, done.stderr);
        done.stdout + &done.stderr
    }
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/tenant.hcl")
}

/// A token that can read everything and write nothing, in all namespaces: what runs with it has sent no write.
fn reader(root: &Client) -> String {
    policy(root, "looks-only", "path \"*\" { capabilities = [\"read\", \"list\", \"sudo\"] }");
    token(root, &json!({"policies": ["looks-only"]})).text
}

fn the_example_is_applied_once_and_drift_is_repaired(server: &mut Server) {
    let root = Client::new(&server.target());
    let mut cli = Cli::new(&server.target());
    let said = cli.expect(0, &example(), &[]);
    assert!(said.contains("+ namespace \"acme\"\n") && said.contains("+ acme/team-a policy \"writer\"\n"), "{said}");
    assert!(said.contains("Done: 8 created, 0 changed, 0 removed."), "{said}");

    let acme = root.in_namespace("acme");
    let mounts = acme.call("GET", "sys/mounts", None).expect(200).json();
    let mount = &mounts["data"]["connectors/"];
    assert_eq!((&mount["config"]["max_lease_ttl"], &mount["options"]["version"]), (&json!(86400), &json!("2")));
    assert_eq!(acme.call("GET", "connectors/config", None).expect(200).json()["data"]["max_versions"], 20);
    let written = acme.call("GET", "sys/policies/acl/connector-reader", None).expect(200).json();
    assert!(written["data"]["policy"].as_str().unwrap().starts_with("# Application services"), "{written}");
    let own = root.call("GET", "sys/namespaces/acme", None).expect(200).json();
    assert_eq!(own["data"]["custom_metadata"]["tier"], "gold");
    root.in_namespace("acme/team-a").call("GET", "secret/config", None).expect(200);

    let all = cli.variables.clone();
    cli.set("BAO_TOKEN", &reader(&root));
    assert_eq!(cli.expect(0, &example(), &[]), "Nothing to do.\n");
    cli.variables = all;

    // Drift: what is described is repaired, what is not stays.
    acme.call("POST", "sys/mounts/connectors/tune", Some(&json!({"max_lease_ttl": "2h", "description": "mine"}))).expect(204);
    acme.call("POST", "connectors/config", Some(&json!({"max_versions": 3}))).expect(204);
    policy(&acme, "connector-reader", "path \"connectors/data/*\" { capabilities = [\"deny\"] }");
    root.call("POST", "sys/namespaces/acme", Some(&json!({"custom_metadata": {"tier": "lead", "other": "x"}}))).expect(200);
    policy(&acme, "of-somebody-else", "path \"x\" { capabilities = [\"read\"] }");
    let said = cli.expect(0, &example(), &[]);
    for line in [
        "~ acme mount \"connectors\" config.max_lease_ttl: 7200 -> \"24h\"\n",
        "~ acme mount \"connectors\" description: \"mine\" -> \"Secrets of the connectors\"\n",
        "~ acme object \"connectors/config\" max_versions: 3 -> 20\n",
        "~ acme policy \"connector-reader\" rules: 1 line -> 3 lines\n",
        "      - path \"connectors/data/*\" { capabilities = [\"deny\"] }\n",
        "~ namespace \"acme\" custom_metadata: {\"other\":\"x\",\"tier\":\"lead\"} -> ",
        "Done: 0 created, 4 changed, 0 removed.",
    ] {
        assert!(said.contains(line), "{line}\n--- is not in\n{said}");
    }
    assert_eq!(cli.expect(0, &example(), &[]), "Nothing to do.\n");
    acme.call("GET", "sys/policies/acl/of-somebody-else", None).expect(200);
}

fn a_dry_run_says_what_would_be_done_and_does_nothing(server: &mut Server) {
    let root = Client::new(&server.target());
    let mut cli = Cli::new(&server.target());
    let reader = reader(&root);
    let writer = cli.variables.clone();
    cli.set("BAO_TOKEN", &reader);
    let said = cli.expect(3, &example(), &["--dry-run"]);
    assert!(said.ends_with("To be done: 8 created, 0 changed, 0 removed. Nothing was written.\n"), "{said}");
    root.call("LIST", "sys/namespaces", None).expect(404);

    let done = cli.apply(&example(), &["--dry-run", "--format=json"]);
    assert_eq!((done.code, done.stderr.as_str()), (3, ""));
    let shown: Value = serde_json::from_str(&done.stdout).unwrap();
    let first = &shown["changes"][0];
    assert_eq!((&first["action"], &first["kind"], &first["name"]), (&json!("create"), &json!("namespace"), &json!("acme")));
    assert_eq!((&shown["dry_run"], shown["changes"].as_array().map(Vec::len)), (&json!(true), Some(8)));

    // The same token may not write: the real run needs another.
    let said = cli.expect(2, &example(), &[]);
    assert!(said.contains("permission denied") && said.contains("Nothing was done."), "{said}");
    cli.variables = writer;
    cli.expect(0, &example(), &[]);
    cli.set("BAO_TOKEN", &reader);
    assert_eq!(cli.expect(0, &example(), &["--dry-run"]), "Nothing to do.\n");
}

fn an_error_in_the_middle_says_what_was_done_and_a_further_run_goes_on(server: &mut Server) {
    let root = Client::new(&server.target());
    let cli = Cli::new(&server.target());
    let text = |rules: &str| {
        format!(
            "namespace \"acme\" {{\n  mount \"secret\" {{ type = \"kv-v2\" }}\n  policy \"a\" {{ rules = {rules:?} }}\n  \
             policy \"z\" {{ rules = \"path \\\"y\\\" {{}}\" }}\n}}\n"
        )
    };
    let said = cli.expect(2, &cli.file("a.hcl", &text("path \"x\" { capabilities = [\"fly\"] }")), &[]);
    let (done, rest) = said.split_once("Not done:").unwrap();
    assert!(done.contains("the server answered 400 to POST /v1/sys/policies/acl/a"), "{said}");
    assert!(done.contains("(in namespace acme)") && done.contains("a.hcl:3)"), "{said}");
    assert!(done.contains("Done, and stays:\n  namespace \"acme\"\n  acme mount \"secret\"\n"), "{said}");
    assert_eq!(rest, "\n  acme policy \"a\"\n  acme policy \"z\"\n");
    root.in_namespace("acme").call("GET", "secret/config", None).expect(200);

    let right = text("path \"x\" { capabilities = [\"read\"] }");
    let said = cli.expect(0, &cli.file("a.hcl", &right), &[]);
    assert!(said.ends_with("Done: 2 created, 0 changed, 0 removed.\n"), "{said}");

    // A type cannot be changed, and nothing else is begun then.
    let other = right.replace("kv-v2", "kv-v1").replace("policy \"z\"", "policy \"y\"");
    let said = cli.expect(0, &cli.file("b.hcl", &right), &[]);
    assert_eq!(said, "Nothing to do.\n");
    let other = other.replace("kv-v1", "transit");
    let said = cli.expect(1, &cli.file("b.hcl", &other), &[]);
    assert!(said.contains("b.hcl:2: mount \"secret\" type: is \"kv\" and cannot become \"transit\""), "{said}");
    root.in_namespace("acme").call("GET", "sys/policies/acl/y", None).expect(404);

    // A field that the server does not know is told at once.
    let odd = cli.file("odd.hcl", "namespace \"acme\" {\n  object \"secret/config\" { no_such_field = 7 }\n}");
    let said = cli.expect(1, &odd, &[]);
    assert!(said.contains("still shows other values") && said.contains("no_such_field: (none) -> 7"), "{said}");
}

fn pruning_removes_what_is_described_nowhere_and_data_only_when_told_to(server: &mut Server) {
    let root = Client::new(&server.target());
    let cli = Cli::new(&server.target());
    cli.expect(0, &example(), &[]);
    let acme = root.in_namespace("acme");
    policy(&acme, "left-over", "path \"x\" { capabilities = [\"read\"] }");
    acme.call("POST", "sys/mounts/old", Some(&json!({"type": "kv", "options": {"version": "2"}}))).expect(204);
    acme.call("POST", "old/data/x", Some(&json!({"data": {"k": "v"}}))).expect(200);
    namespace(&namespace(&acme, "team-b").in_namespace("acme/team-b"), "deep");
    // Of a namespace whose description names no namespaces, and of kinds that it does not name, nothing is removed.
    namespace(&root.in_namespace("acme/team-a"), "inner");
    policy(&root, "top", "path \"x\" { capabilities = [\"read\"] }");

    assert_eq!(cli.expect(0, &example(), &[]), "Nothing to do.\n");
    let said = cli.expect(0, &example(), &["--prune"]);
    assert!(said.contains("- acme policy \"left-over\"\n") && said.contains("Done: 0 created, 0 changed, 1 removed."), "{said}");
    assert!(said.contains("  acme mount \"old\" is not described and stays"), "{said}");
    assert!(said.contains("  acme namespace \"team-b\" is not described and stays"), "{said}");
    acme.call("GET", "sys/policies/acl/left-over", None).expect(404);
    acme.call("GET", "old/data/x", None).expect(200);
    acme.call("GET", "sys/policies/acl/service", None).expect(200);

    assert_eq!(cli.expect(3, &example(), &["--prune=destructive", "--dry-run"]).matches("\n- ").count(), 2);
    let said = cli.expect(0, &example(), &["--prune=destructive"]);
    let order =
        ["- acme mount \"old\"", "- acme/team-b namespace \"deep\"", "- acme namespace \"team-b\""].map(|line| said.find(line));
    assert!(order.is_sorted() && order.iter().all(Option::is_some), "{said}");
    assert_eq!(cli.expect(0, &example(), &["--prune=destructive"]), "Nothing to do.\n");
    acme.call("GET", "sys/namespaces/team-b", None).expect(404);
    acme.call("GET", "sys/namespaces/team-a", None).expect(200);
    root.in_namespace("acme/team-a").call("GET", "sys/namespaces/inner", None).expect(200);
    root.call("GET", "sys/policies/acl/top", None).expect(200);
}

fn secrets_come_from_elsewhere_and_are_never_printed(server: &mut Server) {
    let root = Client::new(&server.target());
    let mut cli = Cli::new(&server.target());
    crate::support::fixture::mount(&root, "secret");
    put(&root, "crm", &json!({"password": "canary-old"}));
    cli.file("key.pem", "canary-of-a-key");
    let file = cli.file(
        "a.hcl",
        "object \"secret/data/crm\" {\n  data = {\n    password = env(\"CRM_PASSWORD\")\n    private_key = file(\"key.pem\")\n  }\n}\n",
    );
    let said = cli.expect(1, &file, &[]);
    assert!(said.contains("a.hcl:3: env: the environment has no CRM_PASSWORD"), "{said}");
    cli.set("CRM_PASSWORD", "canary-new");
    let mut said = cli.expect(3, &file, &["--dry-run"]);
    said.push_str(&cli.expect(3, &file, &["--dry-run", "--format=json"]));
    said.push_str(&cli.expect(0, &file, &[]));
    assert!(said.contains("~ object \"secret/data/crm\" data: (secret) -> (secret)\n"), "{said}");
    assert!(!said.contains("canary"), "{said}");
    let read = root.call("GET", "secret/data/crm", None).expect(200).json();
    assert_eq!(read["data"]["data"], json!({"password": "canary-new", "private_key": "canary-of-a-key"}));
    assert_eq!(cli.expect(0, &file, &[]), "Nothing to do.\n");

    let clear = cli.file("b.hcl", "object \"secret/data/crm\" {\n  data = { password = \"canary-clear\" }\n}\n");
    let said = cli.expect(1, &clear, &[]);
    assert!(said.contains("b.hcl:2: object \"secret/data/crm\" data password: a secret must not stand in the file"), "{said}");
    assert!(!said.contains("canary"), "{said}");
}

#[test]
fn a_folder_is_one_description_and_wrong_files_are_one_line() {
    let server = Server::dev();
    let root = Client::new(&server.target());
    let cli = Cli::new(&server.target());
    let folder = cli.folder.path().join("tenants");
    fs::create_dir(&folder).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    write("reader.policy", "path \"secret/*\" { capabilities = [\"read\"] }");
    write("10.hcl", "namespace \"a\" {\n  policy \"reader\" { file = \"reader.policy\" }\n}");
    write("20.json", r#"{"namespace": {"a": {"mount": {"secret": {"type": "kv-v2"}}}, "b": {}}}"#);
    cli.expect(0, &folder, &[]);
    let read = root.in_namespace("a").call("GET", "sys/policies/acl/reader", None).expect(200).json();
    assert_eq!(read["data"]["policy"], "path \"secret/*\" { capabilities = [\"read\"] }");
    assert_eq!(cli.expect(0, &folder, &[]), "Nothing to do.\n");
    // What stands at the top is meant in the namespace that the command works in.
    let top = cli.file("top.hcl", "policy \"in-b\" { rules = \"path \\\"x\\\" {}\" }");
    cli.expect(0, &top, &["--namespace", "b"]);
    root.in_namespace("b").call("GET", "sys/policies/acl/in-b", None).expect(200);

    write("30.hcl", "namespace \"a\" {\n  mount \"secret\" { type = \"kv-v2\" }\n}");
    let line = cli.expect(1, &folder, &[]);
    assert!(line.contains("20.json:1: mount \"secret\": is already described in") || line.contains("30.hcl:2: mount"), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(cli.expect(1, &folder.join("nowhere.hcl"), &[]).contains("cannot be read"));
}

fn roles_groups_and_objects_are_described_too(server: &mut Server) {
    describe_all(&server.target());
}

fn audit_settings_are_described_too(server: &mut Server) {
    let root = Client::new(&server.target());
    let cli = Cli::new(&server.target());
    let text = |hmac| {
        let headers = format!("audited_header \"X-Correlation-Id\" {{ hmac = {hmac} }}\n  audited_header \"x-tenant\" {{}}");
        format!("namespace \"acme\" {{\n  {headers}\n}}")
    };
    let file = cli.file("audit.hcl", &text(true));
    let said = cli.expect(3, &file, &["--dry-run"]);
    assert!(said.contains("+ acme audited_header \"X-Correlation-Id\"\n    hmac = true\n"), "{said}");
    cli.expect(0, &file, &[]);
    assert_eq!(cli.expect(0, &file, &["--prune"]), "Nothing to do.\n");

    let (acme, path) = (root.in_namespace("acme"), "sys/config/auditing/request-headers");
    acme.call("POST", &format!("{path}/x-left-over"), None).expect(204);
    let file = cli.file("audit.hcl", &text(false));
    let said = cli.expect(0, &file, &["--prune"]);
    assert!(said.contains("~ acme audited_header \"X-Correlation-Id\" hmac: true -> false\n"), "{said}");
    assert!(said.contains("- acme audited_header \"x-left-over\"\n"), "{said}");
    assert_eq!(cli.expect(0, &file, &["--prune", "--dry-run"]), "Nothing to do.\n");
    let shown = acme.call("GET", path, None).expect(200).json();
    assert_eq!(shown["data"]["headers"], json!({"x-correlation-id": {"hmac": false}, "x-tenant": {"hmac": false}}));
    let refused = cli.file("audit.hcl", "audited_header \"authorization\" { hmac = true }");
    assert!(cli.expect(2, &refused, &[]).contains("holds credentials"));
}

/// Nothing in a description is of this server only.
#[test]
fn openbao_takes_the_same_descriptions() {
    describe_all(&OpenBao::dev().target);
}

/// Applies each kind of object, changes it past the description, and has that put right.
fn describe_all(target: &Target) {
    let root = Client::new(target);
    let cli = Cli::new(target);
    let file = cli.file(
        "all.hcl",
        r#"
namespace "acme" {
  custom_metadata = { tier = "gold" }
  mount "secret" {
    type   = "kv-v2"
    config { max_lease_ttl = "24h" }
  }
  auth "approle" {
    type   = "approle"
    config { default_lease_ttl = "10m" }
  }
  policy "reader" { rules = "path \"secret/*\" { capabilities = [\"read\"] }" }
  token_role "ci" {
    allowed_policies = ["reader", "default"]
    token_period     = "1h"
    orphan           = true
  }
  object "auth/approle/role/ci" {
    token_policies = ["reader"]
    token_ttl      = "20m"
    bind_secret_id = true
  }
  object "identity/entity/name/alice" { policies = ["reader"] }
  group "ops" {
    policies = ["reader"]
    members  = ["alice"]
    metadata = { team = "ops" }
  }
}
"#,
    );
    let said = cli.expect(0, &file, &[]);
    assert!(said.ends_with("Done: 8 created, 0 changed, 0 removed.\n"), "{said}");
    assert_eq!(cli.expect(0, &file, &["--prune=destructive"]), "Nothing to do.\n");

    let acme = root.in_namespace("acme");
    acme.call("POST", "identity/entity/name/bob", None).expect(200);
    let bob = acme.call("GET", "identity/entity/name/bob", None).expect(200).json()["data"]["id"].clone();
    acme.call("POST", "identity/group/name/ops", Some(&json!({"member_entity_ids": [bob], "policies": []}))).expect(204);
    acme.call("POST", "auth/token/roles/ci", Some(&json!({"token_period": 60, "orphan": false}))).expect(204);
    acme.call("POST", "auth/token/roles/left-over", Some(&json!({}))).expect(204);
    acme.call("POST", "sys/mounts/auth/approle/tune", Some(&json!({"default_lease_ttl": "1h"}))).expect(204);
    let said = cli.expect(0, &file, &["--prune"]);
    for line in [
        "~ acme group \"ops\" members: [\"bob\"] -> [\"alice\"]\n",
        "~ acme token_role \"ci\" token_period: 60 -> \"1h\"\n",
        "~ acme auth \"approle\" config.default_lease_ttl: 3600 -> \"10m\"\n",
        "- acme token_role \"left-over\"\n",
    ] {
        assert!(said.contains(line), "{line}\n--- is not in\n{said}");
    }
    assert_eq!(cli.expect(0, &file, &["--prune"]), "Nothing to do.\n");
    let missing = cli.file("group.hcl", "namespace \"acme\" {\n  group \"ops\" { members = [\"nobody\"] }\n}");
    let said = cli.expect(1, &missing, &[]);
    assert!(said.contains("acme group \"ops\": there is no entity \"nobody\" in this namespace"), "{said}");
}
