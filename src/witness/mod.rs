//! A witness of logs: it cosigns a checkpoint when the tree extends all that it cosigned of that log before, and remembers that
//! before it answers. `strongroom witness` is one; it knows no tenant, no store and no server of ours, and cosigns any log that
//! speaks C2SP's tlog-witness.
//!
//! What it remembers is a file of its own (`state.rs`), which must not be lost: a witness that has forgotten cosigns what it had
//! refused. Sizes count leaves.

mod state;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::audit::cosignature::WitnessKey;
use crate::audit::note::{LogKey, NoteError};
use crate::audit::witnessing::{Rejection, Submission, nothing};
use crate::crypto::{SigningError, SigningKey};
use crate::time::Clock;
use state::State;

/// Why a witness does not start.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// What it remembers cannot be read or written.
    #[error("state file {0}: {1}")]
    State(PathBuf, String),
    /// What it is called.
    #[error("a witness needs a name without spaces and plus signs, like witness.example.com/w1")]
    Name,
    /// Its key.
    #[error("the witness's key: {0}")]
    Key(#[from] SigningError),
}

/// What it answers: an HTTP status, the type of the content, and the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

/// A running witness.
pub struct Witness {
    name: WitnessKey,
    key: SigningKey,
    /// Keys that may sign for each origin.
    logs: BTreeMap<String, Vec<LogKey>>,
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
}

/// What it is made of.
pub struct Settings<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Its private key.
    pub key: SigningKey,
    /// Logs by origin, each with a key that may sign for it.
    pub logs: Vec<(String, LogKey)>,
    /// Where it remembers what it cosigned.
    pub state_file: &'a Path,
    /// There is no such file yet.
    pub first_start: bool,
}

impl Witness {
    /// Reads what it cosigned before.
    ///
    /// # Errors
    /// The file is not there and this is not the first start, or the other way round; or it is not what this witness wrote.
    pub fn open(settings: Settings<'_>, clock: Arc<dyn Clock>) -> Result<Self, WitnessError> {
        let Settings { name, key, logs: declared, state_file, first_start } = settings;
        let name = WitnessKey::of(name, &key)?.ok_or(WitnessError::Name)?;
        let mut logs: BTreeMap<String, Vec<LogKey>> = BTreeMap::new();
        for (origin, key) in declared {
            logs.entry(origin).or_default().push(key);
        }
        let state = State::open(state_file, name.name(), first_start)
            .map_err(|reason| WitnessError::State(state_file.to_owned(), reason))?;
        Ok(Self { name, key, logs, state: Mutex::new(state), clock })
    }

    /// Its public key, as others write it down.
    pub fn verifier(&self) -> String {
        self.name.to_string()
    }

    /// Does what `add-checkpoint` asks. It waits for the disk: what was cosigned is remembered when this returns.
    pub fn add_checkpoint(&self, body: &[u8]) -> Reply {
        let Some(asked) = Submission::parse(body) else {
            return plain(400, "the body must be an old size, a consistency proof, an empty line and a checkpoint");
        };
        let Some(keys) = self.logs.get(&asked.head.origin) else { return plain(404, "this witness does not know the log") };
        if !keys.iter().any(|key| key.open(&asked.note).is_ok()) {
            return plain(403, "no key that this witness trusts for the log has signed the checkpoint");
        }
        // Asked, judged and remembered as one: a checkpoint that is overtaken must not take anything back.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let last = state.last(&asked.head.origin).unwrap_or_else(nothing);
        match asked.judge(last) {
            Ok(()) => {}
            Err(Rejection::Backwards) => return plain(400, "the old size is more than the checkpoint's"),
            Err(Rejection::Unproven) => {
                tracing::warn!(
                    origin = asked.head.origin,
                    size = asked.head.size,
                    "a checkpoint does not extend what was cosigned"
                );
                return plain(422, "the proof does not show that the checkpoint extends what was cosigned");
            }
            Err(Rejection::Stale(size) | Rejection::Forked(size)) => {
                return Reply { status: 409, content_type: "text/x.tlog.size", body: format!("{size}\n") };
            }
        }
        let cosigned = match self.cosign(&asked) {
            Ok(line) => line,
            Err(error) => {
                tracing::error!(%error, "a checkpoint was not cosigned");
                return plain(500, "the checkpoint was not cosigned");
            }
        };
        let now = (asked.head.size, asked.head.root);
        if state.last(&asked.head.origin) != Some(now)
            && let Err(error) = state.remember(&asked.head.origin, now)
        {
            tracing::error!(%error, "what is to be cosigned cannot be remembered");
            return plain(500, "what is to be cosigned cannot be remembered: try again later");
        }
        Reply { status: 200, content_type: TEXT, body: cosigned }
    }

    fn cosign(&self, asked: &Submission) -> Result<String, NoteError> {
        let seconds = u64::try_from(self.clock.now().unix_seconds()).unwrap_or(0);
        self.name.cosign(&asked.note, &self.key, seconds)
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

fn plain(status: u16, text: &str) -> Reply {
    Reply { status, content_type: TEXT, body: format!("{text}\n") }
}
