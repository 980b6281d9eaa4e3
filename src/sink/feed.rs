//! Reads the logs for one sink: as soon as the committer tells that one has grown, and now and then all of them, for what other
//! servers wrote. Rows go to the sink whole and in the order of their log; several logs share a batch.
//!
//! Which tenants there are is learned from the logs themselves: a row that made a namespace names its record, and the position
//! of the new tenant is written down together with that of the row. So nothing is asked of tenants that nothing happens in, and
//! keys are opened only where there is something to read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::entry::{Context, entry};
use super::position::Position;
use super::worker::{Batch, Line, Undelivered, Worker};
use crate::answer::Refusal;
use crate::audit::event::Event;
use crate::commit::{Committer, News, Segments, Tenant, Tenants, Unread};
use crate::id::{DeploymentId, TenantId};
use crate::metrics;
use crate::storage::LogRow;

/// Events of one batch; a row is never split, so it may be more.
const EVENTS_MAX: usize = 1_000;
/// Bytes of one batch, with the same exception.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Rows that are read at once.
const ROWS: usize = 16;
/// Logs whose standing is asked for at once.
const LOGS: usize = 500;
/// Between two looks at all logs, and between tries to read one that does not open.
const LOOK: Duration = Duration::from_secs(5);
/// What is waited for more, once there is something.
const GATHER: Duration = Duration::from_millis(100);
/// Between two looks at the lag.
const TICK: Duration = Duration::from_secs(1);
/// What is waited after a failure: at first, and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(15)];

/// What feeds one sink, as long as the server is open.
pub(super) struct Feed {
    committer: Arc<Committer>,
    deployment: DeploymentId,
    news: Arc<News>,
    worker: Arc<Worker>,
    hmac_accessor: bool,
    positions: HashMap<TenantId, Position>,
    /// The parent of a tenant, and the tenant's name there.
    family: HashMap<TenantId, (TenantId, String)>,
    /// What was read from the archive last.
    segments: Segments,
    /// Logs that could not be read, until the next look.
    unreadable: HashSet<TenantId>,
    failing: bool,
}

/// A tenant that can be read.
struct Opened {
    tenant: Arc<Tenant>,
    /// From the root on: empty or ending in a slash.
    namespace: String,
}

impl Feed {
    pub(super) fn new(
        committer: Arc<Committer>,
        deployment: DeploymentId,
        news: Arc<News>,
        worker: Arc<Worker>,
        hmac_accessor: bool,
    ) -> Self {
        let (positions, family, unreadable) = (HashMap::new(), HashMap::new(), HashSet::new());
        let segments = Segments::default();
        Self { committer, deployment, news, worker, hmac_accessor, positions, family, segments, unreadable, failing: false }
    }

    fn tenants(&self) -> &Arc<Tenants> {
        self.committer.tenants()
    }

    /// Runs until it is aborted.
    pub(super) async fn run(mut self) {
        self.open().await;
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let news = Arc::clone(&self.news);
        loop {
            tokio::select! {
                _ = looks.tick() => {
                    self.unreadable.clear();
                    if let Err(refusal) = self.look().await {
                        tracing::warn!(?refusal, sink = news.reader(), "the logs were not looked at; trying again");
                    }
                }
                // Requests of this moment share a batch, and its disk writes.
                () = news.wait() => tokio::time::sleep(GATHER).await,
            }
            self.catch_up().await;
            self.measure();
        }
    }

    /// Reads where the sink stands; tried until it works.
    async fn open(&mut self) {
        let mut pause = Pause::default();
        loop {
            match self.worker.open(self.deployment).await {
                Ok(known) => {
                    self.positions = known.into_iter().collect();
                    break;
                }
                Err(reason) => self.complain(&reason),
            }
            pause.wait().await;
        }
        self.failing = false;
    }

    /// Compares all logs that are known with where the sink stands.
    async fn look(&mut self) -> Result<(), Refusal> {
        let fixed = [self.tenants().root().id(), self.tenants().edge().id()];
        let known: Vec<TenantId> =
            fixed.into_iter().chain(self.positions.keys().copied().filter(|id| !fixed.contains(id))).collect();
        let mut gone = Vec::new();
        for some in known.chunks(LOGS) {
            for standing in self.tenants().standing(some).await? {
                let id = standing.tenant;
                if standing.gone {
                    gone.push(id);
                    continue;
                }
                let position = self.positions.get(&id).copied().unwrap_or_default();
                let Some(tail) = standing.tail else { continue };
                if tail.seq > position.seq {
                    self.news.tell(id, Unread { seq: tail.seq, from: position.events, to: tail.size(), since: tail.time });
                } else if tail.seq < position.seq {
                    tracing::error!(tenant = %id, sink = self.news.reader(), "an audit log is shorter than what was delivered of it: an older database was restored");
                    self.positions.insert(id, Position { seq: tail.seq, events: tail.size() });
                }
            }
        }
        self.forget(gone).await;
        Ok(())
    }

    async fn forget(&mut self, gone: Vec<TenantId>) {
        for id in &gone {
            self.positions.remove(id);
            self.family.remove(id);
            self.news.forget(*id);
        }
        if !gone.is_empty() {
            self.worker.forget(gone).await;
        }
    }

    /// Delivers what there is, batch by batch; what comes meanwhile rings the bell.
    async fn catch_up(&mut self) {
        loop {
            let (mut batch, mut ends, mut gone) = (Draft::default(), Vec::new(), Vec::new());
            for id in self.news.tenants() {
                if batch.is_full() {
                    break;
                }
                if self.unreadable.contains(&id) {
                    continue;
                }
                match self.collect(id, &mut batch, &mut ends).await {
                    Ok(true) => {}
                    Ok(false) => gone.push(id),
                    // Its events wait until it is unsealed.
                    Err(Refusal::NamespaceSealed | Refusal::RolledBack) => drop(self.unreadable.insert(id)),
                    Err(refusal) => {
                        tracing::warn!(?refusal, tenant = %id, sink = self.news.reader(), "a log was not read; trying again");
                        self.unreadable.insert(id);
                    }
                }
            }
            self.forget(gone).await;
            let (steps, full) = (batch.0.steps.clone(), batch.is_full());
            if !steps.is_empty() {
                self.deliver(batch.0).await;
            }
            for (id, seq, to, time) in ends {
                self.news.read(id, seq, to, time);
            }
            self.positions.extend(steps);
            if !full {
                return;
            }
        }
    }

    /// Adds rows of one log to a batch. False when the tenant is gone.
    async fn collect(&mut self, id: TenantId, batch: &mut Draft, ends: &mut Vec<End>) -> Result<bool, Refusal> {
        let Some(opened) = self.opened(id).await? else { return Ok(false) };
        let mut position = self.positions.get(&id).copied().unwrap_or_default();
        while !batch.is_full() {
            let rows = self.tenants().log_rows(id, position.seq + 1, ROWS).await?;
            let whole = rows.len() == ROWS;
            for row in rows {
                if batch.is_full() {
                    return Ok(true);
                }
                position = self.add(&opened, position, &row, batch).await?;
                ends.push((id, position.seq, position.events, row.tail.time));
            }
            if !whole {
                // Told of a row that is not there: it was of a database that was put back.
                ends.push((id, position.seq, position.events, self.tenants().clock().now()));
                return Ok(true);
            }
        }
        Ok(true)
    }

    /// Adds a row, and the namespaces that it made.
    async fn add(&mut self, opened: &Opened, at: Position, row: &LogRow, batch: &mut Draft) -> Result<Position, Refusal> {
        let Opened { tenant, namespace } = opened;
        if row.tail.seq != at.seq + 1 || row.tail.first_index != at.events {
            tracing::error!(tenant = %tenant.id(), seq = row.tail.seq, "a row of the audit log does not follow the one before it");
            return Err(Refusal::Internal("the audit log has a gap".into()));
        }
        let mut lines = Vec::new();
        // A sink that was away for long finds the oldest ones in the archive.
        let tenants = Arc::clone(self.tenants());
        let events = tenants.row_events(tenant, row, &mut self.segments).await?;
        for (index, canonical) in (row.tail.first_index..).zip(events) {
            let (_, event) = Event::parse(&canonical).map_err(|error| Refusal::Internal(error.to_string()))?;
            let context = Context { tenant, namespace, index, hmac_accessor: self.hmac_accessor };
            let mut json = entry(&event, &context).expose().to_vec();
            json.push(b'\n');
            lines.push(Line { time: event.time, json });
        }
        for child in tenants.children_of_row(tenant, row).await? {
            let id = child.namespace.tenant;
            if !self.positions.contains_key(&id) && !batch.0.steps.iter().any(|(known, _)| *known == id) {
                batch.0.steps.push((id, Position::default()));
            }
            self.family.insert(id, (tenant.id(), child.name));
        }
        let position = Position { seq: row.tail.seq, events: row.tail.size() };
        batch.add(lines, tenant.id(), position);
        Ok(position)
    }

    /// A tenant with its keys, and all above it. `None` when it is gone.
    async fn opened(&mut self, id: TenantId) -> Result<Option<Opened>, Refusal> {
        let (root, edge) = (self.tenants().root(), self.tenants().edge());
        if let Some(tenant) = [root, edge].into_iter().find(|tenant| tenant.id() == id) {
            return Ok(Some(Opened { tenant, namespace: String::new() }));
        }
        let parent = match self.family.get(&id) {
            Some((parent, _)) => *parent,
            None => match self.tenants().parent_of(id).await? {
                Some(Some(parent)) => parent,
                _ => return Ok(None),
            },
        };
        let Some(Opened { tenant: parent, namespace }) = Box::pin(self.opened(parent)).await? else { return Ok(None) };
        if !self.family.contains_key(&id) {
            for child in self.tenants().children(&parent).await? {
                self.family.insert(child.namespace.tenant, (parent.id(), child.name));
            }
        }
        let name = self.family.get(&id).map_or("", |(_, name)| name);
        if let Some(tenant) = self.tenants().open_child(&parent, name, id).await? {
            return Ok(Some(Opened { tenant, namespace: format!("{namespace}{name}/") }));
        }
        // It is deleted, or its parent is about to say where it is.
        self.family.remove(&id);
        match self.tenants().parent_of(id).await? {
            Some(_) => Err(Refusal::NotFound),
            None => Ok(None),
        }
    }

    /// Tries until it works. Requests do not wait for it, and news are remembered meanwhile.
    async fn deliver(&mut self, mut batch: Batch) {
        let mut pause = Pause::default();
        loop {
            let worker = Arc::clone(&self.worker);
            let delivering = worker.deliver(batch);
            tokio::pin!(delivering);
            let outcome = loop {
                tokio::select! {
                    outcome = &mut delivering => break outcome,
                    () = tokio::time::sleep(TICK) => self.measure(),
                }
            };
            match outcome {
                Ok(()) => break,
                Err(Undelivered { batch: back, reason }) => {
                    self.complain(&reason);
                    batch = back;
                }
            }
            self.measure();
            pause.wait().await;
        }
        if std::mem::take(&mut self.failing) {
            tracing::info!(sink = self.news.reader(), "the audit sink takes events again");
        }
        self.measure();
    }

    fn complain(&mut self, reason: &str) {
        metrics::sink_failed(self.news.reader());
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(reason, sink = self.news.reader(), "an audit sink does not take events; they wait in the log");
        }
    }

    fn measure(&self) {
        let (events, waited) = self.news.lag(self.tenants().clock().now());
        metrics::sink_lags(self.news.reader(), events, waited);
    }
}

/// How far a log is read when a batch is delivered: row, events, time of the row.
type End = (TenantId, u64, u64, crate::time::Timestamp);

/// A batch that is being filled.
#[derive(Default)]
struct Draft(Batch, usize);

impl Draft {
    fn is_full(&self) -> bool {
        self.0.lines.len() >= EVENTS_MAX || self.1 >= BATCH_BYTES_MAX
    }

    fn add(&mut self, lines: Vec<Line>, tenant: TenantId, position: Position) {
        self.1 += lines.iter().map(|line| line.json.len()).sum::<usize>();
        self.0.lines.extend(lines);
        self.0.steps.retain(|(known, _)| *known != tenant);
        self.0.steps.push((tenant, position));
    }
}

/// Longer after each failure.
#[derive(Default)]
struct Pause(u32);

impl Pause {
    async fn wait(&mut self) {
        let [first, most] = PAUSES;
        tokio::time::sleep(first.saturating_mul(1 << self.0.min(10)).min(most)).await;
        self.0 += 1;
    }
}
