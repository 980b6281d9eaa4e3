//! THE pipeline. Every request that touches a tenant goes through [`handle`], forward, once:
//!
//! 1. bytes become a [`Route`]: canonical path, verb, limits;
//! 2. the route's tenant is found and the caller authenticated: nobody acts before that;
//! 3. the rate limit that holds for it is not used up, and policy grants it, or nothing else is said about it;
//! 4. the body becomes a typed operation of the engine that is mounted there;
//! 5. the operation runs: it reads, and collects what it changes; its answer is put away, if that was asked for;
//! 6. changes and the audit event become durable together, and only then is there an answer.
//!
//! Steps 2 to 5 are one [`Attempt`]: when something that they read has changed before step 6, they run again.

mod authority;
mod chain;
mod dispatch;
mod event;
mod gate;
mod outsiders;
mod pace;
mod rate;
mod route;
mod tokenless;
mod wrapping;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;

use crate::answer::{Answer, Refusal};
use crate::audit::receipt::Receipt;
use crate::auth::effort::Effort;
use crate::auth::signed::Issuers;
use crate::commit::{Attempt, Committer, Tenant, Txn};
use crate::engine::table::Need;
use crate::fields::Fields;
use crate::metrics;
use crate::spans::{self, Recording, Underway};
use crate::sys::audit_log;
use crate::sys::auditing;
use crate::sys::barrier::Step;
use crate::sys::process;

pub use rate::Rate;
pub use route::{Body, Credential, Headers, Incoming, NoHeaders, Route};

use dispatch::{Called, Location, Target};
use event::Trace;
use gate::Gate;
use outsiders::{Admission, Outsiders};
use pace::Pace;

/// What came out of a request, and what the server has to do about it besides answering.
pub struct Outcome {
    /// The answer.
    pub answer: Result<Answer, Refusal>,
    /// What was asked of the process itself, when the request for it is in the log.
    pub errand: Option<Errand>,
    /// Where the request's event stands in the log, if that was asked for and it has one.
    pub receipt: Option<Receipt>,
    /// How it stands to the rate limit that holds for it, if one does.
    pub rate: Option<Rate>,
}

/// What only the process can do, and not a tenant's transaction: after the commit.
pub enum Errand {
    /// Seal the server.
    Seal,
    /// Tell about its seals: that is the answer.
    Seals,
    /// Tell about the process, or change something of it: that is the answer.
    Process(process::Operation),
    /// Read the audit log: that is the answer.
    AuditLog(audit_log::Reading),
    /// Take a step of a ceremony, whose outcome is the answer.
    Ceremony(Step),
}

/// What all requests to a server share.
pub struct Shared {
    /// Callers without a verified credential.
    outsiders: Outsiders,
    /// Who signs tokens that are logged in with.
    issuers: Issuers,
    /// Requests of one namespace beside those of others.
    gate: Arc<Gate>,
    /// Requests past a rate.
    pace: Pace,
}

impl Shared {
    /// Nobody has asked for anything yet.
    pub fn new(issuers: Issuers) -> Self {
        Self { outsiders: Outsiders::default(), issuers, gate: Arc::default(), pace: Pace::default() }
    }
}

/// Handles one request.
pub async fn handle(committer: &Committer, shared: &Arc<Shared>, incoming: Incoming) -> Outcome {
    let route = Route::parse(&incoming);
    let permit = match &route {
        Ok(route) => Some(shared.gate.enter(route).await),
        Err(_) => None,
    };
    let call = Arc::new(Call {
        receipt: incoming.receipt.then(OnceLock::new),
        incoming,
        route,
        shared: Arc::clone(shared),
        errand: Mutex::default(),
        admission: OnceLock::new(),
        rate: OnceLock::new(),
        effort: Effort::default(),
    });
    let answer = committer.run(Arc::clone(&call) as Arc<dyn Attempt>).await;
    drop(permit);
    if call.is_past_a_rate() {
        shared.pace.refuse().await;
    }
    let errand = call.errand.lock().unwrap_or_else(PoisonError::into_inner).take();
    let receipt = call.receipt.as_ref().and_then(OnceLock::get).cloned();
    let rate = call.rate.get().cloned().flatten();
    Outcome { errand: errand.filter(|_| answer.is_ok()), answer, receipt, rate }
}

/// A request that is being handled: everything here is fixed, so that an attempt can be repeated.
struct Call {
    incoming: Incoming,
    route: Result<Route, Refusal>,
    shared: Arc<Shared>,
    errand: Mutex<Option<Errand>>,
    /// Filled in once the event is durable, if the client wants to know where it stands.
    receipt: Option<OnceLock<Receipt>>,
    /// Slow work that is not repeated with the attempt.
    effort: Effort,
    /// How a stranger's request is logged.
    admission: OnceLock<Admission>,
    /// What was taken of the rate limit that holds for it.
    rate: OnceLock<Option<Rate>>,
}

fn over_rate() -> Refusal {
    Refusal::TooMany("too many requests without a valid token; slow down".into())
}

#[async_trait]
impl Attempt for Call {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let mut trace = Trace::default();
        let outcome = self.decide(txn, &mut trace).await;
        self.effort.first_attempt_is_over();
        if let Some(spans) = &self.incoming.spans {
            spans.found(trace.facts(self.route.as_ref().ok()));
        }
        if matches!(outcome, Err(Refusal::Unavailable(_) | Refusal::Sealed)) {
            // What was needed to decide is away, and so is the log: nothing happened, and the client is told so.
            return outcome;
        }
        if self.rate.get().is_some_and(|rate| rate.as_ref().is_some_and(Rate::leaves_no_event)) {
            return outcome;
        }
        match &trace.tenant {
            Some(tenant) => self.conclude(txn, &trace, tenant, outcome),
            None => self.conclude_for_outsider(txn, trace, outcome),
        }
    }

    fn receipt(&self) -> Option<&OnceLock<Receipt>> {
        self.receipt.as_ref()
    }

    fn spans(&self) -> Option<&Arc<Recording>> {
        self.incoming.spans.as_ref()
    }
}

impl Call {
    fn conclude(
        &self,
        txn: &mut Txn,
        trace: &Trace,
        tenant: &Arc<Tenant>,
        outcome: Result<Answer, Refusal>,
    ) -> Result<Answer, Refusal> {
        let events = trace.events(&self.incoming, self.route.as_ref().ok(), tenant.id(), txn, &outcome);
        txn.conclude_all(tenant, &events, outcome.is_err());
        outcome
    }

    /// Refused for that alone.
    fn is_past_a_rate(&self) -> bool {
        let limited = self.rate.get().and_then(Option::as_ref).is_some_and(|rate| rate.taken.refused.is_some());
        limited || self.admission.get().is_some_and(|admission| *admission != Admission::Logged)
    }

    /// Nobody was verified: the event goes to the edge log, up to a rate.
    fn conclude_for_outsider(
        &self,
        txn: &mut Txn,
        mut trace: Trace,
        outcome: Result<Answer, Refusal>,
    ) -> Result<Answer, Refusal> {
        let edge = txn.tenants().edge();
        // They are the tenant's, and so is the key of their hashes.
        trace.headers.clear();
        let admit = || self.shared.outsiders.admit(self.incoming.remote.ip(), txn.now());
        // Counted once, however often it is decided.
        match self.admission.get_or_init(admit) {
            Admission::Logged => self.conclude(txn, &trace, &edge, outcome),
            Admission::FirstOverRate => {
                metrics::stranger_refused();
                trace.detail = Some("further requests of this source in this second are answered 429 and not logged");
                self.conclude(txn, &trace, &edge, Err(over_rate()))
            }
            Admission::OverRate => {
                metrics::stranger_refused();
                // What was counted against somebody counts.
                if txn.has_guards() { self.conclude(txn, &trace, &edge, Err(over_rate())) } else { Err(over_rate()) }
            }
        }
    }
}

impl Call {
    async fn decide(&self, txn: &mut Txn, trace: &mut Trace) -> Result<Answer, Refusal> {
        let route = self.route.as_ref().map_err(Refusal::clone)?;

        let content_type = self.incoming.content_type.as_deref();
        let fields = Fields::parse(self.incoming.body.bytes(), content_type);
        let (sent, origin) = (&self.incoming.credential, self.incoming.origin());
        let step = self.step(spans::Step::Authenticate);
        let mut asked = match wrapping::offered(route, sent, fields.as_ref().ok()) {
            Some(offered) => chain::resolve(txn, route, (&offered, &origin)).await?.of_offered(),
            None => chain::resolve(txn, route, (sent, &origin)).await?,
        };
        trace.asked(&asked);
        trace.headers = self.recorded(&asked.tenant, txn).await?;
        let location = Location::find(txn, &asked).await?;
        let target = Target::find(&location, route.verb);
        trace.mount_type = location.mount_type();
        self.within_rate(&asked, &location, txn).await?;
        if let Some(caller) = self.by_certificate(&asked, &target, &origin, txn).await? {
            asked.caller = Some(caller);
            trace.asked(&asked);
        }
        drop(step);

        let (effort, issuers, passcodes) = (&self.effort, &self.shared.issuers, &*self.incoming.passcodes);
        let call =
            Called { asked: &asked, location: &location, target: &target, route, origin: &origin, effort, issuers, passcodes };
        if route.help {
            return call.help();
        }
        self.refuse_haste(&call, txn)?;
        let step = self.step(spans::Step::Authorise);
        let permit = call.authorise(txn, fields.as_ref().ok()).await?;
        drop(step);
        call.refuse_locked()?;

        let fields = fields?;
        let operation = call.operation(permit, content_type, &fields)?.unless(self.incoming.if_none_match.as_deref());
        if operation.only_wrapped() && route.wrap_ttl.is_none() {
            return Err(Refusal::invalid("endpoint requires response wrapping to be used"));
        }
        let step = self.step(spans::Step::Operation);
        let (answer, errand) = operation.run(&call, txn).await;
        drop(step);
        if matches!(errand, Some(Errand::Ceremony(_) | Errand::Process(_) | Errand::AuditLog(_) | Errand::Seals))
            && route.wrap_ttl.is_some()
        {
            // Its answer is known only after the commit: it would be given in the clear.
            return Err(Refusal::invalid("what the server tells of itself or of its log cannot be wrapped"));
        }
        *self.errand.lock().unwrap_or_else(PoisonError::into_inner) = errand;
        let answer = call.finish(answer?, &fields);
        let answer = call.wrap(answer, txn).await?;
        if let Some(caller) = &txn.notes().login {
            trace.logged_in(&asked.tenant, Arc::clone(caller));
        }
        Ok(answer)
    }

    /// A step of the request, if it is traced.
    fn step(&self, step: spans::Step) -> Option<Underway> {
        self.incoming.spans.as_ref().map(|spans| spans.begin(step))
    }

    /// The headers that the tenant wants in its log.
    async fn recorded(&self, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<BTreeMap<String, Vec<String>>, Refusal> {
        let wanted = auditing::in_force(tenant, txn).await?;
        Ok(wanted
            .map_or_else(BTreeMap::new, |wanted| wanted.recorded(tenant.keyring(), |name| self.incoming.headers.values(name))))
    }

    /// A login costs more than a look at a token: a source of too many strangers is refused before anything is worked out.
    fn refuse_haste(&self, call: &Called<'_>, txn: &Txn) -> Result<(), Refusal> {
        let login = call.target.need() == Need::Login && call.asked.caller.is_none();
        if login && self.shared.outsiders.is_over_rate(self.incoming.remote.ip(), txn.now()) {
            return Err(over_rate());
        }
        Ok(())
    }
}
