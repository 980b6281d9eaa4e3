//! Receipts: where a request stands in the log, said with its answer, and proved later without the server.

use std::fs;

use serde_json::{Value, json};
use strongroom::audit::receipt::Receipt;

use crate::support::client::{Client, Reply};
use crate::support::fixture::{at_once, mount, namespace, ready, token};
use crate::support::on_stores;
use crate::support::process::{Finished, run};
use crate::support::server::Server;
use crate::support::tools;

on_stores! {
    a_receipt_names_the_event_of_its_request,
    a_receipt_is_exchanged_for_a_proof_that_needs_no_server,
}

const ASKS: (&str, &str) = ("X-Strongroom-Receipt", "1");

fn receipt(reply: &Reply) -> Receipt {
    let text = reply.header("x-strongroom-receipt").unwrap_or_else(|| panic!("no receipt in {reply:?}"));
    Receipt::parse(text).unwrap()
}

/// The event that a receipt names; its hash must be the event's.
fn event(client: &Client, receipt: &Receipt, query: &str) -> Value {
    let shown =
        client.call("GET", &format!("sys/audit-log/event/{}{query}", receipt.index), None).expect(200).json()["data"].take();
    assert_eq!(shown["leaf"], json!(data_encoding::HEXLOWER.encode(&receipt.leaf)));
    let key = client.call("GET", &format!("sys/audit-log/key{query}"), None);
    // There is a key as soon as something was signed.
    if key.status == 200 {
        assert_eq!(key.json()["data"]["origin"], json!(receipt.origin));
    }
    shown["event"].clone()
}

fn a_receipt_names_the_event_of_its_request(server: &mut Server) {
    let root = ready(server);
    let asking = root.with_header(ASKS.0, ASKS.1);
    let team = namespace(&root, "team");
    mount(&team, "secret");
    // Many at once, in groups: each has the place of its own event.
    let clients: Vec<Client> =
        (0..16).map(|at| if at % 2 == 0 { asking.clone() } else { team.with_header(ASKS.0, ASKS.1) }).collect();
    let replies = at_once(&clients, |worker, session| session.send("GET", &format!("/v1/secret/data/r{worker}"), &[], b""));
    for (worker, reply) in replies.iter().enumerate() {
        let (client, prefix) = if worker % 2 == 0 { (&root, "") } else { (&team, "team/") };
        let found = event(client, &receipt(reply), "");
        assert_eq!((&found["path"], &found["status"]), (&json!(format!("{prefix}secret/data/r{worker}")), &json!(404)));
    }
    // Writes, refusals and what the server tells of itself, too; also of strangers, in the edge log.
    let written = asking.call("POST", "secret/data/a", Some(&json!({"data": {"k": "v"}}))).expect(200);
    assert_eq!(event(&root, &receipt(&written), "")["request"], written.json()["request_id"]);
    let weak = token(&root, &json!({"policies": ["default"]})).text;
    let refused = asking.with_token(&weak).call("GET", "secret/data/a", None).expect(403);
    assert_eq!(event(&root, &receipt(&refused), "")["error"], json!("denied"));
    let read = asking.call("GET", "sys/audit-log?limit=1", None).expect(200);
    assert_eq!(event(&root, &receipt(&read), "")["path"], json!("sys/audit-log"));
    let stranger = asking.without_token().call("GET", "secret/data/a", None).expect(403);
    assert_eq!(event(&root, &receipt(&stranger), "?edge=true")["error"], json!("no_token"));
    // A batch has one for its first item; the others follow it.
    let references = json!({"references": [{"reference": "sref_x"}, {"reference": "sref_y"}]});
    let batch = asking.call("POST", "sys/references/resolve", Some(&references)).expect(200);
    let first = receipt(&batch);
    let second = root.call("GET", &format!("sys/audit-log/event/{}", first.index + 1), None).expect(200).json();
    assert_eq!(event(&root, &first, "")["request"], second["data"]["event"]["request"]);
    // Who does not ask gets none.
    for reply in [
        root.call("GET", "secret/data/a", None).expect(200),
        root.with_header(ASKS.0, "0").call("GET", "secret/data/a", None).expect(200),
        asking.call("GET", "sys/health", None).expect(200),
    ] {
        assert_eq!(reply.header("x-strongroom-receipt"), None);
    }
}

fn audit(server: &Server, token: &str, arguments: &[&str]) -> Finished {
    let target = server.target();
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let ca = target.ca.as_ref().unwrap().to_str().unwrap();
    let variables = [set("BAO_ADDR", &target.url), set("BAO_CACERT", ca), set("BAO_TOKEN", token)];
    run(&tools::strongroom(), &[&["audit"], arguments].concat(), &variables, None)
}

fn a_receipt_is_exchanged_for_a_proof_that_needs_no_server(server: &mut Server) {
    let root = ready(server);
    let auditor = token(&root, &json!({"policies": ["auditor"]})).text;
    let weak = token(&root, &json!({"policies": ["default"]})).text;
    let written = root.with_header(ASKS.0, ASKS.1).call("POST", "secret/data/a", Some(&json!({"data": {"k": "v"}}))).expect(200);
    let receipt = receipt(&written);
    let text = receipt.to_string();
    // It waits for the next checkpoint. The first one of a server that was just begun may take some seconds.
    let begin = std::time::Instant::now();
    while root.call("GET", "sys/audit-log/key", None).status != 200 {
        assert!(begin.elapsed().as_secs() < 20, "no key was made");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let refused = audit(server, &weak, &["receipt", &text]);
    assert_eq!(refused.code, 2, "{}{}", refused.stdout, refused.stderr);
    let done = audit(server, &auditor, &["receipt", &text]);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    let file = server.folder().join("proof");
    fs::write(&file, &done.stdout).unwrap();
    let key = root.call("GET", "sys/audit-log/key", None).expect(200).json()["data"]["key"].as_str().unwrap().to_owned();
    let verify =
        |key: &str| run(&tools::strongroom(), &["audit", "verify", "--receipt", file.to_str().unwrap(), "--key", key], &[], None);
    let good = verify(&key);
    assert!(good.code == 0 && good.stdout.starts_with("verified: event "), "{}{}", good.stdout, good.stderr);
    let other = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    assert!(verify(other).code == 1 && verify(other).stdout.contains("signed by another key"));
    fs::write(&file, done.stdout.replacen("index ", "index 1", 1)).unwrap();
    assert_eq!(verify(&key).code, 1);
    // Of an event that is not the one that was logged.
    let false_one = Receipt { leaf: [7; 32], ..receipt.clone() }.to_string();
    let told = audit(server, &auditor, &["receipt", &false_one]);
    assert!(told.code == 1 && told.stderr.contains("another one than the receipt is of"), "{}", told.stderr);
    let elsewhere = Receipt { origin: "strongroom/d/t/0".to_owned(), ..receipt }.to_string();
    assert_eq!(audit(server, &auditor, &["receipt", &elsewhere]).code, 1);
    assert_eq!(audit(server, &auditor, &["receipt", "no receipt"]).code, 1);
}
