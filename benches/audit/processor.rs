//! What a stretch of work takes: time by the clock, and processor time of this process.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// From `start` to `stop`.
pub(crate) struct Stopwatch {
    begun: Instant,
    processor: Duration,
}

/// What it took.
#[derive(Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) clock: Duration,
    /// User and system, of all threads; not of a database that is a process of its own.
    pub(crate) processor: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { begun: Instant::now(), processor: processor() }
    }

    pub(crate) fn stop(&self) -> Taken {
        Taken { clock: self.begun.elapsed(), processor: processor().saturating_sub(self.processor) }
    }
}

fn processor() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}
