//! The table.

use std::fmt;

use crate::sample::Sample;
use crate::server::Kind;
use crate::way::Way;
use crate::workload::Workload;

/// With this many connections and more the bare server takes its whole core, if it can have it.
const LOADED_CONNECTIONS: usize = 8;
/// A smaller share says that the machine had other work.
const BUSY_MIN: f64 = 0.85;

/// All samples of a run, by workload and connections, in the order in which they were first measured.
#[derive(Default)]
pub(crate) struct Report {
    cells: Vec<Cell>,
}

struct Cell {
    server: &'static str,
    workload: String,
    kind: Kind,
    way: Way,
    connections: usize,
    samples: Vec<Sample>,
}

impl Report {
    pub(crate) fn add(&mut self, workload: &Workload, kind: Kind, connections: usize, sample: Sample) {
        let same = |cell: &&mut Cell| {
            cell.server == workload.server && cell.workload == workload.name && cell.connections == connections
        };
        if let Some(cell) = self.cells.iter_mut().find(same) {
            cell.samples.push(sample);
        } else {
            let (server, workload, way) = (workload.server, workload.name.clone(), workload.way);
            self.cells.push(Cell { server, workload, kind, way, connections, samples: vec![sample] });
        }
    }

    /// Answers that were not a success.
    pub(crate) fn failures(&self) -> usize {
        self.cells.iter().map(Cell::failures).sum()
    }

    /// Whether other work took the servers' core, or the load's.
    pub(crate) fn disturbed(&self) -> bool {
        let loaded = self
            .cells
            .iter()
            .filter(|cell| cell.kind == Kind::Bare && cell.way == Way::Kept && cell.connections >= LOADED_CONNECTIONS);
        loaded.flat_map(|cell| &cell.samples).any(|sample| sample.busy() < BUSY_MIN)
    }

    /// The rate's share of the bare server's in the same round, at as many connections that are made in the same way.
    fn to_bare(&self, cell: &Cell) -> f64 {
        let compares = |other: &&Cell| {
            other.kind == Kind::Bare && other.connections == cell.connections && cell.way.compares_with(other.way)
        };
        self.cells.iter().find(compares).map_or(f64::NAN, |bare| cell.ratio(bare))
    }

    /// How many times OpenBao's rate it is, in the same round: of that on a store of the same kind. What OpenBao does not do at all
    /// is compared with what its users do instead.
    fn to_openbao(&self, cell: &Cell) -> f64 {
        let peer = if cell.server.starts_with("postgresql") { "openbao on postgresql" } else { "openbao" };
        let workload = match cell.workload.as_str() {
            "tokenless KV read, 1 secret" | "resolve 1 reference" => "KV read, 1 secret",
            same => same,
        };
        let compares = |other: &&Cell| {
            cell.kind == Kind::Strongroom
                && other.server == peer
                && other.workload == workload
                && other.connections == cell.connections
        };
        self.cells.iter().find(compares).map_or(f64::NAN, |peer| cell.ratio(peer))
    }

    /// Every cell: medians over rounds, in the units that the names say.
    pub(crate) fn json(&self) -> serde_json::Value {
        let known = |value: f64| if value.is_nan() { serde_json::Value::Null } else { value.into() };
        let cells = self.cells.iter().map(|cell| {
            serde_json::json!({
                "server": cell.server, "workload": cell.workload, "connections": cell.connections, "rounds": cell.samples.len(),
                "requests_per_second": cell.median(Sample::rate),
                "p50_milliseconds": known(cell.median(|sample| sample.p50)),
                "p99_milliseconds": known(cell.median(|sample| sample.p99)),
                "to_bare": known(self.to_bare(cell)), "to_openbao": known(self.to_openbao(cell)),
                "cpu_microseconds_per_request": known(cell.median(Sample::cpu_per_request)),
                "cpu_of_the_store_microseconds_per_request": known(cell.median(Sample::store_cpu_per_request)),
                "core_busy": cell.median(Sample::busy), "failures": cell.failures(), "resident_mebibytes": cell.memory_mib(),
            })
        });
        cells.collect()
    }
}

impl Cell {
    fn median(&self, value: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(value))
    }

    /// Round by round.
    fn ratio(&self, other: &Self) -> f64 {
        median(self.samples.iter().zip(&other.samples).map(|(own, other)| own.rate() / other.rate()))
    }

    fn failures(&self) -> usize {
        self.samples.iter().map(|sample| sample.failures).sum()
    }

    fn memory_mib(&self) -> u64 {
        self.samples.iter().map(|sample| sample.used.memory_mib).max().unwrap_or(0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| server | workload | connections | req/s | p50 ms | p99 ms | to bare | to OpenBao | CPU µs/req | of it the store's | core busy | RSS MiB |"
        )?;
        writeln!(f, "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        for cell in &self.cells {
            let to_openbao = Some(self.to_openbao(cell)).filter(|times| !times.is_nan());
            writeln!(
                f,
                "| {} | {} | {} | {:.0} | {:.3} | {:.3} | {:.1}% | {} | {:.1} | {:.1} | {:.0}% | {} |",
                cell.server,
                cell.workload,
                cell.connections,
                cell.median(Sample::rate),
                cell.median(|sample| sample.p50),
                cell.median(|sample| sample.p99),
                self.to_bare(cell) * 100.0,
                to_openbao.map_or_else(String::new, |times| format!("{times:.1}x")),
                cell.median(Sample::cpu_per_request),
                cell.median(Sample::store_cpu_per_request),
                cell.median(Sample::busy) * 100.0,
                cell.memory_mib(),
            )?;
        }
        if self.disturbed() {
            writeln!(
                f,
                "\nThe bare server did not get its whole core: something else ran here, so only CPU per request says much."
            )?;
        }
        for cell in self.cells.iter().filter(|cell| cell.failures() > 0) {
            writeln!(
                f,
                "\n{}, {} at {} connections: {} answers were not a success, so that row counts for nothing.",
                cell.server,
                cell.workload,
                cell.connections,
                cell.failures()
            )?;
        }
        Ok(())
    }
}

/// The lower one of the two in the middle.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
