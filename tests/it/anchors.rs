//! A database that is put back to an older state is refused, until an operator accepts that; and nothing else is taken for one.

mod stage;
mod storage;

use std::fs;

use serde_json::json;

use crate::support::client::Client;
use crate::support::fixture::{mount, namespace, policy, put, ready, token};
use crate::support::postgres::Database;
use stage::{Stage, anchor_file, checkpoint, id, newer, seen};

/// A database of its own for a test on `PostgreSQL`; none: SQLite.
fn put_back(database: Option<Database>) {
    let mut stage = Stage::new(database);
    let root = ready(&stage.server);
    let [calm, team] = ["calm", "team"].map(|name| namespace(&root, name));
    for client in [&calm, &team] {
        mount(client, "secret");
        put(client, "a", &json!({"k": "before"}));
    }
    namespace(&team, "below");
    let below = root.in_namespace("team/below");
    policy(&root, "weak", "path \"sys/namespaces/*\" { capabilities = [\"create\", \"update\", \"read\"] }");
    stage.anchored(&[&calm]);
    let older = stage.save();
    put(&team, "a", &json!({"k": "after"}));
    below.call("POST", "sys/namespaces/later", None).expect(200);
    stage.anchored(&[&team, &below, &root]);
    let kept = stage.server.folder().join("kept");
    fs::write(&kept, checkpoint(&team).1).unwrap();
    let trusted = team.call("GET", "sys/audit-log/key", None).expect(200).json()["data"]["key"].as_str().unwrap().to_owned();

    stage.put_back(&older);
    // The deployment's own logs: nothing opens.
    let refused = stage.unseal().expect(503).errors();
    assert!(refused[0].contains("rolled back") && refused[0].contains("accept-rollback"), "{refused:?}");
    assert!(stage.server.output().contains("ROLLED BACK"), "{}", stage.server.output());
    root.call("GET", "secret/data/a", None).expect(503);
    let file = anchor_file(&stage.server);
    let accepted = stage.audit(&["accept-rollback", "--anchors", file.to_str().unwrap()]);
    assert_eq!(accepted.code, 0, "{}{}", accepted.stdout, accepted.stderr);
    stage.unseal().expect(200);
    root.call("GET", "sys/mounts", None).expect(200);
    assert!(!file.with_extension("accepted").exists(), "what was accepted counts once");

    // What has lost nothing is well, the rest is sealed.
    assert_eq!(calm.call("GET", "secret/data/a", None).expect(200).json()["data"]["data"]["k"], "before");
    for _ in 0..2 {
        let refused = team.call("GET", "secret/data/a", None).expect(503).errors();
        assert!(refused[0].contains("rolled back") && refused[0].contains("strongroom audit accept-rollback"), "{refused:?}");
    }
    team.without_token().call("GET", "secret/data/a", None).expect(403);
    let metrics = root.call("GET", "sys/metrics?format=prometheus", None).expect(200);
    assert!(String::from_utf8(metrics.body).unwrap().contains("strongroom_audit_logs_rolled_back 1\n"));

    // Only sudo accepts, only what is there to accept, and once.
    let weak = root.with_token(&token(&root, &json!({"policies": ["weak"]})).text);
    weak.call("POST", "sys/namespaces/team/accept-rollback", None).expect(403);
    for other in ["calm", "none"] {
        root.call("POST", &format!("sys/namespaces/{other}/accept-rollback"), None).expect(400);
    }
    let all = stage.audit(&["accept-rollback", "--all"]);
    assert_eq!(all.code, 0, "{}{}", all.stdout, all.stderr);
    assert!(
        all.stdout.contains("team: epoch 1 of its log begins") && all.stdout.contains("team/below: epoch 1"),
        "{}",
        all.stdout
    );
    root.call("POST", "sys/namespaces/team/accept-rollback", None).expect(400);
    assert_eq!(team.call("GET", "secret/data/a", None).expect(200).json()["data"]["data"]["k"], "before");
    below.call("GET", "sys/namespaces/later", None).expect(404);
    let found = root.call("GET", "sys/audit-log?text=accept-rollback&outcome=done", None).expect(200).json();
    let event = &found["data"]["events"][0]["event"];
    assert!(event["detail"].as_str().unwrap().contains("signed in epoch 0"), "{found}");

    // The log goes on in a new epoch, whose first event says what was lost; a copy verifies and says so.
    put(&team, "b", &json!({"k": "v"}));
    let (origin, _) = newer(&team, "/1");
    assert!(origin.starts_with("strongroom/"), "{origin}");
    let copy = stage.server.folder().join("copy");
    let exported = stage.audit(&["export", "--namespace", "team", copy.to_str().unwrap()]);
    assert_eq!(exported.code, 0, "{}{}", exported.stdout, exported.stderr);
    // The key that was kept names the epoch before.
    let verified = stage.audit(&["verify", copy.to_str().unwrap(), "--key", &trusted]);
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    let line = verified.stdout.lines().find(|line| line.starts_with("epoch ")).unwrap_or_default();
    let first: u64 = line.split(['t', ':']).nth(1).and_then(|word| word.trim().parse().ok()).unwrap_or_default();
    assert!(line.contains("epoch 1 begins: the store does not have the"), "{}", verified.stdout);
    let shown = team.call("GET", &format!("sys/audit-log/event/{first}"), None).expect(200).json();
    assert_eq!(shown["data"]["event"]["operation"], "begin-epoch", "{shown}");
    // Who has kept what was signed before still sees that it is gone.
    let held = stage.audit(&["verify", copy.to_str().unwrap(), "--key", &trusted, "--kept", kept.to_str().unwrap()]);
    assert_eq!(held.code, 1, "{}", held.stdout);
    assert!(held.stdout.contains("forked") || held.stdout.contains("truncated"), "{}", held.stdout);

    // No alarm comes back.
    assert!(stage.server.stop().success());
    stage.server.come_back();
    put(&team, "c", &json!({"k": "v"}));
    put(&calm, "c", &json!({"k": "v"}));
}

#[test]
fn a_database_that_was_put_back_is_refused_until_that_is_accepted_on_sqlite() {
    put_back(None);
}

#[test]
fn a_database_that_was_put_back_is_refused_until_that_is_accepted_on_postgresql() {
    put_back(Some(Database::new()));
}

/// Two servers with a file each: what the other one signed is no alarm. One log loses its end under them.
#[test]
fn a_log_that_loses_its_end_under_running_servers_is_sealed_and_no_other() {
    let stage = Stage::new(Some(Database::new()));
    let other = stage.another();
    let one = ready(&stage.server);
    let two = Client::new(&other.target());
    let team = namespace(&one, "team");
    mount(&team, "secret");
    for round in 0..10 {
        let through = if round % 2 == 0 { &one } else { &two };
        put(through, "a", &json!({"round": round}));
        put(&through.in_namespace("team"), "a", &json!({"round": round}));
    }
    stage.anchored(&[&team]);
    stage::anchored(&other, &[&two.in_namespace("team")]);
    for server in [&stage.server, &other] {
        assert!(!server.output().contains("ROLLED BACK"), "{}", server.output());
    }
    let tenant = id(&team);
    stage.server.tables().run(&format!(
        "DELETE FROM log WHERE encode(tenant_id, 'hex') = '{tenant}' AND seq > 3; \
         DELETE FROM checkpoint WHERE encode(tenant_id, 'hex') = '{tenant}'"
    ));
    // At the next look at the logs, if not before.
    for client in [team.clone(), two.in_namespace("team")] {
        let refused = seen(|| {
            let reply = client.call("GET", "secret/data/a", None);
            (reply.status == 503).then_some(reply)
        });
        assert!(refused.errors()[0].contains("rolled back"), "{refused:?}");
    }
    for client in [&one, &two] {
        client.call("GET", "secret/data/a", None).expect(200);
    }
    // Accepted through one of them, it is for both.
    one.call("POST", "sys/namespaces/team/accept-rollback", None).expect(200);
    team.call("GET", "sys/mounts", None).expect(200);
    let there = two.in_namespace("team");
    seen(|| (there.call("GET", "sys/mounts", None).status == 200).then_some(()));
}

#[test]
fn anchors_that_are_older_than_the_log_are_no_alarm_and_changed_ones_are_told() {
    let mut stage = Stage::new(None);
    let root = ready(&stage.server);
    let file = anchor_file(&stage.server);
    stage.anchored(&[&root]);
    let older = fs::read_to_string(&file).unwrap();
    put(&root, "a", &json!({"k": "v"}));
    stage.anchored(&[&root]);
    // As a crash leaves them, between the checkpoint and the file.
    stage.server.kill();
    fs::write(&file, &older).unwrap();
    stage.server.come_back();
    root.call("GET", "secret/data/a", None).expect(200);
    stage.anchored(&[&root]);
    for _ in 0..2 {
        put(&root, "a", &json!({"k": "v"}));
        stage.server.kill();
        stage.server.come_back();
    }
    assert!(!stage.server.output().contains("ROLLED BACK"), "{}", stage.server.output());

    assert!(stage.server.stop().success());
    let right = fs::read_to_string(&file).unwrap();
    let line = right.lines().nth(1).unwrap();
    let lower: Vec<&str> = line.split(' ').collect();
    let lower = right.replace(line, &format!("{} {} 1 {}", lower[0], lower[1], lower[3]));
    let fewer = right.replace(&format!("{line}\n"), "");
    for changed in [lower, fewer] {
        fs::write(&file, changed).unwrap();
        stage.server.start_again(503);
        let refused = stage.unseal().expect(503).errors();
        assert!(refused[0].contains("were changed outside this server"), "{refused:?}");
        assert!(stage.server.stop().success());
    }
    fs::write(&file, right.replace("strongroom anchors", "other")).unwrap();
    let refused = stage.server.same_command().output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.lines().last().unwrap().ends_with("it is no file of anchors"), "{said}");
    fs::write(&file, right).unwrap();
    stage.server.come_back();
    root.call("GET", "secret/data/a", None).expect(200);

    // An empty database is an older one, too.
    assert!(stage.server.stop().success());
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", stage.server.sqlite_file().display()));
    }
    stage.server.start_again(501);
    let body = json!({"secret_shares": 1, "secret_threshold": 1});
    let refused = root.call("PUT", "sys/init", Some(&body)).expect(400).errors();
    assert!(refused[0].contains("are those of another deployment"), "{refused:?}");
}
