//! Load in a closed loop: each connection sends its next request when it has the answer to the last.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;

use crate::client::Connection;
use crate::sample::{Meter, Sample};
use crate::server::Server;
use crate::way::Way;
use crate::workload::Workload;
use crate::wrk;

/// How much load, and for how long.
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    /// Whether wrk is there to drive what it can.
    pub(crate) wrk: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Measuring,
    Over,
}

impl Load {
    /// Whether wrk sends the requests of this workload.
    pub(crate) fn is_by_wrk(&self, workload: &Workload) -> bool {
        self.wrk && workload.way == Way::Kept
    }

    pub(crate) async fn run(&self, server: &Server, workload: &Workload) -> Sample {
        if self.is_by_wrk(workload) {
            return wrk::run(server, workload, self.connections, (self.warm_up, self.measured));
        }
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
        let meter = Meter::start(server);
        phase.set(Phase::Measuring);
        tokio::time::sleep(self.measured).await;
        phase.set(Phase::Over);
        let used = meter.stop();
        let (mut all, mut failed) = (Vec::new(), 0);
        for task in tasks {
            let (latencies, failures) = task.await.unwrap();
            all.extend(latencies);
            failed += failures;
        }
        Sample::of(all, failed, used)
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
