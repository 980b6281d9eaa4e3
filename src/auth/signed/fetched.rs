//! What was fetched and is kept for a while: one fetch at a time for each source, and no more of them than a rate, whoever asks.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::outbound::FetchError;
use crate::time::Timestamp;

/// How long what was fetched is good without asking again.
const FRESH: Duration = Duration::from_mins(10);
/// How long it is good when asking again fails.
const STALE: Duration = Duration::from_hours(1);
/// The time between two fetches from one source.
const BETWEEN: Duration = Duration::from_secs(10);
/// Sources that are remembered; past that the one that was not asked for longest is forgotten.
const SOURCES_MAX: usize = 1_024;

/// What was fetched, by source.
pub(super) struct Fetched<T> {
    sources: Mutex<HashMap<[u8; 32], Arc<Source<T>>>>,
}

struct Source<T> {
    known: Mutex<Known<T>>,
    one_at_a_time: tokio::sync::Mutex<()>,
}

struct Known<T> {
    value: Option<(Arc<T>, Timestamp)>,
    tried: Option<Timestamp>,
}

/// When a fetch may be made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Not at all: a group of requests may wait for this one.
    Never,
    /// When the last one is some time ago.
    AtARate,
    /// Now: somebody who may is changing the configuration.
    Now,
}

impl<T> Default for Fetched<T> {
    fn default() -> Self {
        Self { sources: Mutex::default() }
    }
}

impl<T> Fetched<T> {
    /// What there is at a source: kept if it is fresh and `enough`, otherwise fetched if that may be, otherwise what was kept.
    pub(super) async fn of(
        &self,
        source: [u8; 32],
        (when, now): (When, Timestamp),
        enough: impl Fn(&T) -> bool,
        fetch: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<Arc<T>, FetchError> {
        let source = self.source(source);
        let kept = |age: Duration| source.kept(now, age);
        let good = || kept(FRESH).filter(|value| when != When::Now && enough(value));
        if let Some(value) = good() {
            return Ok(value);
        }
        let later = FetchError::Later("it is not known, and was asked for a moment ago");
        if when == When::Never {
            return kept(STALE).ok_or(later);
        }
        let _one = source.one_at_a_time.lock().await;
        if let Some(value) = good() {
            return Ok(value);
        }
        if !source.begin(now, when) {
            return kept(STALE).ok_or(later);
        }
        match fetch.await {
            Ok(value) => Ok(source.keep(value, now)),
            Err(error) if when == When::Now => Err(error),
            Err(error) => {
                tracing::warn!(%error, "keys of an issuer of tokens could not be fetched");
                kept(STALE).ok_or(error)
            }
        }
    }

    fn source(&self, key: [u8; 32]) -> Arc<Source<T>> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.len() >= SOURCES_MAX && !sources.contains_key(&key) {
            let oldest = sources.iter().min_by_key(|(_, source)| source.tried()).map(|(key, _)| *key);
            oldest.and_then(|oldest| sources.remove(&oldest));
        }
        Arc::clone(sources.entry(key).or_default())
    }
}

impl<T> Default for Source<T> {
    fn default() -> Self {
        Self { known: Mutex::new(Known { value: None, tried: None }), one_at_a_time: tokio::sync::Mutex::default() }
    }
}

impl<T> Source<T> {
    /// What was fetched no longer than `age` ago.
    fn kept(&self, now: Timestamp, age: Duration) -> Option<Arc<T>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.value.as_ref().filter(|(_, at)| now.since(*at) <= age).map(|(value, _)| Arc::clone(value))
    }

    fn tried(&self) -> Option<Timestamp> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).tried
    }

    /// Whether a fetch may be made now, which then counts.
    fn begin(&self, now: Timestamp, when: When) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if when == When::AtARate && known.tried.is_some_and(|tried| now.since(tried) < BETWEEN) {
            return false;
        }
        known.tried = Some(now);
        true
    }

    fn keep(&self, value: T, now: Timestamp) -> Arc<T> {
        let value = Arc::new(value);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).value = Some((Arc::clone(&value), now));
        value
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const SOURCE: [u8; 32] = [1; 32];

    struct Counted {
        fetched: Fetched<usize>,
        fetches: AtomicUsize,
    }

    impl Counted {
        fn new() -> Self {
            Self { fetched: Fetched::default(), fetches: AtomicUsize::new(0) }
        }

        async fn ask(&self, when: When, seconds: u64, enough: bool, works: bool) -> Option<usize> {
            let now = Timestamp(0).plus(Duration::from_secs(seconds));
            let fetch = async {
                let count = self.fetches.fetch_add(1, Ordering::Relaxed) + 1;
                tokio::task::yield_now().await;
                if works { Ok(count) } else { Err(FetchError::Failed("away".to_owned())) }
            };
            self.fetched.of(SOURCE, (when, now), |_| enough, fetch).await.ok().map(|count| *count)
        }
    }

    #[tokio::test]
    async fn a_flood_of_unknown_keys_makes_one_fetch_in_ten_seconds() {
        let counted = Counted::new();
        let flood = (0..1_000).map(|_| counted.ask(When::AtARate, 0, false, true));
        assert!(futures_util::future::join_all(flood).await.iter().all(|found| *found == Some(1)));
        assert_eq!(counted.ask(When::AtARate, 9, false, true).await, Some(1));
        assert_eq!(counted.ask(When::AtARate, 10, false, true).await, Some(2), "the next one may");
        assert_eq!(counted.ask(When::AtARate, 30, true, true).await, Some(2), "what is enough is not fetched again");
    }

    #[tokio::test]
    async fn what_was_fetched_is_kept_for_a_while_and_an_hour_at_most() {
        let counted = Counted::new();
        assert_eq!(counted.ask(When::Never, 0, true, true).await, None, "an attempt that is repeated fetches nothing");
        assert_eq!(counted.ask(When::AtARate, 0, true, true).await, Some(1));
        assert_eq!(counted.ask(When::Never, 3_000, true, true).await, Some(1));
        assert_eq!(counted.ask(When::AtARate, 600, true, false).await, Some(1), "it is still fresh");
        assert_eq!(counted.ask(When::AtARate, 601, true, false).await, Some(1), "it could not be fetched again");
        assert_eq!(counted.ask(When::AtARate, 3_601, true, false).await, None, "too old");
        assert_eq!(counted.ask(When::Now, 3_602, true, false).await, None, "a changed configuration is checked at once");
        assert_eq!(counted.ask(When::Now, 3_603, true, true).await, Some(5));
    }

    #[test]
    fn sources_that_were_not_asked_for_longest_are_forgotten() {
        let fetched = Fetched::<usize>::default();
        for at in 0..=SOURCES_MAX {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&at.to_be_bytes());
            fetched.source(key).begin(Timestamp(i64::try_from(at).unwrap()), When::Now);
        }
        let sources = fetched.sources.lock().unwrap();
        assert!(sources.len() == SOURCES_MAX && !sources.contains_key(&[0; 32]));
    }
}
