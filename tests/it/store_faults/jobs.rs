//! Work that nobody waits for: whichever of its calls is struck, it is finished by the same server, and requests go on meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom::storage::Store;
use strongroom::sys::erasure::ErasureSettings;

use super::fault::{Fault, Mode};
use crate::support::between::Guarded;
use crate::support::in_process::{InProcess, Quiet, guard, sqlite};
use crate::support::process::PATIENCE;
use crate::support::{full, say};

/// Which calls are struck, about up to where an erasure ends.
fn calls() -> impl Iterator<Item = u64> {
    (1..=60).step_by(if full() { 1 } else { 4 })
}

/// A job that failed tries again after a pause: so all of them are waited for at once, each on a store of its own.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_is_finished_by_the_server_whose_store_was_struck() {
    let modes = [Mode::Fails, Mode::LosesAnswer];
    let plays: Vec<_> = modes.into_iter().flat_map(|mode| calls().map(move |number| tokio::spawn(erase(mode, number)))).collect();
    let mut struck = Vec::new();
    for play in plays {
        struck.extend(play.await.unwrap());
    }
    struck.sort_unstable();
    struck.dedup();
    say(&format!("struck: {struck:?}"));
    assert!(struck.len() >= 3, "{struck:?}");
}

/// The call that was struck, if the work was not done before.
async fn erase(mode: Mode, number: u64) -> Option<&'static str> {
    let (store, _folder) = sqlite().await;
    let fault = Arc::new(Fault::new(mode));
    let guarded: Arc<dyn Store> = Arc::new(Guarded { inner: Arc::clone(&store), between: Arc::clone(&fault) });
    // No backup is to be waited for.
    let settings = ErasureSettings { list_file: None, backup_retention: Some(Duration::ZERO) };
    let server = InProcess::new(&guarded, guard(&["main"]), settings);
    server.initialise(0, 0).await;
    let gone = server.namespace("gone", 3).await;
    let kept = server.namespace("kept", 3).await;
    fault.arm(number);
    let begun = Instant::now();
    loop {
        let (status, body) = server.call("DELETE", "", "sys/namespaces/gone", None).await;
        match status {
            503 => assert!(begun.elapsed() < PATIENCE, "{mode:?} {number}: {body}"),
            200..300 | 404 => break,
            status => panic!("{mode:?} {number}: {status} {body}"),
        }
    }
    let other = Quiet::new(&store, &["main"]).await;
    while other.look("", &format!("sys/erasures/{gone}")).await.1["data"]["state"] != "erased" {
        assert!(begun.elapsed() < PATIENCE, "{mode:?} {number}: it is not erased; struck {:?}", fault.struck());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(store.tenant(gone).await.unwrap(), None, "{mode:?} {number}");
    assert!(store.records(gone, None, 1).await.unwrap().value.is_empty(), "{mode:?} {number}");
    let struck = fault.struck();
    fault.over();
    server.reads("kept", 3).await;
    server.log_verifies("kept", kept).await;
    server.log_verifies("", store.deployment().await.unwrap().unwrap().root).await;
    other.end().await;
    server.end().await;
    struck
}
