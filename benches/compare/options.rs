//! What the command line asks for.

use std::path::PathBuf;
use std::time::Duration;

use crate::wrk;

/// Secrets in the largest step of growth.
const SECRETS: usize = 1_000_000;
const SECRETS_QUICK: usize = 100_000;

const USAGE: &str = "cargo bench --bench compare -- [options]

  --quick              one short round of the workloads, under three minutes in all
  --rounds N           rounds (3); medians are over rounds
  --seconds N          measured seconds of each cell (3)
  --connections A,B    connections at a time (1,8,64)
  --namespaces N       namespaces in the workload over many (1,000; with --quick 100)
  --without-openbao    does not start OpenBao
  --wrk                load by wrk (a Debian package) on kept connections without client certificates, in place of our own
  --json FILE          writes every cell there, too
  --only WORD          workloads whose name holds WORD, and the bare server; fairness: one namespace beside another one's flood; alike: refusals of
                       references that there are not, and of somebody else's
  --growth             in place of all that: how cost grows with what is stored; with --quick up to 100,000 secrets";

/// Options of a run.
pub(crate) struct Options {
    pub(crate) rounds: u32,
    pub(crate) connections: Vec<usize>,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    /// How many the workload over namespaces has.
    pub(crate) namespaces: usize,
    /// Whether OpenBao is measured, where it is installed.
    pub(crate) openbao: bool,
    /// Whether to measure how cost grows, and up to how many secrets.
    pub(crate) growth: Option<usize>,
    /// Where to write the cells as JSON.
    pub(crate) json: Option<PathBuf>,
    /// Whether wrk drives what it can.
    pub(crate) wrk: bool,
    only: Option<String>,
    quick: bool,
}

impl Options {
    /// The error is what to print.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self {
            rounds: 3,
            connections: vec![1, 8, 64],
            warm_up: Duration::from_secs(1),
            measured: Duration::from_secs(3),
            namespaces: 1_000,
            openbao: true,
            growth: None,
            json: None,
            wrk: false,
            only: None,
            quick: false,
        };
        let mut growth = false;
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // Cargo says so to every benchmark.
                "--bench" => {}
                "--quick" => {
                    options.quick = true;
                    options.rounds = 1;
                    options.namespaces = 100;
                    options.connections = vec![1, 64];
                    options.warm_up = Duration::from_millis(100);
                    options.measured = Duration::from_millis(500);
                }
                "--namespaces" => options.namespaces = number(arguments.next())?,
                "--rounds" => options.rounds = number(arguments.next())?,
                "--seconds" => options.measured = Duration::from_secs(number(arguments.next())?),
                "--connections" => {
                    let list = arguments.next().ok_or(USAGE)?.split(',');
                    options.connections = list.map(|word| word.parse().map_err(|_| USAGE)).collect::<Result<_, _>>()?;
                }
                "--growth" => growth = true,
                "--without-openbao" => options.openbao = false,
                "--wrk" if wrk::is_there() => options.wrk = true,
                "--wrk" => return Err("wrk is not installed: apt-get install wrk".to_owned()),
                "--json" => options.json = Some(arguments.next().ok_or(USAGE)?.into()),
                "--only" => options.only = Some(arguments.next().ok_or(USAGE)?.clone()),
                _ => return Err(USAGE.to_owned()),
            }
        }
        options.growth = growth.then_some(if options.quick { SECRETS_QUICK } else { SECRETS });
        if options.rounds == 0 || options.measured.is_zero() || options.namespaces == 0 || options.connections.contains(&0) {
            return Err(USAGE.to_owned());
        }
        Ok(options)
    }

    pub(crate) fn describe_load(&self) -> &'static str {
        if self.wrk {
            "kept connections without client certificates: load by wrk; all others: by our own"
        } else {
            "load by our own"
        }
    }

    pub(crate) fn wants(&self, workload: &str) -> bool {
        self.only.as_ref().is_none_or(|word| workload.contains(word.as_str()))
    }

    /// Whether to measure what is no workload, too: not in a short run, unless it is asked for.
    pub(crate) fn wants_also(&self, name: &str) -> bool {
        self.wants(name) && (!self.quick || self.only.is_some())
    }
}

fn number<T: std::str::FromStr>(word: Option<&String>) -> Result<T, String> {
    word.and_then(|word| word.parse().ok()).ok_or_else(|| USAGE.to_owned())
}
