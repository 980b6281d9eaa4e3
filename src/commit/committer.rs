//! The queue in front of the store: whatever gathered while one group was being committed is the next group.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::group::{Groups, Item};
use super::lease::Held;
use super::tenant::Tenant;
use super::tenants::Tenants;
use super::txn::Txn;
use super::work::Work;
use crate::answer::{Answer, Refusal};
use crate::audit::batch::{BatchEncoder, BatchError};
use crate::audit::receipt::Receipt;

/// Requests that may wait for their group; one more is refused.
const QUEUE_MAX: usize = 8_192;
/// Commits in one group.
const GROUP_MAX: usize = 1_024;
/// How often other ready requests are let run before a group is closed: larger groups at no wait.
const YIELDS: usize = 3;

/// Something that can be decided again when what it read has changed meanwhile.
#[async_trait]
pub trait Attempt: Send + Sync {
    /// Reads, decides, collects writes, and concludes with its event. Everything that it depends on is read through
    /// `txn`, anew at every attempt.
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal>;

    /// Where the event's place in the log is wanted, once it is durable; of several events the first one's.
    fn receipt(&self) -> Option<&OnceLock<Receipt>> {
        None
    }
}

/// Loaded tenants that are to be brought up to what other servers wrote, and who waits for it.
type Behind = (Vec<Arc<Tenant>>, oneshot::Sender<Result<(), Refusal>>);

/// Takes commits, and answers when they are durable.
pub struct Committer {
    tenants: Arc<Tenants>,
    queue: Mutex<Option<mpsc::Sender<Item>>>,
    behind: mpsc::Sender<Behind>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Committer {
    /// Starts the committing task on the current runtime.
    pub fn start(tenants: Arc<Tenants>) -> Result<Self, BatchError> {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let (behind, following) = mpsc::channel(1);
        let groups = Groups::new(Arc::clone(&tenants), BatchEncoder::new()?);
        let task = tokio::spawn(work(groups, waiting, following));
        Ok(Self { tenants, queue: Mutex::new(Some(queue)), behind, task: Mutex::new(Some(task)) })
    }

    /// The tenants that it commits for.
    pub fn tenants(&self) -> &Arc<Tenants> {
        &self.tenants
    }

    /// Decides and makes durable. The answer is out only when the event is in the log.
    pub async fn run(&self, attempt: Arc<dyn Attempt>) -> Result<Answer, Refusal> {
        self.run_under(None, attempt).await
    }

    /// The same, for work that one server does at a time: nothing is committed once the lease has passed to another one.
    pub async fn run_under(&self, held: Option<&Held>, attempt: Arc<dyn Attempt>) -> Result<Answer, Refusal> {
        let work = Arc::new(Work::default());
        let mut txn = Txn::new(Arc::clone(&self.tenants), self.tenants.clock().now(), None, Arc::clone(&work));
        let outcome = attempt.attempt(&mut txn).await;
        let (done, answered) = oneshot::channel();
        let under = held.map(Held::fence);
        let item = Item { attempt, commit: txn.into_commit(), outcome, done, tries: 0, work, under };
        if item.commit.events.is_empty() {
            // Nothing was decided (the store or a seal is away): there is nothing to log, and nowhere to log it.
            return item.outcome;
        }
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Refusal::Sealed)?;
        queue.try_send(item).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::Unavailable("too many requests are waiting; try again".into()),
            mpsc::error::TrySendError::Closed(_) => Refusal::Sealed,
        })?;
        drop(queue);
        answered.await.unwrap_or_else(|_| Err(Refusal::Unavailable("the server is stopping".into())))
    }

    /// Brings loaded tenants up to what other servers have written.
    pub(super) async fn catch_up(&self, tenants: Vec<Arc<Tenant>>) -> Result<(), Refusal> {
        let (done, answered) = oneshot::channel();
        self.behind.send((tenants, done)).await.map_err(|_| Refusal::Sealed)?;
        answered.await.map_err(|_| Refusal::Sealed)?
    }

    /// Takes no more commits, and returns when those taken are answered.
    pub async fn stop(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the committing task ended badly");
        }
    }
}

async fn work(mut groups: Groups, mut waiting: mpsc::Receiver<Item>, mut following: mpsc::Receiver<Behind>) {
    let mut again = Vec::new();
    loop {
        let mut items = std::mem::take(&mut again);
        while let Ok((tenants, done)) = following.try_recv() {
            let _ = done.send(groups.catch_up(&tenants).await);
        }
        if items.is_empty() {
            tokio::select! {
                item = waiting.recv() => match item {
                    Some(item) => items.push(item),
                    None => return,
                },
                Some((tenants, done)) = following.recv() => {
                    let _ = done.send(groups.catch_up(&tenants).await);
                    continue;
                }
            }
        }
        for _ in 0..YIELDS {
            tokio::task::yield_now().await;
        }
        while items.len() < GROUP_MAX {
            match waiting.try_recv() {
                Ok(item) => items.push(item),
                Err(_) => break,
            }
        }
        again = groups.commit(items).await;
    }
}
