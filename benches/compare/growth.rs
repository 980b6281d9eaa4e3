//! How cost grows: with the secrets that are stored, with the names in a directory, with the policies of a token, with namespaces, and
//! with the length of a log.
//!
//! Each table is of one server on one store; every row of it is measured on the server as the row before left it. A read or write
//! is of names that are spread over all there are, so that what is in no cache is met, too.

mod fill;

use std::time::Duration;

use crate::client::request;
use crate::load::Load;
use crate::options::Options;
use crate::pin::Cores;
use crate::sample::Sample;
use crate::server::Server;
use crate::workload::{Workload, token_with};

use fill::{Names, fill};

/// Names that a load asks for.
const ASKED: usize = 10_000;
/// Requests at once, where processor time is measured.
const LOADED: usize = 64;
/// Steps by a hundred, then one by ten: 1,000, 100,000, 1,000,000.
const SECRETS_FIRST: usize = 1_000;
const DIRECTORIES: [usize; 3] = [10, 1_000, 100_000];
const POLICIES: [usize; 4] = [1, 4, 16, 64];
const NAMESPACES: [usize; 3] = [100, 1_000, 10_000];
const EVENTS: [usize; 3] = [1_000, 100_000, 1_000_000];

/// Prints the tables of both stores.
pub(crate) async fn run(secrets: usize, options: &Options, cores: &Cores) {
    let folder = crate::on_disk();
    let mut servers = vec![Server::on_sqlite(cores, &folder.path().join("sqlite")).await];
    if std::path::Path::new("/usr/lib/postgresql").exists() {
        servers.push(Server::on_postgres(cores, &folder.path().join("postgresql")).await);
    }
    for server in &mut servers {
        let measured = Measured { warm_up: options.warm_up, time: options.measured };
        with_secrets(server, cores, secrets, &measured).await;
        with_names(server, secrets.min(100_000), &measured).await;
        with_policies(server, &measured).await;
        with_namespaces(server, cores, secrets / 100, &measured).await;
        with_events(server, cores, secrets, &measured).await;
    }
}

/// How long each figure is measured.
struct Measured {
    warm_up: Duration,
    time: Duration,
}

impl Measured {
    async fn load(&self, server: &Server, connections: usize, requests: Vec<Vec<u8>>) -> Sample {
        let load = Load { connections, warm_up: self.warm_up, measured: self.time, wrk: false };
        let sample = load.run(server, &Workload::new(server, "growth", requests)).await;
        assert_eq!(sample.failures, 0, "{}: an answer was no success", server.name);
        sample
    }

    /// Milliseconds at one connection.
    async fn p50(&self, server: &Server, requests: Vec<Vec<u8>>) -> String {
        format!("{:.2}", self.load(server, 1, requests).await.p50)
    }

    /// Microseconds of processor time at many connections, PostgreSQL's included.
    async fn cpu(&self, server: &Server, requests: Vec<Vec<u8>>) -> String {
        format!("{:.1}", self.load(server, LOADED, requests).await.cpu_per_request())
    }
}

fn head(server: &Server, columns: &[&str]) {
    println!("\n{}\n\n| {} |\n|{}", server.name, columns.join(" | "), "--:|".repeat(columns.len()));
}

fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

/// Restarts come last in a row: what they empty the load of the next row fills again.
async fn with_secrets(server: &mut Server, cores: &Cores, most: usize, measured: &Measured) {
    let columns = ["secrets", "read p50 ms", "read CPU µs", "write CPU µs", "bytes each", "start ms", "RSS MiB after start"];
    head(server, &columns);
    let token = server.root_token.clone();
    let (mut there, empty) = (0, server.database_bytes().await);
    let steps = [SECRETS_FIRST, SECRETS_FIRST * 100, most];
    for (at, &count) in steps.iter().enumerate() {
        if steps.get(at + 1) == Some(&count) {
            continue;
        }
        let names = Names::nested(count);
        fill(server, &names, there..count).await;
        there = count;
        let each = (server.database_bytes().await - empty) / u64::try_from(count).unwrap();
        let some: Vec<String> = names.spread(ASKED).collect();
        let reads = || some.iter().map(|path| request("GET", path, &token, "")).collect();
        let writes = some.iter().map(|path| request("POST", path, &token, &fill::body())).collect();
        let figures =
            (measured.p50(server, reads()).await, measured.cpu(server, reads()).await, measured.cpu(server, writes).await);
        let start = server.start_again(cores).await;
        let (p50, read, write) = figures;
        row(&[
            count.to_string(),
            p50,
            read,
            write,
            each.to_string(),
            start.as_millis().to_string(),
            server.memory_mib().to_string(),
        ]);
    }
}

async fn with_names(server: &Server, most: usize, measured: &Measured) {
    head(server, &["names in a directory", "list p50 ms", "read one p50 ms", "write one p50 ms"]);
    let token = &server.root_token;
    for count in DIRECTORIES.into_iter().filter(|count| *count <= most) {
        let folder = format!("wide{count}");
        let names = Names::flat(&folder, count);
        fill(server, &names, 0..count).await;
        let some: Vec<String> = names.spread(ASKED).collect();
        let list = vec![request("LIST", &format!("secret/metadata/{folder}"), token, "")];
        let reads = some.iter().map(|path| request("GET", path, token, "")).collect();
        let writes = some.iter().map(|path| request("POST", path, token, &fill::body())).collect();
        row(&[
            count.to_string(),
            measured.p50(server, list).await,
            measured.p50(server, reads).await,
            measured.p50(server, writes).await,
        ]);
    }
}

async fn with_policies(server: &Server, measured: &Measured) {
    head(server, &["policies of the token", "read CPU µs", "read p50 ms"]);
    let mut connection = server.connect().await;
    let mut names = Vec::new();
    for count in POLICIES {
        while names.len() < count {
            let name = format!("grown{}", names.len());
            let policy = format!(
                r#"path "secret/data/wide10/*" {{ capabilities = ["read"] }}
                   path "secret/data/{name}/{{{{identity.entity.id}}}}/*" {{ capabilities = ["read", "list"] }}"#
            );
            let body = serde_json::json!({ "policy": policy }).to_string();
            connection.expect_success(&request("POST", &format!("sys/policies/acl/{name}"), &server.root_token, &body)).await;
            names.push(name);
        }
        let token = token_with(&mut connection, &server.root_token, "", &names).await;
        let reads = || vec![request("GET", "secret/data/wide10/0", &token, "")];
        row(&[count.to_string(), measured.cpu(server, reads()).await, measured.p50(server, reads()).await]);
    }
}

async fn with_namespaces(server: &mut Server, cores: &Cores, most: usize, measured: &Measured) {
    let columns =
        ["namespaces", "start ms", "RSS MiB after start", "RSS MiB with all loaded", "read over all, CPU µs", "bytes each"];
    head(server, &columns);
    let (token, empty) = (server.root_token.clone(), server.database_bytes().await);
    let mut there = 0;
    for count in NAMESPACES.into_iter().filter(|count| *count <= most) {
        fill::namespaces(server, there..count).await;
        there = count;
        let each = (server.database_bytes().await - empty) / u64::try_from(count).unwrap();
        let start = server.start_again(cores).await;
        let idle = server.memory_mib();
        let reads: Vec<Vec<u8>> = (0..count).map(|number| request("GET", &fill::in_namespace(number), &token, "")).collect();
        let mut connection = server.connect().await;
        for read in &reads {
            connection.expect_success(read).await;
        }
        let loaded = server.memory_mib();
        let cpu = measured.cpu(server, reads).await;
        row(&[count.to_string(), start.as_millis().to_string(), idle.to_string(), loaded.to_string(), cpu, each.to_string()]);
    }
}

/// All events are of one namespace, which has its own log: reads, and what the row before has measured.
async fn with_events(server: &mut Server, cores: &Cores, most: usize, measured: &Measured) {
    head(server, &["events in the log", "read CPU µs", "write CPU µs", "newest 100 p50 ms", "bytes each", "start ms"]);
    let (token, empty) = (server.root_token.clone(), server.database_bytes().await);
    let namespace = fill::LOGGED;
    fill::namespaces(server, namespace..namespace + 1).await;
    let path = fill::in_namespace(namespace);
    let (read, write) = (request("GET", &path, &token, ""), request("POST", &path, &token, &fill::body()));
    let newest = request("GET", &format!("n{namespace}/sys/audit-log?limit=100"), &token, "");
    for count in EVENTS.into_iter().filter(|count| *count <= most) {
        let there = fill::events_of(server, namespace).await;
        fill::on_many(server, there..count, |_| vec![read.clone()]).await;
        let each = (server.database_bytes().await - empty) / u64::try_from(fill::events_of(server, namespace).await).unwrap();
        let cpu = (measured.cpu(server, vec![read.clone()]).await, measured.cpu(server, vec![write.clone()]).await);
        let newest = measured.p50(server, vec![newest.clone()]).await;
        let start = server.start_again(cores).await;
        row(&[count.to_string(), cpu.0, cpu.1, newest, each.to_string(), start.as_millis().to_string()]);
    }
}
