//! The thread of one sink: it alone writes to the receiver and to the position, so what it has begun is ended however the
//! server's state changes meanwhile. A receiver that hangs holds this thread, and nobody else.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::position::{Position, Positions};
use super::receiver::Receiver;
use crate::id::{DeploymentId, TenantId};
use crate::time::Timestamp;

/// One entry.
pub(super) struct Line {
    pub(super) time: Timestamp,
    /// One line of JSON, its end included.
    pub(super) json: Vec<u8>,
}

/// Entries that are delivered together, and where the sink stands then.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) lines: Vec<Line>,
    pub(super) steps: Vec<(TenantId, Position)>,
    /// How many of the lines the receiver has for certain.
    pub(super) sent: usize,
}

/// The batch again, with the reason.
pub(super) struct Undelivered {
    pub(super) batch: Batch,
    pub(super) reason: String,
}

enum Order {
    /// Where the sink stands.
    Open(DeploymentId, oneshot::Sender<Result<Vec<(TenantId, Position)>, String>>),
    Deliver(Batch, oneshot::Sender<Result<(), Undelivered>>),
    Forget(Vec<TenantId>),
    /// Look whether something is to be opened again.
    Look,
}

/// What talks to the thread.
pub(super) struct Worker {
    orders: mpsc::Sender<Order>,
    reopen: Arc<AtomicBool>,
}

const ENDED: &str = "the thread of the sink has ended";

impl Worker {
    pub(super) fn start(name: &str, receiver: Receiver, position_file: PathBuf) -> std::io::Result<Self> {
        let (orders, waiting) = mpsc::channel(1);
        let reopen = Arc::new(AtomicBool::new(false));
        let task = Task { receiver, position_file, positions: None, reopen: Arc::clone(&reopen) };
        std::thread::Builder::new().name(format!("audit {name}").chars().take(15).collect()).spawn(move || task.run(waiting))?;
        Ok(Self { orders, reopen })
    }

    /// Reads where the sink stands. What an earlier feed left with the thread is done then.
    pub(super) async fn open(&self, deployment: DeploymentId) -> Result<Vec<(TenantId, Position)>, String> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(Order::Open(deployment, answer)).await.map_err(|_| ENDED.to_owned())?;
        answered.await.map_err(|_| ENDED.to_owned())?
    }

    /// Delivers a batch and writes the position down. A batch that comes back goes on where it was.
    pub(super) async fn deliver(&self, batch: Batch) -> Result<(), Undelivered> {
        let ended = || Undelivered { batch: Batch::default(), reason: ENDED.to_owned() };
        let (answer, answered) = oneshot::channel();
        self.orders.send(Order::Deliver(batch, answer)).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    /// Tenants are gone.
    pub(super) async fn forget(&self, tenants: Vec<TenantId>) {
        let _ = self.orders.send(Order::Forget(tenants)).await;
    }

    /// Has the receiver opened again, at the latest with the next batch.
    pub(super) fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
        // A thread that is busy sees it anyway.
        let _ = self.orders.try_send(Order::Look);
    }
}

struct Task {
    receiver: Receiver,
    position_file: PathBuf,
    positions: Option<Positions>,
    reopen: Arc<AtomicBool>,
}

impl Task {
    fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        while let Some(order) = orders.blocking_recv() {
            if self.reopen.swap(false, Ordering::AcqRel)
                && let Err(error) = self.receiver.reopen()
            {
                tracing::warn!(%error, "an audit sink was not opened again; trying again with the next event");
            }
            match order {
                Order::Open(deployment, answer) => drop(answer.send(self.open(deployment))),
                Order::Deliver(batch, answer) => drop(answer.send(self.deliver(batch))),
                Order::Forget(tenants) => {
                    if let Some(Err(error)) = self.positions.as_mut().map(|positions| positions.forget(&tenants)) {
                        tracing::warn!(%error, "the position of an audit sink was not shortened");
                    }
                }
                Order::Look => {}
            }
        }
    }

    fn open(&mut self, deployment: DeploymentId) -> Result<Vec<(TenantId, Position)>, String> {
        let opened = Positions::open(&self.position_file, deployment);
        let positions = opened.map_err(|error| format!("{}: {error}", self.position_file.display()))?;
        let known = positions.known().iter().map(|(tenant, position)| (*tenant, *position)).collect();
        self.positions = Some(positions);
        Ok(known)
    }

    fn deliver(&mut self, mut batch: Batch) -> Result<(), Undelivered> {
        if let Err(error) = self.receiver.write(&batch.lines, &mut batch.sent) {
            return Err(Undelivered { batch, reason: error.to_string() });
        }
        match self.positions.as_mut().map(|positions| positions.save(&batch.steps)) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(Undelivered { batch, reason: format!("{}: {error}", self.position_file.display()) }),
            None => Err(Undelivered { batch, reason: ENDED.to_owned() }),
        }
    }
}
