//! How often each rule was used. Times are a server's uptime, so that no step of a clock lets anybody in or keeps anybody out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{GroupBy, RULES_MAX, Rule};

/// Addresses that are told apart in one rule; past it all begin anew.
const SOURCES_MAX: usize = 65_536;

/// The uses of all rules.
#[derive(Default)]
pub struct Buckets(Mutex<HashMap<String, Sources>>);

type Sources = HashMap<Option<IpAddr>, Bucket>;

#[derive(Default)]
struct Bucket {
    /// When its interval ends.
    until: Duration,
    used: u64,
    blocked_until: Duration,
    /// Somebody was refused in this interval.
    refused: bool,
}

/// What taking one came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Requests in an interval.
    pub limit: u64,
    /// What is left of them.
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
    /// Takes one of the requests of the rule `name`, for whoever asks from `source` at `now`.
    pub fn take(&self, (name, rule): (&str, &Rule), source: IpAddr, now: Duration) -> Taken {
        let source = (rule.group_by == GroupBy::Ip).then_some(source);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sources) = all.get_mut(name) {
            if sources.len() >= SOURCES_MAX && !sources.contains_key(&source) {
                sources.clear();
            }
            return sources.entry(source).or_default().take(rule, now);
        }
        if all.len() >= 2 * RULES_MAX {
            // Rules come and go, and their counts stay.
            all.clear();
        }
        all.entry(name.to_owned()).or_default().entry(source).or_default().take(rule, now)
    }
}

impl Bucket {
    fn take(&mut self, rule: &Rule, now: Duration) -> Taken {
        if now >= self.until {
            *self = Self { until: now + rule.interval(), blocked_until: self.blocked_until, ..Self::default() };
        }
        let limit = rule.limit();
        let blocked = now < self.blocked_until;
        if !blocked && self.used < limit {
            self.used += 1;
            return Taken { limit, remaining: limit - self.used, reset: self.until.saturating_sub(now), refused: None };
        }
        if !blocked && !rule.block_interval().is_zero() {
            self.blocked_until = now + rule.block_interval();
        }
        let first = !std::mem::replace(&mut self.refused, true);
        let free = if self.used < limit { now } else { self.until };
        let refused = Refused { retry_after: free.max(self.blocked_until).saturating_sub(now), first };
        Taken { limit, remaining: 0, reset: self.until.saturating_sub(now), refused: Some(refused) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Scope;
    use super::*;

    fn rule(rate: f64, block: u64) -> Rule {
        Rule::new((String::new(), String::new(), Scope::Namespace), rate, Duration::from_secs(10), Duration::from_secs(block))
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_rule_gives_its_rate_in_each_interval_to_each_address() {
        let (buckets, rule) = (Buckets::default(), rule(2.0, 0));
        let [one, two] = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
        let take = |source, now| buckets.take(("r", &rule), source, at(now));
        assert_eq!(take(one, 100), Taken { limit: 2, remaining: 1, reset: at(10), refused: None });
        assert_eq!(take(one, 103), Taken { limit: 2, remaining: 0, reset: at(7), refused: None });
        let refused = |first| Some(Refused { retry_after: at(6), first });
        assert_eq!(take(one, 104), Taken { limit: 2, remaining: 0, reset: at(6), refused: refused(true) });
        assert_eq!(take(one, 104).refused, refused(false));
        assert_eq!(take(two, 104).refused, None);
        assert_eq!(take(one, 110).refused, None);
        assert_eq!(buckets.take(("other", &rule), one, at(104)).remaining, 1);
    }

    #[test]
    fn a_rule_for_all_together_tells_no_addresses_apart() {
        let (buckets, rule) = (Buckets::default(), Rule { group_by: GroupBy::None, ..rule(2.0, 0) });
        let refused = (1..=4).map(|last| buckets.take(("r", &rule), IpAddr::from([10, 0, 0, last]), at(1)).refused.is_some());
        assert_eq!(refused.collect::<Vec<_>>(), [false, false, true, true]);
    }

    #[test]
    fn who_is_blocked_is_so_for_the_time_of_the_rule_and_not_longer() {
        let (buckets, rule, source) = (Buckets::default(), rule(1.0, 25), IpAddr::from([10, 0, 0, 1]));
        let refused = |now| buckets.take(("r", &rule), source, at(now)).refused.map(|refused| refused.retry_after);
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
        let refused = |source: u32| buckets.take(("r", &rule), IpAddr::from(source.to_be_bytes()), at(1)).refused.is_some();
        assert!((0..65_536).all(|source| !refused(source)));
        assert!(refused(0));
        assert!(!refused(65_536) && !refused(0));
    }
}
