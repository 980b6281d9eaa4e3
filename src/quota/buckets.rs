//! How often each rule was used. Times are a server's uptime, so that no step of a clock lets anybody in or keeps anybody out.
//!
//! Of a limit this server has a part, as large as `share` says; a server that is alone has all of it.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::claims::{Claim, Id, Seat};
use super::share::Share;
use super::{GroupBy, RULES_MAX, Rule};

/// Addresses that are told apart in one rule; past it all begin anew.
const SOURCES_MAX: usize = 65_536;
/// Counts that other servers are told of; of what is past it each server has the same part.
pub(super) const SHARED_MAX: usize = 512;

/// The uses of all rules.
#[derive(Default)]
pub struct Buckets(Mutex<All>);

#[derive(Default)]
pub(super) struct All {
    /// Whose count is which, by rule and source.
    names: HashMap<String, HashMap<Option<IpAddr>, Id>>,
    pub(super) buckets: HashMap<Id, Bucket>,
    pub(super) seat: Seat,
    /// The counts of which other servers are told.
    pub(super) shared: HashSet<Id>,
    /// What the other servers told last, by their places.
    pub(super) others: HashMap<Id, Vec<(usize, Claim)>>,
}

#[derive(Default)]
pub(super) struct Bucket {
    pub(super) limit: u64,
    interval: Duration,
    /// When its interval ends.
    until: Duration,
    used: u64,
    /// Requests of this interval, and of the one before it, those that were refused among them.
    asked: u64,
    asked_before: u64,
    blocked_until: Duration,
    /// Somebody was refused in this interval.
    refused: bool,
    /// The part of this server, if it is not the same as everybody's.
    pub(super) share: Option<Share>,
}

/// What taking one came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Requests in an interval.
    pub limit: u64,
    /// What is left of them here.
    pub remaining: u64,
    /// When there are all of them again.
    pub reset: Duration,
    /// There was none left.
    pub refused: Option<Refused>,
}

/// A request too many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// After this there may be one again.
    pub retry_after: Duration,
    /// It is the first one of its interval.
    pub first: bool,
}

impl Buckets {
    /// Takes one of the requests of the rule `name`, for whoever asks from `source` at `now`. `id` is asked for once for each count.
    pub fn take(
        &self,
        (name, rule): (&str, &Rule),
        source: IpAddr,
        now: Duration,
        id: impl FnOnce(&str, Option<IpAddr>) -> Id,
    ) -> Taken {
        let source = (rule.group_by == GroupBy::Ip).then_some(source);
        let mut all = self.all();
        let known = all.names.get(name).and_then(|sources| sources.get(&source)).copied();
        let id = known.unwrap_or_else(|| all.begin(name, source, id(name, source)));
        all.take(id, rule, now)
    }

    pub(super) fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    /// Begins a count, and makes room for it.
    fn begin(&mut self, name: &str, source: Option<IpAddr>, id: Id) -> Id {
        if !self.names.contains_key(name) && self.names.len() >= 2 * RULES_MAX {
            // Rules come and go, and their counts stay.
            self.names.clear();
            self.buckets.clear();
            self.shared.clear();
        }
        let sources = self.names.entry(name.to_owned()).or_default();
        if sources.len() >= SOURCES_MAX {
            for (_, old) in sources.drain() {
                self.buckets.remove(&old);
                self.shared.remove(&old);
            }
        }
        sources.insert(source, id);
        id
    }

    fn take(&mut self, id: Id, rule: &Rule, now: Duration) -> Taken {
        let bucket = self.buckets.entry(id).or_default();
        let even = self.seat.even(rule.limit());
        let taken = bucket.take(rule, even, now);
        if bucket.share.is_none() && self.seat.servers > 1 && bucket.is_hot(even, now) && self.shared.len() < SHARED_MAX {
            bucket.share = Some(Share::of(even));
            self.shared.insert(id);
        }
        taken
    }
}

impl Bucket {
    /// Requests that were let pass in the interval of `now`.
    pub(super) fn used(&self, now: Duration) -> u64 {
        if now < self.until { self.used } else { 0 }
    }

    /// How many are asked for in an interval, the limit at most: those of this one, or of the one before.
    pub(super) fn asked(&self, now: Duration) -> u64 {
        let asked = if now < self.until {
            self.asked.max(self.asked_before)
        } else if now < self.until + self.interval {
            self.asked
        } else {
            0
        };
        asked.min(self.limit)
    }

    /// Whether so many are asked for that the even part may not be enough.
    pub(super) fn is_hot(&self, even: u64, now: Duration) -> bool {
        self.asked(now) > even / 2
    }

    /// Nobody has asked here: it is known from other servers only.
    pub(super) fn is_foreign(&self) -> bool {
        self.until.is_zero()
    }

    fn take(&mut self, rule: &Rule, even: u64, now: Duration) -> Taken {
        let limit = rule.limit();
        if now >= self.until {
            let asked_before = if now < self.until + self.interval { self.asked } else { 0 };
            (self.until, self.interval) = (now + rule.interval(), rule.interval());
            (self.used, self.asked, self.asked_before, self.refused) = (0, 0, asked_before, false);
        }
        self.limit = limit;
        self.asked = self.asked.saturating_add(1);
        let part = self.share.as_ref().map_or(even, |share| share.usable);
        let blocked = now < self.blocked_until;
        if !blocked && self.used < part {
            self.used += 1;
            return Taken { limit, remaining: part - self.used, reset: self.until.saturating_sub(now), refused: None };
        }
        // Past the part of this server, and past the limit only if what others are asked for says so.
        let is_past = self.asked.saturating_add(self.share.as_ref().map_or(0, |share| share.asked_elsewhere)) > limit;
        if !blocked && is_past && !rule.block_interval().is_zero() {
            self.blocked_until = now + rule.block_interval();
        }
        let first = !std::mem::replace(&mut self.refused, true);
        let free = match self.used < part {
            true => now,
            false if is_past => self.until,
            // Others give of their parts within that time.
            false => self.until.min(now + super::share::SETTLED),
        };
        let refused = Refused { retry_after: free.max(self.blocked_until).saturating_sub(now), first };
        Taken { limit, remaining: 0, reset: self.until.saturating_sub(now), refused: Some(refused) }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};

    use super::super::Scope;
    use super::*;

    fn rule(rate: f64, block: u64) -> Rule {
        Rule::new((String::new(), String::new(), Scope::Namespace), rate, Duration::from_secs(10), Duration::from_secs(block))
    }

    fn id(name: &str, source: Option<IpAddr>) -> Id {
        let mut hasher = DefaultHasher::new();
        (name, source).hash(&mut hasher);
        u128::from(hasher.finish()).to_be_bytes()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_rule_gives_its_rate_in_each_interval_to_each_address() {
        let (buckets, rule) = (Buckets::default(), rule(2.0, 0));
        let [one, two] = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
        let take = |source, now| buckets.take(("r", &rule), source, at(now), id);
        assert_eq!(take(one, 100), Taken { limit: 2, remaining: 1, reset: at(10), refused: None });
        assert_eq!(take(one, 103), Taken { limit: 2, remaining: 0, reset: at(7), refused: None });
        let refused = |first| Some(Refused { retry_after: at(6), first });
        assert_eq!(take(one, 104), Taken { limit: 2, remaining: 0, reset: at(6), refused: refused(true) });
        assert_eq!(take(one, 104).refused, refused(false));
        assert_eq!(take(two, 104).refused, None);
        assert_eq!(take(one, 110).refused, None);
        assert_eq!(buckets.take(("other", &rule), one, at(104), id).remaining, 1);
    }

    #[test]
    fn a_rule_for_all_together_tells_no_addresses_apart() {
        let (buckets, rule) = (Buckets::default(), Rule { group_by: GroupBy::None, ..rule(2.0, 0) });
        let refused = (1..=4).map(|last| buckets.take(("r", &rule), IpAddr::from([10, 0, 0, last]), at(1), id).refused.is_some());
        assert_eq!(refused.collect::<Vec<_>>(), [false, false, true, true]);
    }

    #[test]
    fn who_is_blocked_is_so_for_the_time_of_the_rule_and_not_longer() {
        let (buckets, rule, source) = (Buckets::default(), rule(1.0, 25), IpAddr::from([10, 0, 0, 1]));
        let refused = |now| buckets.take(("r", &rule), source, at(now), id).refused.map(|refused| refused.retry_after);
        assert_eq!(refused(100), None);
        assert_eq!(refused(101), Some(at(25)));
        assert_eq!(refused(111), Some(at(15)));
        assert_eq!(refused(125), Some(at(1)));
        assert_eq!(refused(126), None);
    }

    #[test]
    fn a_rate_below_one_still_gives_one() {
        assert_eq!((rule(0.2, 0).limit(), rule(1.5, 0).limit(), rule(1e300, 0).limit()), (1, 2, u64::MAX));
    }

    #[test]
    fn past_the_last_address_that_is_told_apart_all_of_a_rule_begin_anew() {
        let (buckets, rule) = (Buckets::default(), rule(1.0, 0));
        let refused = |source: u32| buckets.take(("r", &rule), IpAddr::from(source.to_be_bytes()), at(1), id).refused.is_some();
        assert!((0..65_536).all(|source| !refused(source)));
        assert!(refused(0));
        assert!(!refused(65_536) && !refused(0));
    }
}
