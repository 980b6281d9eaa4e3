//! What stands between the server and a seal in another system: a bound on the time of each call, and a breaker. After some
//! failures in a row calls fail at once, and one is let through now and then to see whether the system is back. So an outage
//! costs each request little, and the system that comes back is not run over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{KeyFate, Seal, SealError};
use crate::crypto::WrapContext;
use crate::metrics::{self, SealCall};
use crate::secret::SecretBytes;

/// Failures in a row after which calls fail at once.
const FAILURES_MAX: u32 = 3;
/// The first pause; it doubles with each call that fails after it.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// A seal behind a breaker.
pub struct Breaker {
    seal: Arc<dyn Seal>,
    timeout: Duration,
    /// It is one of the deployment's seals, and not the key of one tenant.
    counted: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Calls in a row that found the system away.
    failures: u32,
    /// When the next call is let through.
    next: Option<Instant>,
    /// Why the last one failed.
    reason: String,
}

impl Breaker {
    /// Puts `seal` behind a breaker; a call that takes longer than `timeout` counts as an outage.
    pub fn new(seal: Arc<dyn Seal>, timeout: Duration) -> Self {
        Self { seal, timeout, counted: true, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unavailable(&self, reason: String) -> SealError {
        SealError::Unavailable { seal: self.seal.name().to_owned(), reason }
    }

    /// Refuses while the breaker is open. The call that is let through moves the time of the next one: so it is one at a time,
    /// also when its caller goes away.
    fn admit(&self) -> Result<(), SealError> {
        let mut state = self.state();
        let now = Instant::now();
        if state.next.is_some_and(|next| now < next) {
            return Err(self.unavailable(format!("it did not answer the last times and is asked again soon: {}", state.reason)));
        }
        if state.failures >= FAILURES_MAX {
            state.next = Some(now + self.timeout);
        }
        Ok(())
    }

    async fn call<T>(&self, call: impl Future<Output = Result<T, SealError>>) -> Result<T, SealError> {
        self.admit()?;
        let timed = tokio::time::timeout(self.timeout, call).await;
        let outcome = timed.unwrap_or_else(|_| Err(self.unavailable(format!("no answer within {:?}", self.timeout))));
        if self.counted {
            metrics::seal_called(self.seal.name(), call_of(&outcome));
        }
        let mut state = self.state();
        if let Err(SealError::Unavailable { reason, .. }) = &outcome {
            state.failures = state.failures.saturating_add(1);
            state.reason.clone_from(reason);
            if state.failures >= FAILURES_MAX {
                let doubled = PAUSE * (1 << (state.failures - FAILURES_MAX).min(8));
                state.next = Some(Instant::now() + doubled.min(PAUSE_MAX));
            }
        } else {
            // It answers; what it says is its business.
            *state = State::default();
        }
        outcome
    }
}

fn call_of<T>(outcome: &Result<T, SealError>) -> SealCall {
    match outcome {
        Ok(_) => SealCall::Done,
        Err(SealError::Unavailable { .. }) => SealCall::Unavailable,
        Err(SealError::Refused { .. } | SealError::DoesNotOpen { .. }) => SealCall::Refused,
    }
}

#[async_trait]
impl Seal for Breaker {
    fn name(&self) -> &str {
        self.seal.name()
    }

    fn kind(&self) -> &'static str {
        self.seal.kind()
    }

    fn identity(&self) -> String {
        self.seal.identity()
    }

    fn is_well(&self) -> bool {
        self.state().failures == 0
    }

    /// Behind a breaker of its own: what a tenant's key does is nobody else's trouble.
    fn with_key(&self, key_id: &str) -> Option<Arc<dyn Seal>> {
        let seal = self.seal.with_key(key_id)?;
        Some(Arc::new(Self { seal, timeout: self.timeout, counted: false, state: Mutex::default() }))
    }

    async fn wrap(&self, plaintext: &SecretBytes, context: &WrapContext) -> Result<Vec<u8>, SealError> {
        self.call(self.seal.wrap(plaintext, context)).await
    }

    async fn unwrap(&self, wrap: &[u8], context: &WrapContext) -> Result<SecretBytes, SealError> {
        self.call(self.seal.unwrap(wrap, context)).await
    }

    async fn destroy_key(&self, days: u32) -> Result<KeyFate, SealError> {
        self.call(self.seal.destroy_key(days)).await
    }

    async fn key_fate(&self) -> Result<KeyFate, SealError> {
        self.call(self.seal.key_fate()).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

    use super::*;
    use crate::id::{DeploymentId, TenantId};

    /// Does as it is told, and counts: 0 opens, 1 is away, 2 refuses, 3 hangs.
    #[derive(Default)]
    struct Obedient {
        does: AtomicU8,
        calls: AtomicU32,
    }

    #[async_trait]
    impl Seal for Obedient {
        fn name(&self) -> &'static str {
            "obedient"
        }

        fn kind(&self) -> &'static str {
            "test"
        }

        fn identity(&self) -> String {
            self.name().to_owned()
        }

        async fn wrap(&self, _plaintext: &SecretBytes, _context: &WrapContext) -> Result<Vec<u8>, SealError> {
            let seal = self.name().to_owned();
            self.calls.fetch_add(1, Ordering::SeqCst);
            match self.does.load(Ordering::SeqCst) {
                0 => Ok(vec![1]),
                1 => Err(SealError::Unavailable { seal, reason: "cable".into() }),
                2 => Err(SealError::Refused { seal, reason: "disabled".into() }),
                _ => std::future::pending().await,
            }
        }

        async fn unwrap(&self, _wrap: &[u8], _context: &WrapContext) -> Result<SecretBytes, SealError> {
            Err(SealError::DoesNotOpen { seal: self.name().to_owned() })
        }
    }

    struct Stage {
        inner: Arc<Obedient>,
        breaker: Breaker,
    }

    impl Stage {
        fn new() -> Self {
            let inner = Arc::new(Obedient::default());
            Self { breaker: Breaker::new(Arc::clone(&inner) as Arc<dyn Seal>, Duration::from_secs(2)), inner }
        }

        /// Calls once; the error's text, and how many calls have reached the seal.
        async fn call(&self, does: u8) -> (String, u32) {
            self.inner.does.store(does, Ordering::SeqCst);
            let context = WrapContext { deployment: DeploymentId([1; 16]), tenant: TenantId([2; 16]), generation: 1 };
            let outcome = self.breaker.wrap(&SecretBytes::new(vec![0; 32]), &context).await;
            (outcome.err().map_or_else(String::new, |error| error.to_string()), self.inner.calls.load(Ordering::SeqCst))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_seal_that_is_away_is_asked_now_and_then_only() {
        let stage = Stage::new();
        for calls in 1..=3 {
            assert_eq!(stage.call(1).await, ("seal obedient is not available: cable".to_owned(), calls));
        }
        for _ in 0..100 {
            let (text, calls) = stage.call(0).await;
            assert!(text.contains("asked again soon: cable") && calls == 3, "{text}");
        }
        tokio::time::advance(PAUSE).await;
        assert_eq!(stage.call(1).await.1, 4);
        tokio::time::advance(PAUSE).await;
        assert_eq!(stage.call(1).await.1, 4, "the pause has doubled");
        tokio::time::advance(PAUSE).await;
        assert_eq!(stage.call(0).await, (String::new(), 5));
        assert_eq!(stage.call(0).await, (String::new(), 6), "it is back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_seal_that_hangs_counts_as_away_and_one_that_refuses_does_not() {
        let stage = Stage::new();
        for calls in 1..=10 {
            assert_eq!(stage.call(2).await, ("seal obedient refuses: disabled".to_owned(), calls));
        }
        let begun = Instant::now();
        for _ in 0..3 {
            assert_eq!(stage.call(3).await.0, "seal obedient is not available: no answer within 2s");
        }
        assert_eq!(begun.elapsed(), Duration::from_secs(6));
        assert!(stage.call(0).await.0.contains("asked again soon"));
    }
}
