//! Callers without a verified credential. Their requests are logged one by one up to a rate per source address; past it
//! they are answered 429, and one event per second says that there were more. So nobody without a credential can grow or
//! stall a log.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use crate::time::Timestamp;

/// Requests of one source that are logged one by one, per second.
const REQUESTS_PER_SECOND: u32 = 100;
/// Sources that are told apart; the table starts anew when it is full.
const SOURCES_MAX: usize = 65_536;

/// What happens to a stranger's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is answered, and has its event.
    Logged,
    /// It is one too many in this second: its event stands for all that follow.
    FirstOverRate,
    /// It is one of those that follow.
    OverRate,
}

/// Requests of strangers, by source.
#[derive(Default)]
pub(super) struct Outsiders(Mutex<HashMap<IpAddr, (i64, u32)>>);

impl Outsiders {
    /// Whether the next request of a source is one too many: what costs something is not begun then.
    pub(super) fn is_over_rate(&self, source: IpAddr, now: Timestamp) -> bool {
        let sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sources.get(&source).is_some_and(|(second, count)| *second == now.unix_seconds() && *count >= REQUESTS_PER_SECOND)
    }

    pub(super) fn admit(&self, source: IpAddr, now: Timestamp) -> Admission {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.len() >= SOURCES_MAX && !sources.contains_key(&source) {
            sources.clear();
        }
        let (second, count) = sources.entry(source).or_insert((now.unix_seconds(), 0));
        if *second != now.unix_seconds() {
            (*second, *count) = (now.unix_seconds(), 0);
        }
        *count = count.saturating_add(1);
        match (*count).cmp(&(REQUESTS_PER_SECOND + 1)) {
            std::cmp::Ordering::Less => Admission::Logged,
            std::cmp::Ordering::Equal => Admission::FirstOverRate,
            std::cmp::Ordering::Greater => Admission::OverRate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_past_its_rate_has_one_event_a_second() {
        let (outsiders, source) = (Outsiders::default(), IpAddr::from([127, 0, 0, 1]));
        let second = |at: i64| Timestamp(at * 1_000_000_000);
        let seen: Vec<_> = (0..300).map(|_| outsiders.admit(source, second(1))).collect();
        assert_eq!(seen.iter().filter(|seen| **seen == Admission::Logged).count(), 100);
        assert_eq!(seen.iter().filter(|seen| **seen == Admission::FirstOverRate).count(), 1);
        assert_eq!(outsiders.admit(IpAddr::from([127, 0, 0, 2]), second(1)), Admission::Logged);
        assert!(outsiders.is_over_rate(source, second(1)) && !outsiders.is_over_rate(source, second(2)));
        assert_eq!(outsiders.admit(source, second(2)), Admission::Logged);
    }

    #[test]
    fn past_the_last_source_that_is_told_apart_the_count_begins_anew() {
        let (outsiders, first, now) = (Outsiders::default(), IpAddr::from([127, 0, 0, 1]), Timestamp(0));
        for _ in 0..=REQUESTS_PER_SECOND {
            outsiders.admit(first, now);
        }
        let others =
            |from: u32, to: u32| (from..to).for_each(|number| _ = outsiders.admit(IpAddr::from(number.to_be_bytes()), now));
        others(0, 65_535);
        assert!(outsiders.is_over_rate(first, now));
        others(65_535, 65_536);
        assert!(!outsiders.is_over_rate(first, now));
    }
}
