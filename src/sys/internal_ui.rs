//! `sys/internal/ui`: what clients ask before they know what they may. No policy names these paths; what the caller
//! may see below a mount decides what is shown of it, so nothing is learnt here that the mount itself would not tell.

use std::collections::BTreeMap;

use crate::answer::{Answer, Refusal};
use crate::auth::Caller;
use crate::commit::{Place, Tenant, Txn};
use crate::engine::directory::{self, Mounted};
use crate::engine::table::{Need, Row, Verb};
use crate::json::Json;
use crate::mount::Mount;
use crate::policy::Capabilities;
use crate::record::{Kind, SYSTEM};
use crate::sys::mounts::show;

/// One operation.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation {
    /// The mounts that the caller may see; without a token those that are open to everybody.
    Mounts,
    /// Which mount answers a path below the namespace: asked by every `kv` command and by agents.
    Preflight(String),
    /// The child namespaces that the caller may see.
    Namespaces,
    /// What the caller's policies allow.
    ResultantAcl,
}

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row {
        verb: Verb::Read,
        pattern: "internal/ui/mounts",
        need: Need::Nobody,
        fields: &[],
        help: "Lists the mounts that the caller may see.",
        parse: |_| Ok(Operation::Mounts),
    },
    Row {
        verb: Verb::Read,
        pattern: "internal/ui/mounts/:path*",
        need: Need::Token,
        fields: &[],
        help: "Shows the mount that answers a path.",
        parse: |call| {
            let path = call.captures.get(0);
            Ok(Operation::Preflight(path.strip_suffix('/').unwrap_or(path).to_owned()))
        },
    },
    Row::new(
        Verb::Read,
        "internal/ui/namespaces",
        Need::Token,
        &[],
        "Lists the child namespaces that the caller may see.",
        |_| Ok(Operation::Namespaces),
    ),
    Row::by_verb(Verb::Read, "internal/ui/resultant-acl", &[], "Shows what the caller's policies allow.", |_| {
        Ok(Operation::ResultantAcl)
    }),
];

/// Runs one operation.
pub async fn run(operation: Operation, place: &Place, caller: Option<&Caller>, txn: &mut Txn) -> Result<Answer, Refusal> {
    match operation {
        Operation::Mounts => mounts(place, caller, txn).await,
        Operation::Preflight(path) => preflight(&path, place, caller, txn).await,
        Operation::Namespaces => namespaces(place, caller, txn).await,
        Operation::ResultantAcl => Ok(resultant_acl(caller.ok_or(Refusal::NoToken)?)),
    }
}

async fn namespaces(place: &Place, caller: Option<&Caller>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let names = txn.names(&place.tenant, Kind::Namespace, SYSTEM, "").await?;
    let paths: Vec<String> = names.iter().map(|name| format!("{name}/")).filter(|path| sees(caller, path)).collect();
    Ok(Answer::data(Json::object(|out| {
        if !paths.is_empty() {
            out.strings("keys", &paths);
        }
    })))
}

/// As the policies write them: paths that begin in the namespace of the token.
fn resultant_acl(caller: &Caller) -> Answer {
    let listed = |list: &BTreeMap<&str, Capabilities>| {
        Json::object(|out| {
            for (path, capabilities) in list {
                out.object(path, |out| {
                    out.strings("capabilities", &capabilities.names());
                });
            }
        })
    };
    Answer::data(Json::object(|out| {
        if !caller.acl.is_root() {
            let (exact, globs) = caller.acl.resultant();
            out.raw("exact_paths", listed(&exact).expose()).raw("glob_paths", listed(&globs).expose());
        }
        out.field("root", &caller.acl.is_root());
    }))
}

async fn mounts(place: &Place, caller: Option<&Caller>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let visible: Vec<Mounted> = directory::all(tenant, txn)
        .await?
        .into_iter()
        .filter(|mounted| is_open(&mounted.mount) || sees(caller, &mounted.path))
        .collect();
    let list = |auth: bool| {
        Json::object(|out| {
            for mounted in &visible {
                match (auth, mounted.path.strip_prefix("auth/")) {
                    (true, Some(name)) => out.raw(name, shown(tenant, mounted, caller).expose()),
                    (false, None) => out.raw(&mounted.path, shown(tenant, mounted, caller).expose()),
                    _ => continue,
                };
            }
        })
    };
    Ok(Answer::data(Json::object(|out| {
        out.raw("auth", list(true).expose()).raw("secret", list(false).expose());
    })))
}

fn shown(tenant: &Tenant, mounted: &Mounted, caller: Option<&Caller>) -> Json {
    let nested = tenant.parent().is_some();
    if caller.is_some() { show::whole(&mounted.mount, nested) } else { show::public(&mounted.mount, nested) }
}

/// A path without a mount is answered like one that the caller may not see. Never 404: clients would take that for a
/// server without this path, and go on as if the mount were KV version 1.
async fn preflight(path: &str, place: &Place, caller: Option<&Caller>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let found = directory::answering(&place.tenant, path, txn).await?;
    let Some(mounted) = found.filter(|mounted| sees(caller, &mounted.path)) else {
        return Err(Refusal::Forbidden(format!(
            "preflight capability check returned 403, please ensure client's policies grant access to path \"{path}/\""
        )));
    };
    Ok(Answer::data(Json::object(|out| {
        out.splice(&show::whole(&mounted.mount, place.tenant.parent().is_some())).field("path", &mounted.path);
    })))
}

fn is_open(mount: &Mount) -> bool {
    mount.config.listing_visibility.as_deref() == Some("unauth")
}

/// Whether the caller may do anything at the mount or below it.
fn sees(caller: Option<&Caller>, mount: &str) -> bool {
    caller.is_some_and(|caller| caller.acl.sees_below(&caller.policy_path(mount)))
}
