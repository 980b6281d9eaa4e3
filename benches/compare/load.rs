//! Load in a closed loop: each connection sends its next request when it has the answer to the last.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;

use crate::client::Connection;
use crate::server::Server;
use crate::way::Way;
use crate::workload::Workload;

/// How much load, and for how long.
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// What was measured in one round.
pub(crate) struct Sample {
    /// From sent to received, nanoseconds, sorted; one for each request that was answered while measuring.
    latencies: Vec<u32>,
    elapsed: Duration,
    /// What the server's processes used meanwhile, user and system; and what of it its store's.
    cpu: Duration,
    store_cpu: Duration,
    /// Answers with another status than 2xx.
    pub(crate) failures: usize,
    pub(crate) memory_mib: u64,
}

impl Sample {
    /// Requests per second.
    pub(crate) fn rate(&self) -> f64 {
        count(self.latencies.len()) / self.elapsed.as_secs_f64()
    }

    /// Milliseconds within which `share` of the requests was answered.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index below the length")]
        let index = (count(self.latencies.len()) * share) as usize;
        self.latencies.get(index).map_or(f64::NAN, |nanoseconds| f64::from(*nanoseconds) / 1e6)
    }

    /// Microseconds of the server's processor time for one request.
    pub(crate) fn cpu_per_request(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / count(self.latencies.len())
    }

    /// What of it a store used that is a process of its own.
    pub(crate) fn store_cpu_per_request(&self) -> f64 {
        self.store_cpu.as_secs_f64() * 1e6 / count(self.latencies.len())
    }

    /// Share of its core that the server used.
    pub(crate) fn busy(&self) -> f64 {
        self.cpu.as_secs_f64() / self.elapsed.as_secs_f64()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Measuring,
    Over,
}

impl Load {
    pub(crate) async fn run(&self, server: &Server, workload: &Workload) -> Sample {
        LocalSet::new().run_until(self.measure(server, workload)).await
    }

    async fn measure(&self, server: &Server, workload: &Workload) -> Sample {
        let phase = Rc::new(Cell::new(Phase::WarmUp));
        let mut tasks = Vec::with_capacity(self.connections);
        for number in 0..self.connections {
            let connector = server.connector(workload.way);
            // Each connection begins elsewhere, so that they do not walk over the same names together.
            let first = number * workload.requests.len() / self.connections;
            let requests = Rc::clone(&workload.requests);
            let phase = Rc::clone(&phase);
            tasks.push(if workload.way.is_anew() {
                let opening = Opening { connector, address: server.address(number), resumes: workload.way == Way::Resumed };
                tokio::task::spawn_local(connection_each(opening, requests, first, phase))
            } else {
                let connection = Connection::open(&connector, server.address(number)).await;
                tokio::task::spawn_local(one_connection(connection, requests, first, phase))
            });
        }
        tokio::time::sleep(self.warm_up).await;
        let (began, cpu_before, store_before) = (Instant::now(), server.cpu(), server.store_cpu());
        phase.set(Phase::Measuring);
        tokio::time::sleep(self.measured).await;
        phase.set(Phase::Over);
        let (elapsed, cpu) = (began.elapsed(), server.cpu().saturating_sub(cpu_before));
        let store_cpu = server.store_cpu().saturating_sub(store_before);
        let mut sample = Sample { latencies: Vec::new(), elapsed, cpu, store_cpu, failures: 0, memory_mib: server.memory_mib() };
        for task in tasks {
            let (latencies, failures) = task.await.unwrap();
            sample.latencies.extend(latencies);
            sample.failures += failures;
        }
        sample.latencies.sort_unstable();
        sample
    }
}

async fn one_connection(
    mut connection: Connection,
    requests: Rc<[Vec<u8>]>,
    first: usize,
    phase: Rc<Cell<Phase>>,
) -> (Vec<u32>, usize) {
    let mut latencies = Vec::with_capacity(1 << 16);
    let mut failures = 0;
    for request in requests.iter().cycle().skip(first) {
        let sent = Instant::now();
        let (status, _) = connection.exchange(request).await;
        match phase.get() {
            Phase::WarmUp => {}
            Phase::Measuring => latencies.push(u32::try_from(sent.elapsed().as_nanos()).unwrap_or(u32::MAX)),
            Phase::Over => break,
        }
        failures += usize::from(!(200..300).contains(&status));
    }
    (latencies, failures)
}

/// How to make the connections of one task.
struct Opening {
    connector: TlsConnector,
    address: SocketAddr,
    resumes: bool,
}

/// A connection for each request, whose time includes the handshake.
async fn connection_each(opening: Opening, requests: Rc<[Vec<u8>]>, first: usize, phase: Rc<Cell<Phase>>) -> (Vec<u32>, usize) {
    let (mut latencies, mut failures) = (Vec::new(), 0);
    for (number, request) in requests.iter().cycle().skip(first).enumerate() {
        let sent = Instant::now();
        let mut connection = Connection::open(&opening.connector, opening.address).await;
        let (status, _) = connection.exchange(request).await;
        let good = (200..300).contains(&status) && connection.is_resumed() == opening.resumes;
        connection.abort();
        match phase.get() {
            Phase::WarmUp => continue,
            // The first handshake of a task is a full one, however late.
            Phase::Measuring if opening.resumes && number == 0 => continue,
            Phase::Measuring => latencies.push(u32::try_from(sent.elapsed().as_nanos()).unwrap_or(u32::MAX)),
            Phase::Over => break,
        }
        failures += usize::from(!good);
    }
    (latencies, failures)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}
