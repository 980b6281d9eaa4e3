//! From a path in a tenant to the engine that is mounted there, and to its typed operation.

use super::Errand;
use super::authority::Permit;
use super::chain::Resolved;
use super::route::Route;
use crate::answer::{Answer, Refusal};
use crate::auth::effort::Effort;
use crate::auth::login::LoginCall;
use crate::auth::signed::Issuers;
use crate::auth::{Caller, Origin, approle, cert, jwt, kubernetes, token, userpass};
use crate::commit::{Place, Txn};
use crate::engine::table::{self, Call, Captures, Field, Match, Need, Row, Verb};
use crate::engine::{cubbyhole, directory, identity, kv, object, transit};
use crate::fields::Fields;
use crate::mount::Engine;
use crate::path::Path;
use crate::secret::SecretText;
use crate::sys;

/// The mount that answers a path, and what is left of the path below it.
pub(super) struct Location {
    place: Option<Place>,
    rest: Path,
}

impl Location {
    pub(super) async fn find(txn: &mut Txn, asked: &Resolved) -> Result<Self, Refusal> {
        let Some(found) = directory::answering(&asked.tenant, asked.path.as_str(), txn).await? else {
            return Ok(Self { place: None, rest: asked.path.clone() });
        };
        let rest = asked.path.strip_prefix(&found.path).unwrap_or_default();
        Ok(Self { place: Some(Place { tenant: asked.tenant.clone(), mount: found.mount, path: found.path }), rest })
    }

    /// The mount's path in its namespace; empty for none.
    pub(super) fn mount_path(&self) -> &str {
        self.place.as_ref().map_or("", |place| &place.path)
    }

    pub(super) fn mount_type(&self) -> Option<&'static str> {
        self.place.as_ref().map(|place| place.mount.engine.type_name())
    }
}

/// The row of an engine's table that a request is for.
pub(super) enum Target<'a> {
    Kv1(&'static Row<object::Operation>, Captures<'a>),
    Kv2(&'static Row<kv::v2::Operation>, Captures<'a>),
    Cubbyhole(&'static Row<object::Operation>, Captures<'a>),
    Token(&'static Row<token::Operation>, Captures<'a>),
    Identity(&'static Row<identity::Operation>, Captures<'a>),
    AppRole(&'static Row<approle::Operation>, Captures<'a>),
    Userpass(&'static Row<userpass::Operation>, Captures<'a>),
    Cert(&'static Row<cert::Operation>, Captures<'a>),
    Transit(&'static Row<transit::Operation>, Captures<'a>),
    Jwt(&'static Row<jwt::Operation>, Captures<'a>),
    Kubernetes(&'static Row<kubernetes::Operation>, Captures<'a>),
    Sys(sys::Route<'a>),
    WrongVerb,
    NoPath,
    NoMount,
}

impl<'a> Target<'a> {
    pub(super) fn find(location: &'a Location, verb: Verb) -> Self {
        let Some(place) = &location.place else { return Self::NoMount };
        match place.mount.engine {
            Engine::Kv1 => Self::of(&table::find(kv::v1::TABLE, verb, &location.rest), Self::Kv1),
            Engine::Kv2 => Self::of(&table::find(kv::v2::TABLE, verb, &location.rest), Self::Kv2),
            Engine::Cubbyhole => Self::of(&table::find(cubbyhole::TABLE, verb, &location.rest), Self::Cubbyhole),
            Engine::Token => Self::of(&table::find(token::TABLE, verb, &location.rest), Self::Token),
            Engine::Identity => Self::of(&table::find(identity::TABLE, verb, &location.rest), Self::Identity),
            Engine::AppRole => Self::of(&table::find(approle::TABLE, verb, &location.rest), Self::AppRole),
            Engine::Userpass => Self::of(&table::find(userpass::TABLE, verb, &location.rest), Self::Userpass),
            Engine::Cert => Self::of(&table::find(cert::TABLE, verb, &location.rest), Self::Cert),
            Engine::Transit => Self::of(&table::find(transit::TABLE, verb, &location.rest), Self::Transit),
            Engine::Jwt | Engine::Oidc => Self::of(&table::find(jwt::TABLE, verb, &location.rest), Self::Jwt),
            Engine::Kubernetes => Self::of(&table::find(kubernetes::TABLE, verb, &location.rest), Self::Kubernetes),
            Engine::System => match sys::route(verb, &location.rest) {
                sys::Routed::Route(route) => Self::Sys(route),
                sys::Routed::WrongVerb => Self::WrongVerb,
                sys::Routed::Nothing => Self::NoPath,
            },
        }
    }

    fn of<O>(found: &Match<'static, 'a, O>, target: fn(&'static Row<O>, Captures<'a>) -> Self) -> Self {
        match *found {
            Match::Row(row, captures) => target(row, captures),
            Match::WrongVerb => Self::WrongVerb,
            Match::Nothing => Self::NoPath,
        }
    }

    /// What policy must grant; for a path that no table has, the capability of the verb.
    pub(super) fn need(&self) -> Need {
        match self {
            Self::Kv1(row, _) | Self::Cubbyhole(row, _) => row.need,
            Self::Kv2(row, _) => row.need,
            Self::Token(row, _) => row.need,
            Self::Identity(row, _) => row.need,
            Self::AppRole(row, _) => row.need,
            Self::Userpass(row, _) => row.need,
            Self::Cert(row, _) => row.need,
            Self::Transit(row, _) => row.need,
            Self::Jwt(row, _) => row.need,
            Self::Kubernetes(row, _) => row.need,
            Self::Sys(route) => route.row.need,
            Self::WrongVerb | Self::NoPath | Self::NoMount => Need::Verb,
        }
    }

    fn fields(&self) -> &'static [Field] {
        match self {
            Self::Kv1(row, _) | Self::Cubbyhole(row, _) => row.fields,
            Self::Kv2(row, _) => row.fields,
            Self::Token(row, _) => row.fields,
            Self::Identity(row, _) => row.fields,
            Self::AppRole(row, _) => row.fields,
            Self::Userpass(row, _) => row.fields,
            Self::Cert(row, _) => row.fields,
            Self::Transit(row, _) => row.fields,
            Self::Jwt(row, _) => row.fields,
            Self::Kubernetes(row, _) => row.fields,
            Self::Sys(route) => route.row.fields,
            Self::WrongVerb | Self::NoPath | Self::NoMount => &[],
        }
    }

    pub(super) fn captures(&self) -> Captures<'a> {
        match self {
            Self::Kv1(_, captures)
            | Self::Kv2(_, captures)
            | Self::Cubbyhole(_, captures)
            | Self::Token(_, captures)
            | Self::Identity(_, captures)
            | Self::AppRole(_, captures)
            | Self::Userpass(_, captures)
            | Self::Cert(_, captures)
            | Self::Transit(_, captures)
            | Self::Jwt(_, captures)
            | Self::Kubernetes(_, captures) => *captures,
            Self::Sys(route) => route.captures,
            Self::WrongVerb | Self::NoPath | Self::NoMount => Captures::default(),
        }
    }
}

/// A request with everything that was found out about it.
pub(super) struct Called<'a> {
    pub(super) asked: &'a Resolved,
    pub(super) location: &'a Location,
    pub(super) target: &'a Target<'a>,
    pub(super) route: &'a Route,
    pub(super) effort: &'a Effort,
    pub(super) origin: &'a Origin,
    pub(super) issuers: &'a Issuers,
    pub(super) passcodes: &'a [SecretText],
}

/// The operation of some engine.
pub(super) enum Operation {
    Kv1(object::Operation),
    Kv2(kv::v2::Operation),
    Cubbyhole(object::Operation),
    Token(token::Operation),
    Identity(identity::Operation),
    AppRole(approle::Operation),
    Userpass(userpass::Operation),
    Cert(cert::Operation),
    Transit(transit::Operation),
    Jwt(jwt::Operation),
    Kubernetes(kubernetes::Operation),
    Sys(sys::Operation),
}

impl Operation {
    /// Runs it, and returns what is left to do once it is in the log.
    pub(super) async fn run(self, call: &Called<'_>, txn: &mut Txn) -> (Result<Answer, Refusal>, Option<Errand>) {
        let place = match call.place() {
            Ok(place) => place,
            Err(refusal) => return (Err(refusal), None),
        };
        match self {
            Self::Sys(sys::Operation::Ceremonies(operation)) => {
                let answer = sys::ceremonies::run(&operation, place);
                let sys::ceremonies::Operation::Step(step) = operation else { return (answer, None) };
                (answer, Some(Errand::Ceremony(step)))
            }
            Self::Sys(sys::Operation::Seal(operation)) => {
                let errand = match operation {
                    sys::seal::Operation::Seal => Some(Errand::Seal),
                    sys::seal::Operation::Seals => Some(Errand::Seals),
                    sys::seal::Operation::StepDown => None,
                };
                (sys::seal::run(operation, place), errand)
            }
            Self::Sys(sys::Operation::AuditLog(operation)) => {
                let caller = call.asked.caller.as_ref();
                let (answer, reading) = Box::pin(sys::audit_log::run(operation, place, caller, txn)).await;
                (answer, reading.map(Errand::AuditLog))
            }
            Self::Sys(sys::Operation::Process(operation)) => {
                (sys::process::run(operation, place), Some(Errand::Process(operation)))
            }
            operation => (operation.run_here(call, place, txn).await, None),
        }
    }

    /// `If-None-Match`: the client has values with these tags. Where there are no tags it is without effect.
    pub(super) fn unless(mut self, tags: Option<&str>) -> Self {
        if let (Self::Sys(sys::Operation::References(operation)), Some(tags)) = (&mut self, tags) {
            operation.unless(tags);
        }
        self
    }

    /// Whether its answer must not be given in the clear.
    pub(super) fn only_wrapped(&self) -> bool {
        matches!(self, Self::Sys(sys::Operation::Wrapping(operation)) if operation.only_wrapped())
    }

    async fn run_here(self, call: &Called<'_>, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
        let caller = call.asked.caller.as_ref();
        // Rare operations are boxed: the future of every request would be as large as the largest of them.
        match self {
            Self::Kv1(operation) => kv::v1::run(operation, place, txn).await,
            Self::Kv2(operation) => kv::v2::run(operation, place, txn).await,
            Self::Cubbyhole(operation) => {
                let caller = caller.ok_or(Refusal::NoToken)?;
                // Its policy lets a wrapping token read `response`, and nothing else.
                if caller.entry.is_wrapping() {
                    return Box::pin(sys::wrapping::response(place, caller, txn)).await;
                }
                Box::pin(cubbyhole::run(operation, holder(caller)?, place, txn)).await
            }
            Self::Token(operation) => Box::pin(token::run(operation, place, caller.ok_or(Refusal::NoToken)?, txn)).await,
            Self::Identity(operation) => {
                // An entity counts in its own tenant only.
                // No token, so none that is signed either: who has only a certificate counts as nobody here.
                let caller = caller.filter(|caller| caller.tenant.id() == place.tenant.id() && caller.has_token());
                let entity_id = caller.map_or("", |caller| &caller.entry.entity_id);
                let shown = caller.map_or(&[][..], |caller| &caller.entry.factors);
                let asker = identity::Asker { entity_id, namespace: &call.asked.namespace, shown };
                Box::pin(identity::run(operation, place, &asker, txn)).await
            }
            Self::AppRole(operation) => Box::pin(approle::run(operation, place, call.login(), txn)).await,
            Self::Userpass(operation) => Box::pin(userpass::run(operation, place, call.login(), txn)).await,
            Self::Cert(operation) => Box::pin(cert::run(operation, place, call.login(), txn)).await,
            Self::Transit(operation) => {
                // For others than who may read there: that needs the right that it needs of any secret.
                let bound = operation.binds().map(|path| format!("{}{path}", place.path));
                let may = |path: &String| caller.is_some_and(|caller| sys::references::may_bind(caller, path));
                if bound.as_ref().is_some_and(|path| !may(path)) {
                    return Err(Refusal::Denied);
                }
                Box::pin(transit::run(operation, place, txn)).await
            }
            Self::Jwt(operation) => Box::pin(jwt::run(operation, place, call.login(), txn)).await,
            Self::Kubernetes(operation) => Box::pin(kubernetes::run(operation, place, call.login(), txn)).await,
            Self::Sys(operation) => Box::pin(sys::run(operation, place, (caller, call.login()), txn)).await,
        }
    }
}

impl Called<'_> {
    pub(super) fn place(&self) -> Result<&Place, Refusal> {
        self.location.place.as_ref().ok_or_else(|| Refusal::NoMount(self.asked.path.to_string()))
    }

    /// As an auth method sees it.
    fn login(&self) -> LoginCall<'_> {
        LoginCall {
            origin: self.origin,
            path: self.location.rest.as_str(),
            effort: self.effort,
            issuers: self.issuers,
            passcodes: self.passcodes,
        }
    }

    /// What there is at the path, for any token that may do anything near it: not even the path's own capability is asked
    /// for. Who may do nothing in a mount does not learn that it is there.
    pub(super) fn help(&self) -> Result<Answer, Refusal> {
        self.refuse_locked()?;
        let caller = self.asked.caller.as_ref().ok_or(Refusal::NoToken)?;
        let Some(place) = &self.location.place else {
            let sees = caller.acl.sees_below(&caller.policy_path(self.asked.path.as_str()));
            return Err(if sees { Refusal::NoMount(self.asked.path.to_string()) } else { Refusal::Denied });
        };
        let everybodys = matches!(place.mount.engine, Engine::System | Engine::Token);
        if !everybodys && !caller.acl.sees_below(&caller.policy_path(&place.path)) {
            return Err(Refusal::Denied);
        }
        sys::help::of(place, &self.location.rest).ok_or(Refusal::UnsupportedPath)
    }

    pub(super) fn call<'c>(&'c self, fields: &'c Fields<'c>) -> Call<'c> {
        Call {
            verb: self.route.verb,
            path: &self.location.rest,
            captures: self.target.captures(),
            query: &self.route.query,
            fields,
        }
    }

    /// The typed operation, or why there is none. Only callers whom policy lets in learn that.
    pub(super) fn operation(
        &self,
        _permit: Permit,
        content_type: Option<&str>,
        fields: &Fields<'_>,
    ) -> Result<Operation, Refusal> {
        self.place()?;
        match self.target {
            Target::NoMount | Target::NoPath => return Err(Refusal::UnsupportedPath),
            Target::WrongVerb => return Err(Refusal::UnsupportedOperation),
            Target::Kv1(..)
            | Target::Kv2(..)
            | Target::Cubbyhole(..)
            | Target::Token(..)
            | Target::Identity(..)
            | Target::AppRole(..)
            | Target::Userpass(..)
            | Target::Cert(..)
            | Target::Transit(..)
            | Target::Jwt(..)
            | Target::Kubernetes(..)
            | Target::Sys(_) => {}
        }
        if self.route.verb == Verb::Patch {
            merge_patch_only(content_type)?;
        }
        let call = self.call(fields);
        match self.target {
            Target::Kv1(row, _) => (row.parse)(&call).map(Operation::Kv1),
            Target::Kv2(row, _) => (row.parse)(&call).map(Operation::Kv2),
            Target::Cubbyhole(row, _) => (row.parse)(&call).map(Operation::Cubbyhole),
            Target::Token(row, _) => (row.parse)(&call).map(Operation::Token),
            Target::Identity(row, _) => (row.parse)(&call).map(Operation::Identity),
            Target::AppRole(row, _) => (row.parse)(&call).map(Operation::AppRole),
            Target::Userpass(row, _) => (row.parse)(&call).map(Operation::Userpass),
            Target::Cert(row, _) => (row.parse)(&call).map(Operation::Cert),
            Target::Transit(row, _) => (row.parse)(&call).map(Operation::Transit),
            Target::Jwt(row, _) => (row.parse)(&call).map(Operation::Jwt),
            Target::Kubernetes(row, _) => (row.parse)(&call).map(Operation::Kubernetes),
            Target::Sys(route) => route.parse(&call).map(Operation::Sys),
            Target::WrongVerb | Target::NoPath | Target::NoMount => Err(Refusal::UnsupportedPath),
        }
    }

    /// Adds what the pipeline knows: the type of the mount, and which fields were ignored.
    pub(super) fn finish(&self, answer: Answer, fields: &Fields<'_>) -> Answer {
        let ignored = fields.unknown(self.target.fields());
        let warning =
            (!ignored.is_empty()).then(|| format!("Endpoint ignored these unrecognized parameters: [{}]", ignored.join(" ")));
        match answer {
            Answer::Data(mut data) => {
                data.mount_type = self.location.mount_type().unwrap_or("");
                // What is answered to a wrong path has declared no fields to be ignored.
                if data.status != 404 {
                    data.warnings.extend(warning);
                }
                Answer::Data(data)
            }
            Answer::Accepted { mut warnings } if !warnings.is_empty() => {
                warnings.extend(warning);
                Answer::Accepted { warnings }
            }
            Answer::Auth { auth, mut warnings } => {
                warnings.extend(warning);
                Answer::Auth { auth, warnings }
            }
            other => other,
        }
    }
}

/// Whose cubbyhole a caller reaches. Its accessor stays with the token for life; a token without one has nothing to keep
/// things by.
pub(super) fn holder(caller: &Caller) -> Result<&str, Refusal> {
    let accessor = Some(caller.entry.accessor.as_str()).filter(|accessor| !accessor.is_empty());
    accessor.ok_or_else(|| Refusal::invalid("cubbyhole operations are only supported by 'service' type tokens"))
}

/// RFC 7396 section 3: the only kind of PATCH that is offered.
fn merge_patch_only(content_type: Option<&str>) -> Result<(), Refusal> {
    let media = content_type.unwrap_or("").split(';').next().unwrap_or("").trim();
    if media.eq_ignore_ascii_case("application/merge-patch+json") {
        return Ok(());
    }
    let given: String = media.chars().take(80).collect();
    Err(Refusal::UnsupportedMedia(format!("PATCH requires Content-Type of application/merge-patch+json, provided {given}")))
}
