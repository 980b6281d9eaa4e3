//! Servers take turns at a tenant: who comes to one while it waits for another goes with those who came before.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use strongroom::answer::{Answer, Refusal};
use strongroom::audit::event::{Event, Word};
use strongroom::commit::{Attempt, Committer, Seals, Tenants, Txn};
use strongroom::mount::LeaseTtl;
use strongroom::storage::{Known, Store as _};
use strongroom::time::SystemClock;

use crate::support::in_process::{deploy, postgresql, seals};
use crate::support::process::PATIENCE;

/// Who comes while the first one waits.
const LATER: usize = 20;

/// Leaves an event, and counts how often it was decided.
struct Note(Arc<AtomicUsize>);

#[async_trait]
impl Attempt for Note {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let root = txn.tenants().root();
        let event = Event::of_job(txn.now(), root.id(), Word::new("note"), String::new());
        txn.conclude(&root, &event, false);
        Ok(Answer::Empty)
    }
}

async fn until<F: Future<Output = bool>>(what: &str, mut is: impl FnMut() -> F) {
    let since = Instant::now();
    while !is().await {
        assert!(since.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn who_comes_while_a_group_waits_goes_with_it() {
    let (store, database) = postgresql().await;
    deploy(&store).await;
    let seals = Seals { epoch: 0, list: seals(&["main"]) };
    let tenants = Tenants::open(Arc::clone(&store), seals, Arc::new(SystemClock), LeaseTtl::USUAL, Arc::default()).await.unwrap();
    let root = tenants.root().id();
    let committer = Arc::new(Committer::start(tenants).unwrap());
    let decided = Arc::new(AtomicUsize::new(0));
    let come = || {
        let (committer, note) = (Arc::clone(&committer), Arc::new(Note(Arc::clone(&decided))));
        tokio::spawn(async move { committer.run(note).await })
    };
    let before = store.tenant(root).await.unwrap().unwrap().tail.unwrap().seq;

    let another = database.store().await;
    let turn = another.begin(&[Known::locked(root, 0)]).await.unwrap();
    let mut requests = vec![come()];
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("the first one waits for its turn", async || database.sql("postgres", waiting).trim() == "1").await;
    requests.extend((0..LATER).map(|_| come()));
    until("the others were decided", async || decided.load(Ordering::SeqCst) == 1 + LATER).await;
    turn.rollback().await;
    for request in requests {
        request.await.unwrap().unwrap();
    }
    let rows = store.log(root, before + 1, 10).await.unwrap();
    let counts: Vec<usize> = rows.iter().map(|row| row.tail.count as usize).collect();
    assert_eq!(counts, [1 + LATER]);
    assert_eq!(decided.load(Ordering::SeqCst), 1 + LATER, "nobody was decided twice");
    committer.stop().await;
    another.close().await;
    store.close().await;
}
