//! A client's line to one server that may die or hang at any moment: what is heard, and what that says of the request.

use serde_json::Value;

use super::client::{Client, Reply, Session};

/// What came of a request.
#[derive(Debug)]
pub(crate) enum Heard {
    /// It was answered.
    Answer(Reply),
    /// It was not done, and never will be: it was not sent, or the server says so.
    Undone,
    /// Nobody said: it may have been done, or may still be.
    Nothing,
}

/// One client of one server; its connection is made again when it was lost.
pub(crate) struct Line {
    client: Client,
    session: Option<Session>,
}

impl Line {
    /// `client` must have no token: each request brings its own.
    pub(crate) fn new(client: Client) -> Self {
        Self { client, session: None }
    }

    /// Asks with a token, and wants to know where the event stands.
    pub(crate) fn ask(&mut self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Heard {
        let Ok(mut session) = self.session.take().map_or_else(|| self.client.session(), Ok) else { return Heard::Undone };
        let body = body.map(Value::to_string).unwrap_or_default();
        let headers = [("X-Vault-Token", token), ("X-Strongroom-Receipt", "1")];
        let Ok(reply) = session.send(method, &format!("/v1/{path}"), &headers, body.as_bytes()) else { return Heard::Nothing };
        self.session = Some(session);
        match reply.status {
            503 => {
                let says = |text: &str| reply.errors().iter().any(|error| error.contains(text));
                if says("nothing was changed") || says("sealed") { Heard::Undone } else { Heard::Nothing }
            }
            500.. => panic!("{method} {path}: {reply:?}"),
            _ => Heard::Answer(reply),
        }
    }
}
