//! Traces of requests: what a collector is sent, and that one that hangs, refuses or is away costs no request anything.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::Client;
use crate::support::collector::{Collector, Does, Span};
use crate::support::fixture::{namespace, put, ready};
use crate::support::process::PATIENCE;
use crate::support::server::Server;

/// A server that sends its traces there.
fn server(collector: &Collector, variables: &[(&str, &str)]) -> Server {
    let stanzas = |folder: &Path| {
        collector.name_it(folder, variables);
        format!("storage \"sqlite\" {{\n  path = \"{}\"\n}}", folder.join("store.db").display())
    };
    Server::configured(stanzas, "", 501).initialise()
}

/// The span of this name, and where several have it the first.
fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name} in {spans:?}"))
}

fn dropped(root: &Client) -> f64 {
    let shown = root.call("GET", "sys/metrics?format=prometheus", None).expect(200);
    let text = String::from_utf8(shown.body).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("strongroom_traces_total{outcome=\"dropped\"} "));
    line.unwrap().parse().unwrap()
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

#[test]
fn a_request_is_one_trace_of_its_steps_and_goes_on_with_that_of_its_caller() {
    let collector = Collector::start();
    let server = server(
        &collector,
        &[
            ("OTEL_SERVICE_NAME", "vault of tests"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=a%20test"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=key%20of%20the%20collector"),
        ],
    );
    let root = ready(&server);
    let team = namespace(&root, "team");
    let of_caller = team.with_header("traceparent", &format!("00-{TRACE}-{CALLER}-01"));
    let written = of_caller.call("POST", "sys/mounts/kv", Some(&json!({"type": "kv"}))).expect(204);
    assert!(written.body.is_empty());
    let read = of_caller.call("GET", "sys/mounts", None).expect(200).json();
    let id = read["request_id"].as_str().unwrap();

    let spans: Vec<Span> = collector.spans_of(id).into_iter().filter(|span| span.trace == TRACE).collect();
    let root_span = spans.iter().find(|span| span.attributes.get("strongroom.request_id").is_some_and(|it| it == id)).unwrap();
    assert_eq!((root_span.parent.as_str(), root_span.name.as_str()), (CALLER, "GET system"));
    assert_eq!((root_span.kind.as_str(), root_span.status.as_str()), ("SPAN_KIND_SERVER", "STATUS_CODE_UNSET"));
    let attribute = |name: &str| root_span.attributes.get(name).cloned().unwrap_or_default();
    for (name, value) in [
        ("http.request.method", json!("GET")),
        ("http.response.status_code", json!(200)),
        ("url.scheme", json!("https")),
        ("strongroom.mount_type", json!("system")),
        ("strongroom.operation", json!("read")),
    ] {
        assert_eq!(attribute(name), value, "{name}");
    }
    assert_eq!(attribute("strongroom.tenant").as_str().map(str::len), Some(32));
    assert_eq!(root_span.attributes.len(), 7, "nothing else is said of a request: {:?}", root_span.attributes);
    assert_eq!(root_span.resource["service.name"], "vault of tests");
    assert_eq!(root_span.resource["deployment.environment"], "a test");
    assert_eq!(root_span.resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(root_span.scope, concat!("strongroom ", env!("CARGO_PKG_VERSION")));
    assert!(collector.exports().iter().all(|(head, _)| {
        let head = head.to_ascii_lowercase();
        head.starts_with("post /v1/traces http/1.1\r\n")
            && head.contains("\r\ncontent-type: application/x-protobuf\r\n")
            && head.contains("\r\napi-key: key of the collector\r\n")
    }));

    let below: Vec<Span> =
        spans.iter().filter(|span| span.begin >= root_span.begin && span.end <= root_span.end).cloned().collect();
    for step in ["authenticate", "authorise", "operation", "commit"] {
        assert_eq!(
            (named(&below, step).parent.as_str(), named(&below, step).kind.as_str()),
            (&*root_span.id, "SPAN_KIND_INTERNAL")
        );
    }
    let (commit, store) = (named(&below, "commit"), named(&below, "store"));
    assert_eq!(store.parent, commit.id);
    assert!(store.attributes["strongroom.group_requests"].as_u64().unwrap() >= 1);
    assert!(named(&below, "authenticate").end <= named(&below, "operation").begin && store.begin >= commit.begin);
    let known: BTreeSet<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(known, BTreeSet::from(["GET system", "POST system", "authenticate", "authorise", "commit", "operation", "store"]));
    assert!(dropped(&root) < 1.0);
}

#[test]
fn who_is_not_known_and_what_fails_is_told_without_a_name_and_callers_decide_what_is_recorded() {
    let collector = Collector::start();
    let server = server(&collector, &[]);
    let root = ready(&server);
    namespace(&root, "shut");
    let refused = root.without_token().with_header("traceparent", &format!("00-{TRACE}-{CALLER}-01"));
    refused.call("GET", "secret/data/of-nobody", None).expect(403);
    root.call("PUT", "sys/namespaces/shut/seal", None);
    let failed = root.in_namespace("shut").with_header("traceparent", &format!("00-{}-{CALLER}-01", TRACE.replace('4', "5")));
    failed.call("GET", "sys/mounts", None).expect(503);
    let unrecorded = root.with_header("traceparent", &format!("00-{}-{CALLER}-00", TRACE.replace('4', "6")));
    unrecorded.call("GET", "sys/mounts", None).expect(200);
    let last = root.with_header("traceparent", "00-not-a-trace").call("GET", "sys/mounts", None).expect(200).json();

    let spans = {
        let own = collector.spans_of(last["request_id"].as_str().unwrap());
        assert_eq!(named(&own, "GET system").parent, "", "what is no traceparent begins a trace of its own");
        collector.spans()
    };
    let of = |trace: String| spans.iter().find(|span| span.trace == trace && span.kind == "SPAN_KIND_SERVER");
    let stranger = of(TRACE.to_owned()).unwrap();
    assert_eq!(stranger.attributes["http.response.status_code"], 403);
    assert!(!stranger.attributes.contains_key("strongroom.tenant"), "nobody was verified: {stranger:?}");
    assert_eq!(stranger.status, "STATUS_CODE_UNSET", "a refusal is no failure of the server");
    let failed = of(TRACE.replace('4', "5")).unwrap();
    assert_eq!((failed.attributes["error.type"].as_str(), failed.status.as_str()), (Some("503"), "STATUS_CODE_ERROR"));
    assert!(of(TRACE.replace('4', "6")).is_none(), "the caller does not record it");
}

#[test]
fn a_collector_that_hangs_delays_neither_requests_nor_the_end_of_the_server() {
    let collector = Collector::start();
    collector.does(Does::Hang);
    let mut server = server(&collector, &[]);
    let root = ready(&server);
    let since = Instant::now();
    while collector.exports().is_empty() {
        assert!(since.elapsed() < PATIENCE, "nothing was sent");
        put(&root, "a", &json!({"k": "v"}));
    }
    // It hangs now, and the next batches wait behind it.
    let mut session = root.session().unwrap();
    let since = Instant::now();
    for _ in 0..300 {
        assert_eq!(session.send("GET", "/v1/secret/data/a", &[], b"").unwrap().status, 200);
    }
    let took = since.elapsed();
    assert!(took < PATIENCE, "300 requests took {took:?}");
    assert!(server.stop().success(), "{}", server.output());
}

#[test]
fn a_collector_that_is_away_or_refuses_costs_traces_that_are_counted_and_they_go_on_when_it_is_back() {
    let collector = Collector::closed();
    let server = server(&collector, &[]);
    let root = ready(&server);
    let since = Instant::now();
    while dropped(&root) < 1.0 {
        assert!(since.elapsed() < PATIENCE, "nothing was given up");
        std::thread::sleep(Duration::from_millis(100));
    }
    collector.does(Does::Answer(400));
    collector.open();
    let before = dropped(&root);
    while dropped(&root) <= before || collector.exports().is_empty() {
        assert!(since.elapsed() < 2 * PATIENCE, "what was refused is not counted");
        std::thread::sleep(Duration::from_millis(100));
    }
    collector.does(Does::Take);
    let answered = root.call("GET", "sys/mounts", None).expect(200).json();
    collector.spans_of(answered["request_id"].as_str().unwrap());
    let output = server.output();
    assert!(output.contains("traces were not sent") && output.contains("traces are sent again"), "{output}");
    assert!(output.matches("traces were not sent").count() <= 3, "it is said once, and not with each batch: {output}");
}

#[test]
fn settings_that_are_none_are_told_and_the_server_serves() {
    let collector = Collector::closed();
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector of tests"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/of-tests.pem"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api key=secret of tests"),
        ("OTEL_TRACES_SAMPLER", "sampler of tests"),
    ] {
        let server = server(&collector, &[(name, value)]);
        ready(&server);
        let output = server.output();
        assert!(
            output.contains(name.trim_end_matches("_TRACES_ENDPOINT")) || output.contains("OTEL_EXPORTER_OTLP_ENDPOINT"),
            "{name}"
        );
        assert!(!output.contains("of tests"), "{output}");
    }
}
