//! Whether the time of a refusal tells a reference that is for somebody else from one that there is not.

use std::fmt;
use std::time::Instant;

use crate::client::{self, Connection};
use crate::sample::{count, quantile};
use crate::server::{Kind, Server};
use crate::workload::{NAMES, service_token};

const POLICY: &str = r#"path "sys/references/resolve" { capabilities = ["update"] }"#;

/// What was measured of all servers.
#[derive(Default)]
pub(crate) struct Alike(Vec<Row>);

struct Row {
    server: &'static str,
    asked: &'static str,
    /// Nanoseconds, sorted: of references that were revoked, and of those that are somebody else's.
    none: Vec<u32>,
    bound: Vec<u32>,
}

/// Measures each server of ours that is one process, over one connection. Needs the secrets of the workloads: one reference of each sort leads to
/// each. Those of somebody else have just been made, so that the server has them in memory.
pub(crate) async fn run(servers: &[Server]) -> Alike {
    let mut rows = Vec::new();
    for server in servers.iter().filter(|server| server.kind == Kind::Strongroom && server.is_measured_at("alike")) {
        let mut connection = server.connect().await;
        let stranger = service_token(&mut connection, &server.root_token, "", POLICY).await;
        let [none, bound] = requests(&mut connection, &server.root_token, &stranger).await;
        for asked in ["once", "again"] {
            let mut row = Row { server: server.name, asked, none: Vec::new(), bound: Vec::new() };
            for (number, (none, bound)) in none.iter().zip(&bound).enumerate() {
                // Neither sort is always the one that comes after the other.
                let mut first = if number % 2 == 0 {
                    [(none, &mut row.none), (bound, &mut row.bound)]
                } else {
                    [(bound, &mut row.bound), (none, &mut row.none)]
                };
                for (request, times) in &mut first {
                    times.push(refused(&mut connection, request).await);
                }
            }
            row.none.sort_unstable();
            row.bound.sort_unstable();
            rows.push(row);
        }
    }
    Alike(rows)
}

/// A stranger's requests for references that there are not, and for those of somebody else.
async fn requests(connection: &mut Connection, root: &str, stranger: &str) -> [Vec<Vec<u8>>; 2] {
    let mut sorts = [Vec::with_capacity(NAMES), Vec::with_capacity(NAMES)];
    for name in 0..NAMES {
        for (sort, requests) in sorts.iter_mut().enumerate() {
            let path = format!("sys/references/bind/secret/data/read/{name}");
            let made = connection.json(&client::request("POST", &path, root, r#"{"entities":["somebody"]}"#)).await;
            let reference = serde_json::json!({ "reference": made.pointer("/data/reference").unwrap() }).to_string();
            if sort == 0 {
                connection.expect_success(&client::request("POST", "sys/references/revoke", root, &reference)).await;
            }
            requests.push(client::request("POST", "sys/references/resolve", stranger, &reference));
        }
    }
    sorts
}

/// How long a refusal takes, nanoseconds.
async fn refused(connection: &mut Connection, request: &[u8]) -> u32 {
    let sent = Instant::now();
    let (status, _) = connection.exchange(request).await;
    let took = u32::try_from(sent.elapsed().as_nanos()).unwrap_or(u32::MAX);
    assert_eq!(status, 403, "a stranger has to be refused");
    took
}

impl Row {
    /// How often the one of somebody else takes longer than the one that there is not, of all pairs: a half tells nothing.
    fn told_apart(&self) -> f64 {
        let longer: usize = self.bound.iter().map(|took| self.none.partition_point(|none| none < took)).sum();
        count(longer) / count(self.bound.len()) / count(self.none.len())
    }
}

impl Alike {
    /// Every row, in the units that the names say.
    pub(crate) fn json(&self) -> serde_json::Value {
        let rows = self.0.iter().map(|row| {
            serde_json::json!({
                "server": row.server, "asked": row.asked, "told_apart": row.told_apart(),
                "none_p50_milliseconds": quantile(&row.none, 0.5), "bound_p50_milliseconds": quantile(&row.bound, 0.5),
            })
        });
        rows.collect()
    }
}

impl fmt::Display for Alike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nRefusals of references that there are not, and of those that are for somebody else:\n")?;
        writeln!(f, "| server | asked for | there is none, p50 ms | somebody else's, p50 ms | takes longer than the other |")?;
        writeln!(f, "|---|---|--:|--:|--:|")?;
        for row in &self.0 {
            let (none, bound) = (quantile(&row.none, 0.5), quantile(&row.bound, 0.5));
            writeln!(f, "| {} | {} | {none:.3} | {bound:.3} | {:.1}% |", row.server, row.asked, 100.0 * row.told_apart())?;
        }
        Ok(())
    }
}
