//! What is killed, and what comes back.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::day::Day;
use crate::support::Target;
use crate::support::client::Client;
use crate::support::process::PATIENCE;
use crate::support::seed::Seed;
use crate::support::server::Server;

/// The longest time between two deaths.
const LIFE_MILLISECONDS: usize = 150;

/// The servers, and the database if it is a process.
pub(super) struct Victims {
    pub(super) servers: Vec<Server>,
    starts: Vec<Duration>,
    deaths: [usize; 4],
}

impl Victims {
    pub(super) fn new(servers: Vec<Server>) -> Self {
        Self { servers, starts: Vec::new(), deaths: [0; 4] }
    }

    pub(super) fn targets(&self) -> Vec<Target> {
        self.servers.iter().map(Server::target).collect()
    }

    pub(super) fn report(&self) -> String {
        let [replicas, both, backends, databases] = self.deaths;
        let slowest = self.starts.iter().max().copied().unwrap_or_default();
        format!(
            "killed: {replicas} servers, {both} times all, {backends} processes of the database, {databases} databases; \
             the slowest start until it was open took {slowest:?}"
        )
    }

    /// One death at a random moment of the clients' busiest time, and the way back.
    pub(super) fn strike(&mut self, round: usize, chance: &mut Seed, day: &Day) {
        day.set_busy(true);
        std::thread::sleep(Duration::from_millis(chance.below(LIFE_MILLISECONDS) as u64));
        let victim = chance.below(self.servers.len());
        let kinds = if self.servers[0].postgres().is_some() { 12 } else { 1 };
        match (round + chance.below(2)) % kinds {
            2 | 8 => self.kill_backend(chance),
            5 => self.kill_database(day),
            11 => {
                self.servers.iter_mut().for_each(Server::kill);
                day.set_busy(false);
                (0..self.servers.len()).for_each(|server| self.come_back(server));
                self.deaths[1] += 1;
            }
            _ => {
                self.servers[victim].kill();
                day.set_busy(false);
                self.come_back(victim);
                self.deaths[0] += 1;
            }
        }
        day.set_busy(false);
        self.all_answer();
    }

    fn come_back(&mut self, server: usize) {
        let begun = Instant::now();
        self.servers[server].come_back();
        self.starts.push(begun.elapsed());
    }

    /// All processes of the database start again when one of them is killed.
    fn kill_backend(&mut self, chance: &mut Seed) {
        let backends = self.servers[0].postgres().unwrap().backends();
        if !backends.is_empty() {
            // It may have ended by itself.
            let _ = kill_process(Pid::from_raw(*chance.one_of(&backends)).unwrap(), Signal::KILL);
            self.deaths[2] += 1;
        }
    }

    fn kill_database(&mut self, day: &Day) {
        let database = self.servers[0].postgres().unwrap();
        database.kill();
        day.set_busy(false);
        database.start_after_death();
        self.deaths[3] += 1;
    }

    /// Every server works again.
    fn all_answer(&self) {
        let begun = Instant::now();
        for target in self.targets() {
            let client = Client::new(&target);
            while !client.try_send("GET", "/v1/sys/mounts", &[], b"").is_ok_and(|reply| reply.status == 200) {
                assert!(begun.elapsed() < PATIENCE, "a server does not work again");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}
