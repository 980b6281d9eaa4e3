//! From key shares to a key service and back: there is always a server that answers, and nothing is lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::seals::{REGION, TIMES, get, health};
use crate::several_seals::TIMEOUT;
use crate::support::bao::Bao;
use crate::support::client::Client;
use crate::support::fixture::{mount, namespace, put, ready};
use crate::support::kms::{Does, Kms};
use crate::support::postgres::Database;
use crate::support::process::{PATIENCE, run};
use crate::support::server::Server;
use crate::support::tools;

const SHARES: &str = "seal \"shamir\" {}\n";

/// The configuration of a server without any seal.
fn plain(server: &Server) -> String {
    std::fs::read_to_string(server.folder().join("strongroom.hcl")).unwrap()
}

/// Starts a server again that lists these seals.
fn list(server: &mut Server, plain: &str, seals: &str, health: u16) {
    assert!(server.stop().success());
    std::fs::write(server.folder().join("strongroom.hcl"), format!("{plain}\n{TIMES}{seals}")).unwrap();
    server.start_again(health);
}

/// Waits until every key is wrapped by what is listed, and by nothing else; what is shown then.
fn finished(root: &Client, is: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let reply = root.call("GET", "sys/seals", None);
        if reply.status == 200 {
            let state = reply.json()["data"].clone();
            if state["finished"] == true && is(&state) {
                return state;
            }
        }
        assert!(begun.elapsed() < PATIENCE, "{}", String::from_utf8_lossy(&reply.body));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How many keys are wrapped under a name.
fn wraps(server: &Server, like: &str) -> i64 {
    server.tables().number(&format!("SELECT count(*) FROM tenant_key WHERE seal LIKE '{like}'"))
}

/// Asks as what stands before two servers does, until `stop`: whichever answers.
fn always_answered(clients: &[Client; 2], stop: &AtomicBool, answered: &AtomicU64) {
    let mut first = 0;
    while !stop.load(Ordering::Relaxed) {
        let ask = |at: usize| clients[at].try_send("GET", "/v1/secret/data/a", &[], b"").is_ok_and(|reply| reply.status == 200);
        if !ask(first) {
            first = 1 - first;
            assert!(ask(first), "neither server answers");
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

fn there_and_back(servers: &mut [Server], kms: &Kms, team: &Client) {
    let root = servers.iter().map(|server| Client::new(&server.target())).collect::<Vec<_>>();
    let plain: Vec<String> = servers.iter().map(plain).collect();
    let key = kms.create_key(REGION);
    // Each with the credentials in its own folder.
    let eu: Vec<String> = servers.iter().map(|server| kms.seal(server.folder(), "eu", REGION, &key, TIMEOUT)).collect();
    let both: Vec<String> = eu.iter().map(|eu| format!("{SHARES}{eu}")).collect();
    let old = servers[0].keys()[0].clone();
    let tenants = wraps(&servers[0], "shamir");

    // Shares are brought once, and only by who says what for.
    list(&mut servers[0], &plain[0], &both[0], 503);
    let status = root[0].call("GET", "sys/seal-status", None).expect(200).json();
    assert_eq!((&status["migration"], &status["type"], &status["t"]), (&json!(true), &json!("shamir"), &json!(1)), "{status}");
    let errors = root[0].call("PUT", "sys/unseal", Some(&json!({"key": old}))).expect(400).errors();
    assert_eq!(errors, ["migrate option not provided and seal migration is pending"]);
    let bao = Bao::new(&servers[0].target()).without_token();
    bao.ok(&["operator", "unseal", "-migrate", &old]);
    let state = finished(&root[0], |state| state["seals"]["eu"]["listed"] == true);
    assert_eq!(state["seals"]["shamir"]["may_be_dropped"], true, "{state}");
    assert_eq!((wraps(&servers[0], "eu"), wraps(&servers[0], "shamir")), (tenants, tenants));
    for at in 1..servers.len() {
        list(&mut servers[at], &plain[at], &both[at], 200);
    }
    // Either opens.
    kms.all(Does::Reset);
    list(&mut servers[0], &plain[0], &both[0], 503);
    root[0].call("PUT", "sys/unseal", Some(&json!({"key": old}))).expect(200);
    get(team, "a").expect(200);
    kms.all(Does::Pass);

    for at in 0..servers.len() {
        list(&mut servers[at], &plain[at], &eu[at], 200);
    }
    let state = finished(&root[0], |state| state["seals"]["shamir"].is_null());
    assert_eq!((&state["recovery_shares_open"], wraps(&servers[0], "shamir")), (&json!(true), 0), "{state}");

    // And back: the shares, which recover now, are brought for other ones.
    for at in 0..servers.len() {
        list(&mut servers[at], &plain[at], &both[at], 200);
    }
    let target = servers[0].target();
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let ca = target.ca.as_ref().unwrap().to_str().unwrap();
    let variables = [set("BAO_ADDR", &target.url), set("BAO_CACERT", ca), set("BAO_TOKEN", &target.token)];
    let asked = ["operator", "seal-migrate", "--key-shares", "1", "--key-threshold", "1", "--format", "json"];
    let begun = run(&tools::strongroom(), &asked, &variables, None);
    let begun: Value =
        serde_json::from_str(&begun.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", begun.stdout, begun.stderr));
    assert_eq!(begun["data"]["required"], 1, "{begun}");
    let body = json!({"key": old, "nonce": begun["data"]["nonce"]});
    let given = root[0].call("PUT", "sys/rotate/root/update", Some(&body)).expect(200).json();
    let new = given["data"]["keys"][0].as_str().unwrap().to_owned();
    finished(&root[0], |state| state["seals"]["shamir"]["listed"] == true);
    assert_eq!((wraps(&servers[0], "eu"), wraps(&servers[0], "shamir%")), (tenants, tenants));

    for (at, (server, plain)) in servers.iter_mut().zip(&plain).enumerate() {
        server.set_keys(std::slice::from_ref(&new));
        list(server, plain, SHARES, 503);
        root[at].call("PUT", "sys/unseal", Some(&json!({"key": old}))).expect(400);
        server.unseal();
    }
    finished(&root[0], |state| state["seals"]["eu"].is_null());
    assert_eq!((wraps(&servers[0], "eu"), wraps(&servers[0], "recovery%"), wraps(&servers[0], "shamir%")), (0, 0, tenants));
    kms.all(Does::Reset);
    servers[0].kill();
    servers[0].come_back();
    get(team, "a").expect(200);
    health(&servers[0])().expect(200);
}

#[test]
fn shares_give_way_to_a_kms_and_come_back_while_another_server_serves() {
    let kms = Kms::start();
    let first = Server::initialised_on_postgresql(Database::new());
    let root = ready(&first);
    let team = namespace(&root, "team");
    mount(&team, "secret");
    for client in [&root, &team] {
        put(client, "a", &json!({"k": "v"}));
    }
    let second = first.another();
    let clients = [root, Client::new(&second.target())];
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut servers = [first, second];
    std::thread::scope(|scope| {
        scope.spawn(|| always_answered(&clients, &stop, &answered));
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| there_and_back(&mut servers, &kms, &team)));
        stop.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|cause| std::panic::resume_unwind(cause));
    });
    assert!(answered.load(Ordering::Relaxed) > 20);
}

#[test]
fn shares_give_way_to_a_kms_and_come_back_on_sqlite() {
    let kms = Kms::start();
    let server = Server::initialised_on_sqlite();
    let root = ready(&server);
    let team = namespace(&root, "team");
    mount(&team, "secret");
    put(&team, "a", &json!({"k": "v"}));
    there_and_back(&mut [server], &kms, &team);
}

/// One server needs no step in between; and without recovery shares nothing is brought for new shares.
#[test]
fn a_single_server_drops_the_shares_by_itself_and_gives_out_others() {
    let mut server = Server::initialised_on_sqlite();
    let root = ready(&server);
    put(&root, "a", &json!({"k": "v"}));
    let plain = plain(&server);
    let file = server.folder().join("root.key");
    std::fs::write(&file, [7; 32]).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let file = format!("seal \"static\" \"file\" {{\n  key_file = \"{}\"\n}}\n", file.display());
    let old = server.keys()[0].clone();
    // Nothing is to be migrated to yet.
    list(&mut server, &plain, "", 503);
    let errors = root.call("PUT", "sys/unseal", Some(&json!({"key": old, "migrate": true}))).expect(400).errors();
    assert_eq!(errors, ["can't perform a seal migration, no migration seal found"]);

    list(&mut server, &plain, &file, 503);
    root.call("PUT", "sys/unseal", Some(&json!({"key": old, "migrate": true}))).expect(200);
    finished(&root, |state| state["seals"]["file"]["listed"] == true && state["seals"]["shamir"].is_null());
    assert_eq!((wraps(&server, "file"), wraps(&server, "shamir%")), (2, 0));
    server.set_keys(&[]);
    server.kill();
    server.come_back();
    get(&root, "a").expect(200);
    let errors =
        root.call("PUT", "sys/rotate/root/init", Some(&json!({"secret_shares": 1, "secret_threshold": 1}))).expect(400).errors();
    assert!(errors[0].contains("has no shares"), "{errors:?}");
}

/// A deployment without recovery shares: who has sudo is given shares at once, and nobody without a token.
#[test]
fn shares_beside_a_key_file_are_given_to_who_may_ask() {
    let key = |folder: &std::path::Path| {
        let file = folder.join("root.key");
        std::fs::write(&file, [7; 32]).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        crate::seals::sqlite(folder) + &format!("{SHARES}seal \"static\" \"file\" {{\n  key_file = \"{}\"\n}}\n", file.display())
    };
    let server = Server::configured(key, "  disable_unauthed_rekey_endpoints = false\n", 501);
    let stranger = Client::new(&server.target());
    let init = stranger.call("PUT", "sys/init", Some(&json!({}))).expect(200).json();
    let root = stranger.with_token(init["root_token"].as_str().unwrap());
    let ask = json!({"secret_shares": 3, "secret_threshold": 2});
    let errors = stranger.call("PUT", "sys/rekey/init", Some(&ask)).expect(400).errors();
    assert!(errors[0].contains("ask for some with a token"), "{errors:?}");
    stranger.call("PUT", "sys/rotate/root/init", Some(&ask)).expect(403);
    let given = root.call("PUT", "sys/rotate/root/init", Some(&ask)).expect(200).json();
    assert_eq!((given["data"]["complete"].clone(), given["data"]["keys"].as_array().unwrap().len()), (json!(true), 3), "{given}");
    finished(&root, |state| state["seals"]["shamir"]["listed"] == true);
    assert_eq!((wraps(&server, "file"), wraps(&server, "shamir-1")), (2, 2));
    let errors = root.call("PUT", "sys/rotate/root/init", Some(&ask)).expect(400).errors();
    assert!(errors[0].contains("there are shares beside the seals already"), "{errors:?}");
}
