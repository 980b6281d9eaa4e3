//! Commits that wait for their group, each tenant's in a line of its own. Lines are served in turn, by what their commits cost, so that a
//! tenant with thousands waiting holds up another one's next commit by a part of a group only.
//!
//! A line may be as long as there is room left for others: one tenant alone takes half of all places, and whoever comes then finds one.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::id::TenantId;

/// Commits that may wait for their group; one more is refused.
pub(super) const QUEUE_MAX: usize = 8_192;
/// What the commits of one group may cost: one for each, and one for each page that it writes.
const GROUP_MAX: u64 = 1_024;
/// The same while several tenants are there: each waits for the group before its own, which so is over soon.
const MIXED_GROUP_MAX: u64 = 128;
/// A page, bytes.
const PAGE_BYTES: usize = 4_096;
/// Several tenants are there for so long after they last waited at the same time.
const LATELY: Duration = Duration::from_secs(1);

/// Why a commit is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Too many wait.
    Queue,
    /// Too many of this tenant wait, as long as others may come.
    Line,
    /// Nothing is taken any more.
    Closed,
}

/// What waits.
pub(super) struct Queue<T> {
    lines: Mutex<Lines<T>>,
    bell: Notify,
}

struct Lines<T> {
    of: HashMap<TenantId, Line<T>>,
    /// Those in which somebody waits, by what was served of them.
    order: BTreeSet<(u64, TenantId)>,
    waiting: usize,
    /// What was served of the line whose turn it was last: who comes anew begins there.
    served: u64,
    mixed: Option<Instant>,
    is_closed: bool,
}

struct Line<T> {
    served: u64,
    waiting: VecDeque<(u64, T)>,
}

/// What a commit costs that writes so many bytes.
pub(super) fn cost(bytes: usize) -> u64 {
    1 + (bytes / PAGE_BYTES) as u64
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        let (of, order) = (HashMap::new(), BTreeSet::new());
        let lines = Lines { of, order, waiting: 0, served: 0, mixed: None, is_closed: false };
        Self { lines: Mutex::new(lines), bell: Notify::new() }
    }

    /// Puts a commit at the end of its tenant's line.
    pub(super) fn push(&self, tenant: TenantId, cost: u64, commit: T) -> Result<(), Full> {
        self.lines().push(tenant, cost, commit)?;
        self.bell.notify_one();
        Ok(())
    }

    /// Returns when something waits; false when nothing will any more. One may wait for it at a time.
    pub(super) async fn some(&self) -> bool {
        loop {
            {
                let lines = self.lines();
                if lines.waiting > 0 || lines.is_closed {
                    return lines.waiting > 0;
                }
            }
            self.bell.notified().await;
        }
    }

    /// How many wait in the lines of these tenants.
    pub(super) fn waiting(&self, tenants: impl Iterator<Item = TenantId>) -> usize {
        let lines = self.lines();
        tenants.filter_map(|tenant| lines.of.get(&tenant)).map(|line| line.waiting.len()).sum()
    }

    /// Takes what waits in the lines of these tenants, as `group` does, up to the bound of a group.
    pub(super) fn more(&self, tenants: impl Iterator<Item = TenantId>, mut wanted: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut lines = self.lines();
        let (mut taken, mut more) = (0, Vec::new());
        for tenant in tenants {
            while taken < MIXED_GROUP_MAX
                && let Some((cost, commit)) = lines.pop_of(tenant)
            {
                if wanted(&commit) {
                    taken += cost;
                    more.push(commit);
                }
            }
        }
        more
    }

    /// Takes a group at `now`: those of `wanted`, in the order in which they are served. Others that were reached are gone.
    pub(super) fn group(&self, now: Instant, mut wanted: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut lines = self.lines();
        if lines.order.len() > 1 {
            lines.mixed = Some(now);
        }
        let mixed = lines.mixed.is_some_and(|mixed| now.saturating_duration_since(mixed) < LATELY);
        let (most, mut taken, mut group) = (if mixed { MIXED_GROUP_MAX } else { GROUP_MAX }, 0, Vec::new());
        while taken < most
            && let Some((cost, commit)) = lines.pop()
        {
            if wanted(&commit) {
                taken += cost;
                group.push(commit);
            }
        }
        group
    }

    /// Takes nothing any more. What waits is still served.
    pub(super) fn close(&self) {
        self.lines().is_closed = true;
        self.bell.notify_one();
    }

    /// Nobody serves any more: what waits is gone.
    pub(super) fn end(&self) {
        let mut lines = self.lines();
        lines.is_closed = true;
        let gone = std::mem::take(&mut lines.of);
        (lines.order, lines.waiting) = (BTreeSet::new(), 0);
        drop(lines);
        drop(gone);
    }

    fn lines(&self) -> MutexGuard<'_, Lines<T>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Lines<T> {
    fn push(&mut self, tenant: TenantId, cost: u64, commit: T) -> Result<(), Full> {
        if self.is_closed {
            return Err(Full::Closed);
        }
        let room = QUEUE_MAX.saturating_sub(self.waiting);
        if room == 0 {
            return Err(Full::Queue);
        }
        let served = self.served;
        let line = self.of.entry(tenant).or_insert_with(|| Line { served, waiting: VecDeque::new() });
        if line.waiting.len() >= room {
            return Err(Full::Line);
        }
        if line.waiting.is_empty() {
            self.order.insert((line.served, tenant));
        }
        line.waiting.push_back((cost, commit));
        self.waiting += 1;
        Ok(())
    }

    /// The first of the line of which least was served.
    fn pop(&mut self) -> Option<(u64, T)> {
        let (_, tenant) = self.order.first()?;
        self.pop_of(*tenant)
    }

    /// The first of a tenant's line.
    fn pop_of(&mut self, tenant: TenantId) -> Option<(u64, T)> {
        let line = self.of.get_mut(&tenant)?;
        let served = line.served;
        self.order.remove(&(served, tenant));
        let (cost, commit) = line.waiting.pop_front()?;
        self.served = served;
        self.waiting -= 1;
        line.served = served + cost;
        if line.waiting.is_empty() {
            // Who comes again begins with the others.
            self.of.remove(&tenant);
        } else {
            self.order.insert((line.served, tenant));
        }
        Some((cost, commit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TenantId = TenantId([1; 16]);
    const B: TenantId = TenantId([2; 16]);
    const C: TenantId = TenantId([3; 16]);

    fn queue(commits: &[(TenantId, u64, usize)]) -> Queue<(TenantId, usize)> {
        let queue = Queue::new();
        for (tenant, cost, count) in commits {
            (0..*count).for_each(|number| queue.push(*tenant, *cost, (*tenant, number)).unwrap());
        }
        queue
    }

    fn group(queue: &Queue<(TenantId, usize)>) -> Vec<(TenantId, usize)> {
        queue.group(Instant::now(), |_| true)
    }

    #[test]
    fn tenants_are_served_in_turn_and_each_in_its_own_order() {
        let queue = queue(&[(A, 1, 500), (B, 1, 2), (C, 1, 1)]);
        let first = group(&queue);
        assert_eq!(first[..6], [(A, 0), (B, 0), (C, 0), (A, 1), (B, 1), (A, 2)]);
        assert_eq!(first.len(), 128, "a group in which several are is over soon");
        // Who comes now does not wait for all who came before.
        queue.push(B, 1, (B, 2)).unwrap();
        let next = group(&queue);
        assert!(next[..2].contains(&(B, 2)), "{:?}", &next[..2]);
        assert!(next.iter().filter(|(tenant, _)| *tenant == A).is_sorted());
    }

    #[test]
    fn more_is_taken_from_the_lines_that_are_named() {
        let queue = queue(&[(A, 1, 5), (B, 1, 3), (C, 1, 1)]);
        let named = || [A, C].into_iter();
        assert_eq!(queue.waiting(named()), 6);
        assert_eq!(queue.more(named(), |(_, number)| *number != 1), [(A, 0), (A, 2), (A, 3), (A, 4), (C, 0)]);
        assert_eq!((queue.waiting(named()), group(&queue).len()), (0, 3));
    }

    #[test]
    fn who_writes_much_is_served_less_often() {
        let queue = queue(&[(A, 10, 20), (B, 1, 40)]);
        let first = group(&queue);
        let of = |tenant| first.iter().take(22).filter(|(found, _)| *found == tenant).count();
        assert_eq!((of(A), of(B)), (2, 20));
        assert_eq!((cost(0), cost(4_095), cost(4_096), cost(1 << 20)), (1, 1, 2, 257));
        assert!(first.iter().map(|(tenant, _)| if *tenant == A { 10 } else { 1 }).sum::<u64>() < 128 + 10);
    }

    #[test]
    fn a_tenant_that_is_alone_has_whole_groups_and_half_of_the_places() {
        let queue = queue(&[(A, 1, QUEUE_MAX / 2)]);
        assert_eq!(queue.push(A, 1, (A, 0)), Err(Full::Line));
        queue.push(B, 1, (B, 0)).unwrap();
        assert_eq!(group(&queue).iter().position(|(tenant, _)| *tenant == B), Some(1));
        let later = Instant::now() + LATELY;
        assert_eq!(queue.group(later, |_| true).len(), 1_024);
        assert_eq!(queue.push(A, 1, (A, 0)), Ok(()));
    }

    #[test]
    fn the_queue_ends_at_its_bound_and_what_nobody_wants_makes_room() {
        let queue = Queue::new();
        let tenant = |number: usize| TenantId((number as u128).to_be_bytes());
        for number in 0..QUEUE_MAX {
            queue.push(tenant(number), 1, (A, number)).unwrap();
        }
        assert_eq!(queue.push(C, 1, (C, 0)), Err(Full::Queue));
        assert_eq!(queue.group(Instant::now(), |_| false), []);
        assert_eq!(queue.push(C, 1, (C, 0)), Ok(()));
    }

    #[tokio::test]
    async fn what_waits_at_the_end_is_served() {
        let queue = queue(&[(A, 1, 1)]);
        queue.close();
        assert_eq!(queue.push(B, 1, (B, 0)), Err(Full::Closed));
        assert!(queue.some().await);
        assert_eq!(group(&queue), [(A, 0)]);
        assert!(!queue.some().await);
    }
}
