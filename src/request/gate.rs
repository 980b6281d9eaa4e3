//! How many requests of one namespace are worked on at a time. One that is alone has no bound. As long as others are there, too, each has so many
//! under way, and the rest of its requests wait before they cost anything: whoever sends one now and then does not wait behind a thousand.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Route;

/// Requests of one namespace that are under way while several namespaces are there, for each processor that this server may use: more would
/// wait for a processor, or for the disk behind the group before, and let others wait there.
const UNDERWAY_EACH: usize = 4;
/// Several are there for so long after they last had requests under way at the same time.
const LATELY: Duration = Duration::from_secs(1);

/// Lets requests begin.
pub(super) struct Gate {
    names: RandomState,
    /// Requests of a namespace that are under way beside others'.
    most: usize,
    lanes: Mutex<Lanes>,
}

#[derive(Default)]
struct Lanes {
    of: HashMap<u64, Lane>,
    mixed: Option<Instant>,
}

#[derive(Default)]
struct Lane {
    underway: usize,
    waiting: VecDeque<oneshot::Sender<Permit>>,
}

/// A request is under way as long as this lives.
pub(super) struct Permit {
    gate: Arc<Gate>,
    lane: u64,
}

impl Default for Gate {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self { names: RandomState::new(), most: UNDERWAY_EACH * processors, lanes: Mutex::default() }
    }
}

impl Gate {
    /// Waits until a request to `route` may begin.
    pub(super) async fn enter(self: &Arc<Self>, route: &Route) -> Permit {
        // Before anybody is known: names of namespaces, as they are asked for, tell enough.
        let within = if route.namespace.as_str().is_empty() { route.path.segments().next() } else { None };
        self.enter_lane(self.names.hash_one((route.namespace.as_str(), within)), Instant::now()).await
    }

    async fn enter_lane(self: &Arc<Self>, lane: u64, now: Instant) -> Permit {
        let waiting = {
            let mut lanes = self.lanes();
            let others = lanes.of.len() > usize::from(lanes.of.contains_key(&lane));
            if others {
                lanes.mixed = Some(now);
            }
            let mixed = lanes.mixed.is_some_and(|mixed| now.saturating_duration_since(mixed) < LATELY);
            let here = lanes.of.entry(lane).or_default();
            if !mixed || here.underway < self.most {
                here.underway += 1;
                return Permit { gate: Arc::clone(self), lane };
            }
            let (permit, waiting) = oneshot::channel();
            here.waiting.push_back(permit);
            waiting
        };
        match waiting.await {
            Ok(permit) => permit,
            // Nobody drops the other end but with the gate itself.
            Err(_) => Permit { gate: Arc::default(), lane },
        }
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let next = {
            let mut lanes = self.gate.lanes();
            let Some(lane) = lanes.of.get_mut(&self.lane) else { return };
            // More than the bound began when there were no others. Who has gone waits for nothing any more.
            let is_next = |next: &oneshot::Sender<Permit>| !next.is_closed();
            let next =
                if lane.underway > self.gate.most { None } else { std::iter::from_fn(|| lane.waiting.pop_front()).find(is_next) };
            if next.is_none() {
                lane.underway = lane.underway.saturating_sub(1);
                if lane.underway == 0 {
                    lanes.of.remove(&self.lane);
                }
            }
            next
        };
        if let Some(next) = next {
            // Whoever goes in this very moment leaves it to the next.
            drop(next.send(Permit { gate: Arc::clone(&self.gate), lane: self.lane }));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn begun(gate: &Arc<Gate>, lane: u64, count: usize, now: Instant) -> Vec<Permit> {
        let mut permits = Vec::new();
        for _ in 0..count {
            permits.push(gate.enter_lane(lane, now).now_or_never().unwrap());
        }
        permits
    }

    #[test]
    fn who_is_alone_has_no_bound() {
        let (gate, now) = (Arc::new(Gate::default()), Instant::now());
        assert_eq!(begun(&gate, 1, 500, now).len(), 500);
        assert!(gate.lanes().of.is_empty(), "what has ended is forgotten");
    }

    #[test]
    fn beside_others_so_many_are_under_way_and_the_rest_begin_in_their_order() {
        let (gate, now) = (Arc::new(Gate::default()), Instant::now());
        let other = begun(&gate, 2, 1, now);
        let mut first = begun(&gate, 1, gate.most, now);
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(gate.enter_lane(1, now))).collect();
        assert!(waiting.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
        assert_eq!(begun(&gate, 2, gate.most - 1, now).len(), gate.most - 1, "others begin at once");
        // One that goes away does not keep its place.
        drop(waiting.remove(1));
        first.pop();
        let second = waiting[0].as_mut().now_or_never().unwrap();
        assert!(waiting[1].as_mut().now_or_never().is_none());
        first.pop();
        let third = waiting[1].as_mut().now_or_never().unwrap();
        drop((second, third, first, other));
        assert!(gate.lanes().of.is_empty());
    }

    #[test]
    fn a_flood_that_was_alone_shrinks_to_the_bound_when_others_come() {
        let (gate, now) = (Arc::new(Gate::default()), Instant::now());
        let mut flood = begun(&gate, 1, 2 * gate.most, now);
        let _other = begun(&gate, 2, 1, now);
        let mut waiting = Box::pin(gate.enter_lane(1, now));
        for _ in 0..gate.most {
            assert!(waiting.as_mut().now_or_never().is_none());
            flood.pop();
        }
        assert!(waiting.as_mut().now_or_never().is_none(), "so many are under way still");
        flood.pop();
        assert!(waiting.as_mut().now_or_never().is_some());
    }

    #[test]
    fn the_bound_ends_when_the_others_have_gone() {
        let (gate, now) = (Arc::new(Gate::default()), Instant::now());
        drop(begun(&gate, 2, 1, now));
        let other = begun(&gate, 2, 1, now);
        let _first = begun(&gate, 1, gate.most, now);
        drop(other);
        assert!(gate.enter_lane(1, now).now_or_never().is_none());
        assert_eq!(begun(&gate, 1, 9, now + LATELY).len(), 9);
    }
}
