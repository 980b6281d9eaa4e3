//! Which logs have grown: told by the committer, once it is durable, to those who read logs afterwards. Telling costs a look at
//! a map and never waits for a reader; what is remembered is bounded by the number of tenants.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::id::TenantId;
use crate::time::Timestamp;

/// What one reader of the logs has not read yet.
pub struct News {
    name: String,
    unread: Mutex<HashMap<TenantId, Unread>>,
    bell: Notify,
}

/// Rows of one log that were not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Number of the newest row.
    pub seq: u64,
    /// Index of the first event that was not read.
    pub from: u64,
    /// One more than the index of the last event.
    pub to: u64,
    /// When the oldest of them was committed.
    pub since: Timestamp,
}

impl News {
    /// For the reader of this name.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), unread: Mutex::default(), bell: Notify::new() }
    }

    /// The reader.
    pub fn reader(&self) -> &str {
        &self.name
    }

    fn unread(&self) -> MutexGuard<'_, HashMap<TenantId, Unread>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A log has grown.
    pub fn tell(&self, tenant: TenantId, news: Unread) {
        let mut unread = self.unread();
        let known = unread.entry(tenant).or_insert(news);
        (known.seq, known.to) = (known.seq.max(news.seq), known.to.max(news.to));
        drop(unread);
        self.bell.notify_one();
    }

    /// A log was read up to a row, whose events end before `to`, and which was committed at `time`.
    pub fn read(&self, tenant: TenantId, seq: u64, to: u64, time: Timestamp) {
        let mut unread = self.unread();
        let Some(known) = unread.get_mut(&tenant) else { return };
        if known.seq <= seq {
            unread.remove(&tenant);
        } else {
            (known.from, known.since) = (to, time);
        }
    }

    /// A log is gone.
    pub fn forget(&self, tenant: TenantId) {
        self.unread().remove(&tenant);
    }

    /// Tenants whose logs have grown, those that have waited longest first.
    pub fn tenants(&self) -> Vec<TenantId> {
        let mut waiting: Vec<(Timestamp, TenantId)> = self.unread().iter().map(|(id, unread)| (unread.since, *id)).collect();
        waiting.sort_unstable();
        waiting.into_iter().map(|(_, id)| id).collect()
    }

    /// How many events were not read, and how long the oldest of them has waited.
    pub fn lag(&self, now: Timestamp) -> (u64, Duration) {
        let unread = self.unread();
        let events = unread.values().map(|unread| unread.to.saturating_sub(unread.from)).sum();
        let oldest = unread.values().map(|unread| unread.since).min();
        (events, oldest.map_or(Duration::ZERO, |since| now.since(since)))
    }

    /// Waits until a log grows; returns at once if one did since the last time.
    pub async fn wait(&self) {
        self.bell.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: TenantId = TenantId([1; 16]);

    fn unread(seq: u64, from: u64, to: u64) -> Unread {
        Unread { seq, from, to, since: Timestamp(i64::try_from(seq).unwrap() * 1_000_000_000) }
    }

    #[test]
    fn what_was_not_read_is_counted_until_it_is() {
        let news = News::new("a");
        news.tell(TENANT, unread(3, 10, 12));
        news.tell(TENANT, unread(4, 12, 15));
        news.tell(TenantId([2; 16]), unread(1, 0, 1));
        assert_eq!(news.tenants(), [TenantId([2; 16]), TENANT]);
        assert_eq!(news.lag(Timestamp(11_000_000_000)), (6, Duration::from_secs(10)));
        news.read(TENANT, 3, 12, Timestamp(3_000_000_000));
        assert_eq!(news.lag(Timestamp(11_000_000_000)).0, 4);
        news.read(TENANT, 4, 15, Timestamp(4_000_000_000));
        news.forget(TenantId([2; 16]));
        assert_eq!((news.tenants(), news.lag(Timestamp(11_000_000_000))), (vec![], (0, Duration::ZERO)));
    }
}
