//! What is there and not described. Only kinds that a namespace's description names are looked at.

use super::description::{Description, Kind, Space};
use super::plan::{AUDITED_HEADERS, Action, Body, Plan, Step};
use super::server::Server;
use crate::cli::failure::Failure;
use crate::cli::kv::encode;
use crate::policy::shipped;
use crate::tree::Tree;

/// How much may be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Prune {
    /// Policies, token roles, groups, audited headers
    Settings,
    /// Also mounts and namespaces, with all that they hold
    Destructive,
}

/// Mounts that every namespace has.
const PERMANENT: [&str; 5] = ["sys/", "identity/", "cubbyhole/", "token/", "agent-registry/"];

impl Prune {
    /// Appends removals, the outermost first, and what is left alone.
    pub(super) fn collect(
        self,
        server: &Server<'_>,
        description: &Description,
        space: &Space,
        plan: &mut Plan,
    ) -> Result<(), Failure> {
        let children: Vec<&str> = description.spaces.iter().filter_map(|child| child_name(&space.path, child)).collect();
        if !children.is_empty() {
            for name in undescribed(server.names(&space.path, "sys/namespaces")?, &children) {
                self.namespace(server, &space.path, &name, plan)?;
            }
        }
        for (kind, list, path) in [(Kind::Mount, "sys/mounts", "sys/mounts"), (Kind::Auth, "sys/auth", "sys/auth")] {
            let described = described(space, kind);
            if !described.is_empty() {
                let all = server.find(&space.path, list)?;
                let names = all.as_ref().and_then(Tree::members).into_iter().flat_map(|all| all.keys());
                let names = names.filter(|name| name.ends_with('/') && !PERMANENT.contains(&name.as_str())).cloned().collect();
                for name in undescribed(names, &described) {
                    self.remove(&space.path, kind, &name, path, plan);
                }
            }
        }
        for (kind, path) in
            [(Kind::Policy, "sys/policies/acl"), (Kind::TokenRole, "auth/token/roles"), (Kind::Group, "identity/group/name")]
        {
            let described = described(space, kind);
            if !described.is_empty() {
                for name in undescribed(server.names(&space.path, path)?, &described) {
                    let built_in = kind == Kind::Policy && (name == "root" || shipped::named(&name).is_some());
                    if !built_in {
                        plan.steps.push(removal(&space.path, kind, &name, path));
                    }
                }
            }
        }
        let described = described(space, Kind::AuditedHeader);
        if !described.is_empty() {
            let all = server.find(&space.path, AUDITED_HEADERS)?;
            let headers = all.as_ref().and_then(|all| all.member("headers")).and_then(Tree::members);
            let names = headers.into_iter().flat_map(|headers| headers.keys()).cloned().collect();
            for name in undescribed(names, &described) {
                plan.steps.push(removal(&space.path, Kind::AuditedHeader, &name, AUDITED_HEADERS));
            }
        }
        Ok(())
    }

    fn remove(self, space: &str, kind: Kind, name: &str, path: &str, plan: &mut Plan) {
        let step = removal(space, kind, name, path);
        match self {
            Self::Destructive => plan.steps.push(step),
            Self::Settings => plan.kept.push(step.what()),
        }
    }

    /// A namespace before those in it; removed in the other order.
    fn namespace(self, server: &Server<'_>, parent: &str, name: &str, plan: &mut Plan) -> Result<(), Failure> {
        self.remove(parent, Kind::Namespace, name, "sys/namespaces", plan);
        if self == Self::Destructive {
            let path = if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") };
            for child in server.names(&path, "sys/namespaces")? {
                self.namespace(server, &path, child.trim_end_matches('/'), plan)?;
            }
        }
        Ok(())
    }
}

fn child_name<'a>(parent: &str, child: &'a Space) -> Option<&'a str> {
    let (above, name) = child.path.rsplit_once('/').unwrap_or(("", &child.path));
    (above == parent && !name.is_empty()).then_some(name)
}

fn described(space: &Space, kind: Kind) -> Vec<&str> {
    space.items.iter().filter(|item| item.kind == kind).map(|item| item.name.as_str()).collect()
}

/// Names without a slash at the end. Servers write some of them in lower case.
fn undescribed(names: Vec<String>, described: &[&str]) -> Vec<String> {
    let names = names.into_iter().map(|name| name.trim_end_matches('/').to_owned());
    names.filter(|name| !described.iter().any(|known| known.eq_ignore_ascii_case(name))).collect()
}

fn removal(space: &str, kind: Kind, name: &str, path: &str) -> Step {
    Step {
        action: Action::Remove,
        space: space.to_owned(),
        kind,
        name: name.to_owned(),
        place: None,
        changes: Vec::new(),
        path: format!("{path}/{}", encode(name)),
        body: Body::None,
    }
}
