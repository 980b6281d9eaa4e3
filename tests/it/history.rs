//! What three replicas on one database answer, all together, is what one server could have answered that does one thing at a time:
//! histories are linearizable, whatever happens to replicas, to their connections and to the database's processes meanwhile.
//!
//! Clients write, read and delete one secret with check-and-set, and use and revoke one token, through all replicas at once. Each request and
//! each answer is recorded in the order in which they happened, and stateright looks for an order of the requests that explains the answers.
//! What was not answered may have happened at any time since, or not at all. Histories are short, since the search is exponential, and many.
//!
//! That the check can fail is shown by replicas that are not told what the others have changed: they answer from their caches.

mod clients;
mod faults;
mod recorder;
mod replicas;
mod specification;

use std::sync::Arc;

use strongroom::storage::Store;

use crate::support::between::Guarded;
use crate::support::full;
use crate::support::in_process;
use crate::support::postgres::Database;
use crate::support::seed::Seed;
use clients::{Findings, Stage};
use replicas::{Deaf, in_process_lines};

/// Histories of replicas in this process.
fn histories() -> usize {
    if full() { 2_000 } else { 60 }
}

#[test]
fn histories_of_replicas_that_die_and_hang_are_linearizable() {
    faults::under_faults(&Seed::of("histories under faults"));
}

#[test]
fn histories_of_replicas_are_linearizable() {
    let found = in_one_process(&Seed::of("histories"), |store| store);
    assert_eq!((found.secrets, found.tokens), (0, 0), "of {} histories", found.histories);
}

/// Without the check of caches against what others have committed: this must be found, or the test above finds nothing.
#[test]
fn histories_of_replicas_that_do_not_hear_of_each_other_are_not_linearizable() {
    let deaf = |inner: Arc<dyn Store>| Arc::new(Guarded { inner, between: Arc::new(Deaf) }) as Arc<dyn Store>;
    let found = in_one_process(&Seed::of("histories of the deaf"), deaf);
    println!("{} secrets and {} tokens of {} histories are not linearizable", found.secrets, found.tokens, found.histories);
    assert!(found.secrets > 0 && found.tokens > 0, "nothing was found wrong in {} histories", found.histories);
}

/// Histories of three replicas in this process, each with `before` in front of its store.
fn in_one_process(seed: &Seed, before: impl Fn(Arc<dyn Store>) -> Arc<dyn Store>) -> Findings {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = Database::new();
    let replicas = runtime.block_on(replicas::three(&database, before));
    let mut findings = Findings::default();
    let mut lines = in_process_lines(&runtime, &replicas);
    for number in 0..histories() {
        let stage = Stage::new(&mut lines, in_process::TOKEN, number);
        findings.add(&stage.play(&mut lines, &seed.part(number as u64)));
    }
    findings
}
