//! Witnesses cosign the log of the deployment: real ones, some that lie, hang or are away, and one that is shown another history.

mod copy;
mod liar;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use strongroom::audit::cosignature::WitnessKey;
use strongroom::audit::merkle::{Hash, leaf_hash};
use strongroom::audit::note::{LogKey, TreeHead};
use strongroom::audit::proof::{verify_consistency, verify_inclusion};
use strongroom::crypto::{SigningAlgorithm, SigningKey};

use crate::support::client::Client;
use crate::support::fixture::{mount, namespace, put, ready};
use crate::support::postgres::Database;
use crate::support::process::{PATIENCE, free_port, run};
use crate::support::server::Server;
use crate::support::tools;
use crate::support::witness::Witness;
use copy::{Copy, audit, followed_by_a_monitor, verified_by_who_is_trusted};

/// Waits until there is something.
#[track_caller]
fn seen<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < 2 * PATIENCE, "{what} was not seen");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// What `sys/audit-log/deployment` answers, once something is signed.
fn deployment(client: &Client) -> Option<Value> {
    let reply = client.call("GET", "sys/audit-log/deployment", None);
    (reply.status != 404).then(|| reply.expect(200).json()["data"].take())
}

/// Waits until the server's log says so.
#[track_caller]
fn told(server: &Server, text: &str, meanwhile: impl Fn()) {
    let begin = Instant::now();
    while !server.output().contains(text) {
        let output = server.output();
        let of_witnesses: Vec<&str> = output.lines().filter(|line| line.contains("heads::")).collect();
        assert!(begin.elapsed() < 2 * PATIENCE, "{text} was not told:\n{}", of_witnesses.join("\n"));
        meanwhile();
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The public key of the deployment's log.
fn log_key(client: &Client) -> String {
    seen("a signed tree", || deployment(client))["key"].as_str().unwrap().to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value}"))
}

fn hash(value: &Value) -> Hash {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap().try_into().unwrap()
}

fn hashes(value: &Value) -> Vec<Hash> {
    value.as_array().unwrap().iter().map(hash).collect()
}

fn stanza(name: &str, url: &str, key: &str) -> String {
    format!("witness \"{name}\" {{\n  url = \"{url}\"\n  key = \"{key}\"\n}}\n")
}

/// Starts the server again with these witnesses.
fn declare(server: &mut Server, stanzas: &str, required: usize) {
    assert!(server.stop().success());
    let file = server.folder().join("strongroom.hcl");
    let config = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{config}\n{stanzas}\nwitnesses_required = {required}\n")).unwrap();
    server.come_back();
}

fn witness(folder: &Path, name: &str, log: &str) -> Witness {
    let folder = folder.join(name);
    fs::create_dir(&folder).unwrap();
    Witness::start(&folder, &format!("witness.example.com/{name}"), log, &["--init"])
}

/// Waits until a tree with at least so many heads was cosigned by as many as have to.
#[track_caller]
fn cosigned(client: &Client, size: u64) -> Value {
    seen("a cosigned tree", || deployment(client).filter(|shown| number(&shown["size"]) >= size && cosigners(shown) > 0))
}

fn cosigners(shown: &Value) -> usize {
    shown["witnesses"].as_array().unwrap().iter().filter(|witness| witness["cosigned"] == true).count()
}

fn metric(client: &Client, name: &str) -> f64 {
    let metrics = client.call("GET", "sys/metrics?format=prometheus", None).expect(200);
    let text = String::from_utf8(metrics.body).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Somebody else's program says that the witness has cosigned a tree of the log with so many heads.
fn checked_by_others(folder: &Path, shown: &Value, key: &str) {
    let file = folder.join("cosigned");
    fs::write(&file, shown["checkpoint"].as_str().unwrap()).unwrap();
    let checked = run(&tools::python(), &["tests/it/python/cosignature.py", file.to_str().unwrap(), key], &[], None);
    let words: Vec<&str> = checked.stdout.split_whitespace().collect();
    let expected = [shown["origin"].as_str().unwrap(), &shown["size"].to_string()];
    assert_eq!((checked.code, &words[..2]), (0, &expected[..]), "{}", checked.stderr);
}

/// The namespace's own checkpoint is in the cosigned tree.
fn proves(client: &Client, key: &LogKey) {
    let reply =
        seen("a proof", || Some(client.call("GET", "sys/audit-log/deployment/proof", None)).filter(|reply| reply.status != 404));
    let data = reply.expect(200).json()["data"].take();
    let (tree, _) = key.open(data["checkpoint"].as_str().unwrap().as_bytes()).unwrap();
    let entry = data["entry"].as_str().unwrap();
    let head = TreeHead::parse(entry).unwrap();
    assert_eq!((head.size, head.root), (number(&data["size"]), hash(&data["root"])));
    let own = client.call("GET", "sys/audit-log/key", None).expect(200).json()["data"]["origin"].take();
    assert_eq!(json!(head.origin), own);
    let (leaf, path) = (leaf_hash(entry.as_bytes()), hashes(&data["path"]));
    assert!(verify_inclusion(leaf, number(&data["index"]), tree.size, &path, &tree.root), "{data}");
    // The head is one that the namespace's own log has proofs for.
    let proof = client.call("GET", &format!("sys/audit-log/consistency/0?size={}", head.size), None);
    proof.expect(200);
}

#[test]
fn what_enough_witnesses_cosigned_is_served_and_verified_offline() {
    let server = &mut Server::initialised_on_postgresql(Database::new());
    let root = ready(server);
    let team = namespace(&root, "team");
    mount(&team, "secret");
    put(&team, "a", &json!({"k": "v"}));
    let log = log_key(&root);
    let files = tempfile::tempdir().unwrap();
    let (one, mut two) = (witness(files.path(), "w1", &log), witness(files.path(), "w2", &log));
    declare(server, &(stanza("one", &one.url, &one.key) + &stanza("two", &two.url, &two.key)), 2);

    put(&team, "a", &json!({"k": "v"}));
    let first = cosigned(&team, 2);
    assert_eq!((cosigners(&first), &first["witnesses_required"]), (2, &json!(2)));
    let key = LogKey::parse(&log).unwrap();
    let (tree, others) = key.open(first["checkpoint"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!((json!(tree.size), json!(HEXLOWER.encode(&tree.root)), others), (first["size"].clone(), first["root"].clone(), 2));
    for witness in [&one, &two] {
        checked_by_others(files.path(), &first, &witness.key);
    }
    proves(&root, &key);
    proves(&team, &key);

    let copy = Copy::of(&team, &files.path().join("copy"));
    copy.export(server);
    let [by_one, by_two] = [&one, &two].map(|witness| ["--witness".to_owned(), witness.key.clone()]);
    let both = [by_one.clone(), by_two].concat();
    put(&team, "b", &json!({"k": "v"}));
    seen("a newer checkpoint", || copy.newer(&team));
    copy.export(server);
    verified_by_who_is_trusted(&copy, &both, &by_one);
    followed_by_a_monitor((server, &root), &team, &copy, &files.path().join("heads"), &log, &both);

    // One is away: nobody waits for it, and what both have cosigned is served as before.
    two.kill();
    let newest = || number(&team.call("GET", "sys/audit-log/checkpoint", None).expect(200).json()["data"]["size"]);
    let before = newest();
    put(&team, "c", &json!({"k": "v"}));
    seen("a checkpoint that only one has seen", || (newest() > before).then_some(()));
    let done = audit(Some(server), &["export", "--namespace", "team", &copy.path]);
    assert!(done.code == 0 && done.stderr.contains("only the first"), "{}{}", done.stdout, done.stderr);
    let done = copy.verify(&both);
    assert!(done.code == 1 && done.stdout.contains("unwitnessed: event"), "{}", done.stdout);
    assert_eq!(copy.verify(&[]).code, 0);
    let during = deployment(&team).filter(|shown| number(&shown["newest"]) > number(&shown["size"])).unwrap();
    assert_eq!(cosigners(&during), 2);
    assert!(metric(&root, "strongroom_audit_witness_failures_total{witness=\"two\"}") > 0.0);
    assert!(server.output().contains("the log of the deployment was not cosigned"), "{}", server.output());
    let two = two.come_back();
    let second = cosigned(&team, number(&during["newest"]));
    assert_eq!(cosigners(&second), 2);
    checked_by_others(files.path(), &second, &two.key);
    let path = format!("sys/audit-log/deployment/consistency/{}?size={}", first["size"], second["size"]);
    let proof = team.call("GET", &path, None).expect(200).json()["data"].take();
    let (from, to) = (number(&first["size"]), number(&second["size"]));
    assert!(verify_consistency(from, &hash(&first["root"]), to, &hash(&second["root"]), &hashes(&proof["path"])), "{proof}");

    for malformed in ["consistency/x", "consistency/9999999", &format!("consistency/{to}?size={from}"), "proof?size=x"] {
        team.call("GET", &format!("sys/audit-log/deployment/{malformed}"), None).expect(400);
    }
    for path in ["deployment", "deployment/proof", "deployment/consistency/0", "deployment/heads"] {
        team.without_token().call("GET", &format!("sys/audit-log/{path}"), None).expect(403);
    }
}

#[test]
fn witnesses_that_lie_hang_or_are_away_are_not_believed_and_hold_up_nobody() {
    let mut server = Server::initialised_on_sqlite();
    let root = ready(&server);
    let log = log_key(&root);
    let files = tempfile::tempdir().unwrap();
    let honest = witness(files.path(), "w1", &log);
    let signed_by = |own: SigningKey, known: &WitnessKey, of: fn(&str) -> String| -> liar::Answer {
        let known = known.clone();
        Box::new(move |body: &str| {
            let note = of(body.split_once("\n\n").unwrap().1);
            Some((200, known.cosign(note.as_bytes(), &own, 1_800_000_000).unwrap()))
        })
    };
    let key = |name: &str| {
        let own = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
        (WitnessKey::of(name, &own).unwrap().unwrap(), own)
    };
    let mut stanzas = stanza("honest", &honest.url, &honest.key);
    let mut add = |name: &str, known: &WitnessKey, url: &str| stanzas += &stanza(name, url, &known.to_string());
    let (forger, _) = key("forger");
    add("forger", &forger, &liar::listen(signed_by(key("forger").1, &forger, str::to_owned)));
    let (elsewhere, own) = key("elsewhere");
    add("elsewhere", &elsewhere, &liar::listen(signed_by(own, &elsewhere, |note| note.replacen("/0\n", "/1\n", 1))));
    for (name, answer) in [
        ("boaster", Some((409, "1000000\n".to_owned()))),
        ("babbler", Some((409, "many\n".to_owned()))),
        ("circler", Some((409, "0\n".to_owned()))),
        ("flood", Some((200, "x".repeat(1 << 20)))),
        ("refuser", Some((403, "no\n".to_owned()))),
        ("sleeper", None),
    ] {
        add(name, &key(name).0, &liar::listen(Box::new(move |_| answer.clone())));
    }
    add("away", &key("away").0, &format!("http://127.0.0.1:{}", free_port()));
    declare(&mut server, &stanzas, 1);

    put(&root, "a", &json!({"k": "v"}));
    let names = ["forger", "elsewhere", "boaster", "babbler", "circler", "flood", "refuser", "sleeper", "away"];
    for name in names {
        let failures = format!("strongroom_audit_witness_failures_total{{witness=\"{name}\"}}");
        seen(name, || (metric(&root, &failures) > 0.0).then_some(()));
    }
    let newest = number(&deployment(&root).unwrap()["newest"]);
    let shown = cosigned(&root, newest);
    for witness in shown["witnesses"].as_array().unwrap() {
        assert_eq!(witness["cosigned"], json!(witness["name"] == "honest"), "{shown}");
    }
    checked_by_others(files.path(), &shown, &honest.key);
    assert!(metric(&root, "strongroom_audit_witness_lag_seconds{witness=\"sleeper\"}") > 0.0);
    let output = server.output();
    for said in [
        "its answer is not a cosignature of the tree by its key",
        "FORKED: it has cosigned 1000000 heads",
        "it says that it has cosigned something else, and not what",
        "it answered 403",
    ] {
        assert!(output.contains(said), "{said}: {output}");
    }
    assert!(!output.contains("many\\n") && !output.contains("xxxxxxxx"), "what a witness writes is not repeated");

    // What cannot be called, or is no key, is told at the start.
    assert!(server.stop().success());
    let file = server.folder().join("strongroom.hcl");
    let config = fs::read_to_string(&file).unwrap();
    for (right, wrong, said) in [
        (honest.key.as_str(), log.as_str(), "witness \"honest\": its key is not that of a witness"),
        (honest.url.as_str(), "http://witness.example.com", "outbound_allow"),
    ] {
        fs::write(&file, config.replace(right, wrong)).unwrap();
        let refused = server.same_command().output().unwrap();
        let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(1) && stderr.contains(said), "{stderr}");
    }
}

#[test]
fn a_witness_tells_that_the_store_was_put_back() {
    let mut server = Server::initialised_on_sqlite();
    let root = ready(&server);
    let log = log_key(&root);
    let files = tempfile::tempdir().unwrap();
    let one = witness(files.path(), "w1", &log);
    declare(&mut server, &stanza("one", &one.url, &one.key), 1);
    cosigned(&root, 1);
    assert!(server.stop().success());
    let older = fs::read(server.sqlite_file()).unwrap();
    server.come_back();
    // More than what was saved.
    let mut newest = number(&deployment(&root).unwrap()["newest"]);
    for _ in 0..2 {
        put(&root, "a", &json!({"k": "after"}));
        // The first may be of what was logged before, and signed only now.
        newest = number(&cosigned(&root, newest + 1)["size"]);
    }
    assert!(!server.output().contains("FORKED"), "{}", server.output());

    assert!(server.stop().success());
    fs::write(server.sqlite_file(), older).unwrap();
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", server.sqlite_file().display()));
    }
    server.come_back();
    put(&root, "b", &json!({"k": "another history"}));
    told(&server, "FORKED: ", || {});
    // The other history gets longer than what was cosigned, and is not cosigned.
    told(&server, "FORKED: the tree does not extend", || {
        put(&root, "b", &json!({"k": "another history"}));
    });
    assert!(number(&deployment(&root).unwrap()["size"]) < newest, "only what was cosigned before is served");
    assert!(metric(&root, "strongroom_audit_unwitnessed_seconds") > 0.0);
}
