//! From a request to the typed operation of an engine. The input is `METHOD path?query`, a line end, and the body.

use strongroom::answer::Refusal;
use strongroom::auth::{approle, cert, jwt, kubernetes, token, userpass};
use strongroom::engine::table::{self, Call, Captures, Match, Row, Verb};
use strongroom::engine::{cubbyhole, identity, kv, transit};
use strongroom::fields::{Fields, Query};
use strongroom::path::Path;
use strongroom::sys;

use super::split_once;

/// The parts of a request, as the pipeline has them before it asks an engine.
struct Parts<'a> {
    verb: Verb,
    path: Path,
    query: Query,
    fields: Fields<'a>,
}

impl<'a> Parts<'a> {
    fn read(data: &'a [u8]) -> Option<Self> {
        let (line, body) = split_once(data, b"\n");
        let (method, target) = std::str::from_utf8(line).ok()?.split_once(' ')?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let verb = match method {
            "GET" => Verb::Read,
            "LIST" => Verb::List,
            "SCAN" => Verb::Scan,
            "POST" => Verb::Write,
            "PATCH" => Verb::Patch,
            "DELETE" => Verb::Delete,
            _ => return None,
        };
        let fields = Fields::parse(body, None).ok()?;
        Some(Self { verb, path: Path::from_url(path).ok()?, query: Query::parse(query).ok()?, fields })
    }

    fn call<'c>(&'c self, captures: Captures<'c>) -> Call<'c> {
        Call { verb: self.verb, path: &self.path, captures, query: &self.query, fields: &self.fields }
    }
}

/// Operations of a KV mount of either version, and of a cubbyhole.
pub(super) fn kv(data: &[u8]) {
    in_table(kv::v2::TABLE, data);
    in_table(kv::v1::TABLE, data);
    in_table(cubbyhole::TABLE, data);
}

/// Operations of `auth/token/`, of the auth methods, and of `identity/`.
pub(super) fn token(data: &[u8]) {
    in_table(token::TABLE, data);
    in_table(approle::TABLE, data);
    in_table(userpass::TABLE, data);
    in_table(cert::TABLE, data);
    in_table(jwt::TABLE, data);
    in_table(kubernetes::TABLE, data);
    in_table(identity::TABLE, data);
}

/// Operations of a Transit mount.
pub(super) fn transit(data: &[u8]) {
    in_table(transit::TABLE, data);
}

/// Operations of `sys/`.
pub(super) fn sys(data: &[u8]) {
    let Some(parts) = Parts::read(data) else { return };
    if let sys::Routed::Route(route) = sys::route(parts.verb, &parts.path) {
        told_well(route.parse(&parts.call(route.captures)).err());
    }
}

fn in_table<O>(table: &'static [Row<O>], data: &[u8]) {
    let Some(parts) = Parts::read(data) else { return };
    if let Match::Row(row, captures) = table::find(table, parts.verb, &parts.path) {
        assert_eq!(row.verb, parts.verb);
        told_well((row.parse)(&parts.call(captures)).err());
    }
}

/// What an input can bring about is a refusal for the client: never one that says that the server failed.
fn told_well(refusal: Option<Refusal>) {
    if let Some(refusal) = refusal {
        assert!(refusal.status() < 500, "parsing gave {refusal:?}");
    }
}
