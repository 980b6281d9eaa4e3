//! Clients that work on one secret and one token through all replicas, and the verdict on what they were told.

use std::time::Instant;

use serde_json::{Value, json};

use super::recorder::Recorder;
use super::specification::{Secret, SecretAnswer, SecretOperation, Token, TokenAnswer, TokenOperation};
use crate::support::process::PATIENCE;
use crate::support::say;
use crate::support::seed::Seed;

/// Clients of one history, and requests of each.
pub(super) const CLIENTS: usize = 4;
const REQUESTS: usize = 5;
/// How often a token may be used: less often than it is.
const USES: u64 = 4;

/// What a client heard of a request.
pub(super) enum Heard {
    Answer(u16, Value),
    /// It was not done and never will be.
    Undone,
    Nothing,
}

/// One client's way to one replica.
pub(super) trait Replica: Send {
    fn ask(&mut self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Heard;
}

/// Of each client, to each replica.
pub(super) type Lines = Vec<Vec<Box<dyn Replica>>>;

/// How many histories could not be explained.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) histories: usize,
    pub(super) secrets: usize,
    pub(super) tokens: usize,
}

impl Findings {
    pub(super) fn add(&mut self, [secret, token]: &[Result<(), String>; 2]) {
        self.histories += 1;
        self.secrets += usize::from(secret.is_err());
        self.tokens += usize::from(token.is_err());
        if self.secrets + self.tokens == 1 {
            for told in [secret, token].into_iter().filter_map(|checked| checked.as_ref().err()) {
                say(&format!("this history is not linearizable:\n{told}"));
            }
        }
    }
}

/// One secret and one token.
pub(super) struct Stage<'a> {
    root: &'a str,
    path: String,
    token: String,
    secret: Recorder<Secret>,
    uses: Recorder<Token>,
}

impl<'a> Stage<'a> {
    /// Fresh ones; `root` is a token that may do everything.
    pub(super) fn new(lines: &mut Lines, root: &'a str, number: usize) -> Self {
        let body = json!({"policies": ["default"], "num_uses": USES});
        let begun = Instant::now();
        let token = 'made: loop {
            for line in &mut lines[0] {
                if let Heard::Answer(200, made) = line.ask(root, "POST", "auth/token/create", Some(&body)) {
                    break 'made made["auth"]["client_token"].as_str().unwrap().to_owned();
                }
            }
            assert!(begun.elapsed() < PATIENCE, "no replica makes a token");
        };
        let (secret, uses) = (Recorder::new(Secret::default()), Recorder::new(Token { uses_left: USES }));
        Self { root, path: format!("secret/data/h{number}"), token, secret, uses }
    }

    /// Has everybody work at once; whether there is an order that explains what they were told of the secret, and of the token.
    pub(super) fn play(&self, lines: &mut Lines, seed: &Seed) -> [Result<(), String>; 2] {
        std::thread::scope(|scope| {
            for (client, lines) in lines.iter_mut().enumerate() {
                scope.spawn(move || self.work(client, lines, seed.part(client as u64)));
            }
        });
        [self.secret.check(), self.uses.check()]
    }

    fn work(&self, client: usize, lines: &mut [Box<dyn Replica>], mut seed: Seed) {
        let mut version = 0;
        for step in 0..REQUESTS {
            let replica = seed.below(lines.len());
            let line = &mut *lines[replica];
            match seed.below(100) {
                0..=33 => self.write(line, &mut version, (client * 100 + step) as u64),
                34..=61 => self.read(line, &mut version),
                62..=69 => self.delete(line),
                70..=93 => self.use_token(line),
                _ => self.revoke(line),
            }
        }
    }

    fn write(&self, line: &mut dyn Replica, version: &mut u64, value: u64) {
        let request = self.secret.asked(SecretOperation::Write { version: *version, value });
        let body = json!({"options": {"cas": *version}, "data": {"v": value}});
        let answer = match line.ask(self.root, "POST", &self.path, Some(&body)) {
            Heard::Answer(200, body) => {
                *version = body["data"]["version"].as_u64().unwrap();
                SecretAnswer::Written { version: *version }
            }
            Heard::Answer(400, _) => SecretAnswer::Mismatch,
            Heard::Answer(status, body) => panic!("{status} {body}"),
            Heard::Undone => return self.secret.undone(request),
            Heard::Nothing => return,
        };
        self.secret.answered(request, answer);
    }

    fn read(&self, line: &mut dyn Replica, version: &mut u64) {
        let request = self.secret.asked(SecretOperation::Read);
        let heard = line.ask(self.root, "GET", &self.path, None);
        let told = |body: &Value| body["data"]["metadata"]["version"].as_u64().unwrap_or(0);
        let answer = match heard {
            Heard::Answer(200, body) => {
                SecretAnswer::Found { version: told(&body), value: body["data"]["data"]["v"].as_u64().unwrap() }
            }
            Heard::Answer(404, body) => SecretAnswer::Gone { version: told(&body) },
            Heard::Answer(status, body) => panic!("{status} {body}"),
            // Reading changes nothing: whether it was done makes no difference.
            Heard::Undone | Heard::Nothing => return self.secret.undone(request),
        };
        if let SecretAnswer::Found { version: found, .. } | SecretAnswer::Gone { version: found } = answer {
            *version = found;
        }
        self.secret.answered(request, answer);
    }

    fn delete(&self, line: &mut dyn Replica) {
        let request = self.secret.asked(SecretOperation::Delete);
        match line.ask(self.root, "DELETE", &self.path, None) {
            Heard::Answer(204, _) => self.secret.answered(request, SecretAnswer::Deleted),
            Heard::Answer(status, body) => panic!("{status} {body}"),
            Heard::Undone => self.secret.undone(request),
            Heard::Nothing => {}
        }
    }

    fn use_token(&self, line: &mut dyn Replica) {
        let request = self.uses.asked(TokenOperation::Use);
        let answer = match line.ask(&self.token, "GET", "auth/token/lookup-self", None) {
            Heard::Answer(200, body) => TokenAnswer::Used { left: body["data"]["num_uses"].as_u64().unwrap() },
            // Who is no longer known is a stranger: those are answered 429 when there are too many of them.
            Heard::Answer(403 | 429, _) => TokenAnswer::Refused,
            Heard::Answer(status, body) => panic!("{status} {body}"),
            Heard::Undone => return self.uses.undone(request),
            Heard::Nothing => return,
        };
        self.uses.answered(request, answer);
    }

    fn revoke(&self, line: &mut dyn Replica) {
        let request = self.uses.asked(TokenOperation::Revoke);
        match line.ask(self.root, "POST", "auth/token/revoke", Some(&json!({"token": self.token}))) {
            Heard::Answer(204, _) => self.uses.answered(request, TokenAnswer::Revoked),
            Heard::Answer(status, body) => panic!("{status} {body}"),
            Heard::Undone => self.uses.undone(request),
            Heard::Nothing => {}
        }
    }
}
