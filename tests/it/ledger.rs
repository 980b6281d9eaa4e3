//! Nothing is lost: servers and database processes are killed at random moments while clients write, delete, use and revoke, and whatever
//! was answered is there afterwards.
//!
//! Each client keeps a book of what is its alone: secrets that it writes with check-and-set, and tokens that it uses and revokes. What it was
//! not told is there wholly or not at all. Each answered request has its event where its receipt says, each version of a secret and each use of
//! a token has exactly one, and in the end the exported log verifies without the servers.

mod audit;
mod client;
mod day;
mod killing;
mod secrets;
mod tokens;

use std::thread::ScopedJoinHandle;

use crate::support::client::Client;
use crate::support::fixture::ready;
use crate::support::postgres::Database;
use crate::support::seed::Seed;
use crate::support::server::Server;
use crate::support::{full, say};
use audit::Audit;
use client::Teller;
use day::{Day, Over};
use killing::Victims;

/// How often something is killed.
fn rounds(quick: usize) -> usize {
    if full() { 2_000 } else { quick }
}

/// Clients at work.
const CLIENTS: u64 = 4;

#[test]
fn nothing_is_lost_on_postgresql_whatever_is_killed() {
    let first = Server::initialised_on_postgresql(Database::alone());
    ready(&first);
    let second = first.another();
    keep_books(&Seed::of("ledger on postgresql"), Victims::new(vec![first, second]), rounds(140));
}

#[test]
fn nothing_is_lost_on_sqlite_when_the_server_is_killed() {
    let server = Server::initialised_on_sqlite();
    ready(&server);
    keep_books(&Seed::of("ledger on sqlite"), Victims::new(vec![server]), rounds(60));
}

fn keep_books(seed: &Seed, mut victims: Victims, rounds: usize) {
    let targets = victims.targets();
    let root = targets[0].token.clone();
    let clients: Vec<Client> = targets.iter().map(|target| Client::new(target).without_token()).collect();
    let (mut tellers, mut chance, day) = (Vec::new(), seed.part(0), Day::default());
    std::thread::scope(|scope| {
        let over = Over(&day);
        let at_work: Vec<_> = (1..=CLIENTS)
            .map(|number| {
                let mut teller = Teller::new(number, seed.part(number), &clients, &root);
                let day = &day;
                scope.spawn(move || {
                    teller.work(day);
                    teller
                })
            })
            .collect();
        for round in 0..rounds {
            if at_work.iter().any(ScopedJoinHandle::is_finished) {
                break;
            }
            victims.strike(round, &mut chance, &day);
            day.next_round();
        }
        drop(over);
        tellers.extend(at_work.into_iter().map(|thread| thread.join().unwrap()));
    });
    say(&format!("{rounds} rounds; {}", victims.report()));

    tellers.iter_mut().for_each(Teller::balance);
    let mut audit = Audit::default();
    audit.read(&Client::new(&targets[0]));
    for teller in &tellers {
        audit.compare(teller);
    }
    audit.verify(&victims.servers[0]);
    let sum = |of: fn(&Teller) -> usize| tellers.iter().map(of).sum::<usize>();
    let (answered, untold) = (sum(|teller| teller.receipts.len()), sum(|teller| teller.untold));
    say(&format!("{answered} requests were answered, {untold} were not, {} events", audit.len()));
}
