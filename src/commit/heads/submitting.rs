//! Has witnesses cosign the log of the deployment: `add-checkpoint` of C2SP's tlog-witness. One tree at a time goes to all of them,
//! so that it is one that all of them have cosigned. A witness that hangs or is away is asked again, less and less often, and holds
//! up neither the others nor requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::faults::store_refusal;
use super::super::lease::Held;
use super::super::tenants::Tenants;
use super::witnesses::{Witness, Witnesses};
use crate::answer::Refusal;
use crate::audit::cosignature::WitnessKey;
use crate::audit::proof::consistency_stretches;
use crate::audit::witnessing::{PROOF_MAX, Submission};
use crate::metrics;
use crate::storage::{Cosignature, DeploymentTree, LeaseName};

/// Between two looks at the log.
const PAUSE: Duration = Duration::from_secs(2);
/// The pause after a witness did not cosign; it doubles up to the longest.
const RETRY: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_mins(2);
/// How long a tree may wait for as many cosignatures as are required before that is said.
const LATE: Duration = Duration::from_mins(1);
/// The longest answer of a witness, in bytes.
const ANSWER_BYTES_MAX: u64 = 16 << 10;
/// How often a witness is asked at once: it may say that it has cosigned another size than was thought.
const ASKED_MAX: usize = 3;

/// Why a witness has not cosigned. Texts are for the operator, and have nothing in them that the witness wrote.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Away(String),
    #[error("it answered {0}")]
    Status(u16),
    #[error("its answer is not a cosignature of the tree by its key")]
    NotCosigned,
    #[error("it says that it has cosigned something else, and not what")]
    Malformed,
    #[error(
        "FORKED: it has cosigned another tree of {0} heads: the store was put back to an older state, or is not the one that was signed"
    )]
    Forked(u64),
    #[error("FORKED: it has cosigned {0} heads, and the store has {1}: the store was put back to an older state")]
    Ahead(u64, u64),
    #[error("FORKED: the tree does not extend the {0} heads that it has cosigned: the store is not the one that was signed")]
    Unproven(u64),
    #[error("the store: {0}")]
    Store(String),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Store(format!("{refusal:?}"))
    }
}

/// What a witness answered.
#[derive(Debug, PartialEq, Eq)]
enum Answered {
    /// With this line.
    Cosigned(String),
    /// That it has cosigned this size.
    Conflict(u64),
}

/// Submits, for one server.
pub struct Submitter {
    tenants: Arc<Tenants>,
    required: usize,
    states: Vec<State>,
    is_late: bool,
}

/// What is known of a witness.
struct State {
    witness: Arc<Witness>,
    /// What it cosigned last, as far as is known.
    cosigned: u64,
    /// Whether that is from the store, or from the witness.
    is_known: bool,
    failures: u32,
    not_before: Instant,
    /// Since when a tree waits for it.
    waiting: Option<Instant>,
}

impl Submitter {
    /// Submits to `witnesses` what `tenants` have signed.
    pub fn new(tenants: Arc<Tenants>, witnesses: &Witnesses) -> Self {
        let state = |witness: &Arc<Witness>| {
            metrics::witness_waits(&witness.name, Duration::ZERO);
            let now = Instant::now();
            State { witness: Arc::clone(witness), cosigned: 0, is_known: false, failures: 0, not_before: now, waiting: None }
        };
        let states = witnesses.all.iter().map(state).collect();
        Self { tenants, required: witnesses.required(), states, is_late: false }
    }

    /// Rounds for ever, where there are witnesses. The server that signs submits, too.
    pub async fn run(mut self) {
        let leases = Arc::clone(self.tenants.leases());
        let mut changes = leases.changes();
        while !self.states.is_empty() {
            if let Some(held) = leases.held(LeaseName::Checkpoint) {
                if let Err(refusal) = self.round(&held).await {
                    tracing::warn!(?refusal, "the log of the deployment was not submitted to witnesses; trying again");
                }
            } else {
                // What they have cosigned by the time that this server submits again is asked of the store then.
                self.is_late = false;
                self.states.iter_mut().for_each(|state| (state.is_known, state.waiting) = (false, None));
            }
            self.tell();
            let _ = tokio::time::timeout(PAUSE, changes.changed()).await;
        }
    }

    /// Submits the newest tree to all witnesses that have not cosigned it, and are not to be left alone for a while.
    async fn round(&mut self, held: &Held) -> Result<(), Refusal> {
        let Some(tree) = self.tenants.deployment_tree(u64::MAX).await? else { return Ok(()) };
        if self.states.iter().any(|state| !state.is_known) {
            let before = self.tenants.newest_cosignatures().await?;
            for state in self.states.iter_mut().filter(|state| !state.is_known) {
                let key = state.witness.key.to_string();
                let last = before.iter().find(|cosignature| cosignature.witness == key);
                (state.cosigned, state.is_known) = (last.map_or(0, |cosignature| cosignature.size), true);
            }
        }
        let (now, tenants) = (Instant::now(), &*self.tenants);
        let due = self.states.iter_mut().filter_map(|state| {
            if state.cosigned == tree.size && state.failures == 0 {
                state.waiting = None;
                return None;
            }
            state.waiting.get_or_insert(now);
            (state.not_before <= now).then(|| state.submit(tenants, &tree, held))
        });
        futures_util::future::join_all(due).await;
        Ok(())
    }

    /// How long trees have waited, for who watches the server.
    fn tell(&mut self) {
        let waited = |state: &State| state.waiting.map_or(Duration::ZERO, |since| since.elapsed());
        self.states.iter().for_each(|state| metrics::witness_waits(&state.witness.name, waited(state)));
        let mut waits: Vec<Duration> = self.states.iter().map(waited).collect();
        waits.sort_unstable();
        let Some(waits) = self.required.checked_sub(1).and_then(|at| waits.get(at)).copied() else { return };
        metrics::unwitnessed(waits);
        let is_late = waits > LATE;
        if is_late && !self.is_late {
            let required = self.required;
            tracing::error!(required, "fewer witnesses than are required have cosigned the log of the deployment");
        } else if self.is_late && !is_late {
            tracing::info!("as many witnesses as are required have cosigned the log of the deployment again");
        }
        self.is_late = is_late;
    }
}

impl State {
    async fn submit(&mut self, tenants: &Tenants, tree: &DeploymentTree, held: &Held) {
        match self.ask(tenants, tree, held).await {
            // Overtaken: the next round has the newer tree.
            Ok(false) => {}
            Ok(true) => {
                if self.failures > 0 {
                    tracing::info!(witness = self.witness.name, "the witness cosigns again");
                }
                (self.failures, self.waiting) = (0, None);
            }
            Err(failure) => {
                self.failures = self.failures.saturating_add(1);
                let pause = RETRY.saturating_mul(1 << self.failures.min(10).saturating_sub(1)).min(RETRY_MAX);
                self.not_before = Instant::now() + pause;
                metrics::witness_failed(&self.witness.name);
                let witness = &self.witness.name;
                if matches!(failure, Failure::Forked(_) | Failure::Ahead(..) | Failure::Unproven(_)) {
                    tracing::error!(%witness, %failure, "the log of the deployment is not cosigned");
                } else {
                    tracing::warn!(%witness, %failure, "the log of the deployment was not cosigned; trying again");
                }
            }
        }
    }

    /// Whether it has cosigned; not, if another server has submitted a newer tree meanwhile.
    async fn ask(&mut self, tenants: &Tenants, tree: &DeploymentTree, held: &Held) -> Result<bool, Failure> {
        let note = String::from_utf8(tree.note.clone()).map_err(|_| Failure::NotCosigned)?;
        let mut asked = self.cosigned.min(tree.size);
        for _ in 0..ASKED_MAX {
            if !held.is_valid() {
                return Ok(false);
            }
            let stretches = consistency_stretches(asked, tree.size).unwrap_or_default();
            let proof = tenants.heads_path(stretches).await?;
            debug_assert!(proof.len() <= PROOF_MAX, "a tree is not that high");
            let body = Submission::body(asked, &proof, &note);
            let witness = Arc::clone(&self.witness);
            let sent = tokio::task::spawn_blocking(move || {
                witness.poster.ask("text/plain; charset=utf-8", body.as_bytes(), ANSWER_BYTES_MAX)
            });
            let (status, answer) =
                sent.await.map_err(|_| Failure::Away("the server is stopping".to_owned()))?.map_err(Failure::Away)?;
            match read(&self.witness.key, &note, asked, (status, &answer))? {
                Answered::Cosigned(line) => {
                    let cosignature = Cosignature { size: tree.size, witness: self.witness.key.to_string(), line };
                    let added = tenants.store().add_cosignature(tenants.root().id(), &cosignature, Some(held.fence())).await;
                    added.map_err(|error| store_refusal(&error))?;
                    self.cosigned = tree.size;
                    return Ok(true);
                }
                Answered::Conflict(size) if size > tree.size => {
                    let newest = tenants.deployment_tree(u64::MAX).await?;
                    let newest = newest.map_or(0, |newest| newest.size);
                    return if size <= newest { Ok(false) } else { Err(Failure::Ahead(size, newest)) };
                }
                Answered::Conflict(size) if size == asked && size == tree.size => return Err(Failure::Forked(size)),
                Answered::Conflict(size) if size == asked => return Err(Failure::Malformed),
                Answered::Conflict(size) => asked = size,
            }
        }
        Err(Failure::Malformed)
    }
}

/// What an answer says. Nothing in it is believed that the witness's key has not signed, but a size, which is worth a question.
fn read(key: &WitnessKey, note: &str, asked: u64, (status, answer): (u16, &[u8])) -> Result<Answered, Failure> {
    let text = std::str::from_utf8(answer).ok();
    match status {
        200 => {
            let line = text.and_then(|text| key.cosignature_in(note, text));
            line.map(Answered::Cosigned).ok_or(Failure::NotCosigned)
        }
        409 => {
            let digits = text.and_then(|text| text.strip_suffix('\n'));
            let size = digits.and_then(|digits| digits.parse().ok().filter(|size: &u64| size.to_string() == digits));
            size.map(Answered::Conflict).ok_or(Failure::Malformed)
        }
        422 => Err(Failure::Unproven(asked)),
        other => Err(Failure::Status(other)),
    }
}

#[cfg(test)]
#[path = "submitting_tests.rs"]
mod tests;
