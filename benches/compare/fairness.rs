//! Fairness: how long a namespace waits that asks now and then, alone and while another namespace floods the server, without a rate limit and
//! with one.
//!
//! The flood runs in a thread of its own that gives way to the quiet one, on the same core: what is measured is the server's doing, and not that
//! answers to the flood are read first.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::MissedTickBehavior;

use crate::client::{self, Connection};
use crate::options::Options;
use crate::report::median;
use crate::sample::{count, quantile};
use crate::server::{Kind, Server};
use crate::way::Way;
use crate::workload::{MOUNTS_SETTLE, VALUE_BYTES, service_token};

/// Connections of the flood.
const CONNECTIONS: usize = 256;
/// The quiet one asks so often, if it has its answer by then.
const INTERVAL: Duration = Duration::from_millis(2);
/// By how much the flood's thread gives way.
const NICE: i32 = 10;
/// Writes a second that a rate limit leaves to the flood, whose clients ask again at once.
const LIMIT: u32 = 500;
/// Of each connection of the flood, before anything is measured.
const WARM_ANSWERS: usize = 3;
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

const POLICY: &str = r#"path "secret/data/*" { capabilities = ["create", "read", "update"] }"#;

/// What was measured of all servers.
#[derive(Default)]
pub(crate) struct Fairness {
    cells: Vec<Cell>,
}

struct Cell {
    server: &'static str,
    flood: &'static str,
    rounds: Vec<Round>,
}

/// Times of the quiet namespace, and what the other one got meanwhile.
struct Round {
    alone: Times,
    beside: Times,
    flood: Flood,
}

/// From sent to received.
#[derive(Clone, Copy)]
struct Times {
    p50_milliseconds: f64,
    p99_milliseconds: f64,
    /// Answers with another status than 2xx.
    failures: usize,
}

struct Flood {
    /// Answers a second, and how many of all were refusals.
    rate: f64,
    refused: usize,
}

/// Requests of a namespace that has a secret.
struct Tenant {
    read: Vec<u8>,
    write: Vec<u8>,
    /// A read with a token that there is not.
    strange: Vec<u8>,
}

/// Measures each server that is one process.
pub(crate) async fn run(servers: &[Server], options: &Options) -> Fairness {
    let mut fairness = Fairness::default();
    let one_process = |server: &&Server| server.kind != Kind::Bare && server.is_measured_at("fairness");
    for server in servers.iter().filter(one_process) {
        let [quiet, loud] = [Tenant::new(server, "quiet").await, Tenant::new(server, "loud").await];
        for round in 1..=options.rounds {
            let mut connection = server.connect().await;
            let alone = quietly(&mut connection, &quiet.read, options).await;
            for (name, request, limit) in [
                ("reads", &loud.read, None),
                ("writes", &loud.write, None),
                ("writes, limited", &loud.write, Some(LIMIT)),
                ("strangers", &loud.strange, None),
            ] {
                limit_loud(server, limit).await;
                let (beside, flood) = beside(server, request, quietly(&mut connection, &quiet.read, options)).await;
                println!(
                    "round {round}: {:<24} quiet beside {name:<15} p99 {:>8.3} ms, alone {:>8.3} ms",
                    server.name, beside.p99_milliseconds, alone.p99_milliseconds
                );
                fairness.add(server.name, name, Round { alone, beside, flood });
            }
        }
    }
    fairness
}

impl Tenant {
    /// Makes the namespace, a secret in it, and a token of its own that may read and write it.
    async fn new(server: &Server, name: &str) -> Self {
        let (mut connection, root) = (server.connect().await, &server.root_token);
        let mount = r#"{"type":"kv","options":{"version":"2"}}"#;
        connection.expect_success(&client::request("POST", &format!("sys/namespaces/{name}"), root, "{}")).await;
        connection.expect_success(&client::request("POST", &format!("{name}/sys/mounts/secret"), root, mount)).await;
        if server.kind == Kind::OpenBao {
            tokio::time::sleep(MOUNTS_SETTLE).await;
        }
        let token = service_token(&mut connection, root, &format!("{name}/"), POLICY).await;
        let path = format!("{name}/secret/data/a");
        let body = format!(r#"{{"data":{{"value":"{}"}}}}"#, "v".repeat(VALUE_BYTES));
        let tenant = Self {
            read: client::request("GET", &path, &token, ""),
            write: client::request("POST", &path, &token, &body),
            strange: client::request("GET", &path, &"0".repeat(token.len()), ""),
        };
        connection.expect_success(&tenant.write).await;
        tenant
    }
}

/// Sets or ends the rate limit of the loud namespace.
async fn limit_loud(server: &Server, limit: Option<u32>) {
    let (method, body) = match limit {
        Some(rate) => ("POST", format!(r#"{{"path":"loud","rate":{rate}}}"#)),
        None => ("DELETE", String::new()),
    };
    let request = client::request(method, "sys/quotas/rate-limit/loud", &server.root_token, &body);
    server.connect().await.expect_success(&request).await;
}

/// One request now and then.
async fn quietly(connection: &mut Connection, request: &[u8], options: &Options) -> Times {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut latencies, mut failures, began) = (Vec::new(), 0, Instant::now());
    while began.elapsed() < options.warm_up + options.measured {
        ticks.tick().await;
        let sent = Instant::now();
        let (status, _) = connection.exchange(request).await;
        if began.elapsed() > options.warm_up {
            latencies.push(u32::try_from(sent.elapsed().as_nanos()).unwrap_or(u32::MAX));
            failures += usize::from(!(200..300).contains(&status));
        }
    }
    latencies.sort_unstable();
    Times { p50_milliseconds: quantile(&latencies, 0.5), p99_milliseconds: quantile(&latencies, 0.99), failures }
}

/// Sends one request over many connections, in a thread of its own, until told to stop.
struct Flooding {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    answers: AtomicUsize,
    refused: AtomicUsize,
}

impl Flooding {
    fn begin(server: &Server, request: &[u8]) -> Self {
        let shared = Arc::new(Shared::default());
        let (connector, address) = (server.connector(Way::Kept), server.address(0));
        let (request, known) = (request.to_vec(), Arc::clone(&shared));
        let thread = std::thread::spawn(move || {
            // Of this thread alone.
            rustix::process::nice(NICE).unwrap();
            let connections = join_all((0..CONNECTIONS).map(async |_| {
                let mut connection = Connection::open(&connector, address).await;
                while !known.stop.load(Ordering::Relaxed) {
                    let (status, _) = connection.exchange(&request).await;
                    known.answers.fetch_add(1, Ordering::Relaxed);
                    known.refused.fetch_add(usize::from(!(200..300).contains(&status)), Ordering::Relaxed);
                }
            }));
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(connections);
        });
        Self { shared, thread }
    }

    fn answers(&self) -> usize {
        self.shared.answers.load(Ordering::Relaxed)
    }

    fn end(self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// What `quiet` measures while this request is sent over many connections.
async fn beside(server: &Server, request: &[u8], quiet: impl Future<Output = Times>) -> (Times, Flood) {
    let flooding = Flooding::begin(server, request);
    while flooding.answers() < WARM_ANSWERS * CONNECTIONS {
        assert!(!flooding.thread.is_finished(), "the flood has ended");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    let (began, before) = (Instant::now(), flooding.answers());
    let times = quiet.await;
    let rate = count(flooding.answers() - before) / began.elapsed().as_secs_f64();
    let refused = flooding.shared.refused.load(Ordering::Relaxed);
    flooding.end();
    (times, Flood { rate, refused })
}

impl Fairness {
    fn add(&mut self, server: &'static str, flood: &'static str, round: Round) {
        match self.cells.iter_mut().find(|cell| cell.server == server && cell.flood == flood) {
            Some(cell) => cell.rounds.push(round),
            None => self.cells.push(Cell { server, flood, rounds: vec![round] }),
        }
    }

    /// Answers to the quiet namespace that were not a success.
    pub(crate) fn failures(&self) -> usize {
        let rounds = self.cells.iter().flat_map(|cell| &cell.rounds);
        rounds.map(|round| round.alone.failures + round.beside.failures).sum()
    }

    /// Every cell: medians over rounds, in the units that the names say.
    pub(crate) fn json(&self) -> serde_json::Value {
        let cells = self.cells.iter().map(|cell| {
            serde_json::json!({
                "server": cell.server, "flood": cell.flood, "rounds": cell.rounds.len(),
                "alone_p50_milliseconds": cell.median(|round| round.alone.p50_milliseconds),
                "alone_p99_milliseconds": cell.median(|round| round.alone.p99_milliseconds),
                "beside_p50_milliseconds": cell.median(|round| round.beside.p50_milliseconds),
                "beside_p99_milliseconds": cell.median(|round| round.beside.p99_milliseconds),
                "p99_times": cell.median(Round::p99_times), "flood_requests_per_second": cell.median(|round| round.flood.rate),
                "flood_refused": cell.refused(),
            })
        });
        cells.collect()
    }
}

impl Round {
    /// How many times as long the slowest hundredth takes.
    fn p99_times(&self) -> f64 {
        self.beside.p99_milliseconds / self.alone.p99_milliseconds
    }
}

impl Cell {
    fn median(&self, value: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(value))
    }

    fn refused(&self) -> usize {
        self.rounds.iter().map(|round| round.flood.refused).sum()
    }
}

impl fmt::Display for Fairness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.cells.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\nA namespace that reads every {} ms over one connection, alone and beside another one's {CONNECTIONS} connections (limited: {LIMIT} a second):\n",
            INTERVAL.as_millis()
        )?;
        writeln!(
            f,
            "| server | flood of | alone p50 ms | p99 ms | beside p50 ms | p99 ms | p99 to alone | flood req/s | flood refused |"
        )?;
        writeln!(f, "|---|---|--:|--:|--:|--:|--:|--:|--:|")?;
        for cell in &self.cells {
            writeln!(
                f,
                "| {} | {} | {:.3} | {:.3} | {:.3} | {:.3} | {:.1}x | {:.0} | {} |",
                cell.server,
                cell.flood,
                cell.median(|round| round.alone.p50_milliseconds),
                cell.median(|round| round.alone.p99_milliseconds),
                cell.median(|round| round.beside.p50_milliseconds),
                cell.median(|round| round.beside.p99_milliseconds),
                cell.median(Round::p99_times),
                cell.median(|round| round.flood.rate),
                cell.refused(),
            )?;
        }
        if self.failures() > 0 {
            writeln!(f, "\n{} answers to the quiet namespace were not a success.", self.failures())?;
        }
        Ok(())
    }
}
