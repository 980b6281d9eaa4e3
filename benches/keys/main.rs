//! What keys cost: values wrapped anew by a rotation, and many tenants whose keys nobody has loaded yet.
//!
//! Starts the real `strongroom` binary on SQLite, once with a key file and, with `--seal FILE`, with the stanza in that file, for example a
//! key of a KMS. Judges nothing: it prints figures, and `docs/PERFORMANCE.md` says how to read them.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

#[path = "../compare/client.rs"]
#[expect(dead_code, reason = "the other benchmark needs more of it")]
mod client;
mod server;
#[path = "../compare/usage.rs"]
#[expect(dead_code, reason = "the other benchmark needs more of it")]
mod usage;
#[path = "../compare/way.rs"]
#[expect(dead_code, reason = "the other benchmark needs more of it")]
mod way;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use client::{Connection, request};
use server::Server;

const USAGE: &str = "cargo bench --bench keys -- [options]

  --tenants N     namespaces of the cold load (10,000)
  --records N     values of the rotation (10,000)
  --seal FILE     a seal stanza to use in place of a key file; credentials come from the environment";

struct Options {
    tenants: u64,
    records: u64,
    seal: Option<PathBuf>,
}

impl Options {
    fn parse() -> Result<Self, String> {
        let mut options = Self { tenants: 10_000, records: 10_000, seal: None };
        let mut arguments = std::env::args().skip(1);
        let number = |word: Option<String>| word.and_then(|word| word.parse().ok()).ok_or_else(|| USAGE.to_owned());
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // Cargo says so to every benchmark.
                "--bench" => {}
                "--tenants" => options.tenants = number(arguments.next())?,
                "--records" => options.records = number(arguments.next())?,
                "--seal" => options.seal = Some(arguments.next().ok_or(USAGE)?.into()),
                _ => return Err(USAGE.to_owned()),
            }
        }
        if options.tenants == 0 || options.records == 0 { Err(USAGE.to_owned()) } else { Ok(options) }
    }
}

fn main() {
    let options = match Options::parse() {
        Ok(options) => options,
        Err(text) => {
            println!("{text}");
            std::process::exit(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(&options));
}

async fn run(options: &Options) {
    // Not in /tmp, which may be memory: a commit must reach a disk.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut server = Server::start(folder.path(), options.seal.as_deref()).await;
    server.initialise().await;
    println!("| what | figure |\n|---|--:|");
    for reencrypt in [false, true] {
        let (records, seconds) = rotation(&server, options.records, reencrypt).await;
        let what = if reencrypt { "encrypted anew" } else { "rewrapped" };
        row(&format!("records {what}"), &format!("{records}"));
        row(&format!("records {what} per second"), &format!("{:.0}", float(records) / seconds));
    }
    cold_load(&mut server, options.tenants).await;
}

fn row(what: &str, figure: &str) {
    println!("| {what} | {figure} |");
}

fn float(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap())
}

/// How many records a rotation has gone through, and in how many seconds.
async fn rotation(server: &Server, records: u64, reencrypt: bool) -> (u64, f64) {
    let token = server.token();
    let mut connection = server.connect().await;
    for number in 0..records {
        let body = format!(r#"{{"data":{{"password":"{number:0>100}"}}}}"#);
        connection.expect_success(&request("POST", &format!("secret/data/many/{number}"), token, &body)).await;
    }
    let body = format!(r#"{{"reencrypt":{reencrypt}}}"#);
    let begun = Instant::now();
    connection.expect_success(&request("POST", "sys/rotate/keyring", token, &body)).await;
    loop {
        let status = connection.json(&request("GET", "sys/rotate/status", token, "")).await;
        if status.pointer("/data/complete").unwrap() == true {
            return (status.pointer("/data/rewrapped").unwrap().as_u64().unwrap(), begun.elapsed().as_secs_f64());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Makes tenants, starts the server again, which has none of their keys then, and has each answer one request.
async fn cold_load(server: &mut Server, tenants: u64) {
    let token = server.token().to_owned();
    let empty = server.memory_kib();
    let mut connection = server.connect().await;
    let begun = Instant::now();
    for number in 0..tenants {
        connection.expect_success(&request("POST", &format!("sys/namespaces/team{number}"), &token, "{}")).await;
    }
    row("tenants made per second", &format!("{:.0}", float(tenants) / begun.elapsed().as_secs_f64()));
    drop(connection);

    server.start_again().await;
    let mut connection = server.connect().await;
    connection.expect_success(&request("GET", "sys/mounts", &token, "")).await;
    let idle = server.memory_kib();
    let calls = seal_calls(&mut connection, &token).await;
    let begun = Instant::now();
    for number in 0..tenants {
        connection.expect_success(&request("GET", &format!("team{number}/sys/mounts"), &token, "")).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let loaded = server.memory_kib();
    let calls = seal_calls(&mut connection, &token).await - calls;
    let begun = Instant::now();
    for number in 0..tenants {
        connection.expect_success(&request("GET", &format!("team{number}/sys/mounts"), &token, "")).await;
    }
    let again = begun.elapsed().as_secs_f64();
    row("tenants", &tenants.to_string());
    row("cold load of all, one after the other, seconds", &format!("{seconds:.1}"));
    row("the same requests again, all loaded, seconds", &format!("{again:.1}"));
    row("calls to the seal during the cold load", &format!("{calls:.0}"));
    let each = |more: u64, than: u64| format!("{:.1}", float(more.saturating_sub(than)) / float(tenants));
    row("KiB for each tenant that is not loaded", &each(idle, empty));
    row("KiB for each loaded tenant", &each(loaded, idle));
    row("MiB of the server with all loaded", &(loaded / 1024).to_string());
}

/// Calls to seals in other systems so far; none with a key file.
async fn seal_calls(connection: &mut Connection, token: &str) -> f64 {
    let text = connection.expect_success(&request("GET", "sys/metrics?format=prometheus", token, "")).await;
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().filter(|line| line.starts_with("strongroom_seal_calls_total"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
