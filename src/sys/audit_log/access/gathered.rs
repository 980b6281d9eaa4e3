//! Everybody whom a namespace lets in: roles and users, entities and groups, tokens, and whom references to the path are for.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::judge::{Judge, Verdict};
use crate::answer::Refusal;
use crate::auth::policy_history;
use crate::auth::principals::{self, Principal};
use crate::auth::token::entry::{AccessorRecord, TokenEntry, accessor_address, token_address};
use crate::auth::token::grant::matches_any;
use crate::commit::{Tenant, Txn};
use crate::engine::identity::{self, Standing};
use crate::engine::{directory, references};
use crate::json::Object;
use crate::path::Path;
use crate::policy::Identity;
use crate::record::{Kind, SYSTEM};
use crate::sys::references::Target;
use crate::time::Timestamp;

/// The most roles, users, entities or groups of one listing.
pub(super) const LISTED_MAX: usize = 10_000;
/// The most tokens that are looked at.
pub(super) const TOKENS_MAX: usize = 10_000;

/// Tokens that are alike: what they may do is the same.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Alike {
    display_name: String,
    policies: Vec<String>,
    entity_id: String,
}

/// All of them.
pub(super) struct Gathered {
    roles: Vec<Principal>,
    entities: Vec<Standing>,
    groups: Vec<(String, Vec<String>)>,
    tokens: BTreeMap<Alike, u64>,
    /// Whom references to the path are for, and under which conditions.
    consumers: Vec<(String, String)>,
    /// Names of policies that were ever written, for roles that allow globs of them.
    policies: Vec<Box<str>>,
    /// What there was too much of.
    pub(super) not_looked_at: Vec<String>,
}

/// Somebody, and what they may do.
pub(super) struct Row {
    kind: &'static str,
    mount: String,
    name: String,
    policies: Vec<String>,
    verdict: Verdict,
    /// How many tokens, or members.
    count: Option<u64>,
    /// A role whose tokens get policies of whoever makes them.
    any_policy: bool,
    /// What else has to be known.
    note: Option<String>,
}

impl Gathered {
    pub(super) async fn of(tenant: &Arc<Tenant>, path: &Path, at: Option<Timestamp>, txn: &mut Txn) -> Result<Self, Refusal> {
        let mut not_looked_at = Vec::new();
        let mut roles = Vec::new();
        for mounted in directory::all(tenant, txn).await? {
            let found = principals::of_mount(tenant, &mounted, LISTED_MAX, txn).await?;
            if found.len() >= LISTED_MAX {
                not_looked_at.push(format!("{}: more than {LISTED_MAX} roles or users", mounted.path));
            }
            roles.extend(found);
        }
        let mut entities = Vec::new();
        let ids = txn.names(tenant, Kind::Entity, SYSTEM, "").await?;
        if ids.len() > LISTED_MAX {
            not_looked_at.push(format!("more than {LISTED_MAX} entities"));
        }
        for id in ids.iter().take(LISTED_MAX) {
            let standing = identity::standing(txn, tenant, id).await?;
            entities.extend(standing.filter(|standing| at.is_none_or(|at| standing.entity.created <= at)));
        }
        let groups = identity::groups(txn, tenant, LISTED_MAX).await?;
        let groups = groups.iter().map(|group| (group.name.clone(), group.policies.clone())).collect();
        let tokens = tokens(tenant, at, &mut not_looked_at, txn).await?;
        let consumers = consumers(tenant, path, at, txn).await?;
        let mut policies = txn.names(tenant, Kind::Policy, SYSTEM, "").await?.to_vec();
        policies.extend(policy_history::names(txn, tenant).await?.iter().cloned());
        policies.sort_unstable();
        policies.dedup();
        Ok(Self { roles, entities, groups, tokens, consumers, policies, not_looked_at })
    }

    /// Those who may do something, sorted.
    pub(super) async fn judged(&self, judge: &mut Judge<'_>, txn: &mut Txn) -> Result<Vec<Row>, Refusal> {
        let mut rows = Vec::new();
        for role in &self.roles {
            let mut policies = role.policies.clone();
            let asked_for =
                self.policies.iter().filter(|name| matches_any(&role.globs, name) && !matches_any(&role.refused, name));
            policies.extend(asked_for.map(ToString::to_string));
            policies.sort_unstable();
            policies.dedup();
            let verdict = judge.judge(&policies, None, txn).await?;
            let (kind, mount, name, any_policy) = (role.kind, role.mount.clone(), role.name.clone(), role.any_policy);
            rows.push(Row { kind, mount, name, policies, verdict, count: None, any_policy, note: None });
        }
        for standing in &self.entities {
            let policies = standing.policies();
            let verdict = judge.judge(&policies, Some(&standing.identity()), txn).await?;
            let known_as: Vec<&str> = standing.aliases.iter().map(|alias| alias.name.as_str()).collect();
            let note = (!known_as.is_empty()).then(|| format!("known as {}", known_as.join(", ")));
            let name = format!("{} ({})", standing.entity.name, standing.entity.id);
            rows.push(Row {
                kind: "entity",
                mount: "identity/".to_owned(),
                name,
                policies,
                verdict,
                count: None,
                any_policy: false,
                note,
            });
        }
        for (name, policies) in &self.groups {
            let verdict = judge.judge(policies, None, txn).await?;
            let (mount, name, policies) = ("identity/".to_owned(), name.clone(), policies.clone());
            rows.push(Row { kind: "group", mount, name, policies, verdict, count: None, any_policy: false, note: None });
        }
        for (alike, count) in &self.tokens {
            let entity = self.entities.iter().find(|standing| standing.entity.id == alike.entity_id);
            let mut policies = alike.policies.clone();
            let (identity, note) = match entity {
                Some(standing) => {
                    policies.extend(standing.policies());
                    (standing.identity(), Some(format!("stands for entity {}", standing.entity.name)))
                }
                // Disabled, or gone: its tokens are refused.
                None if !alike.entity_id.is_empty() => continue,
                None => (Identity::default(), None),
            };
            policies.sort_unstable();
            policies.dedup();
            let verdict = judge.judge(&policies, Some(&identity), txn).await?;
            let (mount, name) = ("auth/token/".to_owned(), alike.display_name.clone());
            rows.push(Row { kind: "token", mount, name, policies, verdict, count: Some(*count), any_policy: false, note });
        }
        for (name, conditions) in &self.consumers {
            let verdict = Verdict { capabilities: vec!["resolve"], ..Verdict::default() };
            let (mount, note) = ("sys/references/".to_owned(), Some(conditions.clone()));
            let row = Row {
                kind: "reference",
                mount,
                name: name.clone(),
                policies: Vec::new(),
                verdict,
                count: None,
                any_policy: false,
                note,
            };
            rows.push(row);
        }
        rows.retain(|row| row.verdict.is_something() || row.any_policy);
        rows.sort_by(|a, b| (a.kind, &a.mount, &a.name).cmp(&(b.kind, &b.mount, &b.name)));
        Ok(rows)
    }
}

impl Row {
    pub(super) fn show(&self, object: &mut Object<'_>) {
        object.field("kind", self.kind).field("mount", &self.mount).field("name", &self.name);
        object.strings("policies", &self.policies).strings("capabilities", &self.verdict.capabilities);
        object.field("depends_on_entity", &self.verdict.depends_on_entity).field("second_factor", &self.verdict.second_factor);
        object.field("any_policy", &self.any_policy).field("tokens", &self.count).field("note", &self.note);
    }
}

/// Tokens that are stored and not past their end; batch tokens are stored nowhere.
async fn tokens(
    tenant: &Arc<Tenant>,
    at: Option<Timestamp>,
    not_looked_at: &mut Vec<String>,
    txn: &mut Txn,
) -> Result<BTreeMap<Alike, u64>, Refusal> {
    let accessors = txn.names(tenant, Kind::TokenAccessor, SYSTEM, "").await?;
    if accessors.len() > TOKENS_MAX {
        not_looked_at.push(format!("tokens: there are more than {TOKENS_MAX}"));
        return Ok(BTreeMap::new());
    }
    let mut alike = BTreeMap::new();
    for accessor in accessors.iter() {
        let Some(entry) = token(tenant, accessor, txn).await? else { continue };
        if entry.is_wrapping() || at.is_some_and(|at| entry.created > at) {
            continue;
        }
        let (display_name, policies) = (entry.display_name.clone(), entry.policies.clone());
        *alike.entry(Alike { display_name, policies, entity_id: entry.entity_id.clone() }).or_insert(0) += 1;
    }
    Ok(alike)
}

/// The token with this accessor, if it is stored.
pub(super) async fn token(tenant: &Arc<Tenant>, accessor: &str, txn: &mut Txn) -> Result<Option<Arc<TokenEntry>>, Refusal> {
    let Some(found) = txn.read::<AccessorRecord>(tenant, &accessor_address(accessor)).await? else { return Ok(None) };
    let entry = txn.read::<TokenEntry>(tenant, &token_address(&found.value.hash)).await?;
    Ok(entry.map(|entry| entry.value).filter(|entry| !entry.has_expired(txn.now())))
}

/// Whom references to what is at `path` are for. They need no policy, and an explicit deny of their own still refuses them.
async fn consumers(
    tenant: &Arc<Tenant>,
    path: &Path,
    at: Option<Timestamp>,
    txn: &mut Txn,
) -> Result<Vec<(String, String)>, Refusal> {
    let Some(target) = Target::at(tenant, path, txn).await? else { return Ok(Vec::new()) };
    let mut consumers = Vec::new();
    for id in target.references(txn).await? {
        let Some(record) = references::read(tenant, &id, txn).await? else { continue };
        let now = at.unwrap_or(txn.now());
        let binding = &record.binding;
        if record.created > now || binding.expires.is_some_and(|until| until <= now) || binding.uses_left == Some(0) {
            continue;
        }
        let short = id.as_str().get(..12).unwrap_or_default();
        let mut conditions = format!("by reference {short}.., without a policy, unless one denies it");
        if let Some(purpose) = &binding.purpose {
            let _ = write!(conditions, "; for the purpose {purpose}");
        }
        if let Some(from) = binding.not_before.filter(|from| *from > now) {
            let _ = write!(conditions, "; not before {}", from.rfc3339());
        }
        consumers.extend(binding.consumers.iter().map(|consumer| (consumer.to_string(), conditions.clone())));
    }
    Ok(consumers)
}
