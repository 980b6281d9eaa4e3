//! What is left of the audit log of an erased namespace: hashes, with which receipts and checkpoints that somebody kept stay proofs.

use std::fs;
use std::time::Instant;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use strongroom::audit::merkle::{Hash, root as root_of};
use strongroom::audit::note::{LogKey, TreeHead};
use strongroom::audit::proof::{verify_consistency, verify_inclusion};
use strongroom::audit::receipt::Receipt;

use crate::support::client::Client;
use crate::support::fixture::{at_once, mount, namespace, put, ready, token};
use crate::support::on_stores;
use crate::support::process::{PATIENCE, run};
use crate::support::server::Server;
use crate::support::tools;

on_stores! {
    receipts_and_checkpoints_of_an_erased_namespace_stay_proofs,
    what_is_left_of_an_erased_log_is_for_the_root_namespace,
}

/// Every table with rows of tenants, and whether an erased one has some there. The log of the deployment is the root's: of an erased
/// tenant it has what its checkpoints say, too.
const TABLES: [(&str, bool); 12] = [
    ("archived", false),
    ("checkpoint", true),
    ("cosignature", false),
    ("deployment_tree", false),
    ("erased_log", true),
    ("head", false),
    ("log", false),
    ("record", false),
    ("tenant", false),
    ("tenant_head", false),
    ("tenant_key", false),
    ("tenant_keyring", false),
];

fn data(client: &Client, path: &str) -> Value {
    client.call("GET", &format!("sys/audit-log/{path}"), None).expect(200).json()["data"].take()
}

fn hash(text: &Value) -> Hash {
    HEXLOWER.decode(text.as_str().unwrap().as_bytes()).unwrap().try_into().unwrap()
}

fn hashes(texts: &Value) -> Vec<Hash> {
    texts.as_array().unwrap().iter().map(hash).collect()
}

/// Waits for a checkpoint of more than `size` events, and opens it with the log's key.
#[track_caller]
fn signed(client: &Client, query: &str, size: u64) -> (LogKey, TreeHead) {
    let begun = Instant::now();
    loop {
        let reply = client.call("GET", &format!("sys/audit-log/checkpoint?{query}"), None);
        if reply.status == 200 && reply.json()["data"]["size"].as_u64().unwrap() > size {
            let key = LogKey::parse(data(client, &format!("key?{query}"))["key"].as_str().unwrap()).unwrap();
            let (head, others) = key.open(reply.json()["data"]["checkpoint"].as_str().unwrap().as_bytes()).unwrap();
            assert_eq!(others, 0);
            return (key, head);
        }
        assert!(begun.elapsed() < PATIENCE, "{size} events were not signed");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// Deletes a namespace and waits until its rows are gone; its id.
fn erase(root: &Client, name: &str) -> String {
    let shown = root.call("GET", &format!("sys/namespaces/{name}"), None).expect(200).json();
    let id = shown["data"]["uuid"].as_str().unwrap().replace('-', "");
    root.call("DELETE", &format!("sys/namespaces/{name}"), None).expect(200);
    let begun = Instant::now();
    while root.call("GET", &format!("sys/erasures/{id}"), None).expect(200).json()["data"]["rows_gone"].is_null() {
        assert!(begun.elapsed() < PATIENCE, "the rows of {name} are still there");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    id
}

fn receipts_and_checkpoints_of_an_erased_namespace_stay_proofs(server: &mut Server) {
    let root = ready(server);
    let team = namespace(&root, "team");
    mount(&team, "secret");
    let asking = team.with_header("X-Strongroom-Receipt", "1");
    let written = asking.call("POST", "secret/data/a", Some(&json!({"data": {"k": "v"}}))).expect(200);
    let receipt = Receipt::parse(written.header("x-strongroom-receipt").unwrap()).unwrap();
    let (key, old) = signed(&team, "", receipt.index);
    // Rows of one event and of several, and more of them than are erased at once.
    let clients: Vec<Client> = (0..8).map(|_| team.clone()).collect();
    at_once(&clients, |_, session| {
        let read = |_| session.send("GET", "/v1/secret/data/none", &[], b"").unwrap();
        Ok((0..50).map(read).last().unwrap())
    });
    let mut session = team.session().unwrap();
    for _ in 0..270 {
        session.send("GET", "/v1/secret/data/none", &[], b"").unwrap();
    }
    let last = signed(&team, "", old.size + 600).1;
    let leaf = hash(&data(&team, "proof/700")["leaf"]);
    put(&team, "b", &json!({"k": "v"}));

    let id = erase(&root, "team");
    let erased = format!("erased={id}");
    let (kept_key, newest) = signed(&root, &erased, last.size - 1);
    assert_eq!(kept_key, key, "the key that was written down before");
    // The hashes give the roots that were signed, and what was kept outside fits them.
    let proof = |index: u64| {
        let proof = data(&root, &format!("proof/{index}?{erased}"));
        assert_eq!(proof["size"], newest.size);
        let leaf = hash(&proof["leaf"]);
        assert!(verify_inclusion(leaf, index, newest.size, &hashes(&proof["path"]), &newest.root), "{index}");
        leaf
    };
    let leaves: Vec<Hash> = (0..newest.size).map(proof).collect();
    let prefix = |size: u64| root_of(&leaves[..usize::try_from(size).unwrap()]);
    assert_eq!((prefix(newest.size), prefix(last.size), prefix(old.size)), (newest.root, last.root, old.root));
    assert_eq!((leaves[usize::try_from(receipt.index).unwrap()], leaves[700]), (receipt.leaf, leaf));
    for before in [&old, &last] {
        let path = hashes(&data(&root, &format!("consistency/{}?{erased}", before.size))["path"]);
        assert!(verify_consistency(before.size, &before.root, newest.size, &newest.root, &path), "{}", before.size);
        assert!(!verify_consistency(before.size, &[7; 32], newest.size, &newest.root, &path) || path.is_empty());
    }
    exchange(server, &receipt, &key);
    nothing_else_is_left(server, &id);
    // Also for a server that has never known it.
    assert!(server.stop().success());
    server.come_back();
    assert_eq!(signed(&root, &erased, 0), (kept_key, newest));
}

/// The command line makes of the receipt a proof that needs no server.
fn exchange(server: &Server, receipt: &Receipt, key: &LogKey) {
    let target = server.target();
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let ca = target.ca.as_ref().unwrap().to_str().unwrap();
    let variables = [set("BAO_ADDR", &target.url), set("BAO_CACERT", ca), set("BAO_TOKEN", &target.token)];
    let audit = |arguments: &[&str]| run(&tools::strongroom(), &[&["audit"], arguments].concat(), &variables, None);
    let done = audit(&["receipt", "--erased", &receipt.to_string()]);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    let file = server.folder().join("proof");
    fs::write(&file, &done.stdout).unwrap();
    let verified = audit(&["verify", "--receipt", file.to_str().unwrap(), "--key", &key.to_string()]);
    assert!(verified.code == 0 && verified.stdout.starts_with("verified: event "), "{}{}", verified.stdout, verified.stderr);
    let false_one = Receipt { leaf: [7; 32], ..receipt.clone() }.to_string();
    let told = audit(&["receipt", "--erased", &false_one]);
    assert!(told.code == 1 && told.stderr.contains("another one than the receipt is of"), "{}", told.stderr);
}

fn nothing_else_is_left(server: &Server, id: &str) {
    let mut tables = server.tables();
    let known = if server.postgres().is_some() {
        "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'strongroom' AND column_name = 'tenant_id'"
    } else {
        "SELECT count(*) FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND c.name = 'tenant_id'"
    };
    let here: Vec<_> = TABLES.into_iter().filter(|(table, _)| server.postgres().is_some() || *table != "head").collect();
    assert_eq!(usize::try_from(tables.number(known)).unwrap(), here.len(), "a table that this test does not know");
    let tenant = tables.literal(&HEXLOWER.decode(id.as_bytes()).unwrap());
    for (table, stays) in here {
        let rows = tables.number(&format!("SELECT count(*) FROM {table} WHERE tenant_id = {tenant}"));
        assert_eq!(rows > 0, stays, "{table}: {rows} rows");
    }
    // Hashes of 32 bytes and nothing between them: as many as there were events.
    let bytes = tables.number(&format!("SELECT sum(length(leaves)) FROM erased_log WHERE tenant_id = {tenant}"));
    let rows = tables.number(&format!("SELECT count(*) FROM erased_log WHERE tenant_id = {tenant}"));
    assert!(bytes % 32 == 0 && bytes > 32 * 600 && rows < 100, "{bytes} bytes in {rows} rows");
}

fn what_is_left_of_an_erased_log_is_for_the_root_namespace(server: &mut Server) {
    let root = ready(server);
    let [one, two] = ["one", "two"].map(|name| namespace(&root, name));
    signed(&one, "", 0);
    signed(&two, "", 0);
    let alive =
        root.call("GET", "sys/namespaces/two", None).expect(200).json()["data"]["uuid"].as_str().unwrap().replace('-', "");
    let id = erase(&root, "one");
    let weak = root.with_token(&token(&root, &json!({"policies": ["default"]})).text);
    let auditor = root.with_token(&token(&root, &json!({"policies": ["auditor"]})).text);
    for path in ["key", "checkpoint", "proof/0", "consistency/1"] {
        let ask = |client: &Client, query: &str| client.call("GET", &format!("sys/audit-log/{path}?{query}"), None);
        let erased = format!("erased={id}");
        ask(&auditor, &erased).expect(200);
        ask(&weak, &erased).expect(403);
        let refused = ask(&two, &erased).expect(400).errors();
        assert_eq!(refused, ["erased is only available in the root namespace"]);
        // Of one that is there its own auditor asks; of others there is nothing.
        ask(&root, &format!("erased={alive}")).expect(404);
        ask(&root, &format!("erased={}", "0".repeat(32))).expect(404);
        for bad in ["erased=one", &format!("{erased}0"), &format!("{erased}&edge=true")] {
            ask(&root, bad).expect(400);
        }
    }
    root.call("GET", &format!("sys/audit-log/proof/0?erased={id}&size=99999"), None).expect(400);
    root.call("GET", &format!("sys/audit-log/proof/99999?erased={id}"), None).expect(404);
}
