//! A new wrapping key, with its values wrapped anew and with them encrypted anew; and a new key of a namespace.

use std::sync::Arc;

use serde_json::{Value, json};
use strongroom::id::TenantId;
use strongroom::storage::Store;
use strongroom::sys::erasure::ErasureSettings;

use super::at_every_step;
use super::server::Mortal;
use crate::support::full;
use crate::support::in_process::{Quiet, guard, postgresql, sqlite};

const SECRETS: usize = 64;

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_is_finished_wherever_the_server_died_on_sqlite() {
    let (store, _folder) = sqlite().await;
    rotate_at_every_step(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_is_finished_wherever_the_server_died_on_postgresql() {
    if full() {
        let (store, _database) = postgresql().await;
        rotate_at_every_step(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_has_one_key_or_the_next_wherever_the_server_died_on_sqlite() {
    let (store, _folder) = sqlite().await;
    renew_at_every_step(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_has_one_key_or_the_next_wherever_the_server_died_on_postgresql() {
    let (store, _database) = postgresql().await;
    renew_at_every_step(&store).await;
}

/// In the root, in a namespace, and in one below it.
async fn renew_at_every_step(store: &Arc<dyn Store>) {
    let first = Mortal::new(store, guard(&["main"]), ErasureSettings::default());
    first.initialise(0, 0).await;
    let team = first.namespace("team", 3).await;
    let below = first.namespace_in("team", "below", 3).await;
    first.end().await;
    let root = store.deployment().await.unwrap().unwrap().root;
    for (name, tenant) in [("team/below", below), ("team", team), ("", root)] {
        let stored = async || store.tenant(tenant).await.unwrap().unwrap();
        at_every_step(1, async |ends| {
            let server = Mortal::open(store, &["main"]).await;
            server.reads("team/below", 1).await;
            let before = stored().await;
            server.arm(ends);
            let (asked, _) = server.call("POST", name, "sys/rotate/root", None).await;
            let died = server.dies_before("a new key of a namespace", async || true).await;
            server.end().await;

            let after = stored().await;
            // What was answered was done; what was not may be. There is nothing in between.
            let done = after.generation == before.generation + 1;
            assert!(done || asked != 204 && after.generation == before.generation, "{ends:?}: {asked}");
            assert_eq!((after.wraps.len(), after.wraps[0].wrap != before.wraps[0].wrap), (1, done), "{ends:?}");
            assert_eq!(after.keyring != before.keyring, done, "{ends:?}");
            let next = Mortal::open(store, &["main"]).await;
            for (name, tenant) in [("team", team), ("team/below", below)] {
                next.reads(name, 3).await;
                next.log_verifies(name, tenant).await;
            }
            let status = next.expect(200, ("GET", name, "sys/rotate/status"), None).await;
            assert_eq!(status["data"]["tenant_key"], after.generation, "{ends:?}: {status}");
            next.end().await;
            died
        })
        .await;
    }
}

async fn rotate_at_every_step(store: &Arc<dyn Store>) {
    let first = Mortal::new(store, guard(&["main"]), ErasureSettings::default());
    first.initialise(0, 0).await;
    let team = first.namespace("team", SECRETS).await;
    first.end().await;
    let (mut version, mut reencrypt) = (1, false);
    at_every_step(4, async |ends| {
        let server = Mortal::open(store, &["main"]).await;
        server.reads("team", 1).await;
        reencrypt = !reencrypt;
        server.arm(ends);
        let (asked, _) = server.call("POST", "team", "sys/rotate/keyring", Some(json!({"reencrypt": reencrypt}))).await;
        let observer = Quiet::new(store, &["main"]).await;
        let rotated = async || {
            let status = observer.look("team", "sys/rotate/status").await.1["data"].clone();
            status["term"] == version + 1 && status["complete"] == true
        };
        let died = server.dies_before("a rotation", rotated).await;
        observer.end().await;
        server.end().await;

        let next = Mortal::open(store, &["main"]).await;
        let status = completed(store, &next).await;
        let found = u32::try_from(status["term"].as_u64().unwrap()).unwrap();
        // What was answered was done; what was not may be.
        assert!(found == version + 1 || asked != 204 && found == version, "{ends:?}: {asked}, {status}");
        assert_eq!(
            (status["wrapping_keys"].as_u64(), status["damaged"].as_u64().unwrap_or(0)),
            (Some(1), 0),
            "{ends:?}: {status}"
        );
        if found > version {
            assert_eq!(status["reencrypt"], reencrypt, "{ends:?}: {status}");
        }
        version = found;
        all_wrapped_by(&**store, team, version).await;
        next.reads("team", SECRETS).await;
        if !died {
            next.log_verifies("team", team).await;
        }
        next.end().await;
        died
    })
    .await;
}

/// Nobody asks this server for anything of the namespace: it goes on by itself.
async fn completed(store: &Arc<dyn Store>, server: &Mortal) -> Value {
    let observer = Quiet::new(store, &["main"]).await;
    let status = async || observer.look("team", "sys/rotate/status").await.1["data"].clone();
    server.until("a rotation goes on", async || status().await["complete"] == true).await;
    let status = status().await;
    observer.end().await;
    status
}

/// The wrapping key's version stands in a sealed record behind object, version, format and suite.
async fn all_wrapped_by(store: &dyn Store, tenant: TenantId, version: u32) {
    let records = store.records(tenant, None, 10_000).await.unwrap().value;
    assert!(records.len() > 2 * SECRETS, "{}", records.len());
    let others = records.iter().filter(|row| row.sealed.get(26..30) != Some(&version.to_be_bytes()[..])).count();
    assert_eq!(others, 0, "of {} records not under wrapping key {version}", records.len());
}
