//! One scenario with one fault, and the loop over all of them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use strongroom::storage::Store;
use strongroom::sys::erasure::ErasureSettings;

use super::fault::{Fault, Mode};
use crate::support::between::Guarded;
use crate::support::in_process::{Ask, InProcess, Quiet, chained, guard};
use crate::support::say;

/// Calls of a group that holds heads: whoever else needs them waits.
const HOLDING: [&str; 3] = ["record of a group", "names of a group", "commit"];

/// What a client was told.
pub(super) enum Told {
    /// An answer that says what was done.
    Answer(u16, Value),
    /// The server could not, and says that nothing was done.
    Undone,
    /// The server could not say.
    Unknown,
    /// Nothing: it has given up.
    Nothing,
}

impl Told {
    /// The answer's body, if it has this status.
    pub(super) fn with(&self, status: u16) -> Option<&Value> {
        match self {
            Self::Answer(found, body) if *found == status => Some(body),
            _ => None,
        }
    }

    /// Nothing but this status was answered.
    pub(super) fn only(&self, status: u16) -> &Self {
        if let Self::Answer(found, body) = self {
            assert_eq!(*found, status, "{body}");
        }
        self
    }

    pub(super) fn is_answered(&self) -> bool {
        matches!(self, Self::Answer(..))
    }

    pub(super) fn is_undone(&self) -> bool {
        matches!(self, Self::Undone)
    }
}

/// A scenario with one call of the store that is struck.
pub(super) struct Play<'a> {
    /// Unlike that of every other play.
    pub(super) name: String,
    server: Quiet,
    fault: Arc<Fault>,
    number: u64,
    /// Another server on the same store, which nothing strikes.
    other: &'a Quiet,
}

impl Play<'_> {
    /// From now on calls are counted.
    pub(super) fn begin(&self) {
        self.fault.arm(self.number);
    }

    /// Asks the server whose store is struck; a client that waits for a call that hangs gives up.
    pub(super) async fn act(&self, ask: Ask<'_>) -> Told {
        let what = format!("{} {}", ask.method, ask.path);
        if self.fault.struck().is_some() {
            // Struck already: nothing hangs any more.
            self.fault.over();
        }
        let told = tokio::select! {
            (status, body) = self.server.ask(ask) => Told::Answer(status, body),
            () = self.fault.hangs() => Told::Nothing,
        };
        if let (Told::Nothing, Some(call)) = (&told, self.fault.struck())
            && !HOLDING.contains(&call)
        {
            let (status, body) = self.other.look("", "sys/mounts").await;
            assert_eq!(status, 200, "{}: others wait for {call}: {body}", self.name);
        }
        if self.fault.struck().is_some() {
            self.fault.over();
        }
        match told {
            Told::Answer(503, body) if body.to_string().contains("nothing was changed") => Told::Undone,
            Told::Answer(503, _) => Told::Unknown,
            Told::Answer(status, body) if status >= 500 => panic!("{}: {what}: {status} {body}", self.name),
            told => told,
        }
    }

    /// Nothing is struck any more.
    pub(super) fn over(&self) {
        self.fault.over();
    }

    /// Asks the server again, that was struck; it must go on.
    pub(super) async fn again(&self, ask: Ask<'_>) -> (u16, Value) {
        let what = format!("{} {}", ask.method, ask.path);
        let (status, body) = self.server.ask(ask).await;
        assert!(status < 500, "{}: {what}: {status} {body}", self.name);
        (status, body)
    }

    /// Has something done through the other server.
    pub(super) async fn prepare(&self, status: u16, ask: Ask<'_>) -> Value {
        let what = format!("{} {}", ask.method, ask.path);
        let (found, body) = self.other.ask(ask).await;
        assert_eq!(found, status, "{}: {what}: {body}", self.name);
        body
    }

    /// What both servers say of something: the one that was struck knows what is stored.
    pub(super) async fn shown<'b>(&self, ask: impl Fn() -> Ask<'b>) -> (u16, Value) {
        let (status, mut body) = self.again(ask()).await;
        // Strangers are answered 429 when they are too many.
        let (other_status, other) = loop {
            match self.other.ask(ask()).await {
                (429, _) => tokio::time::sleep(Duration::from_millis(100)).await,
                answer => break answer,
            }
        };
        assert_eq!((status, &body["data"]), (other_status, &other["data"]), "{}: {}", self.name, ask().path);
        (status, body["data"].take())
    }

    /// How many events the log has of requests of this path that ended with this status.
    pub(super) async fn events(&self, path: &str, operation: &str, status: u16) -> usize {
        let query = format!("sys/audit-log?path={path}&operation={operation}&limit=1000");
        let page = self.prepare(200, Ask::root("GET", &query, None)).await;
        let events = page["data"]["events"].as_array().unwrap();
        events.iter().filter(|event| event["event"]["status"] == status).count()
    }
}

/// Plays a scenario again and again, with the first call of the store struck, with the second, and so on, until there is none left; in
/// every mode.
pub(super) async fn every_call(store: &Arc<dyn Store>, scenario: impl AsyncFn(&Play<'_>)) {
    let first = InProcess::new(store, guard(&["main"]), ErasureSettings::default());
    first.initialise(0, 0).await;
    let kv = json!({"type": "kv", "options": {"version": "2"}});
    first.expect(204, ("POST", "", "sys/mounts/secret"), Some(kv)).await;
    first.end().await;
    let other = Quiet::new(store, &["main"]).await;
    for mode in [Mode::Fails, Mode::LosesAnswer, Mode::Outage, Mode::Hangs] {
        let mut number = 1;
        loop {
            // A server that knows nothing yet: what it reads is read from the store.
            let fault = Arc::new(Fault::new(mode));
            let guarded: Arc<dyn Store> = Arc::new(Guarded { inner: Arc::clone(store), between: Arc::clone(&fault) });
            let server = Quiet::new(&guarded, &["main"]).await;
            let name = format!("{mode:?}-{number}").to_lowercase();
            let play = Play { name, server, fault, number, other: &other };
            scenario(&play).await;
            let struck = play.fault.struck();
            play.server.end().await;
            if struck.is_none() {
                break;
            }
            number += 1;
        }
        // Looking for a token, a mount and a record, beginning a group, ending it.
        assert!(number > 5, "{mode:?}: only {number} calls: is anything done at all?");
        say(&format!("{mode:?}: {} calls", number - 1));
    }
    other.end().await;
    chained(&**store, store.deployment().await.unwrap().unwrap().root).await;
}
