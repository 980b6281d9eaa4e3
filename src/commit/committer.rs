//! The queue in front of the store: whatever gathered while one group was being committed is the next group.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::group::{Groups, Item, NOT_DONE, NOT_KNOWN};
use super::lease::Held;
use super::queue::{Full, Queue, cost};
use super::tenant::Tenant;
use super::tenants::Tenants;
use super::txn::Txn;
use super::work::Work;
use crate::answer::{Answer, Refusal};
use crate::audit::batch::{BatchEncoder, BatchError};
use crate::audit::receipt::Receipt;
use crate::spans::{Recording, Step};

/// How often other ready requests are let run before a group is closed: larger groups at no wait.
const YIELDS: usize = 3;

/// Between two looks of who waits for its group at whether the store is away.
const LOOK: Duration = Duration::from_millis(500);
/// How long who is in a group of its own waits when the store was lost in the middle.
const LOST_WAIT: Duration = Duration::from_secs(5);

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

    /// What it spends its time on, if that is traced.
    fn spans(&self) -> Option<&Arc<Recording>> {
        None
    }
}

/// Whether a commit is in a group: either its group has it, or whoever waits for it takes it back, never both.
#[derive(Default)]
pub(super) struct Fate(AtomicU8);

impl Fate {
    const WAITING: u8 = 0;
    const TAKEN: u8 = 1;
    const GIVEN_UP: u8 = 2;

    fn decide(&self, fate: u8) -> bool {
        self.0.compare_exchange(Self::WAITING, fate, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    pub(super) fn take(&self) -> bool {
        self.decide(Self::TAKEN)
    }

    fn give_up(&self) -> bool {
        self.decide(Self::GIVEN_UP)
    }
}

/// Loaded tenants that are to be brought up to what other servers wrote, and who waits for it.
type Behind = (Vec<Arc<Tenant>>, oneshot::Sender<Result<(), Refusal>>);

/// Takes commits, and answers when they are durable.
pub struct Committer {
    tenants: Arc<Tenants>,
    queue: Arc<Queue<Item>>,
    behind: mpsc::Sender<Behind>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Committer {
    /// Starts the committing task on the current runtime.
    pub fn start(tenants: Arc<Tenants>) -> Result<Self, BatchError> {
        let queue = Arc::new(Queue::new());
        let (behind, following) = mpsc::channel(1);
        let groups = Groups::new(Arc::clone(&tenants), Arc::clone(&queue), BatchEncoder::new()?);
        let task = tokio::spawn(work(groups, Served(Arc::clone(&queue)), following));
        Ok(Self { tenants, queue, behind, task: Mutex::new(Some(task)) })
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
        self.commit(held, attempt).await?.written().await
    }

    async fn commit(&self, held: Option<&Held>, attempt: Arc<dyn Attempt>) -> Result<Answer, Refusal> {
        let work = Arc::new(Work::default());
        let mut txn = Txn::new(Arc::clone(&self.tenants), self.tenants.clock().now(), None, Arc::clone(&work));
        let outcome = attempt.attempt(&mut txn).await;
        let (done, answered) = oneshot::channel();
        let under = held.map(Held::fence);
        let fate = Arc::new(Fate::default());
        let item = Item { attempt, commit: txn.into_commit(), outcome, done, tries: 0, work, under, fate: Arc::clone(&fate) };
        let Some((tenant, _)) = item.commit.events.first() else {
            // Nothing was decided (the store or a seal is away): there is nothing to log, and nowhere to log it.
            return item.outcome;
        };
        let tenant = tenant.id();
        let _step = item.attempt.spans().map(|spans| spans.begin(Step::Commit));
        self.queue.push(tenant, cost(item.commit.bytes()), item).map_err(|full| match full {
            Full::Queue => Refusal::Unavailable("too many requests are waiting; try again".into()),
            Full::Line => Refusal::TooMany("too many requests of this namespace are waiting; try again".into()),
            Full::Closed => Refusal::Sealed,
        })?;
        self.answer(answered, &fate).await
    }

    /// Waits for the answer, and not for a store that is away: what is in no group yet is taken back then.
    async fn answer(&self, mut answered: oneshot::Receiver<Result<Answer, Refusal>>, fate: &Fate) -> Result<Answer, Refusal> {
        let since = Instant::now();
        loop {
            match tokio::time::timeout(LOOK, &mut answered).await {
                Ok(answer) => return answer.unwrap_or_else(|_| Err(Refusal::Unavailable("the server is stopping".into()))),
                Err(_) if !self.tenants.store().is_away() => {}
                Err(_) if fate.give_up() => return Err(Refusal::Unavailable(NOT_DONE.into())),
                Err(_) if since.elapsed() > LOST_WAIT => return Err(Refusal::Unavailable(NOT_KNOWN.into())),
                Err(_) => {}
            }
        }
    }

    /// Brings loaded tenants up to what other servers have written.
    pub(super) async fn catch_up(&self, tenants: Vec<Arc<Tenant>>) -> Result<(), Refusal> {
        let (done, answered) = oneshot::channel();
        self.behind.send((tenants, done)).await.map_err(|_| Refusal::Sealed)?;
        answered.await.map_err(|_| Refusal::Sealed)?
    }

    /// Takes no more commits, and returns when those taken are answered.
    pub async fn stop(&self) {
        self.queue.close();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the committing task ended badly");
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// The queue, as long as somebody serves it.
struct Served(Arc<Queue<Item>>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.end();
    }
}

async fn work(mut groups: Groups, queue: Served, mut following: mpsc::Receiver<Behind>) {
    let queue = &queue.0;
    let mut again = Vec::new();
    loop {
        while let Ok((tenants, done)) = following.try_recv() {
            let _ = done.send(groups.catch_up(&tenants).await);
        }
        if again.is_empty() {
            tokio::select! {
                some = queue.some() => if !some { return },
                Some((tenants, done)) = following.recv() => {
                    let _ = done.send(groups.catch_up(&tenants).await);
                    continue;
                }
            }
        }
        for _ in 0..YIELDS {
            tokio::task::yield_now().await;
        }
        let mut items: Vec<Item> = std::mem::take(&mut again);
        items.extend(queue.group(Instant::now(), |item| item.fate.take()));
        if !items.is_empty() {
            again = groups.commit(items).await;
        }
    }
}
