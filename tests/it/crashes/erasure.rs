//! Erasing a namespace: its keys, its rows, the signed list.

use std::sync::Arc;
use std::time::Duration;

use strongroom::audit::merkle::{Hash, root};
use strongroom::id::TenantId;
use strongroom::storage::Store;
use strongroom::sys::erasure::ErasureSettings;

use super::at_every_step;
use super::server::Mortal;
use crate::support::full;
use crate::support::in_process::{Quiet, guard, postgresql, sqlite};

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_is_finished_wherever_the_server_died_on_sqlite() {
    let (store, _folder) = sqlite().await;
    erase_at_every_step(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_is_finished_wherever_the_server_died_on_postgresql() {
    if full() {
        let (store, _database) = postgresql().await;
        erase_at_every_step(&store).await;
    }
}

async fn erase_at_every_step(store: &Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("erased.list");
    let settings = || ErasureSettings { list_file: Some(file.clone()), backup_retention: Some(Duration::ZERO) };
    let open = async || {
        let server = Mortal::new(store, guard(&["main"]), settings());
        assert!(server.barrier.open_at_start().await.unwrap());
        server
    };
    let first = Mortal::new(store, guard(&["main"]), settings());
    first.initialise(0, 0).await;
    // The key that signs the list is made soon after the first start.
    first.until("a key of the list", async || first.call("GET", "", "sys/erased-list", None).await.0 == 200).await;
    let kept = first.namespace("kept", 3).await;
    first.end().await;
    let mut number = 0;
    at_every_step(4, async |ends| {
        number += 1;
        let name = format!("gone{number}");
        let server = open().await;
        let gone = server.namespace(&name, 5).await;
        let tail = store.tenant(gone).await.unwrap().unwrap().tail.unwrap();
        server.arm(ends);
        let (asked, _) = server.call("DELETE", "", &format!("sys/namespaces/{name}"), None).await;
        let observer = Quiet::new(store, &["main"]).await;
        let erased = async || observer.look("", &format!("sys/erasures/{gone}")).await.1["data"]["state"] == "erased";
        let died = server.dies_before("an erasure", erased).await;
        observer.end().await;
        server.end().await;

        let next = open().await;
        let (there, _) = next.call("GET", "", &format!("sys/namespaces/{name}"), None).await;
        if there == 200 {
            assert!(asked >= 500, "{ends:?}: {asked}");
            next.reads(&name, 5).await;
            next.expect(200, ("DELETE", "", &format!("sys/namespaces/{name}")), None).await;
        }
        let shown = async || next.call("GET", "", &format!("sys/erasures/{gone}"), None).await.1["data"].clone();
        next.until("an erasure goes on", async || shown().await["state"] == "erased").await;
        nothing_is_left(&**store, gone, (tail.size(), tail.root)).await;
        let list = std::fs::read_to_string(&file).unwrap();
        assert!(list.contains(&gone.to_string()) && !list.contains(&kept.to_string()), "{list}");
        next.reads("kept", 3).await;
        if !died {
            next.log_verifies("", store.deployment().await.unwrap().unwrap().root).await;
            next.log_verifies("kept", kept).await;
        }
        next.end().await;
        died
    })
    .await;
}

async fn nothing_is_left(store: &dyn Store, gone: TenantId, (size, signed): (u64, Hash)) {
    assert_eq!(store.tenant(gone).await.unwrap(), None);
    assert!(store.records(gone, None, 1).await.unwrap().value.is_empty());
    assert!(store.log(gone, 0, 1).await.unwrap().is_empty());
    let mut runs = store.kept_leaves(gone, u64::MAX, 1_000).await.unwrap();
    runs.reverse();
    let leaves: Vec<Hash> = runs.iter().flat_map(|run| run.leaves.as_chunks::<32>().0).copied().collect();
    assert_eq!(root(&leaves[..usize::try_from(size).unwrap()]), signed);
}
