//! Servers that count by one rule, and tell each other of it through rows that each writes and all read.

use std::net::IpAddr;

use proptest::prelude::*;

use super::super::claims::Id;
use super::super::{GroupBy, Rule, Scope};
use super::*;

const INTERVAL: Duration = Duration::from_secs(10);
const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const ID: Id = [7; 16];

/// Servers, and the rows that they have written.
struct Deployment {
    rule: Rule,
    servers: Vec<Buckets>,
    rows: Vec<Vec<u8>>,
    now: Duration,
}

impl Deployment {
    /// Everybody has heard of everybody.
    fn new(limit: f64, servers: usize) -> Self {
        let place = (String::new(), String::new(), Scope::Namespace);
        let rule = Rule { group_by: GroupBy::None, ..Rule::new(place, limit, INTERVAL, Duration::ZERO) };
        let rows = vec![Vec::new(); servers];
        let servers = rows.iter().map(|_| Buckets::default()).collect();
        let mut deployment = Self { rule, servers, rows, now: Duration::from_secs(100) };
        deployment.round();
        deployment
    }

    /// Sends requests to one server; how many were let pass.
    fn ask(&self, server: usize, requests: u64) -> u64 {
        let take = |_: &u64| self.servers[server].take(("r", &self.rule), SOURCE, self.now, |_, _| ID).refused.is_none();
        (0..requests).filter(take).count() as u64
    }

    fn write(&mut self, server: usize) {
        self.rows[server] = self.servers[server].word(self.now);
    }

    fn read(&self, server: usize) {
        let rows: Vec<&[u8]> = self.rows.iter().map(Vec::as_slice).collect();
        let _ = self.servers[server].heard(&rows, server);
    }

    /// Each gives a sign of life.
    fn round(&mut self) {
        for server in 0..self.servers.len() {
            self.write(server);
            self.read(server);
        }
    }

    /// Until nothing moves any more.
    fn settle(&mut self) {
        (0..4).for_each(|_| self.round());
    }

    /// What a server used, or may use now, whichever is more.
    fn part(&self, server: usize) -> u64 {
        let all = self.servers[server].all();
        let even = all.seat.even(self.rule.limit());
        let Some(bucket) = all.buckets.get(&ID) else { return even };
        bucket.share.as_ref().map_or(even, |share| share.usable).max(bucket.used(self.now))
    }
}

#[test]
fn a_part_goes_where_it_is_asked_for_and_comes_back() {
    let mut deployment = Deployment::new(40.0, 2);
    assert_eq!(deployment.ask(0, 60), 20, "before anybody was told, each has the same part");
    deployment.settle();
    assert_eq!((deployment.ask(0, 60), deployment.ask(1, 60)), (18, 2), "all but a floor, and forty together");
    // In the next interval both are asked for as much.
    deployment.now += INTERVAL;
    for server in [0, 1] {
        assert!(deployment.ask(server, 60) >= 2);
    }
    deployment.settle();
    deployment.now += INTERVAL;
    assert_eq!(
        (deployment.ask(0, 60), deployment.ask(1, 60)),
        (20, 2),
        "what was used of the interval before was claimed until now"
    );
    deployment.settle();
    assert_eq!((deployment.ask(0, 60), deployment.ask(1, 60)), (0, 18));
    // Nobody asks any more, and nobody tells.
    deployment.now += 3 * INTERVAL;
    deployment.settle();
    assert_eq!(deployment.rows, [[1], [1]]);
    assert_eq!((deployment.part(0), deployment.part(1)), (20, 20));
}

#[test]
fn what_is_enough_is_given_to_each_and_the_rest_to_all() {
    let mut deployment = Deployment::new(90.0, 3);
    deployment.ask(0, 45);
    deployment.settle();
    assert_eq!([0, 1, 2].map(|server| deployment.part(server)), [60, 15, 15]);
    assert_eq!(deployment.ask(2, 15), 15, "who was not asked before is not without");
}

#[test]
fn the_part_of_a_server_that_is_gone_is_everybodys() {
    let mut deployment = Deployment::new(30.0, 3);
    deployment.ask(2, 100);
    deployment.settle();
    assert_eq!(deployment.part(2), 28);
    for (left, part) in [(2, 15), (1, 30)] {
        deployment.servers.pop();
        deployment.rows.pop();
        deployment.settle();
        assert!((0..left).all(|server| deployment.part(server) == part));
    }
    assert!(deployment.rows[0].is_empty(), "there is nobody to tell");
}

/// Each keeps what it has while nothing is heard.
#[test]
fn silence_changes_nothing() {
    let mut deployment = Deployment::new(40.0, 2);
    deployment.ask(0, 60);
    deployment.settle();
    let before = [0, 1].map(|server| deployment.part(server));
    deployment.now += INTERVAL;
    assert_eq!([deployment.ask(0, 60), deployment.ask(1, 60)], before);
    // Words that are lost on their way take from who says them, and give nobody anything.
    deployment.servers[0].word(deployment.now);
    assert!(deployment.part(0) <= before[0] && deployment.part(1) == before[1]);
}

#[test]
fn who_goes_past_a_part_only_is_not_blocked() {
    let mut deployment = Deployment::new(40.0, 2);
    deployment.rule = Rule::new((String::new(), String::new(), Scope::Namespace), 40.0, INTERVAL, Duration::from_hours(1));
    let ask = |deployment: &Deployment, server: usize| {
        deployment.servers[server].take(("r", &deployment.rule), SOURCE, deployment.now, |_, _| ID).refused
    };
    (0..20).for_each(|_| assert!(ask(&deployment, 0).is_none()));
    let refused = ask(&deployment, 0).unwrap();
    assert_eq!((refused.retry_after, refused.first), (SETTLED, true), "others may give of theirs");
    deployment.settle();
    assert!(ask(&deployment, 0).is_none());
    (0..30).for_each(|_| assert!(ask(&deployment, 0).is_none_or(|refused| refused.retry_after > Duration::ZERO)));
    assert!(ask(&deployment, 0).unwrap().retry_after > INTERVAL, "now it was more than the limit");
}

#[test]
fn more_counts_than_are_told_of_have_the_same_part_everywhere() {
    let mut deployment = Deployment::new(40.0, 2);
    let id = |number: usize| (number as u128).to_be_bytes();
    let rule = Rule { group_by: GroupBy::Ip, ..deployment.rule.clone() };
    let ask = |deployment: &Deployment, number: usize| {
        let source = IpAddr::from(u32::try_from(number).unwrap().to_be_bytes());
        let take = || deployment.servers[0].take(("r", &rule), source, deployment.now, |_, _| id(number)).refused.is_none();
        (0..50).filter(|_| take()).count()
    };
    for number in 0..SHARED_MAX + 10 {
        assert_eq!(ask(&deployment, number), 20);
    }
    deployment.settle();
    assert!(deployment.rows.iter().all(|row| row.len() == 1 + 41 * SHARED_MAX));
    assert_eq!((ask(&deployment, 0), ask(&deployment, SHARED_MAX)), (18, 0));
}

/// One step of a random story.
#[derive(Clone, Debug)]
enum Step {
    Ask(usize, u64),
    /// A sign of life.
    Lives(usize),
    /// One whose answer was lost.
    Writes(usize),
    /// One that did not arrive.
    Speaks(usize),
    /// Milliseconds pass.
    Waits(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..5, 0_u64..80).prop_map(|(server, requests)| Step::Ask(server, requests)),
        4 => (0_usize..5).prop_map(Step::Lives),
        1 => (0_usize..5).prop_map(Step::Writes),
        1 => (0_usize..5).prop_map(Step::Speaks),
        1 => (0_u64..6_000).prop_map(Step::Waits),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Whatever is asked of whom, and whichever words are lost: servers that know of each other never have more than the limit together,
    /// or one request each.
    #[test]
    fn servers_together_never_have_more_than_the_limit(
        limit in 1_u32..120,
        servers in 1_usize..5,
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut deployment = Deployment::new(f64::from(limit), servers);
        deployment.round();
        for step in steps {
            match step {
                Step::Ask(server, requests) => drop(deployment.ask(server % servers, requests)),
                Step::Lives(server) => {
                    deployment.write(server % servers);
                    deployment.read(server % servers);
                }
                Step::Writes(server) => deployment.write(server % servers),
                Step::Speaks(server) => drop(deployment.servers[server % servers].word(deployment.now)),
                Step::Waits(milliseconds) => deployment.now += Duration::from_millis(milliseconds),
            }
            let parts: Vec<u64> = (0..servers).map(|server| deployment.part(server)).collect();
            prop_assert!(parts.iter().sum::<u64>() < u64::from(limit) + servers as u64, "{:?} of {}", parts, limit);
        }
    }
}
