//! Several seals: each wraps every key, any one opens, and they are added and dropped while the server runs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::seals::{REGION, TIMES, configured, get, health, initialised, sqlite, start_with, wait_for};
use crate::support::client::Client;
use crate::support::fixture::{mount, namespace, put};
use crate::support::kms::{Does, Kms};
use crate::support::postgres::Database;
use crate::support::process::{PATIENCE, run};
use crate::support::server::{Server, storage_stanza};
use crate::support::tools;

/// Calls hang here, and are passed on: long enough for a busy machine.
pub(crate) const TIMEOUT: &str = "  timeout = \"6s\"\n";
const CHANGED: &str = "every key is wrapped by the configured seals";

/// Starts a server that has stopped with other seals, and waits until the change is finished, if it is to be.
fn start_with_seals(server: &mut Server, before: &str, seals: &str, finishes: bool) {
    let file = server.folder().join("strongroom.hcl");
    let config = std::fs::read_to_string(&file).unwrap();
    assert!(config.contains(before), "{config}");
    std::fs::write(&file, config.replace(before, seals)).unwrap();
    let changes = server.output().matches(CHANGED).count();
    server.start_again(200);
    let begun = Instant::now();
    while finishes && server.output().matches(CHANGED).count() == changes {
        assert!(begun.elapsed() < PATIENCE, "{}", server.output());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How many keys this seal has wrapped.
fn wraps(server: &Server, name: &str) -> i64 {
    server.tables().number(&format!("SELECT count(*) FROM tenant_key WHERE seal = '{name}'"))
}

/// Two keys, in two regions, and the seals that they are.
fn two_regions(kms: &Kms, folder: &Path, keys: &[String; 2]) -> [String; 2] {
    let [eu, us] = keys;
    [("eu", REGION, eu), ("us", "us-east-1", us)].map(|(name, region, key)| kms.seal(folder, name, region, key, TIMEOUT))
}

/// What `sys/seals` says of the change, and of each seal.
fn seals(root: &Client) -> Value {
    root.call("GET", "sys/seals", None).expect(200).json()["data"].clone()
}

fn added_and_dropped(kms: &Kms, keys: &[String; 2], server: &mut Server) {
    let [eu, _] = keys;
    let [eu_seal, us_seal] = two_regions(kms, server.folder(), keys);
    let both = format!("{eu_seal}{us_seal}");
    let (root, _) = initialised(server);
    mount(&root, "secret");
    let team = namespace(&root, "team");
    mount(&team, "secret");
    put(&team, "a", &json!({"k": "v"}));
    assert_eq!((wraps(server, "eu"), wraps(server, "us")), (3, 0));

    assert!(server.stop().success());
    start_with_seals(server, &eu_seal, &both, true);
    assert_eq!((wraps(server, "eu"), wraps(server, "us")), (3, 3));
    let state = seals(&root);
    assert_eq!((&state["finished"], &state["wrapped"], &state["failed"]), (&true.into(), &3.into(), &0.into()), "{state}");
    let late = namespace(&root, "late");
    assert_eq!((wraps(server, "eu"), wraps(server, "us")), (4, 4));

    // Either opens, also at a start.
    for does in [Does::Refuse("DisabledException"), Does::Hang] {
        kms.key(eu, does);
        std::thread::sleep(Duration::from_secs(1));
        get(&team, "a").expect(200);
        assert!(server.stop().success());
        server.start_again(200);
        get(&team, "a").expect(200);
    }

    // The one that is gone for good is dropped; what it wrapped is removed.
    assert!(server.stop().success());
    start_with_seals(server, &both, &us_seal, true);
    assert_eq!((wraps(server, "eu"), wraps(server, "us")), (0, 4));
    get(&team, "a").expect(200);
    late.call("GET", "sys/mounts", None).expect(200);

    // It opens nothing any more.
    kms.key(eu, Does::Pass);
    assert!(server.stop().success());
    let (code, line) = start_with(server, &us_seal, &eu_seal);
    assert!(code == 1 && line.contains("none of the configured seals has wrapped it"), "{code} {line}");
    server.start_again(200);
}

#[test]
fn seals_are_added_and_dropped_while_the_server_runs_on_sqlite() {
    let kms = Kms::start();
    let keys = [REGION, "us-east-1"].map(|region| kms.create_key(region));
    added_and_dropped(&kms, &keys, &mut configured(&kms, &keys[0], TIMES, TIMEOUT));
}

#[test]
fn seals_are_added_and_dropped_while_the_server_runs_on_postgresql() {
    let (kms, database) = (Kms::start(), Rc::new(Database::new()));
    let keys = [REGION, "us-east-1"].map(|region| kms.create_key(region));
    let stanzas = |folder: &Path| storage_stanza(&database) + "\n" + TIMES + &kms.seal(folder, "eu", REGION, &keys[0], TIMEOUT);
    let mut server = Server::configured(stanzas, "", 501);
    server.set_database(&database);
    added_and_dropped(&kms, &keys, &mut server);
}

#[test]
fn a_key_file_is_exchanged() {
    let seal = |folder: &Path, lines: &str| {
        let quoted = |name: &str| format!("\"{}\"", folder.join(name).display());
        let lines = lines.replace("OLD", &quoted("old.key")).replace("NEW", &quoted("new.key"));
        format!("seal \"static\" {{\n{lines}}}\n")
    };
    let stanzas = |folder: &Path| {
        for (name, byte) in [("old.key", 7), ("new.key", 8)] {
            std::fs::write(folder.join(name), [byte; 32]).unwrap();
            std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        sqlite(folder) + &seal(folder, "key_file = OLD\n")
    };
    let mut server = Server::configured(stanzas, "", 501);
    let (root, _) = initialised(&server);
    let team = namespace(&root, "team");
    mount(&team, "secret");
    put(&team, "a", &json!({"k": "v"}));
    assert!(server.stop().success());
    let forms = ["key_file = OLD\n", "key_file = NEW\nprevious_key_file = OLD\n", "key_file = NEW\n"];
    let [old, both, new] = forms.map(|lines| seal(server.folder(), lines));

    let (code, line) = start_with(&server, &old, &new);
    assert!(code == 1 && line.contains("seal static: the wrapped key does not open with it"), "{code} {line}");
    start_with_seals(&mut server, &old, &both, true);
    get(&team, "a").expect(200);
    assert!(server.stop().success());
    start_with_seals(&mut server, &both, &new, false);
    get(&team, "a").expect(200);
    assert!(server.stop().success());
    let (code, line) = start_with(&server, &new, &old);
    assert!(code == 1 && line.contains("does not open"), "{code} {line}");
}

#[test]
fn a_namespace_made_while_a_seal_is_away_is_wrapped_by_it_later() {
    let kms = Kms::start();
    let keys = [REGION, "us-east-1"].map(|region| kms.create_key(region));
    let mut server = configured(&kms, &keys[0], TIMES, TIMEOUT);
    let [eu, us] = two_regions(&kms, server.folder(), &keys);
    let (root, _) = initialised(&server);
    assert!(server.stop().success());
    start_with_seals(&mut server, &eu, &format!("{eu}{us}"), true);

    kms.key(&keys[1], Does::Reset);
    let team = namespace(&root, "team");
    mount(&team, "secret");
    put(&team, "a", &json!({"k": "v"}));
    assert_eq!((wraps(&server, "eu"), wraps(&server, "us")), (3, 2));
    let state = wait_for_state(&root, |state| state["seals"]["us"]["answers"] == false);
    assert_eq!((&state["finished"], &state["seals"]["eu"]["may_be_dropped"]), (&false.into(), &false.into()), "{state}");

    // It is not forgotten in a crash.
    server.kill();
    server.start_again(200);
    get(&team, "a").expect(200);
    kms.key(&keys[1], Does::Pass);
    let state = wait_for_state(&root, |state| state["finished"] == true);
    assert_eq!((wraps(&server, "eu"), wraps(&server, "us")), (3, 3), "{state}");
    assert_eq!(state["seals"]["eu"]["may_be_dropped"], true, "{state}");
    kms.key(&keys[0], Does::Reset);
    assert!(server.stop().success());
    server.start_again(200);
    get(&team, "a").expect(200);
    let state = seals(&root);
    assert_eq!(
        (&state["seals"]["us"]["may_be_dropped"], &state["seals"]["us"]["reason"]),
        (&false.into(), &"none of the others answers now".into())
    );
}

fn wait_for_state(root: &Client, is: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let state = seals(root);
        if is(&state) {
            return state;
        }
        assert!(begun.elapsed() < PATIENCE, "{state}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_server_that_dies_while_a_seal_is_added_goes_on_where_it_was() {
    let kms = Kms::start();
    let keys = [REGION, "us-east-1"].map(|region| kms.create_key(region));
    let mut server = configured(&kms, &keys[0], TIMES, TIMEOUT);
    let [eu, us] = two_regions(&kms, server.folder(), &keys);
    let (root, _) = initialised(&server);
    let teams: Vec<Client> = (0..12).map(|number| namespace(&root, &format!("team{number}"))).collect();
    for team in &teams {
        mount(team, "secret");
        put(team, "a", &json!({"k": "v"}));
    }
    assert!(server.stop().success());

    kms.key(&keys[1], Does::Slowly);
    start_with_seals(&mut server, &eu, &format!("{eu}{us}"), false);
    let begun = Instant::now();
    while wraps(&server, "us") < 3 {
        assert!(begun.elapsed() < PATIENCE, "{}", server.output());
        std::thread::sleep(Duration::from_millis(20));
    }
    server.kill();
    let done = wraps(&server, "us");
    assert!((3..14).contains(&done) && wraps(&server, "eu") == 14, "{done}");

    // Nothing else may be begun, and what was begun may be taken back or finished.
    let (code, line) = start_with(&server, &format!("{eu}{us}"), &us);
    assert!(code == 1 && line.contains("the change of seals from (eu) to (eu, us) is not finished"), "{code} {line}");
    kms.key(&keys[1], Does::Pass);
    server.start_again(200);
    wait_for_state(&root, |state| state["finished"] == true);
    assert_eq!((wraps(&server, "eu"), wraps(&server, "us")), (14, 14));
    kms.key(&keys[0], Does::Hang);
    assert!(server.stop().success());
    server.start_again(200);
    for team in &teams {
        assert_eq!(get(team, "a").expect(200).json()["data"]["data"]["k"], "v");
    }
}

#[test]
fn a_change_of_all_seals_passes_by_a_namespace_whose_own_key_is_disabled() {
    let kms = Kms::start();
    let [eu, us, own] = [REGION, "us-east-1", REGION].map(|region| kms.create_key(region));
    let lines = format!("  allowed_key_ids = [\"{own}\"]\n");
    let eu_seal = |folder: &Path| kms.seal(folder, "eu", REGION, &eu, &lines);
    let mut server = Server::configured(|folder| sqlite(folder) + &eu_seal(folder), "", 501);
    let (root, init) = initialised(&server);
    root.call("POST", "sys/namespaces/acme", Some(&json!({"seal": "eu", "key_id": own}))).expect(200);
    let acme = root.in_namespace("acme");
    namespace(&acme, "below");
    let plain = namespace(&root, "plain");
    for team in [&acme, &plain] {
        mount(team, "secret");
        put(team, "a", &json!({"k": "v"}));
    }
    kms.key(&own, Does::Refuse("DisabledException"));
    assert!(server.stop().success());
    let eu_seal = eu_seal(server.folder());
    let both = format!("{eu_seal}{}", kms.seal(server.folder(), "us", "us-east-1", &us, ""));
    start_with_seals(&mut server, &eu_seal, &both, true);
    let state = seals(&root);
    let counted = ["finished", "wrapped", "failed", "own_keys"].map(|name| state[name].clone());
    assert_eq!(counted, [json!(true), json!(3), json!(0), json!(1)], "{state}");
    assert!(seal_migrate(&init, &server, "table").contains("1 passed by, which have keys of their own"));
    // The others by both; the two with the disabled key by it alone, as before.
    assert_eq!((wraps(&server, "eu"), wraps(&server, "us")), (3 + 2, 3));
    get(&plain, "a").expect(200);
    get(&acme, "a").expect(503);
    kms.key(&own, Does::Pass);
    assert_eq!(wait_for(200, || get(&acme, "a")).json()["data"]["data"]["k"], "v");
}

#[test]
fn a_wrong_key_from_one_seal_is_never_used() {
    let kms = Kms::start();
    let keys = [REGION, "us-east-1"].map(|region| kms.create_key(region));
    let mut server = configured(&kms, &keys[0], TIMES, TIMEOUT);
    let [eu, us] = two_regions(&kms, server.folder(), &keys);
    let (root, _) = initialised(&server);
    mount(&root, "secret");
    put(&root, "a", &json!({"k": "v"}));
    assert!(server.stop().success());
    start_with_seals(&mut server, &eu, &format!("{eu}{us}"), true);

    kms.key(&keys[0], Does::OtherPlaintext);
    assert!(server.stop().success());
    server.start_again(200);
    assert_eq!(get(&root, "a").expect(200).json()["data"]["data"]["k"], "v");
    assert!(server.output().contains("a seal gave a key that opens nothing"), "{}", server.output());
    assert!(server.stop().success());
    kms.key(&keys[1], Does::OtherPlaintext);
    let (code, line) = start_with(&server, REGION, REGION);
    assert!(code == 1 && line.contains("do not open"), "{code} {line}");
    kms.key(&keys[1], Does::Pass);
    server.start_again(200);
    get(&root, "a").expect(200);
}

/// What `strongroom operator seal-migrate` prints.
fn seal_migrate(init: &Value, server: &Server, format: &str) -> String {
    let target = server.target();
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let ca = target.ca.as_ref().unwrap().to_str().unwrap();
    let variables = [set("BAO_ADDR", &target.url), set("BAO_CACERT", ca), set("BAO_TOKEN", init["root_token"].as_str().unwrap())];
    let done = run(&tools::strongroom(), &["operator", "seal-migrate", "--format", format], &variables, None);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    done.stdout
}

#[test]
fn a_key_file_gives_way_to_a_kms_and_back_without_downtime() {
    let kms = Kms::start();
    let key = kms.create_key(REGION);
    let file = |folder: &Path| {
        let path = folder.join("root.key");
        std::fs::write(&path, [7; 32]).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        format!("seal \"static\" \"file\" {{\n  key_file = \"{}\"\n}}\n", path.display())
    };
    let mut server = Server::configured(|folder| sqlite(folder) + TIMES + &file(folder), "", 501);
    let (root, init) = initialised(&server);
    let team = namespace(&root, "team");
    mount(&team, "secret");
    put(&team, "a", &json!({"k": "v"}));
    let (file, eu) = (file(server.folder()), kms.seal(server.folder(), "eu", REGION, &key, ""));
    let both = format!("{file}{eu}");
    assert!(seal_migrate(&init, &server, "table").contains("needed: it is the only one"));

    let steps = [(&file, &both, 3, 3), (&both, &eu, 0, 3), (&eu, &both, 3, 3), (&both, &file, 3, 0)];
    for (number, (before, after, by_file, by_kms)) in steps.into_iter().enumerate() {
        assert!(server.stop().success());
        start_with_seals(&mut server, before, after, true);
        assert_eq!((wraps(&server, "file"), wraps(&server, "eu")), (by_file, by_kms), "step {number}");
        get(&team, "a").expect(200);
        let shown = seal_migrate(&init, &server, "table");
        assert!(shown.contains("complete    yes: every key is wrapped by the seals above, and by no other"), "{shown}");
        let json: Value = serde_json::from_str(&seal_migrate(&init, &server, "json")).unwrap();
        for seal in json["data"]["seals"].as_object().unwrap().values() {
            assert_eq!(seal["may_be_dropped"], by_file == by_kms, "{json}");
        }
    }
    // The key service may go now.
    kms.all(Does::Reset);
    assert!(server.stop().success());
    server.start_again(200);
    get(&team, "a").expect(200);
    health(&server)().expect(200);
}
