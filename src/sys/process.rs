//! What a request may ask of the very process that answers it: its configuration without secrets, its machine, the requests
//! that it is answering, the level of its log. In the root namespace only: none of it belongs to a tenant.
//!
//! Such a request goes through the pipeline like all others. What it asks for is done when it is in the log.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::barrier::API_VERSION;
use super::host;
use crate::answer::{Answer, Data, Refusal};
use crate::commit::{Place, Tenants};
use crate::engine::table::{Call, Field, Need, Row, Verb};
use crate::json::Json;
use crate::logging::{LogControl, LogLevel};
use crate::metrics::{self, Now};
use crate::time::Timestamp;

/// The one logger.
const LOGGER: &str = env!("CARGO_PKG_NAME");

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The configuration without secrets.
    Configuration,
    /// Requests that are being answered.
    InFlight,
    /// The servers that live.
    HaStatus,
    /// Where the audit log is copied to.
    Sinks,
    /// What is counted.
    Metrics,
    /// The machine.
    HostInfo,
    /// The level of the log; not of the one logger when false.
    Level(bool),
    /// Another level, until the next start or reset; `None` for the configured one.
    SetLevel(Option<LogLevel>),
}

const LEVEL: &[Field] = &[Field { name: "level", kind: "string", help: "`trace`, `debug`, `info`, `warn` or `error`." }];

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row::new(Verb::Read, "audit", Need::Sudo, &[], "Lists the sinks that the audit log is copied to.", |_| Ok(Operation::Sinks)),
    Row::by_verb(Verb::Read, "config/state/sanitized", &[], "Shows the server's configuration without secrets.", |_| {
        Ok(Operation::Configuration)
    }),
    Row::new(Verb::Read, "in-flight-req", Need::Sudo, &[], "Shows the requests that this server is answering.", |_| {
        Ok(Operation::InFlight)
    }),
    Row::by_verb(Verb::Read, "ha-status", &[], "Shows the servers that are open: all are active, and none leads.", |_| {
        Ok(Operation::HaStatus)
    }),
    Row::new(Verb::Read, "host-info", Need::Sudo, &[], "Shows the machine that this server runs on.", |_| {
        Ok(Operation::HostInfo)
    }),
    Row::by_verb(Verb::Read, "metrics", &[], "Shows what this server counts, in Prometheus' text format.", |call| {
        let format = call.query.value("format").unwrap_or("");
        if ["prometheus", ""].contains(&format) { Ok(Operation::Metrics) } else { Err(Refusal::invalid(UNKNOWN_FORMAT)) }
    }),
    Row::new(Verb::Read, "loggers", Need::Sudo, &[], "Shows the level of this server's log.", |_| Ok(Operation::Level(true))),
    Row::new(
        Verb::Write,
        "loggers",
        Need::Sudo,
        LEVEL,
        "Changes the level of this server's log until it starts again.",
        set_level,
    ),
    Row::new(Verb::Delete, "loggers", Need::Sudo, &[], "Takes the configured level again.", |_| Ok(Operation::SetLevel(None))),
    Row::new(Verb::Read, "loggers/:name", Need::Sudo, &[], "Shows the level of this server's log.", |call| {
        Ok(Operation::Level(call.captures.get(0) == LOGGER))
    }),
    Row::new(Verb::Write, "loggers/:name", Need::Sudo, LEVEL, "Changes the level of this server's log.", |call| {
        known_logger(call)?;
        set_level(call)
    }),
    Row::new(Verb::Delete, "loggers/:name", Need::Sudo, &[], "Takes the configured level again.", |call| {
        known_logger(call)?;
        Ok(Operation::SetLevel(None))
    }),
];

const UNKNOWN_FORMAT: &str = "unknown format of metrics: only \"prometheus\" is offered";

fn known_logger(call: &Call<'_>) -> Result<(), Refusal> {
    let name = call.captures.get(0);
    if name == LOGGER { Ok(()) } else { Err(Refusal::invalid(format!("logger {name:?} not found"))) }
}

fn set_level(call: &Call<'_>) -> Result<Operation, Refusal> {
    let word = call.fields.text("level")?.filter(|word| !word.is_empty());
    let word = word.ok_or_else(|| Refusal::invalid("level is required"))?;
    let found = LogLevel::WORDS.iter().find(|(known, _)| *known == word).map(|(_, level)| *level);
    let level = found.ok_or_else(|| Refusal::invalid(format!("invalid level provided: unknown log level: {word}")))?;
    Ok(Operation::SetLevel(Some(level)))
}

/// Lets the request into the log; [`Process::answer`] does the rest.
pub fn run(operation: Operation, place: &Place) -> Result<Answer, Refusal> {
    super::in_root(place)?;
    Ok(match operation {
        Operation::SetLevel(_) => Answer::Empty,
        _ => Answer::Data(Data::new(None)),
    })
}

/// The process: one for all listeners.
pub struct Process {
    configuration: Json,
    sinks: Json,
    api_addr: String,
    log: Option<LogControl>,
    in_flight: Mutex<BTreeMap<Arc<str>, InFlight>>,
}

struct InFlight {
    since: Timestamp,
    remote: SocketAddr,
    method: String,
    /// Behind `/v1/`.
    path: String,
}

/// A request that is being answered, as long as this lives.
pub struct Underway<'p> {
    process: &'p Process,
    id: Arc<str>,
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.process.in_flight().remove(&self.id);
    }
}

impl Process {
    /// `configuration` and `sinks` are shown as they are: they hold no secret. Without `log` the level cannot be changed.
    pub fn new(configuration: Json, sinks: Json, api_addr: Option<String>, log: Option<LogControl>) -> Self {
        Self { configuration, sinks, api_addr: api_addr.unwrap_or_default(), log, in_flight: Mutex::default() }
    }

    /// What is counted; `tenants` are those whose keys are in memory, none while the server is sealed.
    pub fn metrics(&self, tenants: Option<usize>) -> Result<Answer, Refusal> {
        let (unsealed, tenants) = (tenants.is_some(), tenants.unwrap_or(0));
        let now = Now { unsealed, in_flight: self.in_flight().len(), tenants, usage: host::usage() };
        Ok(Answer::Text { content_type: metrics::CONTENT_TYPE, text: metrics::render(&now)? })
    }

    fn in_flight(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, InFlight>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request has begun; `path` is behind `/v1/`.
    pub fn begin(&self, id: &Arc<str>, since: Timestamp, remote: SocketAddr, method: &str, path: &str) -> Underway<'_> {
        let request = InFlight { since, remote, method: method.to_owned(), path: path.to_owned() };
        self.in_flight().insert(Arc::clone(id), request);
        Underway { process: self, id: Arc::clone(id) }
    }

    /// Does what was asked for, once the request is in the log.
    pub fn answer(&self, operation: Operation, tenants: &Tenants, now: Timestamp) -> Result<Answer, Refusal> {
        match operation {
            Operation::Configuration => Ok(Answer::data(Json::object(|data| {
                data.splice(&self.configuration);
            }))),
            Operation::Sinks => Ok(Answer::doubled(Json::object(|data| {
                data.splice(&self.sinks);
            }))),
            Operation::InFlight => Ok(Answer::Bare { status: 200, body: self.requests() }),
            Operation::HaStatus => Ok(Answer::doubled(self.nodes(tenants))),
            Operation::Metrics => self.metrics(Some(tenants.count())),
            Operation::HostInfo => Ok(Answer::data(host::info(now))),
            Operation::Level(known) => Ok(Answer::data(Json::object(|data| {
                if let Some(log) = self.log.as_ref().filter(|_| known) {
                    data.field(LOGGER, log.level().word());
                }
            }))),
            Operation::SetLevel(level) => {
                let changed = self.log.as_ref().is_some_and(|log| log.override_level(level));
                if changed { Ok(Answer::Empty) } else { Err(Refusal::Internal("this process has no log of its own".into())) }
            }
        }
    }

    fn requests(&self) -> Json {
        Json::object(|all| {
            for (id, request) in self.in_flight().iter() {
                all.object(id, |one| {
                    one.field("start_time", &request.since.rfc3339());
                    one.field("client_remote_address", &request.remote.to_string());
                    one.field("request_path", &format!("/v1/{}", request.path)).field("request_method", &request.method);
                });
            }
        })
    }

    /// This server, and the others that were heard of when it was last heard of itself.
    fn nodes(&self, tenants: &Tenants) -> Json {
        let own = Json::object(|node| {
            node.field("active_node", &true).field("api_address", &self.api_addr).field("cluster_address", "");
            node.field("hostname", &host::name()).null("last_echo").field("version", API_VERSION);
        });
        let mut nodes = vec![own];
        let own = tenants.leases().id();
        nodes.extend(tenants.leases().replicas().into_iter().filter(|replica| replica.id != own).map(|replica| {
            Json::object(|node| {
                node.field("active_node", &true).field("api_address", &replica.api_addr).field("cluster_address", "");
                node.field("hostname", &replica.hostname).field("last_echo", &replica.heard.rfc3339());
                node.field("version", &replica.version);
            })
        }));
        let listed: Vec<&[u8]> = nodes.iter().map(Json::expose).collect();
        Json::object(|data| {
            data.raw("nodes", &[&b"["[..], &listed.join(&b","[..]), b"]"].concat());
        })
    }
}
