//! The benchmark of the audit log: how fast events are appended, how many bytes one takes at rest, how fast it is searched.
//!
//! Drives the code of a server in this process, with real stores and without HTTP: events go through the committer like those
//! of requests, searches through `request::handle`. Judges nothing: it prints tables, and `docs/PERFORMANCE.md` says how to
//! read them.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]
#![expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
#![expect(clippy::print_stdout, reason = "the tables are what it is for")]

mod append;
mod deployed;
mod events;
mod options;
#[path = "../../tests/it/support/postgres.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod postgres;
mod processor;
mod rest;
mod search;

use std::path::Path;

use deployed::Deployed;
use events::Source;
use options::Options;

/// Requests on their way at once while the log is filled.
const FILLING: usize = 1_024;

fn main() {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(text) => {
            println!("{text}");
            std::process::exit(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run(&options));
}

async fn run(options: &Options) {
    // Not in /tmp, which may be memory: a commit must reach a disk.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    if options.wants("sqlite") {
        measure(&Deployed::on_sqlite(&folder.path().join("audit.db")).await, options).await;
    }
    if !options.wants("postgresql") {
        return;
    }
    if Path::new("/usr/lib/postgresql").exists() {
        measure(&Deployed::on_postgres().await, options).await;
    } else {
        println!("PostgreSQL's server programs are not installed: it is not measured");
    }
}

async fn measure(deployed: &Deployed, options: &Options) {
    println!("\n## {}\n\n{}", deployed.name, append::HEAD);
    for in_flight in [1, 8, 64] {
        println!("{}", append::timed(deployed, in_flight, options.window, &Source::new()).await);
    }
    println!("{}", append::filled(deployed, FILLING, options.events, &Source::new()).await);
    println!("\nAt rest, with everything around it: {:.0} bytes/event", deployed.bytes() as f64 / deployed.events().await as f64);
    println!("\n{}", search::HEAD);
    for question in search::QUESTIONS {
        // The first time warms what there is to warm.
        search::ask(deployed, question).await;
        println!("{}", search::ask(deployed, question).await);
    }
    deployed.close().await;
}
