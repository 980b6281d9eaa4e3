//! The benchmark side by side: the real `strongroom` binary beside a bare axum + rustls server and beside OpenBao, in one run.
//!
//! Owns the servers that it starts and the load that it sends them. Judges nothing: it prints a table, and
//! `docs/PERFORMANCE.md` says how to read it. Times are in the unit that their column or name says.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]
#![expect(clippy::print_stdout, reason = "the table is what it is for")]

mod alike;
mod bare;
mod client;
mod fairness;
mod growth;
mod load;
mod openbao;
mod options;
mod pin;
#[path = "../../tests/it/support/postgres.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod postgres;
mod report;
mod sample;
mod server;
mod usage;
mod way;
mod workload;
mod wrk;

use std::path::Path;

use tokio::signal::unix::SignalKind;

use alike::Alike;
use fairness::Fairness;
use load::Load;
use options::Options;
use pin::Cores;
use report::Report;
use server::{Kind, Server};
use workload::Workload;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, folder] = arguments.as_slice()
        && first == bare::ARGUMENT
    {
        return bare::serve(Path::new(folder));
    }
    let options = match Options::parse(&arguments) {
        Ok(options) => options,
        Err(text) => {
            println!("{text}");
            std::process::exit(2);
        }
    };
    let cores = Cores::choose();
    cores.use_for_load();
    println!("{}", cores.describe());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let all = async {
        match options.growth {
            Some(secrets) => {
                growth::run(secrets, &options, &cores).await;
                true
            }
            None => run(&options, &cores).await,
        }
    };
    let went_well = runtime.block_on(async {
        tokio::select! {
            went_well = all => went_well,
            () = told_to_stop() => false,
        }
    });
    if !went_well {
        std::process::exit(1);
    }
}

/// What is dropped then stops the servers and removes their folders.
async fn told_to_stop() {
    let [mut terminate, mut interrupt] =
        [SignalKind::terminate(), SignalKind::interrupt()].map(|kind| tokio::signal::unix::signal(kind).unwrap());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    println!("told to stop: the servers are stopped");
}

/// Whether every answer was the one expected.
async fn run(options: &Options, cores: &Cores) -> bool {
    let folder = on_disk();
    let servers = start(options, cores, folder.path()).await;
    let mut work: Vec<(&Server, Workload)> = Vec::new();
    for server in &servers {
        work.extend(workload::prepare(server, options.namespaces).await.into_iter().map(|workload| (server, workload)));
        println!("{}: process {}, {} MiB after start and preparation", server.name, server.pid(), server.memory_mib());
    }
    // The bare server is always measured: it is what the others are compared with.
    work.retain(|(server, workload)| {
        server.kind == Kind::Bare || (options.wants(&workload.name) && server.is_measured_at(&workload.name))
    });

    println!("{}", options.describe_load());
    let mut report = Report::default();
    for round in 1..=options.rounds {
        for &connections in &options.connections {
            for (server, workload) in &work {
                let load = Load { connections, warm_up: options.warm_up, measured: options.measured, wrk: options.wrk };
                let sample = load.run(server, workload).await;
                let name = format!("{}: {}", server.name, workload.name);
                println!("round {round}: {name:<48} {connections:>3} connections {:>9.0} req/s", sample.rate());
                report.add(workload, server.kind, connections, sample);
            }
        }
    }
    let fairness = if options.wants_also("fairness") { fairness::run(&servers, options).await } else { Fairness::default() };
    let alike = if options.wants_also("alike") { alike::run(&servers).await } else { Alike::default() };
    println!("\n{report}{fairness}{alike}");
    if let Some(file) = &options.json {
        let json = serde_json::json!({
            "disturbed": report.disturbed(), "cells": report.json(), "fairness": fairness.json(), "alike": alike.json(),
        });
        std::fs::write(file, json.to_string()).unwrap();
    }
    report.failures() + fairness.failures() == 0
}

/// A folder that is not in /tmp, which may be memory: a commit must reach a disk.
fn on_disk() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

async fn start(options: &Options, cores: &Cores, folder: &Path) -> Vec<Server> {
    let mut servers = vec![Server::bare(cores, &folder.join("bare")).await];
    servers.push(Server::on_sqlite(cores, &folder.join("sqlite")).await);
    let postgresql = Path::new("/usr/lib/postgresql").exists();
    if postgresql {
        servers.push(Server::on_postgres(cores, &folder.join("postgresql")).await);
        servers.push(Server::on_postgres_twice(cores, &folder.join("replicas")).await);
    } else {
        println!("PostgreSQL's server programs are not installed: it is not measured");
    }
    match openbao::program() {
        _ if !options.openbao => {}
        Some(program) => {
            servers.push(openbao::on_raft(&program, cores, &folder.join("openbao")).await);
            if postgresql {
                servers.push(openbao::on_postgres(&program, cores, &folder.join("openbao-postgresql")).await);
            }
        }
        None => println!("OpenBao is not installed (scripts/test --install does it): it is not measured"),
    }
    servers
}
