//! Appending: requests of which nothing is left but their event, through the committer.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;

use crate::deployed::Deployed;
use crate::events::{Logged, Source};
use crate::processor::{Stopwatch, Taken};
use crate::rest::{self, Bytes};

pub(crate) const HEAD: &str = "\
| requests at once | events | events/s | CPU µs/event | events/row | bytes/event | batch | leaves | summary | rest |
|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|";

/// A row of the table.
pub(crate) struct Sample {
    in_flight: usize,
    events: u64,
    taken: Taken,
    bytes: Bytes,
}

/// Appends for some time.
pub(crate) async fn timed(deployed: &Deployed, in_flight: usize, window: Duration, source: &Arc<Source>) -> Sample {
    let over = AtomicBool::new(false);
    let clock = async {
        tokio::time::sleep(window).await;
        over.store(true, Ordering::Relaxed);
    };
    append(deployed, in_flight, source, |_| !over.load(Ordering::Relaxed), clock).await
}

/// Appends as many events.
pub(crate) async fn filled(deployed: &Deployed, in_flight: usize, events: u64, source: &Arc<Source>) -> Sample {
    append(deployed, in_flight, source, |number| number < events, std::future::ready(())).await
}

async fn append(
    deployed: &Deployed,
    in_flight: usize,
    source: &Arc<Source>,
    goes_on: impl Fn(u64) -> bool,
    beside: impl Future<Output = ()>,
) -> Sample {
    let (next, first_row) = (AtomicU64::new(0), rest::rows(deployed).await + 1);
    let one = || async {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if !goes_on(number) {
                return;
            }
            deployed.committer().run(Arc::new(Logged { source: Arc::clone(source), number })).await.unwrap();
        }
    };
    let before = deployed.events().await;
    let watch = Stopwatch::start();
    tokio::join!(join_all((0..in_flight).map(|_| one())), beside);
    let taken = watch.stop();
    let events = deployed.events().await - before;
    Sample { in_flight, events, taken, bytes: Bytes::of(deployed, first_row).await }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = self.events as f64;
        write!(
            f,
            "| {} | {} | {:.0} | {:.1} | {:.1} | {} |",
            self.in_flight,
            self.events,
            events / self.taken.clock.as_secs_f64(),
            self.taken.processor.as_secs_f64() * 1e6 / events,
            self.bytes.events_per_row(),
            self.bytes,
        )
    }
}
