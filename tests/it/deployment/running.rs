//! The job and a replica of the chart, started as the chart starts them, but for the cluster around them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::chart::{configuration, only, rendered};
use crate::support::Target;
use crate::support::client::Client;
use crate::support::postgres::Database;
use crate::support::process::{Process, free_port, run};
use crate::support::server::write_certificates;
use crate::support::tools;

fn container(object: &Value) -> &Value {
    &object["spec"]["template"]["spec"]["containers"][0]
}

/// Its arguments, with the folder where a container has its mounts.
fn arguments(object: &Value, folder: &Path) -> Vec<String> {
    let here = format!("{}/", folder.display());
    let arguments = container(object)["args"].as_array().unwrap().iter();
    arguments.map(|argument| argument.as_str().unwrap().replace("/strongroom/", &here)).collect()
}

/// The variable that it has the database's address in.
fn url_variable(object: &Value) -> &str {
    let variables = container(object)["env"].as_array().unwrap();
    variables.iter().find(|one| one["valueFrom"]["secretKeyRef"]["key"] == "connection-url").unwrap()["name"].as_str().unwrap()
}

#[test]
fn the_job_and_a_replica_of_the_chart_start_and_probes_tell_dead_from_waiting() {
    let database = Database::alone();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let objects = rendered(&["--set".to_owned(), "server.ha.enabled=true".to_owned()]);
    for name in ["config", "tls", "database"] {
        fs::create_dir(at(name)).unwrap();
    }

    // The key of the context was made by who installs, in a Secret, which cannot be written.
    let key = "5a".repeat(32);
    fs::write(at("database/context.key"), &key).unwrap();
    fs::set_permissions(at("database/context.key"), Permissions::from_mode(0o400)).unwrap();
    let [ca, certificate, certificate_key] = write_certificates(folder.path());
    fs::copy(certificate, at("tls/tls.crt")).unwrap();
    fs::copy(certificate_key, at("tls/tls.key")).unwrap();

    let job = only(&objects, "Job");
    let migrate = |role: &str| {
        let arguments = arguments(job, folder.path());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(&tools::strongroom(), &arguments, &[(url_variable(job).to_owned(), database.url(role))], None)
    };
    assert_eq!(migrate("strongroom_runtime").code, 1);
    let done = migrate("strongroom_owner");
    assert!(done.code == 0 && done.stdout.contains("is new to the database"), "{}{}", done.stdout, done.stderr);
    // At the next upgrade.
    let done = migrate("strongroom_owner");
    assert!(done.code == 0 && !done.stdout.contains("is new"), "{}{}", done.stdout, done.stderr);
    assert_eq!(fs::read_to_string(at("database/context.key")).unwrap(), key);

    let deployment = only(&objects, "Deployment");
    let address = format!("127.0.0.1:{}", free_port());
    for (name, text) in configuration(&objects) {
        let text = text.replace("/strongroom/", &format!("{}/", folder.path().display())).replace("[::]:8200", &address);
        fs::write(at("config").join(name), text).unwrap();
    }
    let mut command = Command::new(tools::strongroom());
    command.args(arguments(deployment, folder.path())).env_clear();
    command.env(url_variable(deployment), database.url("strongroom_runtime"));
    let mut process = Process::start(command, folder.path(), "replica");
    let client = Client::new(&Target { url: format!("https://{address}"), ca: Some(ca), token: String::new() });
    let probe = |name: &str| {
        let probe = &container(deployment)[name]["httpGet"];
        assert_eq!(probe["scheme"], "HTTPS");
        client.try_send("GET", probe["path"].as_str().unwrap(), &[], b"").map(|reply| reply.status).ok()
    };
    process.wait_until("the end of its start", || probe("startupProbe") == Some(200));
    // Alive, and nothing to send requests to.
    assert_eq!((probe("livenessProbe"), probe("readinessProbe")), (Some(200), Some(501)));
    let shares = serde_json::json!({"secret_shares": 1, "secret_threshold": 1});
    let keys = client.call("PUT", "sys/init", Some(&shares)).expect(200).json();
    assert_eq!((probe("livenessProbe"), probe("readinessProbe")), (Some(200), Some(503)));
    client.call("PUT", "sys/unseal", Some(&serde_json::json!({"key": keys["keys"][0]}))).expect(200);
    assert_eq!((probe("livenessProbe"), probe("readinessProbe")), (Some(200), Some(200)));
    database.stop();
    assert_eq!((probe("livenessProbe"), probe("readinessProbe")), (Some(200), Some(503)));
    assert!(process.stop().success(), "{}", process.output());
}
