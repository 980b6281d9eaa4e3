//! Records that are looked up outside a group. What gathered while others were on their way goes together: one transaction and one
//! statement, however many requests and tenants. Alone, each would pay three round trips.

use std::sync::{Arc, Mutex, PoisonError};

use sqlx::postgres::PgRow;
use tokio::sync::oneshot;

use super::super::cells::{self, Place};
use super::super::error::Cause;
use super::super::{Fill, RecordRow, StoreError};
use super::connect::Link;
use super::context::ContextKey;
use super::session::{Purpose, Session, within};
use crate::id::TenantId;
use crate::record::RecordKey;

/// Transactions at a time. More would only make each smaller.
const CARRIERS_MAX: usize = 2;
/// Records in one transaction.
const TOGETHER_MAX: usize = 256;

type Found = Result<Fill<Option<RecordRow>>, StoreError>;

/// Looks records up.
pub(super) struct Lookups(Arc<Shared>);

struct Shared {
    link: Link,
    key: Arc<ContextKey>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Lookup>,
    /// Tasks that take what waits, until nothing does.
    carriers: usize,
}

/// A record that somebody waits for.
struct Lookup {
    tenant: TenantId,
    key: RecordKey,
    found: oneshot::Sender<Found>,
}

impl Lookups {
    pub(super) fn new(link: Link, key: Arc<ContextKey>) -> Self {
        Self(Arc::new(Shared { link, key, queue: Mutex::default() }))
    }

    /// A record, and the position of its tenant's log in the same snapshot, which is taken after this call.
    pub(super) async fn record(&self, tenant: TenantId, key: RecordKey) -> Found {
        let (found, answered) = oneshot::channel();
        if let Some(carrier) = Carrier::for_one_more(&self.0, Lookup { tenant, key, found }) {
            // Of its own: whoever began it may go away, and others wait for it, too.
            tokio::spawn(carrier.work());
        }
        answered.await.unwrap_or_else(|_| Err(StoreError::unavailable("the record was not looked up")))
    }
}

/// Takes what waits, until nothing does.
struct Carrier {
    shared: Arc<Shared>,
    /// Among the queue's carriers.
    counted: bool,
}

impl Carrier {
    /// Puts `lookup` into the queue. `None` when enough carriers are at work, one of which will take it.
    fn for_one_more(shared: &Arc<Shared>, lookup: Lookup) -> Option<Self> {
        let mut queue = shared.queue();
        queue.waiting.push(lookup);
        if queue.carriers == CARRIERS_MAX {
            return None;
        }
        queue.carriers += 1;
        Some(Self { shared: Arc::clone(shared), counted: true })
    }

    async fn work(mut self) {
        while let Some(lookups) = self.next() {
            match self.shared.look_up(&lookups).await {
                Ok(rows) => answer(lookups, &rows),
                Err(error) => {
                    for lookup in lookups {
                        let _ = lookup.found.send(Err(same(&error)));
                    }
                }
            }
        }
    }

    /// That nothing waits, and that this one ends, is one decision: whoever comes next sees both.
    fn next(&mut self) -> Option<Vec<Lookup>> {
        let mut queue = self.shared.queue();
        let together = queue.waiting.len().min(TOGETHER_MAX);
        if together == 0 {
            queue.carriers -= 1;
            self.counted = false;
            return None;
        }
        Some(queue.waiting.drain(..together).collect())
    }
}

impl Drop for Carrier {
    /// One that panics leaves nobody waiting for it.
    fn drop(&mut self) {
        if self.counted {
            let mut queue = self.shared.queue();
            queue.carriers -= 1;
            queue.waiting.clear();
        }
    }
}

impl Shared {
    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One row for each, in any order.
    async fn look_up(&self, lookups: &[Lookup]) -> Result<Vec<PgRow>, StoreError> {
        let mut tenants: Vec<TenantId> = lookups.iter().map(|lookup| lookup.tenant).collect();
        tenants.sort_unstable();
        tenants.dedup();
        let (mut session, context) = Session::signed(&self.link, &self.key, Purpose::Read, &tenants).await?;
        let ids: Vec<&[u8]> = lookups.iter().map(|lookup| &lookup.tenant.0[..]).collect();
        let keys: Vec<&[u8]> = lookups.iter().map(|lookup| &lookup.key.0[..]).collect();
        let looking = sqlx::query("SELECT * FROM strongroom.look_up($1, $2, $3)").bind(context).bind(ids).bind(keys);
        let rows = within(looking.fetch_all(session.connection()?)).await?;
        session.release();
        Ok(rows)
    }
}

fn answer(lookups: Vec<Lookup>, rows: &[PgRow]) {
    let mut waiting: Vec<Option<Lookup>> = lookups.into_iter().map(Some).collect();
    let place = Place { table: "record", row: &[] };
    for row in rows {
        // Counted from 1. Whoever is left without a row is told so when `waiting` is dropped.
        let at = place.number::<u64>(row, 0, "at").ok().and_then(|at| usize::try_from(at).ok());
        let lookup = at.and_then(|at| waiting.get_mut(at.wrapping_sub(1))).and_then(Option::take);
        if let Some(Lookup { tenant, key, found }) = lookup {
            let _ = found.send(fill(tenant, key, row));
        }
    }
}

fn fill(tenant: TenantId, key: RecordKey, row: &PgRow) -> Found {
    let seq = Place { table: "log", row: &tenant.0 }.number(row, 1, "seq")?;
    Ok(Fill { seq, value: cells::record(key, row, 2)? })
}

/// A failure for one more of those whom it struck.
fn same(error: &StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(cause) => StoreError::Unavailable(Cause::text(cause.to_string())),
        StoreError::Misused(rule) => StoreError::Misused(rule),
        other => StoreError::Failed(Cause::text(other.to_string())),
    }
}
