//! Namespaces with a key of their own in the key service: it alone opens them, and whoever disables it stops their reads and nobody
//! else's.

use std::time::Duration;

use serde_json::{Value, json};

use crate::seals::{
    REGION, SHORT_TIMES, TIMES, USED_AT_LEAST, get, health, initialised, sqlite, wait_for, wait_for_confirmations,
};
use crate::several_seals::TIMEOUT;
use crate::support::client::{Client, Reply};
use crate::support::fixture::{mount, namespace, put};
use crate::support::kms::{Does, Kms};
use crate::support::server::Server;

/// A server whose seal has a key, and allows two others; the three.
fn server(kms: &Kms) -> (Server, [String; 3]) {
    let keys = [(); 3].map(|()| kms.create_key(REGION));
    let [main, one, two] = &keys;
    let lines = format!("{TIMEOUT}  allowed_key_ids = [\"{one}\", \"{two}\"]\n");
    let server = Server::configured(|folder| sqlite(folder) + TIMES + &kms.seal(folder, "eu", REGION, main, &lines), "", 501);
    (server, keys)
}

fn set(root: &Client, method: &str, name: &str, body: &Value) -> Reply {
    let content = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    root.send(method, &format!("/v1/sys/namespaces/{name}"), &[("Content-Type", content)], body.to_string().as_bytes())
}

fn shown(root: &Client, name: &str) -> [Value; 2] {
    let data = root.call("GET", &format!("sys/namespaces/{name}"), None).expect(200).json()["data"].clone();
    [data["seal"].clone(), data["key_id"].clone()]
}

/// How many namespaces' keys are wrapped by so many seals.
fn wrapped_by(server: &Server, seals: u32) -> i64 {
    let one = "SELECT tenant_id FROM tenant_key GROUP BY tenant_id HAVING count(*)";
    server.tables().number(&format!("SELECT count(*) FROM ({one} = {seals}) AS found"))
}

#[test]
fn a_tenant_that_disables_its_key_stops_its_own_reads_and_nobody_elses() {
    let kms = Kms::start();
    let (mut server, [_, one, _]) = server(&kms);
    let (root, _) = initialised(&server);
    set(&root, "POST", "acme", &json!({"seal": "eu", "key_id": one})).expect(200);
    assert_eq!(shown(&root, "acme"), [json!("eu"), json!(one)]);
    let (acme, plain) = (root.in_namespace("acme"), namespace(&root, "plain"));
    for team in [&acme, &plain] {
        mount(team, "secret");
        put(team, "a", &json!({"k": "v"}));
    }
    mount(&root, "secret");
    put(&root, "a", &json!({"k": "v"}));
    // The deployment's: by the seal and the recovery key. The tenant's: by its own key, and by no other.
    assert_eq!((wrapped_by(&server, 2), wrapped_by(&server, 1)), (3, 1));

    let others_read = |server: &Server| {
        get(&root, "a").expect(200);
        get(&plain, "a").expect(200);
        health(server)().expect(200);
    };
    kms.key(&one, Does::Refuse("DisabledException"));
    let refused = wait_for(503, || get(&acme, "a"));
    assert_eq!(refused.errors(), ["kms unavailable: seal eu refuses the key"]);
    others_read(&server);
    kms.key(&one, Does::Pass);
    wait_for(200, || get(&acme, "a"));

    // An outage of its key alone is waited out, and concerns nobody else.
    assert!(server.stop().success());
    let file = server.folder().join("strongroom.hcl");
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap().replace(TIMES, SHORT_TIMES)).unwrap();
    server.start_again(200);
    get(&acme, "a").expect(200);
    others_read(&server);
    kms.key(&one, Does::Pass);
    wait_for_confirmations(&kms, 4);
    kms.key(&one, Does::Hang);
    wait_for(503, || get(&acme, "a"));
    assert!(kms.ages().into_iter().max().is_some_and(|age| age >= USED_AT_LEAST), "{:?}", kms.ages());
    others_read(&server);
    // A start without its key: it alone is not served, and heals by itself.
    assert!(server.stop().success());
    kms.key(&one, Does::Refuse("DisabledException"));
    server.start_again(200);
    get(&acme, "a").expect(503);
    get(&plain, "a").expect(200);
    kms.key(&one, Does::Pass);
    assert_eq!(wait_for(200, || get(&acme, "a")).json()["data"]["data"]["k"], "v");
}

#[test]
fn a_tenants_key_is_moved_at_once_and_its_old_one_opens_nothing() {
    let kms = Kms::start();
    let (mut server, [main, one, two]) = server(&kms);
    let (root, _) = initialised(&server);
    for (body, text) in [
        (json!({"seal": "eu", "key_id": main}), "is not configured, or its configuration does not allow the key"),
        (json!({"seal": "us", "key_id": one}), "is not configured, or its configuration does not allow the key"),
        (json!({"seal": "eu"}), "seal and key_id belong together"),
        (json!({"key_id": one}), "seal and key_id belong together"),
        (json!({"seal": "", "key_id": one}), "seal and key_id belong together"),
        (json!({"seals": []}), "unsupported: seals"),
    ] {
        let errors = set(&root, "POST", "acme", &body).expect(400).errors();
        assert!(errors[0].contains(text), "{body}: {errors:?}");
    }
    root.call("GET", "sys/namespaces/acme", None).expect(404);
    kms.key(&one, Does::Refuse("AccessDeniedException"));
    set(&root, "POST", "acme", &json!({"seal": "eu", "key_id": one})).expect(503);
    root.call("GET", "sys/namespaces/acme", None).expect(404);
    kms.key(&one, Does::Pass);

    // Made as others are, and moved later.
    let acme = namespace(&root, "acme");
    mount(&acme, "secret");
    put(&acme, "a", &json!({"k": "v"}));
    assert_eq!(shown(&root, "acme"), [Value::Null, Value::Null]);
    set(&root, "PATCH", "acme", &json!({"seal": "eu", "key_id": one})).expect(200);
    assert_eq!((wrapped_by(&server, 2), wrapped_by(&server, 1)), (2, 1));
    get(&acme, "a").expect(200);
    kms.key(&two, Does::Refuse("DisabledException"));
    set(&root, "PATCH", "acme", &json!({"seal": "eu", "key_id": two})).expect(503);
    assert_eq!(shown(&root, "acme"), [json!("eu"), json!(one)], "what was refused has changed nothing");
    get(&acme, "a").expect(200);
    kms.key(&two, Does::Pass);
    set(&root, "PATCH", "acme", &json!({"seal": "eu", "key_id": two})).expect(200);
    kms.key(&one, Does::Refuse("DisabledException"));
    assert!(server.stop().success());
    server.start_again(200);
    assert_eq!(get(&acme, "a").expect(200).json()["data"]["data"]["k"], "v");

    // What is below has the same key unless it chooses another, and never the deployment's seals.
    namespace(&acme, "sub");
    assert_eq!(shown(&acme, "sub"), [json!("eu"), json!(two)]);
    let errors = set(&acme, "PATCH", "sub", &json!({"seal": ""})).expect(400).errors();
    assert!(errors[0].contains("the namespace above has a key of its own"), "{errors:?}");
    namespace(&root, "plain");
    namespace(&root.in_namespace("plain"), "below");
    let errors = set(&root, "PATCH", "plain", &json!({"seal": "eu", "key_id": two})).expect(400).errors();
    assert!(errors[0].contains("below it has no key of its own"), "{errors:?}");

    // Back to the deployment's seals.
    set(&root, "PATCH", "acme", &json!({"seal": ""})).expect(200);
    kms.key(&two, Does::Refuse("DisabledException"));
    std::thread::sleep(Duration::from_secs(1));
    get(&acme, "a").expect(200);
}
