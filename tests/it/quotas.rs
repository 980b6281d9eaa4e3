//! Rate limits: who is stopped, who is not, and what is said of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Client, Reply};
use crate::support::fixture::{at_once, count, mount, namespace, policy, put, ready, token};
use crate::support::on_stores;
use crate::support::postgres::Database;
use crate::support::process::PATIENCE;
use crate::support::server::Server;

on_stores! {
    the_rule_that_says_most_stops_who_goes_past_it_and_nobody_else,
    what_is_stopped_does_not_fill_the_log,
    a_wrong_rule_is_refused_and_changes_nothing,
}

/// Nothing is given back before the test is over.
const LONG: &str = "1h";

fn rule(root: &Client, name: &str, body: &Value) -> Reply {
    root.call("POST", &format!("sys/quotas/rate-limit/{name}"), Some(body))
}

fn get(client: &Client, path: &str) -> u16 {
    client.call("GET", path, None).status
}

fn the_rule_that_says_most_stops_who_goes_past_it_and_nobody_else(server: &mut Server) {
    let root = ready(server);
    let [one, two] = ["one", "two"].map(|name| namespace(&root, name));
    for team in [&one, &two] {
        mount(team, "secret");
        mount(team, "other");
        put(team, "a", &json!({"k": "v"}));
    }
    rule(&root, "team", &json!({"path": "one", "rate": 8, "interval": LONG, "group_by": "none"})).expect(204);
    rule(&root, "mount", &json!({"path": "one/secret", "rate": 4, "interval": LONG})).expect(204);
    rule(&root, "below", &json!({"path": "one/secret/data/b*", "rate": 2, "interval": LONG, "block_interval": "2h"})).expect(204);
    let shown = root.call("GET", "sys/quotas/rate-limit/below", None).expect(200).json()["data"].clone();
    let below = json!({"name": "below", "path": "one/secret/data/b*", "rate": 2, "interval": 3600, "block_interval": 7200,
        "inheritable": false, "role": "", "type": "rate-limit"});
    assert_eq!(shown, below);
    let names = root.call("LIST", "sys/quotas/rate-limit", None).expect(200).json()["data"]["keys"].clone();
    assert_eq!(names, json!(["below", "mount", "team"]));

    // Sixteen at once, and exactly as many as there are get through.
    let clients = vec![one.clone(); 16];
    let replies = at_once(&clients, |_, session| session.send("GET", "/v1/secret/data/a", &[], b""));
    assert_eq!((count(&replies, 200), count(&replies, 429)), (4, 12));
    let refused = replies.iter().find(|reply| reply.status == 429).unwrap();
    assert_eq!(refused.errors(), ["request path \"secret/data/a\": rate limit quota exceeded"]);
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3600).contains(&after), "{after}");
    assert_eq!(refused.header("x-ratelimit-limit"), None);
    assert_eq!((0..3).map(|_| get(&one, "secret/data/b1")).collect::<Vec<_>>(), [404, 404, 429]);
    let blocked = one.call("GET", "secret/data/b2", None).expect(429);
    assert!(blocked.header("retry-after").unwrap().parse::<u64>().unwrap() > 3600);
    // The rest of the namespace has its own, and what is not a mount is of it, too.
    let rest: Vec<u16> = (0..9).map(|at| get(&one, if at % 2 == 0 { "other/data/x" } else { "sys/mounts" })).collect();
    assert_eq!(rest, [404, 200, 404, 200, 404, 200, 404, 200, 429]);
    // Nobody else notices. By whichever way the namespace is named, it is the same one.
    assert_eq!((get(&two, "secret/data/a"), get(&root, "sys/mounts"), get(&root, "one/secret/data/a")), (200, 200, 429));

    // What is left is told when that is wanted; a path that is exempt has no limit.
    let config = json!({"enable_rate_limit_response_headers": true, "rate_limit_exempt_paths": ["secret/data/a"]});
    root.call("POST", "sys/quotas/config", Some(&config)).expect(204);
    assert_eq!(get(&one, "secret/data/a"), 200);
    let told = one.call("GET", "sys/mounts", None).expect(429);
    assert_eq!(["limit", "remaining"].map(|name| told.header(&format!("x-ratelimit-{name}")).unwrap().to_owned()), ["8", "0"]);
    assert!(told.header("x-ratelimit-reset").unwrap().parse::<u64>().unwrap() > 0);
    // A limit that is gone is so at once.
    root.call("DELETE", "sys/quotas/rate-limit/team", None).expect(204);
    root.call("DELETE", "sys/quotas/rate-limit/team", None).expect(204);
    assert_eq!(get(&one, "sys/mounts"), 200);
    // They are the deployment's, and last.
    one.call("LIST", "sys/quotas/rate-limit", None).expect(400);
    server.kill();
    server.come_back();
    let names = root.call("LIST", "sys/quotas/rate-limit", None).expect(200).json()["data"]["keys"].clone();
    assert_eq!(names, json!(["below", "mount"]));
}

fn what_is_stopped_does_not_fill_the_log(server: &mut Server) {
    let root = ready(server);
    let team = namespace(&root, "team");
    mount(&team, "secret");
    let refused = || {
        let query = "sys/audit-log?error=too_many&path=secret/data/a&limit=100";
        root.in_namespace("team").call("GET", query, None).expect(200).json()["data"]["events"].as_array().unwrap().len()
    };
    let body = json!({"path": "team/secret", "rate": 1, "interval": LONG});
    rule(&root, "r", &body).expect(204);
    assert_eq!((0..6).map(|_| get(&team, "secret/data/a")).filter(|status| *status == 429).count(), 5);
    assert_eq!(refused(), 1);
    root.call("POST", "sys/quotas/config", Some(&json!({"enable_rate_limit_audit_logging": true}))).expect(204);
    assert_eq!((0..3).map(|_| get(&team, "secret/data/a")).collect::<Vec<_>>(), [429; 3]);
    assert_eq!(refused(), 4);
    // One who may not read the path learns of the limit, and not more than that.
    policy(&team, "none", "path \"x\" {\n  capabilities = [\"read\"]\n}\n");
    let nobody = team.with_token(&token(&team, &json!({"policies": ["none"]})).text);
    assert_eq!((get(&nobody, "secret/data/a"), get(&nobody, "secret/data/nosuch"), get(&nobody, "sys/mounts")), (429, 429, 403));
}

fn a_wrong_rule_is_refused_and_changes_nothing(server: &mut Server) {
    let root = ready(server);
    rule(&root, "all", &json!({"rate": "1e6"})).expect(204);
    for (body, text) in [
        (json!({}), "'rate' is invalid"),
        (json!({"rate": 0}), "'rate' is invalid"),
        (json!({"rate": -1}), "'rate' is invalid"),
        (json!({"rate": "nan"}), "'rate' is invalid"),
        (json!({"rate": "abc"}), "error converting input for field \"rate\": expected a number"),
        (json!({"rate": true}), "error converting input for field \"rate\": expected a number"),
        (json!({"rate": 5, "path": "nothere/"}), "invalid mount path \"nothere/\""),
        (json!({"rate": 5, "path": "nothere/secret/"}), "invalid mount path \"nothere/secret/\""),
        (json!({"rate": 5, "interval": "-1s"}), "error converting input for field \"interval\""),
        (json!({"rate": 5, "interval": "9000h"}), "interval: at most 366 days"),
        (json!({"rate": 5}), "quota rule with similar properties exists under the name \"all\""),
        (json!({"rate": 5, "path": "secret", "inheritable": true}), "inheritable: only a namespace's rate limit can be"),
        (json!({"rate": 5, "path": "secret", "role": "r"}), "role: limits by role are not supported"),
        (json!({"rate": 5, "path": "secret", "group_by": "entity"}), "group_by: must be"),
        (json!({"rate": 5, "path": "a//b"}), "path: "),
    ] {
        let reply = rule(&root, "wrong", &body).expect(400);
        assert!(reply.errors()[0].starts_with(text), "{body}: {:?}", reply.errors());
    }
    let long = "n".repeat(513);
    rule(&root, &long, &json!({"rate": 5, "path": "secret"})).expect(400);
    let many: Vec<String> = (0..257).map(|number| format!("p{number}")).collect();
    root.call("POST", "sys/quotas/config", Some(&json!({"rate_limit_exempt_paths": many}))).expect(400);
    let names = root.call("LIST", "sys/quotas/rate-limit", None).expect(200).json()["data"]["keys"].clone();
    assert_eq!(names, json!(["all"]));
    root.call("GET", "sys/quotas/rate-limit/wrong", None).expect(404);
    root.call("DELETE", "sys/quotas/rate-limit/all", None).expect(204);
    root.call("LIST", "sys/quotas/rate-limit", None).expect(404);
}

/// How many of so many requests are let pass.
fn passed(client: &Client, requests: usize) -> usize {
    let statuses: Vec<u16> = (0..requests).map(|_| get(client, "sys/mounts")).collect();
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    statuses.into_iter().filter(|status| *status == 200).count()
}

/// Asks until so many were let pass since; then one more is refused.
fn until_passed(clients: &[&Client], wanted: usize) {
    let (since, mut all) = (Instant::now(), 0);
    while all < wanted {
        all += clients.iter().map(|client| passed(client, 3)).sum::<usize>();
        assert!(since.elapsed() < PATIENCE, "{all} of {wanted} were let pass");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(all, wanted);
    assert_eq!(clients.iter().map(|client| passed(client, 5)).sum::<usize>(), 0);
}

#[test]
fn servers_on_one_database_have_a_limit_together() {
    let first = Server::initialised_on_postgresql(Database::new());
    let root = ready(&first);
    let mut second = first.another();
    let names = ["both", "one", "gone", "short"];
    let [both, one, gone, short] = names.map(|name| {
        let interval = if name == "short" { "300ms" } else { LONG };
        let there = namespace(&root, name);
        let body = json!({"path": name, "rate": if name == "short" { 20 } else { 40 }, "interval": interval, "group_by": "none"});
        rule(&root, name, &body).expect(204);
        [there, Client::new(&second.target()).in_namespace(name)]
    });
    let since = Instant::now();
    let nodes = || root.call("GET", "sys/ha-status", None).expect(200).json()["data"]["nodes"].as_array().unwrap().len();
    while nodes() < 2 {
        assert!(since.elapsed() < PATIENCE, "the servers do not know each other");
        std::thread::sleep(Duration::from_millis(20));
    }

    // Asked through both, and through one: nearly all goes there, and the other one has the rest.
    until_passed(&both.each_ref(), 40);
    until_passed(&[&one[0]], 38);
    assert_eq!(passed(&one[1], 5), 2);
    // Over many intervals, with both asked for more than there is: as many as one server would let pass.
    let since = Instant::now();
    let flood = |client: &Client| {
        let mut all = 0;
        while since.elapsed() < Duration::from_secs(3) {
            all += passed(client, 5);
        }
        all
    };
    let all: usize = std::thread::scope(|scope| {
        let floods = short.each_ref().map(|client| scope.spawn(move || flood(client)));
        floods.into_iter().map(|flood| flood.join().unwrap()).sum()
    });
    let intervals = usize::try_from(since.elapsed().as_millis()).unwrap().div_ceil(300) + 1;
    assert!(all <= intervals * 22, "{all} requests in {intervals} intervals");
    // Who is alone has all of it.
    second.kill();
    until_passed(&[&gone[0]], 40);
}
