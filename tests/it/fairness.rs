//! One namespace's flood beside another one's quiet use. That tenants are served in turn is held by tests of the queue (`commit/queue.rs`); here
//! is what a client sees of it. Figures are printed; with `STRONGROOM_TEST_FULL=1` there are enough of them to mean something.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::Client;
use crate::support::fixture::{mount, namespace, policy, put, ready, token};
use crate::support::server::Server;
use crate::support::{full, on_stores, say};

on_stores! {
    a_flood_in_one_namespace_refuses_nobody_in_another,
}

/// Connections of the flood.
fn connections() -> usize {
    if full() { 256 } else { 32 }
}

/// A namespace with a secret, and a token of its own that may read it.
fn tenant(root: &Client, name: &str) -> Client {
    let there = namespace(root, name);
    mount(&there, "secret");
    put(&there, "a", &json!({"k": "v"}));
    policy(&there, "reader", "path \"secret/*\" { capabilities = [\"read\", \"create\", \"update\"] }");
    there.with_token(&token(&there, &json!({"policies": ["reader"]})).text)
}

/// The times of so many reads and writes, one after another.
fn quietly(client: &Client) -> Vec<Duration> {
    let mut session = client.session().unwrap();
    let mut times: Vec<Duration> = (0..if full() { 3_000 } else { 100 })
        .map(|number| {
            let since = Instant::now();
            let reply = match number % 10 {
                0 => session.send("POST", "/v1/secret/data/a", &[], br#"{"data": {"k": "v"}}"#).unwrap(),
                _ => session.send("GET", "/v1/secret/data/a", &[], b"").unwrap(),
            };
            let took = since.elapsed();
            assert_eq!(reply.status, 200, "{:?}", reply.errors());
            // As somebody does who is no flood.
            std::thread::sleep(Duration::from_millis(2));
            took
        })
        .collect();
    times.sort();
    times
}

fn told(what: &str, times: &[Duration]) -> Duration {
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    say(&format!("{what}: p50 {:?}, p99 {:?}", at(50), at(99)));
    at(99)
}

fn a_flood_in_one_namespace_refuses_nobody_in_another(server: &mut Server) {
    let root = ready(server);
    let [quiet, loud] = ["quiet", "loud"].map(|name| tenant(&root, name));
    quietly(&quiet);
    let alone = told("alone", &quietly(&quiet));
    let (stop, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (beside, took) = std::thread::scope(|scope| {
        for _ in 0..connections() {
            scope.spawn(|| {
                let mut session = loud.session().unwrap();
                while !stop.load(Ordering::SeqCst) {
                    let reply = session.send("GET", "/v1/secret/data/a", &[], b"").unwrap();
                    assert!([200, 429, 503].contains(&reply.status), "{}", reply.status);
                    answers.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        while answers.load(Ordering::SeqCst) < connections() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let (since, before) = (Instant::now(), answers.load(Ordering::SeqCst));
        let times = quietly(&quiet);
        let (took, flood) = (since.elapsed(), answers.load(Ordering::SeqCst) - before);
        stop.store(true, Ordering::SeqCst);
        say(&format!("the flood had {flood} answers in {took:?}"));
        (told("beside a flood", &times), took)
    });
    say(&format!("{:.1} times as long, in {took:?}", beside.as_secs_f64() / alone.as_secs_f64()));
}
