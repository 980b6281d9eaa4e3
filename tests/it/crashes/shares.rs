//! A new root key with new shares, and a new recovery key, with and without the verification of the new shares.

use std::sync::Arc;

use serde_json::{Value, json};
use strongroom::secret::SecretText;
use strongroom::storage::Store;
use strongroom::sys::barrier::Guard;
use strongroom::sys::erasure::ErasureSettings;

use super::at_every_step;
use super::server::Mortal;
use crate::support::in_process::{guard, seals, sqlite};

const SECRETS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_root_key_is_finished_wherever_the_server_died() {
    let (store, _folder) = sqlite().await;
    let first = server(&store);
    let mut shares = first.initialise(3, 2).await;
    assert!(unseals(&first, &shares).await);
    let team = first.namespace("team", SECRETS).await;
    first.end().await;
    for verification in [false, true] {
        at_every_step(5, async |ends| {
            let server = server(&store);
            assert!(unseals(&server, &shares).await, "{ends:?}");
            server.reads("team", 1).await;
            let before = record(&*store).await;
            server.arm(ends);
            let new = change(&server, "root", &shares, verification).await;
            let taken_over = async || {
                let now = record(&*store).await;
                now["number"] != before["number"] && is_settled(&now)
            };
            let died = server.dies_before("a change of the root key", taken_over).await;
            server.end().await;
            // New shares that somebody has open if anything was changed; the old ones do until the new ones have taken over.
            shares = go_on(&store, new, &shares).await;
            let wraps = store.tenant(team).await.unwrap().unwrap().wraps;
            assert_eq!(wraps.len(), 1, "{ends:?}: of one root key only");
            let next = self::server(&store);
            assert!(unseals(&next, &shares).await);
            next.reads("team", SECRETS).await;
            next.log_verifies("team", team).await;
            next.end().await;
            died
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_recovery_key_is_finished_wherever_the_server_died() {
    let (store, _folder) = sqlite().await;
    let first = Mortal::new(&store, guard(&["one"]), ErasureSettings::default());
    let mut shares = first.initialise(3, 2).await;
    let team = first.namespace("team", SECRETS).await;
    first.end().await;
    let (mut now, mut other) = ("one", "two");
    for verification in [false, true] {
        at_every_step(5, async |ends| {
            let server = Mortal::open(&store, &[now]).await;
            server.reads("team", 1).await;
            let before = record(&*store).await["recovery_number"].clone();
            server.arm(ends);
            let new = change(&server, "recovery", &shares, verification).await;
            let taken_over = async || {
                let record = record(&*store).await;
                record["recovery_number"] != before && record["next_recovery"].is_null() && record["unfinished"] == false
            };
            let died = server.dies_before("a change of the recovery key", taken_over).await;
            server.end().await;
            // The next server finishes it, or waits for somebody who has the new shares: until then the old ones are good.
            let next = Mortal::open(&store, &[now]).await;
            let waits = async || {
                let record = record(&*store).await;
                record["unfinished"] == false && record["next_recovery"]["confirmed"] != true
            };
            next.until("a change of the recovery key goes on", waits).await;
            next.reads("team", SECRETS).await;
            next.log_verifies("team", team).await;
            next.end().await;
            let old = shares.clone();
            if record(&*store).await["recovery_number"] != before {
                shares = new.expect("nobody has the shares that are good");
            }

            // All seals are gone for good: the shares that are good open everything, and no others anything.
            let recovering = Mortal::new(&store, Guard::Recovery(seals(&[other])), ErasureSettings::default());
            if shares != old {
                assert!(!unseals(&recovering, &old).await, "{ends:?}");
            }
            assert!(unseals(&recovering, &shares).await, "{ends:?}");
            let taken = async || record(&*store).await["seals"][0].as_str().unwrap().starts_with(other) && waits().await;
            recovering.until("a recovery", taken).await;
            recovering.reads("team", SECRETS).await;
            recovering.end().await;
            (now, other) = (other, now);
            died
        })
        .await;
    }
}

fn server(store: &Arc<dyn Store>) -> Mortal {
    Mortal::new(store, Guard::Shamir, ErasureSettings::default())
}

async fn record(store: &dyn Store) -> Value {
    serde_json::from_slice(&store.deployment().await.unwrap().unwrap().seal).unwrap()
}

fn is_settled(record: &Value) -> bool {
    record["next"].is_null() && record["sweep"] == false
}

/// Brings two shares; whether the server is open then.
async fn unseals(server: &Mortal, shares: &[String]) -> bool {
    for share in &shares[..2] {
        if server.barrier.unseal(&SecretText::new(share.clone()), false).await.is_err() {
            return false;
        }
    }
    server.barrier.open().is_some()
}

/// Asks for a new key; its shares, as soon as somebody has them.
async fn change(server: &Mortal, target: &str, shares: &[String], verification: bool) -> Option<Vec<String>> {
    let body = json!({"secret_shares": 3, "secret_threshold": 2, "require_verification": verification});
    let (_, begun) = server.call("POST", "", &format!("sys/rotate/{target}/init"), Some(body)).await;
    let mut given = Value::Null;
    for share in &shares[..2] {
        let body = json!({"key": share, "nonce": begun["data"]["nonce"].as_str()?});
        given = server.call("POST", "", &format!("sys/rotate/{target}/update"), Some(body)).await.1;
    }
    let new: Vec<String> = given["data"]["keys"].as_array()?.iter().map(|share| share.as_str().unwrap().to_owned()).collect();
    if verification {
        for share in &new[..2] {
            let body = json!({"key": share, "nonce": given["data"]["verification_nonce"].as_str()?});
            server.call("POST", "", &format!("sys/rotate/{target}/verify"), Some(body)).await;
        }
    }
    Some(new)
}

/// The next server finishes what was begun, or does it again where people have no new shares; the shares that are good then.
async fn go_on(store: &Arc<dyn Store>, new: Option<Vec<String>>, old: &[String]) -> Vec<String> {
    let settled = async || is_settled(&record(&**store).await);
    if let Some(new) = new {
        let next = server(store);
        if unseals(&next, &new).await {
            next.until("a change of the root key goes on", settled).await;
            next.end().await;
            assert!(!unseals(&server(store), old).await, "shares of the root key before");
            return new;
        }
        next.end().await;
    }
    let next = server(store);
    assert!(unseals(&next, old).await, "the old shares open as long as the new ones do not");
    let new = if settled().await {
        None
    } else {
        // The new shares got lost on their way.
        let new = change(&next, "root", old, false).await.unwrap();
        next.until("another change of the root key", settled).await;
        Some(new)
    };
    next.end().await;
    new.unwrap_or_else(|| old.to_vec())
}
