//! The table.

use std::fmt;

use crate::load::Sample;
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
    workload: String,
    bare: bool,
    way: Way,
    connections: usize,
    samples: Vec<Sample>,
}

impl Report {
    pub(crate) fn add(&mut self, workload: &Workload, bare: bool, connections: usize, sample: Sample) {
        let same = |cell: &&mut Cell| cell.workload == workload.name && cell.connections == connections;
        if let Some(cell) = self.cells.iter_mut().find(same) {
            cell.samples.push(sample);
        } else {
            let (workload, way) = (workload.name.clone(), workload.way);
            self.cells.push(Cell { workload, bare, way, connections, samples: vec![sample] });
        }
    }

    /// Answers that were not a success.
    pub(crate) fn failures(&self) -> usize {
        self.cells.iter().flat_map(|cell| &cell.samples).map(|sample| sample.failures).sum()
    }

    /// Whether other work took the servers' core, or the load's.
    fn disturbed(&self) -> bool {
        let loaded =
            self.cells.iter().filter(|cell| cell.bare && cell.way == Way::Kept && cell.connections >= LOADED_CONNECTIONS);
        loaded.flat_map(|cell| &cell.samples).any(|sample| sample.busy() < BUSY_MIN)
    }

    /// The share of the bare server's rate in the same round, at as many connections that are made in the same way.
    fn ratio(&self, cell: &Cell) -> f64 {
        let compares = |other: &&Cell| other.bare && other.connections == cell.connections && cell.way.compares_with(other.way);
        let Some(bare) = self.cells.iter().find(compares) else { return f64::NAN };
        median(cell.samples.iter().zip(&bare.samples).map(|(own, bare)| own.rate() / bare.rate()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| workload | connections | req/s | p50 ms | p99 ms | to bare | CPU µs/req | core busy | RSS MiB |")?;
        writeln!(f, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        for cell in &self.cells {
            let of = |value: fn(&Sample) -> f64| median(cell.samples.iter().map(value));
            writeln!(
                f,
                "| {} | {} | {:.0} | {:.3} | {:.3} | {:.1}% | {:.1} | {:.0}% | {} |",
                cell.workload,
                cell.connections,
                of(Sample::rate),
                of(|sample| sample.quantile(0.5)),
                of(|sample| sample.quantile(0.99)),
                self.ratio(cell) * 100.0,
                of(Sample::cpu_per_request),
                of(Sample::busy) * 100.0,
                cell.samples.iter().map(|sample| sample.memory_mib).max().unwrap_or(0),
            )?;
        }
        if self.disturbed() {
            writeln!(
                f,
                "\nThe bare server did not get its whole core: something else ran here, so only CPU per request says much."
            )?;
        }
        match self.failures() {
            0 => Ok(()),
            failures => writeln!(f, "\n{failures} answers were not a success: these figures count for nothing."),
        }
    }
}

/// The lower one of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
