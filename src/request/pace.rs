//! How fast requests past a rate are refused. A client that asks again at once would otherwise have its refusals as fast as the server can
//! write them, and take from everybody else what the rate was to leave them.

use std::num::NonZero;
use std::time::Duration;

use tokio::sync::Semaphore;

/// Refusals at a time, for each processor that this server may use.
const PLACES_EACH: usize = 4;
/// Each takes so long: some 1,500 a second for each processor, where they take a twentieth of its time.
const PAUSE: Duration = Duration::from_millis(2);

/// Lets refusals go.
pub(super) struct Pace(Semaphore);

impl Default for Pace {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self(Semaphore::new(PLACES_EACH * processors))
    }
}

impl Pace {
    /// Waits until a refusal may be answered: in the order in which they came. Who goes away meanwhile takes nobody's time.
    pub(super) async fn refuse(&self) {
        // It is never closed.
        let _place = self.0.acquire().await;
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::future::join_all;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn refusals_are_answered_at_a_pace_and_who_goes_away_delays_nobody() {
        let pace = Pace::default();
        let places = pace.0.available_permits();
        let mut gone: Vec<_> = (0..1_000).map(|_| Box::pin(pace.refuse())).collect();
        assert!(gone.iter_mut().all(|waiting| waiting.now_or_never().is_none()), "none is answered at once");
        drop(gone);
        let began = Instant::now();
        join_all((0..10 * places).map(|_| pace.refuse())).await;
        assert_eq!(began.elapsed(), PAUSE * 10);
    }
}
