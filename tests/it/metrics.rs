//! What the server counts: who may see it, that it counts, and that what is deployed beside it asks for what is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strongroom::audit::cosignature::WitnessKey;
use strongroom::crypto::{SigningAlgorithm, SigningKey};

use crate::support::client::{Client, Reply};
use crate::support::fixture::{namespace, policy, put, ready, token};
use crate::support::on_stores;
use crate::support::process::PATIENCE;
use crate::support::server::Server;

on_stores! {
    requests_are_counted_and_shown_to_who_may_read_them,
}

const SHOWN_TO_ALL: &str = "telemetry {\n  unauthenticated_metrics_access = true\n}\n";
const PATH: &str = "sys/metrics?format=prometheus";

fn get(client: &Client, path: &str) -> Reply {
    client.call("GET", path, None)
}

fn shown(client: &Client) -> String {
    let reply = get(client, PATH).expect(200);
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    String::from_utf8(reply.body).unwrap()
}

/// The value of one line.
#[track_caller]
fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in\n{text}")).parse().unwrap()
}

fn requests_are_counted_and_shown_to_who_may_read_them(server: &mut Server) {
    let root = ready(server);
    let before = shown(&root);
    put(&root, "app/db", &json!({"password": "hunter2"}));
    for _ in 0..10 {
        get(&root, "secret/data/app/db").expect(200);
    }
    get(&root, "secret/data/app/nothing").expect(404);
    let after = shown(&root);
    let grown = |name: &str| value(&after, name) - value(&before, name);
    // One more than the requests in between: the first look at the metrics counts when it has been answered.
    assert!(grown("strongroom_answers_total{class=\"2xx\"}") >= 12.0 && grown("strongroom_answers_total{class=\"4xx\"}") >= 1.0);
    assert!(grown("vault_core_handle_request_count") >= 13.0 && grown("vault_core_handle_request_sum") > 0.0);
    assert!(grown("strongroom_group_requests_sum") >= 13.0 && grown("vault_barrier_put_count") >= 1.0);
    assert!(grown("vault_cache_hit") >= 10.0);
    assert!(value(&after, "vault_core_unsealed") >= 1.0 && value(&after, "vault_core_in_flight_requests") >= 1.0);
    assert!(value(&after, "process_resident_memory_bytes") > 1e6 && value(&after, "strongroom_connections") >= 1.0);
    for secret in ["app/db", "secret/", "hunter2"] {
        assert!(!after.contains(secret), "{secret} is in\n{after}");
    }

    get(&root.without_token(), PATH).expect(403);
    let stranger = root.with_token(&token(&root, &json!({"policies": ["default"]})).text);
    get(&stranger, PATH).expect(403);
    policy(&root, "scraper", "path \"sys/metrics\" { capabilities = [\"read\"] }");
    shown(&root.with_token(&token(&root, &json!({"policies": ["scraper"], "no_default_policy": true})).text));
    assert!(get(&root, "sys/metrics?format=graphite").expect(400).errors()[0].contains("only \"prometheus\""));
    namespace(&root, "team");
    get(&root.in_namespace("team"), PATH).expect(400);
    root.call("POST", "sys/metrics", None).expect(405);
}

#[test]
fn a_listener_that_says_so_shows_metrics_to_everybody_also_while_sealed() {
    let server = Server::uninitialised_with_listener(SHOWN_TO_ALL);
    let anyone = Client::new(&server.target()).without_token();
    assert!(value(&shown(&anyone), "vault_core_unsealed") <= 0.0);
    let server = server.initialise();
    let anyone = Client::new(&server.target()).without_token();
    assert!(value(&shown(&anyone), "vault_core_unsealed") >= 1.0);
    anyone.call("POST", "sys/metrics", None).expect(405);
}

/// Names in a text that look like those of metrics.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    let ours = |word: &&str| ["vault_", "strongroom_", "process_"].iter().any(|start| word.starts_with(start));
    words.filter(ours).map(str::to_owned).collect()
}

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn what_is_documented_and_watched_is_what_is_exported() {
    // With a sink of the audit log and a witness: what is counted of one is shown once there is one.
    let own = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
    let witness = WitnessKey::of("witness.example/w", &own).unwrap().unwrap();
    let stanzas = |folder: &Path| {
        let [store, sink] = ["store.db", "audit.log"].map(|name| folder.join(name).display().to_string());
        format!(
            "storage \"sqlite\" {{\n  path = \"{store}\"\n}}\naudit \"file\" {{\n  options {{\n    file_path = \"{sink}\"\n  }}\n}}\n\
             witness \"w\" {{\n  url = \"http://127.0.0.1:1\"\n  key = \"{witness}\"\n}}"
        )
    };
    let server = Server::configured(stanzas, SHOWN_TO_ALL, 501).initialise();
    let anyone = Client::new(&server.target()).without_token();
    let since = Instant::now();
    while !shown(&anyone).contains("strongroom_audit_sink_lag_events{") {
        assert!(since.elapsed() < PATIENCE, "the sink was not measured in time");
        std::thread::sleep(Duration::from_millis(50));
    }
    let text = shown(&anyone);
    let types: Vec<(&str, &str)> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let exported: BTreeSet<String> = types.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(named(&file("docs/METRICS.md")), exported, "docs/METRICS.md and what the server exports");

    let series: BTreeSet<String> = types
        .iter()
        .flat_map(|(name, kind)| {
            let endings: &[&str] = if *kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            endings.iter().map(move |ending| format!("{name}{ending}"))
        })
        .collect();
    let dashboard = file("deploy/grafana-dashboard.json");
    let _: Value = serde_json::from_str(&dashboard).unwrap();
    for (name, used) in [("dashboard", named(&dashboard)), ("alerts", named(&file("deploy/prometheus-alerts.yaml")))] {
        let unknown: Vec<_> = used.difference(&series).collect();
        assert!(unknown.is_empty() && !used.is_empty(), "the {name} ask for what is not exported: {unknown:?}");
    }
}
