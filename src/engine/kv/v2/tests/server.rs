//! A KV mount on a real store: a folder of its own, a real keyring, real commits.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::super::{KvMetadata, TABLE, exists, run};
use crate::answer::{Answer, Refusal};
use crate::audit::event::{Event, Word};
use crate::commit::testing::Deployed;
use crate::commit::{Attempt, Committer, Place, Txn, testing};
use crate::engine::table::{Call, Match, Verb, find};
use crate::fields::{Fields, Query};
use crate::id::{MountId, ObjectId};
use crate::mount::Engine;
use crate::path::Path;
use crate::record::{Address, Kind};
use crate::time::{ManualClock, Timestamp};

pub(super) struct Server {
    committer: Committer,
    pub(super) place: Arc<Place>,
    pub(super) clock: Arc<ManualClock>,
    _deployed: Deployed,
}

struct Request {
    place: Arc<Place>,
    verb: Verb,
    path: Path,
    query: Query,
    body: String,
    /// Instead of running: answer whether policy would be asked for `update`.
    only_exists: bool,
}

#[async_trait]
impl Attempt for Request {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let outcome = self.decide(txn).await;
        conclude(&self.place, txn, outcome.is_err());
        outcome
    }
}

impl Request {
    async fn decide(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let Match::Row(row, captures) = find(TABLE, self.verb, &self.path) else { return Err(Refusal::UnsupportedOperation) };
        let fields = Fields::parse(self.body.as_bytes(), None)?;
        let call = Call { verb: self.verb, path: &self.path, captures, query: &self.query, fields: &fields };
        if self.only_exists {
            let exists = exists(&self.place, &call, txn).await?;
            return Ok(Answer::data(crate::json::Json::value(&exists)));
        }
        run((row.parse)(&call)?, &self.place, txn).await
    }
}

/// Whether there is a record at an address.
struct Probe(Arc<Place>, Address);

#[async_trait]
impl Attempt for Probe {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let found = txn.exists(&self.0.tenant, &self.1).await?;
        conclude(&self.0, txn, false);
        Ok(Answer::data(crate::json::Json::value(&found)))
    }
}

fn conclude(place: &Place, txn: &mut Txn, refused: bool) {
    let event = Event::of_job(txn.now(), place.tenant.id(), Word::new("write"), String::new());
    txn.conclude(&place.tenant, &event, refused);
}

/// An answer as a client sees it: status, and the JSON of `data` (`null` when there is none).
pub(super) type Seen = (u16, Value);

impl Server {
    pub(super) async fn start() -> Self {
        let deployed = Deployed::at(Timestamp(1_795_251_600_000_000_001)).await;
        let tenants = deployed.tenants().await;
        let mount = testing::mount(Engine::Kv2, MountId::random());
        let place = Arc::new(Place { tenant: tenants.root(), mount, path: "secret/".to_owned() });
        Self { committer: Committer::start(tenants).unwrap(), place, clock: Arc::clone(&deployed.clock), _deployed: deployed }
    }

    pub(super) async fn answer(
        &self,
        verb: Verb,
        path: &str,
        query: &str,
        body: &str,
        only_exists: bool,
    ) -> Result<Answer, Refusal> {
        let (place, path) = (Arc::clone(&self.place), Path::new(path).unwrap());
        let request = Request { place, verb, path, query: Query::parse(query).unwrap(), body: body.to_owned(), only_exists };
        self.clock.advance(Duration::from_millis(1));
        self.committer.run(Arc::new(request)).await
    }

    pub(super) async fn call(&self, verb: Verb, path: &str, query: &str, body: &Value) -> Seen {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        seen(self.answer(verb, path, query, &body, false).await)
    }

    pub(super) async fn read(&self, path: &str, query: &str) -> Seen {
        self.call(Verb::Read, path, query, &Value::Null).await
    }

    pub(super) async fn put(&self, path: &str, value: Value) -> Value {
        let (status, data) = self.call(Verb::Write, &format!("data/{path}"), "", &json!({ "data": value })).await;
        assert_eq!(status, 200, "{data}");
        data
    }

    pub(super) async fn there(&self, address: Address) -> bool {
        seen(self.committer.run(Arc::new(Probe(Arc::clone(&self.place), address))).await).1 == json!(true)
    }
}

pub(super) fn seen(answer: Result<Answer, Refusal>) -> Seen {
    match answer {
        Ok(Answer::Empty) => (204, Value::Null),
        Ok(Answer::Data(data)) => {
            let value = data.data.map_or(Value::Null, |json| serde_json::from_slice(json.expose()).unwrap());
            let value = if data.warnings.is_empty() { value } else { json!({ "warnings": data.warnings, "data": value }) };
            (data.status, value)
        }
        Ok(_) => panic!("not an answer of this engine"),
        Err(Refusal::Invalid(text)) => (400, json!(text)),
        Err(Refusal::NotFound | Refusal::MissingSilently) => (404, Value::Null),
        Err(Refusal::UnsupportedOperation) => (405, Value::Null),
        Err(other) => panic!("{other:?}"),
    }
}

/// The object id of a secret, which the names of its values begin with.
pub(super) async fn object_of(server: &Server, path: &str) -> ObjectId {
    struct Ask(Arc<Place>, Address, std::sync::Mutex<Option<ObjectId>>);

    #[async_trait]
    impl Attempt for Ask {
        async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
            let found = txn.read::<KvMetadata>(&self.0.tenant, &self.1).await?.ok_or(Refusal::NotFound)?;
            *self.2.lock().unwrap() = Some(found.object);
            conclude(&self.0, txn, false);
            Ok(Answer::Empty)
        }
    }

    let address = Address::tree(Kind::KvMetadata, server.place.mount.id, path);
    let ask = Arc::new(Ask(Arc::clone(&server.place), address, std::sync::Mutex::new(None)));
    server.committer.run(Arc::clone(&ask) as Arc<dyn Attempt>).await.unwrap();
    let object = *ask.2.lock().unwrap();
    object.unwrap()
}
