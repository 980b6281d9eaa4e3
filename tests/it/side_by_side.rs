//! The same requests, command by command, to the real OpenBao and to this server on both stores, and what came back side by
//! side: exit codes, statuses, error texts, and which fields of which type the answers have.
//!
//! `side_by_side/sessions/` says what is sent. `side_by_side/differences.txt` lists what we answer otherwise, and why. A
//! difference that is not in the list fails, and so does a line of the list that explains nothing any more. Where the two stores
//! themselves differ, the list has to say so as well. To see the differences of a topic: `cargo test --test it side_by_side::TOPIC`.

mod differences;
mod facts;
mod play;
mod session;

use std::fmt::Display;

use crate::support::Target;
use crate::support::client::Client;
use crate::support::fixture::mount;
use crate::support::openbao::OpenBao;
use crate::support::postgres::Database;
use crate::support::server::Server;
use differences::{Difference, between, listed};
use facts::Facts;
use play::play;

const DIFFERENCES: &str = include_str!("side_by_side/differences.txt");

/// Tests of sessions that begin on an open server with KV 2 at `secret/`.
macro_rules! topics {
    ($($topic:ident,)*) => {
        $(#[test]
        fn $topic() {
            open_servers(stringify!($topic), include_str!(concat!("side_by_side/sessions/", stringify!($topic), ".txt")));
        })*

        #[test]
        fn every_topic_of_the_list_is_one() {
            let topics = [$(stringify!($topic),)* "operator"];
            for line in DIFFERENCES.lines().filter_map(|line| line.strip_prefix("== ")) {
                let (named, _) = line.split_once(": ").unwrap();
                assert!(named.split(", ").all(|topic| topics.contains(&topic)), "{line}");
            }
        }
    };
}

topics! {
    cert,
    cubbyhole,
    kv1,
    kv2,
    leases,
    logins,
    mfa,
    mounts,
    namespaces,
    policies,
    requests,
    system,
    token_roles,
    tokens,
    transit,
    wrapping,
}

/// From a server that is not initialised to one that is sealed.
#[test]
fn operator() {
    let text = include_str!("side_by_side/sessions/operator.txt");
    let openbao = OpenBao::uninitialised();
    let sqlite = Server::uninitialised_on_sqlite();
    let postgresql = Server::uninitialised_on_postgresql(Database::new());
    compare("operator", text, &openbao.target, [&sqlite.target(), &postgresql.target()]);
}

fn open_servers(topic: &str, text: &str) {
    // Not its development mode, whose root token is an ordinary one.
    let openbao = OpenBao::initialised();
    let sqlite = Server::initialised_on_sqlite();
    let postgresql = Server::initialised_on_postgresql(Database::new());
    let [theirs, ours] = [openbao.target.clone(), sqlite.target()];
    for target in [&theirs, &ours, &postgresql.target()] {
        mount(&Client::new(target), "secret");
    }
    compare(topic, text, &theirs, [&ours, &postgresql.target()]);
}

fn compare(topic: &str, text: &str, openbao: &Target, stores: [&Target; 2]) {
    let steps = session::parse(text);
    let (theirs, [sqlite, postgresql]) = std::thread::scope(|scope| {
        let stores = stores.map(|target| scope.spawn(|| play(&steps, target)));
        (play(&steps, openbao), stores.map(|thread| thread.join().unwrap()))
    });
    let names = || steps.iter().map(|step| step.name.as_str());
    let all = |left: &[Facts], right: &[Facts]| -> Vec<Difference> {
        names().zip(left.iter().zip(right)).flat_map(|(name, (left, right))| between(name, left, right)).collect()
    };
    let stores = all(&sqlite, &postgresql);
    let found = all(&theirs, &sqlite);
    let list = listed(DIFFERENCES, topic);
    let unexplained = |found: &[Difference]| lines(found.iter().filter(|one| !list.iter().any(|line| line.explains(one))));
    let idle = list.iter().filter(|line| !found.iter().chain(&stores).any(|one| line.explains(one)));
    let report = [
        ("SQLite and PostgreSQL answer differently (step | place | SQLite | PostgreSQL):", unexplained(&stores)),
        ("Not in the list of differences (step | place | OpenBao | here):", unexplained(&found)),
        ("In the list, and no longer there:", lines(idle)),
    ];
    let report = report.into_iter().filter(|(_, lines)| !lines.is_empty()).map(|(title, lines)| format!("{title}\n{lines}\n"));
    let report: Vec<String> = report.collect();
    assert!(report.is_empty(), "{topic}\n{}", report.concat());
}

fn lines(all: impl Iterator<Item = impl Display>) -> String {
    all.map(|one| one.to_string()).collect::<Vec<_>>().join("\n")
}
