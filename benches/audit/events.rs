//! Events as a busy namespace has them: reads for the most part, by some hundred callers, of some ten thousand secrets.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use strongroom::answer::{Answer, Refusal};
use strongroom::audit::event::{Caller, Event, Word};
use strongroom::commit::{Attempt, Txn};
use strongroom::id::TenantId;
use strongroom::random;

/// Secrets that are used all the time.
const SECRETS: u64 = 10_000;
const CALLERS: u64 = 400;
/// One event in so many is of a secret that is hardly ever used.
const RARE_EVERY: u64 = 500_000;

/// A path that each ten thousandth event is about.
pub(crate) const COMMON_PATH: &str = "secret/data/team-7/service-17/database";
/// A path that a few events are about.
pub(crate) const RARE_PATH: &str = "secret/data/team-7/break-glass";

/// Makes events, each another one.
pub(crate) struct Source {
    callers: Vec<Arc<Caller>>,
    paths: Vec<Arc<str>>,
    rare: Arc<str>,
}

impl Source {
    pub(crate) fn new() -> Arc<Self> {
        let callers = (0..CALLERS).map(|at| Arc::new(caller(at))).collect();
        let path = |at| format!("secret/data/team-{}/service-{at}/database", at % 10);
        let paths = (0..SECRETS).map(|at| path(at).into()).collect();
        Arc::new(Self { callers, paths, rare: RARE_PATH.into() })
    }

    /// The event of this number, decided now.
    pub(crate) fn event(&self, number: u64, txn: &Txn) -> Event {
        let drawn = mixed(number);
        let pick = |among: usize, shift: u32| usize::try_from(drawn >> shift).unwrap_or(0) % among;
        let path =
            if number.is_multiple_of(RARE_EVERY) { &self.rare } else { self.paths.get(pick(self.paths.len(), 8)).unwrap() };
        let (operation, status, error) = match drawn % 100 {
            0..85 => ("read", 200, None),
            85..97 => ("write", 200, None),
            _ => ("read", 403, Some(Word::new("denied"))),
        };
        let written = operation == "write";
        Event {
            time: txn.now(),
            request: random::uuid().into(),
            tenant: txn.tenants().root().id(),
            caller: Some(Arc::clone(self.callers.get(pick(self.callers.len(), 24)).unwrap())),
            certificate: None,
            operation: Word::new(operation),
            path: Arc::clone(path),
            mount_type: Some(Word::new("kv")),
            read_version: (!written && error.is_none()).then_some(drawn % 7 + 1),
            written_version: written.then_some(drawn % 7 + 1),
            reference: None,
            status,
            error,
            remote: Some(SocketAddr::from((
                [10, 0, 3, u8::try_from(drawn % 200).unwrap()],
                30_000 + u16::try_from(drawn % 20_000).unwrap(),
            ))),
            headers: std::collections::BTreeMap::new(),
            detail: None,
        }
    }
}

/// One request, as far as its event goes.
pub(crate) struct Logged {
    pub(crate) source: Arc<Source>,
    pub(crate) number: u64,
}

#[async_trait]
impl Attempt for Logged {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let tenant = txn.tenants().root();
        let event = self.source.event(self.number, txn);
        txn.conclude(&tenant, &event, false);
        Ok(Answer::Empty)
    }
}

fn caller(at: u64) -> Caller {
    Caller {
        tenant: TenantId([7; 16]),
        accessor: random::uuid().replace('-', ""),
        display_name: format!("approle-service-{at}"),
        policies: vec!["default".to_owned(), format!("service-{}", at % 20)],
        kind: Word::new("service"),
        entity: Some(random::uuid()),
    }
}

/// The finaliser of `SplitMix64`: numbers in a row become numbers without order.
fn mixed(number: u64) -> u64 {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
