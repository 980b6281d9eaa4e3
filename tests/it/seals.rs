//! Root keys in a key service: a real one (`moto_server`), behind a proxy that fails as it is told.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Client, Reply};
use crate::support::fixture::{mount, namespace, put};
use crate::support::kms::{Does, Kms};
use crate::support::postgres::Database;
use crate::support::process::{PATIENCE, run};
use crate::support::server::{Server, storage_stanza};
use crate::support::tools;

pub(crate) const REGION: &str = "eu-central-1";
/// Keyrings are confirmed each second; an outage is waited out for longer than any test takes.
pub(crate) const TIMES: &str = "keyring_refresh = \"1s\"\nkeyring_max_age = \"10m\"\n";
/// Keyrings live for four seconds without being confirmed.
pub(crate) const SHORT_TIMES: &str = "keyring_refresh = \"1s\"\nkeyring_max_age = \"4s\"\n";
/// What a keyring is still used for at the least after its last confirmation: its time, less what a call takes on a busy machine.
pub(crate) const USED_AT_LEAST: Duration = Duration::from_secs(3);
/// Where calls hang: they are given up soon.
pub(crate) const IMPATIENT: &str = "  timeout = \"1s\"\n";

pub(crate) fn sqlite(folder: &Path) -> String {
    format!("storage \"sqlite\" {{\n  path = \"{}\"\n}}\n", folder.join("store.db").display())
}

/// A server on SQLite whose one seal is a key of `kms`. It has tried the seal: what the proxy does next is not its start any more.
pub(crate) fn uninitialised(kms: &Kms, key: &str) -> Server {
    configured(kms, key, TIMES, "")
}

/// The same with other times, and further lines in the seal's stanza.
pub(crate) fn configured(kms: &Kms, key: &str, times: &str, lines: &str) -> Server {
    let server = Server::configured(|folder| sqlite(folder) + times + &kms.seal(folder, "eu", REGION, key, lines), "", 501);
    let begun = Instant::now();
    while !server.output().contains("sealed: waiting for sys/init") {
        assert!(begun.elapsed() < PATIENCE, "{}", server.output());
        std::thread::sleep(Duration::from_millis(10));
    }
    server
}

/// Initialises; a client with the root token, and the answer.
pub(crate) fn initialised(server: &Server) -> (Client, Value) {
    let stranger = Client::new(&server.target());
    let init = stranger.call("PUT", "sys/init", Some(&json!({"recovery_shares": 3, "recovery_threshold": 2}))).expect(200).json();
    (stranger.with_token(init["root_token"].as_str().unwrap()), init)
}

/// Waits until the answer has this status.
#[track_caller]
pub(crate) fn wait_for(status: u16, ask: impl Fn() -> Reply) -> Reply {
    let begun = Instant::now();
    loop {
        let reply = ask();
        if reply.status == status {
            return reply;
        }
        assert!(begun.elapsed() < PATIENCE, "still {}: {}", reply.status, String::from_utf8_lossy(&reply.body));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until the server has written this oftener than `seen` times.
#[track_caller]
pub(crate) fn wait_for_line(server: &Server, text: &str, seen: usize) {
    let begun = Instant::now();
    while server.output().matches(text).count() <= seen {
        assert!(begun.elapsed() < PATIENCE, "no {text}: {}", server.output());
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn health(server: &Server) -> impl Fn() -> Reply + use<> {
    let client = Client::new(&server.target());
    move || client.call("GET", "sys/health", None)
}

pub(crate) fn get(client: &Client, path: &str) -> Reply {
    client.call("GET", &format!("secret/data/{path}"), None)
}

/// Waits until the keys of so many tenants were confirmed.
pub(crate) fn wait_for_confirmations(kms: &Kms, tenants: usize) {
    let begun = Instant::now();
    while kms.ages().len() < tenants {
        assert!(begun.elapsed() < PATIENCE, "{:?}", kms.ages());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn opens_by_itself(kms: &Kms, key: &str, server: &mut Server) {
    let (root, init) = initialised(server);
    assert_eq!((init["keys"].clone(), init["recovery_keys"].as_array().unwrap().len()), (json!([]), 3));
    let status = root.call("GET", "sys/seal-status", None).expect(200).json();
    assert_eq!((&status["type"], &status["recovery_seal"], &status["sealed"]), (&"awskms".into(), &true.into(), &false.into()));
    assert_eq!((&status["t"], &status["n"]), (&2.into(), &3.into()));
    mount(&root, "secret");
    put(&root, "a", &json!({"k": "v"}));
    let team = namespace(&root, "team");
    mount(&team, "secret");
    put(&team, "b", &json!({"k": "w"}));

    assert!(server.stop().success(), "{}", server.output());
    server.start_again(200);
    assert_eq!(get(&root, "a").expect(200).json()["data"]["data"]["k"], "v");
    assert_eq!(get(&team, "b").expect(200).json()["data"]["data"]["k"], "w");
    // What KMS is told of a key: whose it is. Never the same twice, never a name.
    let contexts: Vec<String> = kms.calls().iter().map(|(_, call)| call["EncryptionContext"].to_string()).collect();
    for context in &contexts {
        let context: Value = serde_json::from_str(context).unwrap();
        assert_eq!(context.as_object().unwrap().len(), 3);
        assert_eq!((context["tenant"].as_str().unwrap().len(), context["generation"].as_str().unwrap()), (32, "1"));
    }
    let encrypted = kms.calls().into_iter().filter(|(target, call)| target == "Encrypt" && call["KeyId"] == key);
    let of_tenants: BTreeSet<String> = encrypted.map(|(_, call)| call["EncryptionContext"]["tenant"].to_string()).collect();
    assert_eq!(of_tenants.len(), 4, "one probe, the root, the edge and a namespace");
    assert!(!server.output().contains("canary-of-a-credential"));
}

#[test]
fn a_kms_key_opens_a_server_by_itself_on_sqlite() {
    let kms = Kms::start();
    let key = kms.create_key(REGION);
    opens_by_itself(&kms, &key, &mut uninitialised(&kms, &key));
}

#[test]
fn a_kms_key_opens_a_server_by_itself_on_postgresql() {
    let (kms, database) = (Kms::start(), Database::new());
    let key = kms.create_key(REGION);
    let stanzas = |folder: &Path| storage_stanza(&database) + "\n" + TIMES + &kms.seal(folder, "eu", REGION, &key, "");
    opens_by_itself(&kms, &key, &mut Server::configured(stanzas, "", 501));
}

#[test]
fn init_writes_nothing_unless_the_seal_wraps_and_opens() {
    let kms = Kms::start();
    let key = kms.create_key(REGION);
    let server = configured(&kms, &key, TIMES, IMPATIENT);
    let stranger = Client::new(&server.target());
    let mut tables = server.tables();
    for (does, cause) in [
        (Does::Refuse("AccessDeniedException"), "seal eu refuses: AccessDeniedException: as it was  told"),
        (Does::Refuse("DisabledException"), "seal eu refuses: DisabledException"),
        (Does::Refuse("KMSInvalidStateException"), "seal eu refuses: KMSInvalidStateException"),
        (Does::Refuse("ExpiredTokenException"), "seal eu refuses: ExpiredTokenException"),
        (Does::OtherPlaintext, "seal eu is not available: it opened its own wrap to another key"),
        (Does::OtherKey, "seal eu is not available: the answer is of another key"),
        (Does::CutWrap, "seal eu: the wrapped key does not open with it"),
        (Does::Garbage, "seal eu is not available"),
        (Does::Throttle, "seal eu is not available"),
        (Does::Reset, "seal eu is not available"),
        (Does::Hang, "seal eu is not available"),
    ] {
        kms.all(does.clone());
        let reply = stranger.call("PUT", "sys/init", Some(&json!({"recovery_shares": 1, "recovery_threshold": 1}))).expect(503);
        let errors = reply.errors();
        assert!(errors.len() == 1 && errors[0].starts_with(&format!("kms unavailable: {cause}")), "{does:?}: {errors:?}");
        assert!(!errors[0].contains(['\n', '\r']), "{errors:?}");
        assert_eq!(stranger.call("GET", "sys/init", None).expect(200).json()["initialized"], false, "{does:?}");
        assert_eq!(tables.number("SELECT count(*) FROM tenant"), 0, "{does:?}");
    }
    kms.all(Does::Pass);
    // The breaker lets a call through after its pause.
    wait_for(200, || stranger.call("PUT", "sys/init", Some(&json!({}))));
}

/// Starts the server that `server` was, with other words in its configuration: its exit code and last line.
pub(crate) fn start_with(server: &Server, from: &str, to: &str) -> (i32, String) {
    let config = std::fs::read_to_string(server.folder().join("strongroom.hcl")).unwrap();
    assert!(config.contains(from), "{config}");
    let file = server.folder().join("other.hcl");
    std::fs::write(&file, config.replace(from, to)).unwrap();
    let home = [("HOME".to_owned(), server.folder().display().to_string())];
    let done = run(&tools::strongroom(), &["server", "--config", file.to_str().unwrap()], &home, None);
    (done.code, done.stderr.lines().last().unwrap_or_default().to_owned())
}

#[test]
fn a_seal_that_is_wrong_ends_the_start_with_one_line() {
    let kms = Kms::start();
    let [key, other] = [(); 2].map(|()| kms.create_key(REGION));
    let mut server = uninitialised(&kms, &key);
    for initialised_already in [false, true] {
        if initialised_already {
            let (root, _) = initialised(&server);
            mount(&root, "secret");
        }
        assert!(server.stop().success());
        for (from, to, cause) in [
            (REGION, "eu-west-1", "seal eu refuses: NotFoundException"),
            (key.as_str(), "11111111-2222-3333-4444-555555555555", "seal eu refuses: NotFoundException"),
            ("kms_key_id", "kms_key_di", "unknown key"),
            ("http://127", "http://128", "seal \"awskms\" \"eu\" endpoint: must be an https:// address"),
            ("timeout = \"30s\"", "timeout = \"1h\"", "must be from 100ms to 30s"),
        ] {
            let (code, line) = start_with(&server, from, to);
            let cause = if from == "kms_key_id" { "seal \"awskms\" kms_key_id: is missing" } else { cause };
            assert!(code == 1 && line.contains(cause), "{to}: {code} {line}");
        }
        if initialised_already {
            let (code, line) = start_with(&server, &key, &other);
            assert!(code == 1 && line.contains("seal eu refuses: AccessDeniedException"), "{code} {line}");
        }
        server.start_again(if initialised_already { 200 } else { 501 });
    }
}

#[test]
fn a_start_without_the_kms_heals_by_itself() {
    let kms = Kms::start_closed();
    let key = kms.create_key(REGION);
    let mut server = configured(&kms, &key, TIMES, IMPATIENT);
    kms.open();
    let stranger = Client::new(&server.target());
    let init = wait_for(200, || stranger.call("PUT", "sys/init", Some(&json!({}))));
    let root = stranger.with_token(init.json()["root_token"].as_str().unwrap());
    mount(&root, "secret");
    put(&root, "a", &json!({"k": "v"}));
    for (round, does) in [Does::Reset, Does::Hang, Does::Throttle, Does::Garbage].into_iter().enumerate() {
        assert!(server.stop().success());
        kms.all(does);
        server.start_again(503);
        let begun = Instant::now();
        while server.output().matches("sealed; trying again").count() <= round {
            assert!(begun.elapsed() < PATIENCE, "{}", server.output());
            std::thread::sleep(Duration::from_millis(20));
        }
        let sealed = health(&server)().expect(503).json();
        assert_eq!((&sealed["sealed"], &sealed["initialized"]), (&true.into(), &true.into()));
        assert_eq!(get(&root, "a").expect(503).errors(), ["Vault is sealed"]);
        kms.all(Does::Pass);
        wait_for(200, health(&server));
        get(&root, "a").expect(200);
    }
    assert!(server.output().contains("seal eu is not available"), "{}", server.output());
}

#[test]
fn a_refusal_of_the_root_key_seals_the_server_until_it_is_taken_back() {
    let kms = Kms::start();
    let key = kms.create_key(REGION);
    let mut server = uninitialised(&kms, &key);
    let (root, _) = initialised(&server);
    mount(&root, "secret");
    put(&root, "a", &json!({"k": "v"}));
    kms.all(Does::Refuse("DisabledException"));
    assert_eq!(wait_for(503, health(&server)).json()["sealed"], true, "a refusal is not waited out");
    get(&root, "a").expect(503);
    kms.all(Does::Pass);
    wait_for(200, health(&server));
    get(&root, "a").expect(200);

    // Somebody has sealed it: it stays so, also with a key that opens.
    root.call("PUT", "sys/seal", None).expect(204);
    std::thread::sleep(Duration::from_secs(3));
    health(&server)().expect(503);
    assert!(server.stop().success());
    server.start_again(200);
}

#[test]
fn an_outage_is_waited_out_until_the_maximum_age() {
    let kms = Kms::start();
    let key = kms.create_key(REGION);
    let server = configured(&kms, &key, SHORT_TIMES, IMPATIENT);
    let (root, _) = initialised(&server);
    mount(&root, "secret");
    put(&root, "a", &json!({"k": "v"}));
    for does in [Does::Hang, Does::Throttle, Does::Reset] {
        kms.all(Does::Pass);
        wait_for(200, health(&server));
        wait_for_confirmations(&kms, 2);
        kms.all(does.clone());
        wait_for(503, || get(&root, "a"));
        assert!(kms.ages().into_iter().max().is_some_and(|age| age >= USED_AT_LEAST), "{does:?}: {:?}", kms.ages());
        assert_eq!(wait_for(503, health(&server)).json()["sealed"], true);
    }
    kms.all(Does::Pass);
    wait_for(200, health(&server));
    get(&root, "a").expect(200);
    assert_eq!(kms.most_at_a_time(), 1, "a tenant's key is asked for by one call at a time");
}

#[test]
fn a_wrap_that_was_cut_or_exchanged_does_not_open() {
    let kms = Kms::start();
    let key = kms.create_key(REGION);
    let mut server = uninitialised(&kms, &key);
    let (root, _) = initialised(&server);
    let [one, two] = ["one", "two"].map(|name| namespace(&root, name));
    for team in [&one, &two] {
        mount(team, "secret");
        put(team, "a", &json!({"k": "v"}));
    }
    mount(&root, "secret");
    assert!(server.stop().success());
    let whole = std::fs::read(server.sqlite_file()).unwrap();

    // Each tenant has the wrap of another one, the root and the edge have their own.
    let children = "tenant_id IN (SELECT tenant_id FROM tenant WHERE parent IS NOT NULL)";
    server.tables().run(&format!(
        "CREATE TEMP TABLE before AS SELECT tenant_id, wrap FROM tenant_key WHERE {children};
         UPDATE tenant_key SET wrap = (SELECT wrap FROM before WHERE before.tenant_id <> tenant_key.tenant_id) WHERE {children};"
    ));
    server.start_again(200);
    for team in [&one, &two] {
        assert_eq!(get(team, "a").expect(503).errors(), ["kms unavailable: the key does not open with seal eu"]);
    }
    root.call("GET", "sys/mounts", None).expect(200);
    health(&server)().expect(200);
    assert!(server.stop().success());

    std::fs::write(server.sqlite_file(), &whole).unwrap();
    server.tables().run("UPDATE tenant_key SET wrap = substr(wrap, 1, length(wrap) - 1)");
    let (code, line) = start_with(&server, REGION, REGION);
    assert!(code == 1 && line.contains("seal eu: the wrapped key does not open with it"), "{code} {line}");

    std::fs::write(server.sqlite_file(), &whole).unwrap();
    server.start_again(200);
    get(&one, "a").expect(200);
}
