//! No name and no value in the clear: not in the store's files, not in anything that the process prints, counts, sends as traces or leaves
//! when it crashes. Marked texts are written everywhere that a client can write to, and then looked for in every file of the server's folder.
//! Besides, the output of every server of every test is searched for the secrets that it has seen: `support/overheard.rs`.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use data_encoding::{BASE64, HEXLOWER};
use serde_json::json;

use crate::support::client::Client;
use crate::support::collector::Collector;
use crate::support::database::Database;
use crate::support::fixture::{mount, namespace, policy, token};
use crate::support::process::run;
use crate::support::server::Server;
use crate::support::{marks, on_stores, postgres, tools};

/// Begins every marked text; nothing else in a folder has it.
const MARK: &str = "canary7f3e";

on_stores! {
    marked_texts_stay_sealed,
}

/// A marked text that says where it was written.
fn mark(place: &str) -> String {
    format!("{MARK}-{place}")
}

fn marked_texts_stay_sealed(server: &mut Server) {
    let root = Client::new(&server.target());
    let mut marks = vec![MARK.to_owned(), root_token(server)];
    marks.extend(write_marks_everywhere(&root));
    provoke_errors(&root);
    let output = server.output();
    assert!(output.contains("listening") && output.contains("unsealed"), "the log is not where it was looked for: {output}");

    assert_eq!(everywhere(server, &marks), Vec::<String>::new(), "while it runs");
    assert!(server.stop().success());
    assert_eq!(everywhere(server, &marks), Vec::<String>::new(), "after it has stopped");

    // The values were there all the time.
    server.come_back();
    let team = root.in_namespace(&mark("namespace"));
    let path = format!("{}/data/{}/{}", mark("mount"), mark("directory"), mark("secret"));
    assert_eq!(team.call("GET", &path, None).expect(200).json()["data"]["data"][mark("key")], mark("value"));
}

/// What is counted, what is sent to a collector of traces, and what is left of a process that ended at once.
#[test]
fn marked_texts_are_in_no_metric_no_trace_and_no_core() {
    let collector = Collector::start();
    let stanzas = |folder: &Path| {
        collector.name_it(folder, &[]);
        format!("storage \"sqlite\" {{\n  path = \"{}\"\n}}", folder.join("store.db").display())
    };
    let mut server = Server::configured(stanzas, "", 501).initialise();
    let root = Client::new(&server.target());
    let mut marks = vec![MARK.to_owned(), root_token(&server)];
    marks.extend(write_marks_everywhere(&root));
    provoke_errors(&root);
    // Callers choose what a trace is called by, and nothing else of a span.
    let odd =
        root.with_header("traceparent", &format!("00-{0}-{0}-01", mark("parent"))).with_header("tracestate", &mark("state"));
    let last = odd.call("GET", &format!("sys/policies/acl/{}?{}=1", mark("policy"), mark("query")), None).expect(200).json();
    let metrics = root.call("GET", "sys/metrics?format=prometheus", None).expect(200);

    let spans = collector.spans_of(last["request_id"].as_str().unwrap());
    assert!(spans.len() > 4, "the last request was traced: {spans:?}");
    let wanted = marks::Wanted::new(&marks);
    assert!(collector.spans().len() > 100, "what came before was traced as well");
    let exports = collector.exports().into_iter().flat_map(|(head, body)| [head.into_bytes(), body]);
    for (what, bytes) in exports.map(|bytes| ("a trace", bytes)).chain([("the metrics", metrics.body)]) {
        assert!(wanted.within(&bytes).is_empty(), "{what}: {}", String::from_utf8_lossy(&bytes));
    }

    let limits = fs::read_to_string(format!("/proc/{}/limits", server.process_id())).unwrap();
    assert!(limits.lines().any(|line| line.split_whitespace().take(6).eq("Max core file size 0 0".split(' '))), "{limits}");
    let ended = server.abort();
    assert_eq!((ended.signal(), ended.core_dumped()), (Some(6), false), "{ended}");
    assert_eq!(everywhere(&server, &marks), Vec::<String>::new(), "after it has crashed");
}

fn root_token(server: &Server) -> String {
    server.target().token
}

/// Returns what else must not be found: tokens, accessors, references.
fn write_marks_everywhere(root: &Client) -> Vec<String> {
    let mut marks = Vec::new();
    for client in [root.clone(), namespace(root, &mark("namespace"))] {
        mount(&client, &mark("mount"));
        let text = format!("# {}\npath \"{}/*\" {{ capabilities = [\"read\"] }}", mark("comment"), mark("path"));
        policy(&client, &mark("policy"), &text);
        let body = json!({
            "policies": [mark("policy")], "ttl": "1h",
            "display_name": mark("display"), "meta": {mark("meta"): mark("meta-value")},
        });
        let made = token(&client, &body);
        client.with_token(&made.text).call("GET", "auth/token/lookup-self", None).expect(200);

        let secret = format!("{}/{}", mark("directory"), mark("secret"));
        let value = json!({"data": {mark("key"): mark("value"), "deep": [{mark("inner"): mark("item")}]}});
        let path = |kind: &str| format!("{}/{kind}/{secret}", mark("mount"));
        for _ in 0..3 {
            let written = client.call("POST", &path("data"), Some(&value)).expect(200).json();
            marks.push(written["data"]["reference"].as_str().unwrap().to_owned());
        }
        client.call("PATCH", &path("data"), Some(&json!({"data": {mark("patched"): mark("patch")}}))).expect(200);
        client.call("POST", &path("metadata"), Some(&json!({"custom_metadata": {mark("note"): mark("noted")}}))).expect(204);
        client.call("POST", &path("destroy"), Some(&json!({"versions": [1]}))).expect(204);
        client.call("GET", &path("data"), None).expect(200);
        client.call("LIST", &format!("{}/metadata/{}", mark("mount"), mark("directory")), None).expect(200);
        client.call("POST", "sys/references/resolve", Some(&json!({"reference": marks.last()}))).expect(200);
        marks.extend([made.text, made.accessor]);
        marks.extend(write_marks_elsewhere(&client));
    }
    let metadata = json!({"custom_metadata": {mark("tenant-note"): mark("tenant-noted")}});
    root.call("POST", &format!("sys/namespaces/{}", mark("other")), Some(&metadata)).expect(200);
    marks
}

/// In KV version 1, in a cubbyhole, and in an answer that is put away.
fn write_marks_elsewhere(client: &Client) -> Vec<String> {
    let value = json!({mark("plain-key"): mark("plain-value")});
    client.call("POST", &format!("sys/mounts/{}", mark("plain")), Some(&json!({"type": "kv"}))).expect(204);
    let plain = format!("{}/{}/{}", mark("plain"), mark("plain-directory"), mark("plain-secret"));
    let written = client.call("POST", &plain, Some(&value)).expect(204);
    client.call("POST", &format!("cubbyhole/{}/{}", mark("own"), mark("kept")), Some(&value)).expect(204);
    let read = client.send("GET", &format!("/v1/{plain}"), &[("X-Vault-Wrap-TTL", "60")], b"").expect(200).json();
    let info = |name: &str| read["wrap_info"][name].as_str().unwrap().to_owned();
    vec![written.header("x-strongroom-reference").unwrap().to_owned(), info("token"), info("accessor")]
}

/// What is refused is neither stored nor printed.
fn provoke_errors(root: &Client) {
    let bad = mark("error");
    root.with_token(&bad).call("GET", "sys/mounts", None).expect(403);
    root.in_namespace(&bad).call("GET", &format!("{bad}/data/x"), None).expect(404);
    root.call("GET", &format!("{bad}/data/x"), None).expect(404);
    root.call("POST", &format!("sys/policies/acl/{bad}"), Some(&json!({"policy": format!("path {bad} {{")}))).expect(400);
    root.call("POST", "auth/token/create", Some(&json!({"ttl": bad, "meta": bad}))).expect(400);
    root.call("POST", "auth/token/lookup", Some(&json!({"token": bad}))).expect(403);
    root.call("POST", "sys/references/resolve", Some(&json!({"reference": bad}))).expect(400);
    root.call("POST", "sys/unseal", Some(&json!({"key": bad})));
    for (target, body) in [
        (format!("/v1/{bad}//x"), String::new()),
        (format!("/v1/{bad}/%2f"), String::new()),
        (format!("/v1/sys/mounts/{bad}"), format!("{{\"type\": \"{bad}\"}}")),
        (format!("/v1/sys/policies/acl/{bad}"), format!("{{\"policy\": \"{bad}\", ")),
        (format!("/v1/sys/mounts?{bad}={bad}"), format!("{bad}={bad}&{bad}={bad}")),
    ] {
        let reply = root.send("POST", &target, &[(&format!("X-{bad}"), &bad)], body.as_bytes());
        assert!((400..500).contains(&reply.status), "{target}: {reply:?}");
    }
}

/// What is found in the server's folder (output, configuration, SQLite) and in its database.
fn everywhere(server: &Server, texts: &[String]) -> Vec<String> {
    let mut found = marks::found(server.folder(), texts);
    if let Some(database) = server.postgres() {
        let dump = database.dump();
        found.extend(texts.iter().filter(|text| dump.contains(*text)).map(|text| format!("dump: {text}")));
        database.sql("postgres", "CHECKPOINT");
        for place in database.places() {
            found.extend(marks::found(&place, texts));
        }
    }
    found
}

/// A search that finds nothing proves nothing: marks are planted in every place that is searched.
mod search {
    use super::*;

    #[test]
    fn finds_what_is_in_sqlite_tables_and_beside_them() {
        let mut server = Server::initialised_on_sqlite();
        assert_eq!(everywhere(&server, &[MARK.to_owned()]), Vec::<String>::new());
        let plant = format!("UPDATE deployment SET seal = CAST(seal || '{}' AS BLOB)", mark("planted"));
        Database::open(&server.sqlite_file()).run(&plant).unwrap();
        assert_ne!(everywhere(&server, &[MARK.to_owned()]), Vec::<String>::new());
        server.kill();
    }

    #[test]
    fn finds_what_is_in_postgresql() {
        // A server of its own: the shared one is searched by another test.
        let server = Server::initialised_on_postgresql(postgres::Database::alone());
        assert_eq!(everywhere(&server, &[MARK.to_owned()]), Vec::<String>::new());
        let database = server.postgres().unwrap();
        let plant = format!("UPDATE strongroom.deployment SET seal = seal || convert_to('{}', 'UTF8')", mark("planted"));
        database.sql("postgres", &plant);
        let found = everywhere(&server, &[MARK.to_owned(), HEXLOWER.encode(MARK.as_bytes())]);
        assert!(found.iter().any(|place| place.starts_with("dump")) && found.len() > 1, "{found:?}");
    }

    #[test]
    fn finds_what_the_binary_prints_and_what_is_encoded() {
        let folder = tempfile::tempdir().unwrap();
        let done = run(&tools::strongroom(), &["server", "--config", &mark("file")], &[], None);
        for (name, bytes) in [
            ("plain", done.stderr.clone().into_bytes()),
            ("base64", BASE64.encode(done.stderr.as_bytes()).into_bytes()),
            ("hexadecimal", HEXLOWER.encode(done.stderr.as_bytes()).into_bytes()),
        ] {
            let file = folder.path().join(name);
            fs::write(&file, bytes).unwrap();
            assert_eq!(marks::found(folder.path(), &[mark("file"), mark("other")]).len(), 1, "{name}: {}", done.stderr);
            fs::remove_file(file).unwrap();
        }
    }
}
