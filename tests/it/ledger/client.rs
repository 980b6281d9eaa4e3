//! A client and its book.

use std::time::{Duration, Instant};

use serde_json::Value;
use strongroom::audit::receipt::Receipt;

use super::day::Day;
use super::secrets::Secrets;
use super::tokens::Tokens;
use crate::support::client::{Client, Reply};
use crate::support::line::{Heard, Line};
use crate::support::process::PATIENCE;
use crate::support::seed::Seed;

/// Between two tries to get an answer.
const PAUSE: Duration = Duration::from_millis(10);
/// Between two requests while nothing is about to be killed.
const CALM_PAUSE: Duration = Duration::from_millis(20);

/// A request that was answered: where its event must stand, and what it must say.
pub(super) struct Answered {
    pub(super) index: u64,
    pub(super) path: String,
    pub(super) status: u16,
}

/// A client's ways to all servers, and the receipts it got.
pub(super) struct Desk {
    pub(super) chance: Seed,
    root: String,
    lines: Vec<Line>,
    pub(super) receipts: Vec<Answered>,
    /// Requests of which nobody said what came of them.
    pub(super) untold: usize,
}

impl Desk {
    /// Asks any server once, with the root token.
    pub(super) fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> Heard {
        let root = self.root.clone();
        self.ask_with(&root, method, path, body)
    }

    /// The same with another token.
    pub(super) fn ask_with(&mut self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Heard {
        let line = self.chance.below(self.lines.len());
        let heard = self.lines[line].ask(token, method, path, body);
        self.untold += usize::from(matches!(heard, Heard::Nothing));
        if let Heard::Answer(reply) = &heard {
            // Strangers over their rate leave no event.
            if reply.status != 429 {
                let receipt = Receipt::parse(reply.header("x-strongroom-receipt").unwrap()).unwrap();
                // That of a stranger is in another log.
                if reply.status != 403 {
                    self.receipts.push(Answered { index: receipt.index, path: path.to_owned(), status: reply.status });
                }
            }
        }
        heard
    }

    /// Asks until there is an answer: for what may be done twice.
    pub(super) fn insist(&mut self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let begun = Instant::now();
        loop {
            if let Heard::Answer(reply) = self.ask(method, path, body) {
                return reply;
            }
            assert!(begun.elapsed() < PATIENCE, "nobody answers {method} {path}");
            std::thread::sleep(PAUSE);
        }
    }
}

/// A client.
pub(super) struct Teller {
    desk: Desk,
    pub(super) secrets: Secrets,
    pub(super) tokens: Tokens,
}

impl std::ops::Deref for Teller {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        &self.desk
    }
}

impl Teller {
    pub(super) fn new(number: u64, chance: Seed, clients: &[Client], root: &str) -> Self {
        let lines = clients.iter().cloned().map(Line::new).collect();
        let desk = Desk { chance, root: root.to_owned(), lines, receipts: Vec::new(), untold: 0 };
        Self { desk, secrets: Secrets::new(number), tokens: Tokens::default() }
    }

    /// Works until the day is over. After each round everything that was touched in it is looked at.
    pub(super) fn work(&mut self, day: &Day) {
        let mut looked = 0;
        while let Some(round) = day.round() {
            let desk = &mut self.desk;
            if round != looked {
                looked = round;
                self.secrets.look(desk);
                self.tokens.look(desk);
            }
            match desk.chance.below(100) {
                0..=44 => self.secrets.write(desk),
                45..=54 => self.secrets.delete(desk),
                55..=64 => self.tokens.make(desk),
                65..=92 => self.tokens.use_one(desk),
                _ => self.tokens.revoke(desk),
            }
            if !day.is_busy() {
                std::thread::sleep(CALM_PAUSE);
            }
        }
    }

    /// Looks at everything that there ever was.
    pub(super) fn balance(&mut self) {
        self.secrets.look_at_all(&mut self.desk);
        self.tokens.look_at_all(&mut self.desk);
    }
}
