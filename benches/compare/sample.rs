//! What one round of one workload came to.

use std::time::{Duration, Instant};

use crate::server::Server;

/// What was measured in one round.
pub(crate) struct Sample {
    /// Requests that were answered while measuring.
    pub(crate) answers: usize,
    /// Of them, answers with another status than 2xx.
    pub(crate) failures: usize,
    /// Milliseconds within which half of them were answered; not a number where nothing was.
    pub(crate) p50: f64,
    /// The same for 99 of a hundred.
    pub(crate) p99: f64,
    pub(crate) used: Used,
}

/// What the server's processes used meanwhile, user and system; and what of it its store's.
pub(crate) struct Used {
    elapsed: Duration,
    cpu: Duration,
    store_cpu: Duration,
    pub(crate) memory_mib: u64,
}

/// Looks at the server's processes from here on.
pub(crate) struct Meter<'a> {
    server: &'a Server,
    began: Instant,
    cpu: Duration,
    store_cpu: Duration,
}

impl<'a> Meter<'a> {
    pub(crate) fn start(server: &'a Server) -> Self {
        Self { server, began: Instant::now(), cpu: server.cpu(), store_cpu: server.store_cpu() }
    }

    pub(crate) fn stop(self) -> Used {
        let Self { server, began, cpu, store_cpu } = self;
        Used {
            elapsed: began.elapsed(),
            cpu: server.cpu().saturating_sub(cpu),
            store_cpu: server.store_cpu().saturating_sub(store_cpu),
            memory_mib: server.memory_mib(),
        }
    }
}

impl Sample {
    /// Of the time that each answer took, nanoseconds.
    pub(crate) fn of(mut latencies: Vec<u32>, failures: usize, used: Used) -> Self {
        latencies.sort_unstable();
        let (p50, p99) = (quantile(&latencies, 0.5), quantile(&latencies, 0.99));
        Self { answers: latencies.len(), failures, p50, p99, used }
    }

    /// Requests per second.
    pub(crate) fn rate(&self) -> f64 {
        count(self.answers) / self.used.elapsed.as_secs_f64()
    }

    /// Microseconds of the server's processor time for one request.
    pub(crate) fn cpu_per_request(&self) -> f64 {
        self.used.cpu.as_secs_f64() * 1e6 / count(self.answers)
    }

    /// What of it a store used that is a process of its own.
    pub(crate) fn store_cpu_per_request(&self) -> f64 {
        self.used.store_cpu.as_secs_f64() * 1e6 / count(self.answers)
    }

    /// Share of its core that the server used.
    pub(crate) fn busy(&self) -> f64 {
        self.used.cpu.as_secs_f64() / self.used.elapsed.as_secs_f64()
    }
}

/// Milliseconds within which `share` of the requests was answered, of their times in nanoseconds, sorted.
pub(crate) fn quantile(latencies: &[u32], share: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index below the length")]
    let index = (count(latencies.len()) * share) as usize;
    latencies.get(index).map_or(f64::NAN, |nanoseconds| f64::from(*nanoseconds) / 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
pub(crate) fn count(number: usize) -> f64 {
    number as f64
}
