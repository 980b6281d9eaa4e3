//! What has to be done, in the order in which it can be done: found by reading only.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::description::{Description, Item, Kind, Space};
use super::desired;
use super::difference::{Change, Desired, additions, changes, lines};
use super::prune::Prune;
use super::server::Server;
use crate::cli::failure::Failure;
use crate::cli::kv::encode;
use crate::json::{Json, Object};
use crate::stanza::{LookUp, Place};
use crate::tree::Tree;

/// Where the settings of a namespace's audit log are.
pub(super) const AUDITED_HEADERS: &str = "sys/config/auditing/request-headers";

/// What is done to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    Create,
    Change,
    Remove,
}

/// One thing to do: one write.
pub(super) struct Step {
    pub(super) action: Action,
    /// The namespace that it is in, below the one that the command works in.
    pub(super) space: String,
    pub(super) kind: Kind,
    pub(super) name: String,
    /// Where it is described; none for what is removed.
    pub(super) place: Option<Place>,
    pub(super) changes: Vec<Change>,
    /// Where it is written to, encoded.
    pub(super) path: String,
    pub(super) body: Body,
}

/// What is sent.
pub(super) enum Body {
    None,
    Ready(Json),
    /// Members are named, and the API wants their ids, which may not be there before other steps are done.
    Group(Vec<Desired>),
}

/// All steps; removals come last, the innermost first.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// What `--prune` leaves alone without the stronger word, as shown.
    pub(super) kept: Vec<String>,
}

/// Compares a description with the server.
pub(super) fn plan(
    server: &Server<'_>,
    description: &Description,
    look_up: &LookUp<'_>,
    prune: Option<Prune>,
) -> Result<Plan, Failure> {
    let (missing, children) = (BTreeSet::new(), BTreeMap::new());
    let mut planner = Planner { server, look_up, missing, children, plan: Plan::default() };
    for space in &description.spaces {
        if let Some(own) = &space.own {
            planner.namespace(&space.path, own)?;
        }
        planner.inside(space)?;
    }
    let mut plan = planner.plan;
    if let Some(prune) = prune {
        for space in description.spaces.iter().filter(|space| !planner.missing.contains(&space.path)) {
            prune.collect(server, description, space, &mut plan)?;
        }
        let first = plan.steps.iter().position(|step| step.action == Action::Remove).unwrap_or(plan.steps.len());
        if let Some(removals) = plan.steps.get_mut(first..) {
            removals.reverse();
        }
    }
    Ok(plan)
}

struct Planner<'a> {
    server: &'a Server<'a>,
    look_up: &'a LookUp<'a>,
    /// Namespaces that are not there yet.
    missing: BTreeSet<String>,
    /// What is known of the children of a namespace.
    children: BTreeMap<String, Option<Tree>>,
    plan: Plan,
}

impl Planner<'_> {
    fn fields(&self, item: &Item) -> Result<Vec<Desired>, Failure> {
        desired::fields(item, self.look_up).map_err(|error| Failure::local(error.to_string()))
    }

    fn step(&mut self, action: Action, space: &str, item: &Item, changes: Vec<Change>, path: String, body: Body) {
        let (kind, name, place) = (item.kind, item.name.clone(), Some(item.place.clone()));
        self.plan.steps.push(Step { action, space: space.to_owned(), kind, name, place, changes, path, body });
    }

    fn namespace(&mut self, path: &str, own: &Item) -> Result<(), Failure> {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
        if !self.missing.contains(&parent) && !self.children.contains_key(&parent) {
            let listing = self.server.find(&parent, "sys/namespaces?list=true")?;
            self.children.insert(parent.clone(), listing);
        }
        let fields = self.fields(own)?;
        let write = format!("sys/namespaces/{}", encode(&own.name));
        let body = Body::Ready(object(&fields));
        let listing = self.children.get(&parent).and_then(Option::as_ref).and_then(|listing| listing.member("key_info"));
        match listing.and_then(|listing| listing.member(&format!("{}/", own.name))) {
            None => {
                self.missing.insert(path.to_owned());
                self.step(Action::Create, &parent, own, additions(&fields), write, body);
            }
            Some(present) => {
                let changes = changes(&fields, |name| present.member(name));
                if !changes.is_empty() {
                    self.step(Action::Change, &parent, own, changes, write, body);
                }
            }
        }
        Ok(())
    }

    fn inside(&mut self, space: &Space) -> Result<(), Failure> {
        let exists = !self.missing.contains(&space.path);
        let (mut mounts, mut auths, mut headers) = (None, None, None);
        for item in &space.items {
            match item.kind {
                Kind::Mount if exists && mounts.is_none() => mounts = self.server.find(&space.path, "sys/mounts")?,
                Kind::Auth if exists && auths.is_none() => auths = self.server.find(&space.path, "sys/auth")?,
                Kind::AuditedHeader if exists && headers.is_none() => headers = self.server.find(&space.path, AUDITED_HEADERS)?,
                _ => {}
            }
            match item.kind {
                Kind::Mount => self.mount(&space.path, item, mounts.as_ref())?,
                Kind::Auth => self.mount(&space.path, item, auths.as_ref())?,
                Kind::AuditedHeader => self.audited_header(&space.path, item, headers.as_ref())?,
                Kind::Namespace => {}
                Kind::Policy | Kind::TokenRole | Kind::Object | Kind::Group => self.plain(&space.path, item, exists)?,
            }
        }
        Ok(())
    }

    /// A mount, or an auth mount: one is made at its path, and changed at `tune`.
    fn mount(&mut self, space: &str, item: &Item, all: Option<&Tree>) -> Result<(), Failure> {
        let fields = self.fields(item)?;
        let (name, auth) = (encode(&item.name), item.kind == Kind::Auth);
        let present = all.and_then(|all| all.member(&format!("{}/", item.name)));
        // Every namespace has it from the beginning.
        let permanent = auth && item.name == "token";
        if present.is_none() && !permanent {
            let path = if auth { format!("sys/auth/{name}") } else { format!("sys/mounts/{name}") };
            self.step(Action::Create, space, item, additions(&fields), path, Body::Ready(nested(&fields)));
            return Ok(());
        }
        let token = Tree::text("token");
        let changes = changes(&fields, |name| match name.strip_prefix("config.") {
            Some(name) => present?.member("config")?.member(name),
            None if name == "type" && permanent => Some(&token),
            None => present?.member(name),
        });
        if let Some(fixed) = changes.iter().find(|change| matches!(change.field.as_str(), "type" | "local" | "seal_wrap")) {
            let Change { field, old, new } = fixed;
            let [old, new] = [old, new].map(|value| value.as_deref().unwrap_or("nothing"));
            return Err(Failure::local(format!(
                "{}: {} {:?} {field}: is {old} and cannot become {new}: remove it first, with what it holds, or give this another path",
                item.place,
                item.kind.word(),
                item.name
            )));
        }
        if !changes.is_empty() {
            let tuned = |field: &&Desired| changes.iter().any(|change| change.field == field.name);
            let body = Json::object(|out| {
                for field in fields.iter().filter(tuned) {
                    out.field(field.name.strip_prefix("config.").unwrap_or(&field.name), &field.value);
                }
            });
            let path = if auth { format!("sys/mounts/auth/{name}/tune") } else { format!("sys/mounts/{name}/tune") };
            self.step(Action::Change, space, item, changes, path, Body::Ready(body));
        }
        Ok(())
    }

    /// Servers keep their names in lower case, and show all at one path.
    fn audited_header(&mut self, space: &str, item: &Item, all: Option<&Tree>) -> Result<(), Failure> {
        let fields = self.fields(item)?;
        let path = format!("{AUDITED_HEADERS}/{}", encode(&item.name));
        let present = all.and_then(|all| all.member("headers")?.member(&item.name.to_ascii_lowercase()));
        let (action, changes) = match present {
            None => (Action::Create, additions(&fields)),
            Some(present) => (Action::Change, changes(&fields, |name| present.member(name))),
        };
        if action == Action::Create || !changes.is_empty() {
            self.step(action, space, item, changes, path, Body::Ready(object(&fields)));
        }
        Ok(())
    }

    /// What is written whole and read back at one path.
    fn plain(&mut self, space: &str, item: &Item, exists: bool) -> Result<(), Failure> {
        let fields = self.fields(item)?;
        let name = encode(&item.name);
        let path = match item.kind {
            Kind::Policy => format!("sys/policies/acl/{name}"),
            Kind::TokenRole => format!("auth/token/roles/{name}"),
            Kind::Group => format!("identity/group/name/{name}"),
            _ => name,
        };
        let mut present = if exists { self.server.find(space, &path)? } else { None };
        if let (Kind::Group, Some(group)) = (item.kind, &mut present) {
            name_members(self.server, space, group)?;
        }
        let (action, changes) = match &present {
            None => (Action::Create, additions(&fields)),
            Some(present) => {
                let changes = changes(&fields, |name| present.member(if name == "rules" { "policy" } else { name }));
                (Action::Change, changes)
            }
        };
        if action == Action::Change && changes.is_empty() {
            return Ok(());
        }
        let changes = if item.kind == Kind::Policy { vec![rules_change(&fields, present.as_ref())] } else { changes };
        let body = match item.kind {
            Kind::Policy => Body::Ready(Json::object(|out| {
                for field in &fields {
                    out.field("policy", &field.value);
                }
            })),
            Kind::Group => Body::Group(fields),
            _ => Body::Ready(object(&fields)),
        };
        self.step(action, space, item, changes, path, body);
        Ok(())
    }
}

/// A policy is shown by its lines.
fn rules_change(fields: &[Desired], present: Option<&Tree>) -> Change {
    let new = fields.first().and_then(|field| field.value.as_text()).unwrap_or_default();
    let old = present.and_then(|present| present.member("policy")).and_then(Tree::as_text);
    let count = |text: &str| match text.lines().count() {
        1 => "1 line".to_owned(),
        count => format!("{count} lines"),
    };
    let difference = old.map(|old| lines(old, new)).unwrap_or_default();
    Change { field: "rules".to_owned(), old: old.map(count), new: Some(count(new) + &difference) }
}

/// Adds `members` and `member_groups`, the names of those that the server shows by id.
fn name_members(server: &Server<'_>, space: &str, group: &mut Tree) -> Result<(), Failure> {
    for (ids, names, path) in [("member_entity_ids", "members", "entity/id"), ("member_group_ids", "member_groups", "group/id")] {
        let mut found = Vec::new();
        for id in group.member(ids).and_then(Tree::items).unwrap_or_default().iter().filter_map(Tree::as_text) {
            found.push(Tree::text(server.identity(space, path, id, "name")?.unwrap_or_else(|| id.to_owned())));
        }
        if let Tree::Map(members) = group {
            members.insert(names.to_owned(), Tree::List(found));
        }
    }
    Ok(())
}

fn object(fields: &[Desired]) -> Json {
    Json::object(|out| flat(fields, out))
}

fn flat(fields: &[Desired], out: &mut Object<'_>) {
    for field in fields {
        out.field(&field.name, &field.value);
    }
}

/// With `config.x` as members of `config`.
fn nested(fields: &[Desired]) -> Json {
    Json::object(|out| {
        for field in fields.iter().filter(|field| !field.name.starts_with("config.")) {
            out.field(&field.name, &field.value);
        }
        out.object("config", |out| {
            for field in fields {
                if let Some(name) = field.name.strip_prefix("config.") {
                    out.field(name, &field.value);
                }
            }
        });
    })
}
