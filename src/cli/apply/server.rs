//! Reading the present state, and writing, in the namespaces below the one that the command works in.

use ureq::http::Method;

use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::kv::{Envelope, encode};
use crate::json::Json;
use crate::tree::Tree;

pub(super) struct Server<'a> {
    client: &'a Client,
}

impl<'a> Server<'a> {
    pub(super) fn new(client: &'a Client) -> Self {
        Self { client }
    }

    /// The `data` of a read; none where nothing is.
    pub(super) fn find(&self, space: &str, path: &str) -> Result<Option<Tree>, Failure> {
        match self.send(space, Method::GET, path, None) {
            Ok(reply) => Ok(reply.parse::<Envelope<Option<Tree>>>()?.data),
            Err(Failure::Server { status: 404, .. }) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The names of a list.
    pub(super) fn names(&self, space: &str, path: &str) -> Result<Vec<String>, Failure> {
        let data = self.find(space, &format!("{path}?list=true"))?;
        let keys = data.as_ref().and_then(|data| data.member("keys")).and_then(Tree::items).unwrap_or_default();
        Ok(keys.iter().filter_map(Tree::as_text).map(str::to_owned).collect())
    }

    pub(super) fn write(&self, space: &str, path: &str, body: &Json) -> Result<(), Failure> {
        self.send(space, Method::POST, path, Some(body)).map(drop)
    }

    pub(super) fn delete(&self, space: &str, path: &str) -> Result<(), Failure> {
        self.send(space, Method::DELETE, path, None).map(drop)
    }

    /// What identity knows by a name as its id (`entity/name/x`), or the other way round.
    pub(super) fn identity(&self, space: &str, path: &str, name: &str, field: &str) -> Result<Option<String>, Failure> {
        let found = self.find(space, &format!("identity/{path}/{}", encode(name)))?;
        Ok(found.and_then(|found| Some(found.member(field)?.as_text()?.to_owned())))
    }

    fn send(&self, space: &str, method: Method, path: &str, body: Option<&Json>) -> Result<super::Reply, Failure> {
        let own = self.client.namespace().unwrap_or_default().trim_matches('/');
        let parts: Vec<&str> = [own, space].into_iter().filter(|part| !part.is_empty()).collect();
        let namespace = parts.join("/");
        let sent = self.client.send_in(Some(namespace.as_str()).filter(|name| !name.is_empty()), method, path, body);
        sent.map_err(|failure| if namespace.is_empty() { failure } else { failure.with(&format!(" (in namespace {namespace})")) })
    }
}
