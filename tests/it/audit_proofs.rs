//! Signed trees of the audit log, and proofs that clients hold against them with the public key alone.

use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use strongroom::audit::merkle::{self, Hash, empty_root, leaf_hash};
use strongroom::audit::note::{LogKey, TreeHead};
use strongroom::audit::proof::{consistency, inclusion, verify_consistency, verify_inclusion};

use crate::support::client::Client;
use crate::support::database::Database;
use crate::support::fixture::{mount, namespace, put, ready, token};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    a_checkpoint_is_signed_within_ten_seconds_and_proves_every_event,
    proofs_of_other_namespaces_are_refused,
    malformed_proof_requests_are_400,
}

/// What the issue promises, and a little for a busy machine.
const SIGNED_WITHIN: Duration = Duration::from_secs(12);

fn data(client: &Client, path: &str) -> Value {
    client.call("GET", &format!("sys/audit-log/{path}"), None).expect(200).json()["data"].take()
}

/// The size of the newest signed tree; 0 before the first.
fn signed(client: &Client) -> u64 {
    let reply = client.call("GET", "sys/audit-log/checkpoint", None);
    if reply.status == 404 { 0 } else { reply.expect(200).json()["data"]["size"].as_u64().unwrap() }
}

/// Waits until more than `size` events are signed.
fn newer(client: &Client, size: u64) -> TreeHead {
    let begin = Instant::now();
    while signed(client) <= size {
        assert!(begin.elapsed() < SIGNED_WITHIN, "{size} events were not signed in time");
        std::thread::sleep(Duration::from_millis(200));
    }
    let key = data(client, "key");
    let public = LogKey::parse(key["key"].as_str().unwrap()).unwrap();
    assert_eq!(key["fingerprint"], json!(public.fingerprint()));
    let checkpoint = data(client, "checkpoint");
    let (head, others) = public.open(checkpoint["checkpoint"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!((head.origin.as_str(), others), (public.name(), 0));
    assert_eq!((&checkpoint["size"], &checkpoint["root"]), (&json!(head.size), &json!(HEXLOWER.encode(&head.root))));
    head
}

fn hash(text: &Value) -> Hash {
    HEXLOWER.decode(text.as_str().unwrap().as_bytes()).unwrap().try_into().unwrap()
}

fn hashes(texts: &Value) -> Vec<Hash> {
    texts.as_array().unwrap().iter().map(hash).collect()
}

/// The leaf hash of an event, from its bytes as they were answered.
fn leaf(client: &Client, index: u64) -> Hash {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        data: Shown<'a>,
    }
    #[derive(Deserialize)]
    struct Shown<'a> {
        #[serde(borrow)]
        event: &'a RawValue,
    }
    let reply = client.call("GET", &format!("sys/audit-log/event/{index}"), None).expect(200);
    let body: Body<'_> = serde_json::from_slice(&reply.body).unwrap();
    leaf_hash(body.data.event.get().as_bytes())
}

fn a_checkpoint_is_signed_within_ten_seconds_and_proves_every_event(server: &mut Server) {
    let root = ready(server);
    let first = newer(&root, 0);
    // Many events in few rows: subtrees begin and end within rows, too.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let mut session = root.session().unwrap();
            scope.spawn(move || {
                for _ in 0..10 {
                    session.send("GET", "/v1/secret/data/none", &[], b"").unwrap();
                }
            });
        }
    });
    put(&root, "a", &json!({"k": "v"}));
    let head = newer(&root, first.size + 80);
    let proves = |index: u64, leaf: Hash| {
        let proof = data(&root, &format!("proof/{index}?size={}", head.size));
        assert_eq!((hash(&proof["leaf"]), &proof["size"]), (leaf, &json!(head.size)));
        verify_inclusion(leaf, index, head.size, &hashes(&proof["path"]), &head.root)
    };
    for index in 0..head.size {
        let leaf = leaf(&root, index);
        assert!(proves(index, leaf), "event {index} of {}", head.size);
    }
    let extends = |from: u64, old: &Hash, size: u64, new: &Hash| {
        let proof = data(&root, &format!("consistency/{from}?size={size}"));
        verify_consistency(from, old, size, new, &hashes(&proof["path"]))
    };
    assert!(extends(first.size, &first.root, head.size, &head.root));
    assert!(!extends(first.size, &[7; 32], head.size, &head.root));
    assert!(extends(0, &empty_root(), head.size, &head.root));
    assert!(extends(head.size, &head.root, head.size, &head.root));

    // Each namespace has a log of its own, and so have requests without a token.
    let team = namespace(&root, "team");
    mount(&team, "secret");
    let below = newer(&team, 0);
    assert!(below.origin != head.origin);
    root.without_token().call("GET", "secret/data/edge", None).expect(403);
    std::thread::sleep(Duration::from_secs(1));
    let edge = data(&root, "key?edge=true");
    assert!(edge["origin"] != json!(head.origin) && edge["fingerprint"] == data(&root, "key")["fingerprint"]);

    // The key and what was signed outlive the server.
    server.stop();
    server.come_back();
    put(&root, "b", &json!({"k": "v"}));
    let later = newer(&root, head.size);
    assert_eq!(later.origin, head.origin);
    assert!(extends(head.size, &head.root, later.size, &later.root));
}

fn proofs_of_other_namespaces_are_refused(server: &mut Server) {
    let root = ready(server);
    let one = namespace(&root, "one");
    namespace(&root, "two");
    let weak = root.with_token(&token(&root, &json!({"policies": ["default"]})).text);
    let auditor = one.with_token(&token(&one, &json!({"policies": ["auditor"]})).text);
    newer(&auditor, 0);
    for path in ["key", "checkpoint", "proof/0", "consistency/1"] {
        let path = format!("sys/audit-log/{path}");
        auditor.call("GET", &path, None).expect(200);
        weak.call("GET", &path, None).expect(403);
        auditor.call("GET", &format!("{path}?edge=true"), None).expect(400);
        for name in ["two", "nowhere"] {
            let refused = auditor.in_namespace(name).call("GET", &path, None).expect(403);
            assert_eq!(refused.errors(), ["permission denied"]);
        }
    }
}

fn malformed_proof_requests_are_400(server: &mut Server) {
    let root = ready(server);
    newer(&root, 0);
    for path in [
        "proof/-1",
        "proof/x",
        "proof/0?size=x",
        "proof/0?size=99999999",
        "proof/0?size=18446744073709551616",
        "proof/0?edge=perhaps",
        "consistency/-1",
        "consistency/x",
        "consistency/3?size=2",
        "consistency/99999999",
        "consistency/1?size=18446744073709551615",
    ] {
        let refused = root.call("GET", &format!("sys/audit-log/{path}"), None).expect(400);
        assert_eq!(refused.errors().len(), 1, "{path}");
    }
    root.call("GET", "sys/audit-log/proof/99999999", None).expect(404);
    root.call("GET", "sys/audit-log/proof/5?size=5", None).expect(404);
    root.call("POST", "sys/audit-log/checkpoint", None).expect(405);
}

#[test]
fn a_log_that_does_not_extend_what_was_signed_is_not_signed() {
    let unsigned = "UPDATE log SET leaves = zeroblob(length(leaves)) WHERE tenant_id = (SELECT root FROM deployment) \
                    AND seq = (SELECT max(seq) FROM log WHERE tenant_id = (SELECT root FROM deployment)) - 1";
    let signature = "UPDATE checkpoint SET note = CAST(replace(CAST(note AS TEXT), 'strongroom', 'strongr00m') AS BLOB) \
                     WHERE tenant_id = (SELECT root FROM deployment)";
    let root_hash = "UPDATE checkpoint SET root = zeroblob(32) WHERE tenant_id = (SELECT root FROM deployment)";
    for change in [unsigned, signature, root_hash] {
        let mut server = Server::initialised_on_sqlite();
        let root = ready(&server);
        newer(&root, 0);
        for at in 0..4 {
            put(&root, &format!("w{at}"), &json!({"k": "v"}));
        }
        assert!(server.stop().success());
        let mut database = Database::open(&server.sqlite_file());
        database.run("DROP TRIGGER log_never_updated").unwrap();
        database.run("DROP TRIGGER checkpoint_never_updated").unwrap();
        database.run(change).unwrap();
        drop(database);
        server.come_back();
        let before = signed(&root);
        put(&root, "later", &json!({"k": "v"}));
        std::thread::sleep(Duration::from_secs(7));
        assert_eq!(signed(&root), before, "{change}");
    }
}

/// Another implementation makes and checks the same proofs.
#[test]
fn proofs_are_those_of_another_implementation() {
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use sha2::Sha256;
    let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let mut own = Vec::new();
    for size in 1..=70_u32 {
        let entry = size.to_be_bytes().to_vec();
        own.push(leaf_hash(&entry));
        tree.push(entry);
        assert_eq!(tree.root().as_bytes()[..], merkle::root(&own)[..]);
        for index in 0..size as usize {
            assert_eq!(tree.prove_inclusion(index).as_bytes(), inclusion(index, &own).unwrap().concat(), "{index} in {size}");
        }
        for old in 1..size as usize {
            let proof = tree.prove_consistency(size as usize - old);
            assert_eq!(proof.as_bytes(), consistency(old, &own).unwrap().concat(), "{old} to {size}");
        }
    }
}
