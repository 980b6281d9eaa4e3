//! The tokens of one client, which nobody else uses.

use std::ops::RangeInclusive;

use serde_json::json;

use super::client::Desk;
use crate::support::line::Heard;

/// How often a token may be used.
const USES: u64 = 4;
/// Tokens that are alive at a time.
const ALIVE: usize = 4;

/// A token, and what may be left of it.
#[derive(Debug)]
struct Token {
    text: String,
    accessor: String,
    /// Uses that are left: at least, and at most.
    left: [u64; 2],
    /// Uses that were answered.
    used: u64,
}

/// The tokens of one client.
#[derive(Default)]
pub(super) struct Tokens {
    alive: Vec<Token>,
    /// Revoked or used up: none of them is good for anything, ever again.
    dead: Vec<Token>,
    /// Of the dead, how many were looked at.
    looked: usize,
}

impl Tokens {
    /// Accessors, and how often each was used.
    pub(super) fn uses(&self) -> impl Iterator<Item = (&str, RangeInclusive<u64>)> {
        let alive = self.alive.iter().map(|token| (token.accessor.as_str(), USES - token.left[1]..=USES - token.left[0]));
        alive.chain(self.dead.iter().map(|token| (token.accessor.as_str(), token.used..=USES)))
    }

    pub(super) fn make(&mut self, desk: &mut Desk) {
        if self.alive.len() >= ALIVE {
            return;
        }
        let body = json!({"policies": ["default"], "num_uses": USES});
        // One that nobody was told of is nobody's.
        if let Heard::Answer(reply) = desk.ask("POST", "auth/token/create", Some(&body)) {
            let made = reply.expect(200).json();
            let text = |name: &str| made["auth"][name].as_str().unwrap().to_owned();
            self.alive.push(Token { text: text("client_token"), accessor: text("accessor"), left: [USES, USES], used: 0 });
        }
    }

    pub(super) fn use_one(&mut self, desk: &mut Desk) {
        if self.alive.is_empty() {
            return;
        }
        let at = desk.chance.below(self.alive.len());
        let token = &mut self.alive[at];
        match desk.ask_with(&token.text, "GET", "auth/token/lookup-self", None) {
            Heard::Answer(reply) if reply.status == 200 => {
                let left = reply.json()["data"]["num_uses"].as_u64().unwrap();
                let possible = token.left[0].saturating_sub(1)..=token.left[1] - 1;
                assert!(possible.contains(&left), "{left} uses are said to be left: {:?}", token.left);
                (token.left, token.used) = ([left, left], token.used + 1);
                assert!(token.used <= USES);
            }
            Heard::Answer(reply) => {
                assert!(matches!(reply.status, 403 | 429), "{reply:?}");
                assert_eq!(token.left[0], 0, "a token that is good was refused: {:?}", token.left);
                token.left[1] = 0;
            }
            Heard::Undone => {}
            Heard::Nothing => token.left[0] = token.left[0].saturating_sub(1),
        }
        if token.left[1] == 0 {
            self.dead.push(self.alive.swap_remove(at));
        }
    }

    pub(super) fn revoke(&mut self, desk: &mut Desk) {
        if self.alive.is_empty() {
            return;
        }
        let at = desk.chance.below(self.alive.len());
        match desk.ask("POST", "auth/token/revoke", Some(&json!({"token": self.alive[at].text}))) {
            Heard::Answer(reply) => {
                reply.expect(204);
                self.dead.push(self.alive.swap_remove(at));
            }
            Heard::Undone => {}
            // It is gone, or has what it had.
            Heard::Nothing => self.alive[at].left[0] = 0,
        }
    }

    /// What is alive has what it must have; what has died since the last time is dead.
    pub(super) fn look(&mut self, desk: &mut Desk) {
        for token in &mut self.alive {
            let reply = desk.insist("POST", "auth/token/lookup-accessor", Some(&json!({"accessor": token.accessor})));
            if reply.status == 200 {
                let left = reply.json()["data"]["num_uses"].as_u64().unwrap();
                assert!((token.left[0]..=token.left[1]).contains(&left), "{left} uses are left: {:?}", token.left);
                token.left = [left, left];
            } else {
                assert_eq!(token.left[0], 0, "a token that is good is not there: {:?} {reply:?}", token.left);
                token.left[1] = 0;
            }
        }
        let gone: Vec<Token> = self.alive.extract_if(.., |token| token.left[1] == 0).collect();
        self.dead.extend(gone);
        for token in &self.dead[self.looked..] {
            for (path, body) in
                [("lookup", json!({"token": token.text})), ("lookup-accessor", json!({"accessor": token.accessor}))]
            {
                let reply = desk.insist("POST", &format!("auth/token/{path}"), Some(&body));
                assert!(matches!(reply.status, 400 | 403), "a token has come back: {token:?} {reply:?}");
            }
        }
        self.looked = self.dead.len();
    }

    pub(super) fn look_at_all(&mut self, desk: &mut Desk) {
        self.looked = 0;
        self.look(desk);
    }
}
