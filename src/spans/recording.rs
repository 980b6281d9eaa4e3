//! What is recorded of one request.

use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::context::{Parent, Sampler};
use super::{QUEUE_MAX, STEPS_MAX};
use crate::id::TenantId;
use crate::metrics::{self, Traces};
use crate::random;
use crate::time::Timestamp;

/// A part of a request that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Finding the tenant and who asks.
    Authenticate,
    /// Asking policy.
    Authorise,
    /// What the engine does: reads, and what is to be written.
    Operation,
    /// From the queue to the durable audit event.
    Commit,
    /// The transaction of the store that it was committed in, with others.
    Store,
}

impl Step {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticate",
            Self::Authorise => "authorise",
            Self::Operation => "operation",
            Self::Commit => "commit",
            Self::Store => "store",
        }
    }
}

/// Decides which requests are traced, and takes what was recorded of them.
pub struct Tracer {
    sampler: Sampler,
    queue: SyncSender<Finished>,
}

impl Tracer {
    /// A tracer, and where what it records comes out.
    pub(super) fn new(sampler: Sampler) -> (Self, std::sync::mpsc::Receiver<Finished>) {
        let (queue, waiting) = std::sync::mpsc::sync_channel(QUEUE_MAX);
        (Self { sampler, queue }, waiting)
    }

    /// A request begins; `None` when it is not traced. `parent` is what the caller's `traceparent` says.
    pub fn begin(self: &Arc<Self>, parent: Option<Parent>, method: &str, encrypted: bool, now: Timestamp) -> Option<Traced> {
        let trace = parent.map_or_else(random::frequent, |parent| parent.trace);
        if !self.sampler.takes(&trace, parent.as_ref()) {
            return None;
        }
        let root = random::frequent();
        let taken = Taken { steps: Vec::with_capacity(8), above: root, facts: Facts::default() };
        let recording = Recording {
            trace,
            root,
            parent: parent.map(|parent| parent.span),
            began: (now, Instant::now()),
            taken: Mutex::new(taken),
        };
        let request = Ended { method: known(method), encrypted, status: None, id: None };
        Some(Traced { tracer: Arc::clone(self), recording: Arc::new(recording), request })
    }

    fn send(&self, finished: Finished) {
        // A collector that hangs costs traces, and no request its time.
        match self.queue.try_send(finished) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => metrics::traces(Traces::Dropped, 1),
        }
    }
}

/// Methods of HTTP and of Vault's clients; others are one.
fn known(method: &str) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "LIST", "PATCH", "SCAN", "HEAD", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("_OTHER")
}

/// A traced request. It ends with its answer, or when this is dropped: then nobody waited for one.
pub struct Traced {
    tracer: Arc<Tracer>,
    recording: Arc<Recording>,
    request: Ended,
}

impl Traced {
    /// What takes the steps.
    pub fn recording(&self) -> &Arc<Recording> {
        &self.recording
    }

    /// The answer is there. `id` is the request's, as in the audit log.
    pub fn answered(mut self, status: u16, id: Arc<str>) {
        (self.request.status, self.request.id) = (Some(status), Some(id));
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let recording = &self.recording;
        let end = recording.nanoseconds(Instant::now());
        let mut taken = recording.taken();
        let finished = Finished {
            trace: recording.trace,
            root: recording.root,
            parent: recording.parent,
            times: (recording.nanoseconds(recording.began.1), end),
            request: std::mem::take(&mut self.request),
            facts: std::mem::take(&mut taken.facts),
            steps: std::mem::take(&mut taken.steps),
        };
        drop(taken);
        self.tracer.send(finished);
    }
}

/// What is recorded of a request while it goes on.
pub struct Recording {
    trace: [u8; 16],
    root: [u8; 8],
    /// The caller's span.
    parent: Option<[u8; 8]>,
    /// The same moment on two clocks.
    began: (Timestamp, Instant),
    taken: Mutex<Taken>,
}

struct Taken {
    steps: Vec<Done>,
    /// The span that a step which begins now is a part of.
    above: [u8; 8],
    facts: Facts,
}

impl Recording {
    /// A step begins; it ends with the value.
    pub fn begin(self: &Arc<Self>, step: Step) -> Underway {
        let id = random::frequent();
        let mut taken = self.taken();
        let above = taken.above;
        if step == Step::Commit {
            // What follows is a part of it: the store's transaction, and being decided again.
            taken.above = id;
        }
        drop(taken);
        Underway { recording: Arc::clone(self), step, id, above, since: Instant::now() }
    }

    /// The request was committed in a transaction that began at `since`, with `requests` in all.
    pub fn stored(&self, since: Instant, requests: usize) {
        let until = Instant::now();
        let above = self.taken().above;
        self.done(Step::Store, random::frequent(), above, (since, until), Some(requests));
    }

    /// What was found out about the request.
    pub fn found(&self, facts: Facts) {
        self.taken().facts = facts;
    }

    fn done(&self, step: Step, id: [u8; 8], above: [u8; 8], (since, until): (Instant, Instant), requests: Option<usize>) {
        let times = (self.nanoseconds(since), self.nanoseconds(until));
        let mut taken = self.taken();
        if taken.steps.len() < STEPS_MAX {
            taken.steps.push(Done { step, id, above, times, requests });
        }
    }

    fn nanoseconds(&self, moment: Instant) -> u64 {
        let (time, instant) = self.began;
        u64::try_from(time.plus(moment.saturating_duration_since(instant)).0).unwrap_or(0)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A step that goes on; dropping it ends it.
pub struct Underway {
    recording: Arc<Recording>,
    step: Step,
    id: [u8; 8],
    above: [u8; 8],
    since: Instant,
}

impl Drop for Underway {
    fn drop(&mut self) {
        if self.step == Step::Commit {
            self.recording.taken().above = self.above;
        }
        self.recording.done(self.step, self.id, self.above, (self.since, Instant::now()), None);
    }
}

/// What the pipeline found out about a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The tenant; of a caller who was verified only.
    pub tenant: Option<TenantId>,
    /// The kind of engine: `kv`, `transit`.
    pub mount_type: Option<&'static str>,
    /// The verb: `read`, `write`.
    pub operation: Option<&'static str>,
}

/// How a request ended.
#[derive(Default)]
pub(super) struct Ended {
    pub(super) method: &'static str,
    pub(super) encrypted: bool,
    /// None when nobody waited for the answer.
    pub(super) status: Option<u16>,
    pub(super) id: Option<Arc<str>>,
}

/// A step that is over.
pub(super) struct Done {
    pub(super) step: Step,
    pub(super) id: [u8; 8],
    pub(super) above: [u8; 8],
    /// Begin and end.
    pub(super) times: (u64, u64),
    /// Of the store's transaction: for how many requests.
    pub(super) requests: Option<usize>,
}

/// All that was recorded of a request.
pub(super) struct Finished {
    pub(super) trace: [u8; 16],
    pub(super) root: [u8; 8],
    pub(super) parent: Option<[u8; 8]>,
    /// Begin and end.
    pub(super) times: (u64, u64),
    pub(super) request: Ended,
    pub(super) facts: Facts,
    pub(super) steps: Vec<Done>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);

    fn tracer(name: &str) -> (Arc<Tracer>, std::sync::mpsc::Receiver<Finished>) {
        let (tracer, waiting) = Tracer::new(Sampler::named(name, None).unwrap());
        (Arc::new(tracer), waiting)
    }

    #[test]
    fn steps_stand_below_their_request_and_what_is_committed_below_the_commit() {
        let (tracer, waiting) = tracer("always_on");
        let parent = Parent { trace: [1; 16], span: [2; 8], sampled: false };
        let request = tracer.begin(Some(parent), "POST", true, NOW).unwrap();
        let recording = Arc::clone(request.recording());
        drop(recording.begin(Step::Authenticate));
        let commit = recording.begin(Step::Commit);
        drop(recording.begin(Step::Operation));
        recording.stored(Instant::now(), 3);
        drop(commit);
        drop(recording.begin(Step::Authorise));
        request.answered(204, "id".into());

        let done = waiting.try_recv().unwrap();
        assert_eq!((done.trace, done.parent), ([1; 16], Some([2; 8])));
        assert_eq!((done.request.status, done.request.id.as_deref()), (Some(204), Some("id")));
        let steps: Vec<_> = done.steps.iter().map(|step| step.step).collect();
        assert_eq!(steps, [Step::Authenticate, Step::Operation, Step::Store, Step::Commit, Step::Authorise]);
        let commit = done.steps[3].id;
        let above: Vec<_> = done.steps.iter().map(|step| step.above).collect();
        assert_eq!(above, [done.root, commit, commit, done.root, done.root]);
        assert_eq!(done.steps[2].requests, Some(3));
        for (begin, end) in done.steps.iter().map(|step| step.times) {
            assert!(done.times.0 <= begin && begin <= end && end <= done.times.1, "outside of its request");
        }
        assert_eq!(done.times.0, 1_700_000_000_000_000_000);
    }

    #[test]
    fn a_request_that_nobody_waited_for_ends_without_a_status_and_takes_no_more_steps_than_it_may() {
        let (tracer, waiting) = tracer("parentbased_always_on");
        let request = tracer.begin(None, "x-secret-method", false, NOW).unwrap();
        for _ in 0..=STEPS_MAX {
            drop(request.recording().begin(Step::Operation));
        }
        drop(request);
        let done = waiting.try_recv().unwrap();
        assert_eq!((done.request.status, done.request.method), (None, "_OTHER"));
        assert_eq!(done.steps.len(), STEPS_MAX);
    }

    #[test]
    fn what_is_not_sampled_is_not_recorded() {
        let unsampled = Parent { trace: [1; 16], span: [2; 8], sampled: false };
        assert!(tracer("always_off").0.begin(None, "GET", true, NOW).is_none());
        assert!(tracer("parentbased_always_on").0.begin(Some(unsampled), "GET", true, NOW).is_none());
    }

    #[test]
    fn a_full_queue_drops_what_comes_and_holds_up_nobody() {
        let (tracer, waiting) = tracer("always_on");
        for _ in 0..QUEUE_MAX + 10 {
            drop(tracer.begin(None, "GET", true, NOW));
        }
        assert_eq!(waiting.try_iter().count(), QUEUE_MAX);
    }
}
