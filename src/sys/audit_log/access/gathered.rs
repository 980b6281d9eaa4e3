//! Everybody whom a namespace lets in: roles and users, entities and groups, tokens, and whom references to the path are for.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use super::judge::{Judge, Verdict};
use crate::answer::Refusal;
use crate::auth::policy_history;
use crate::auth::principals::{self, Admits, Principal};
use crate::auth::token::entry::{AccessorRecord, TokenEntry, accessor_address, token_address};
use crate::auth::token::grant::matches_any;
use crate::commit::past::Known;
use crate::commit::{Tenant, Txn};
use crate::engine::identity::{self, Group, Standing, Stood};
use crate::engine::{directory, references};
use crate::json::Object;
use crate::path::Path;
use crate::policy::Identity;
use crate::record::{Kind, SYSTEM};
use crate::reference::{ReferenceId, ReferenceRecord};
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
    entities: Vec<(Standing, bool)>,
    groups: Vec<(Group, bool)>,
    tokens: BTreeMap<Alike, u64>,
    /// Entities that only tokens name by now: they were merged into others.
    merged: BTreeMap<String, Standing>,
    /// Whom references to the path are for, and under which conditions.
    consumers: Vec<Consumer>,
    /// Names of policies that were ever written, for roles that allow globs of them.
    policies: Vec<Box<str>>,
    /// What there was too much of.
    pub(super) not_looked_at: Vec<String>,
    /// Of whom it is not kept any more what they were.
    pub(super) forgotten: Vec<String>,
}

/// Whom a reference is for, under which conditions, and whether it is known since when.
struct Consumer {
    name: String,
    conditions: String,
    sure: bool,
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
    /// Whether it is known since when they were so.
    sure: bool,
    /// What else has to be known.
    note: Option<String>,
}

impl Gathered {
    pub(super) async fn of(tenant: &Arc<Tenant>, path: &Path, at: Option<Timestamp>, txn: &mut Txn) -> Result<Self, Refusal> {
        let (mut not_looked_at, mut forgotten, mut roles) = (Vec::new(), Vec::new(), Vec::new());
        let mounts = directory::as_of(tenant, at, txn).await?;
        forgotten.extend(mounts.forgotten.iter().map(|path| format!("mount {path}")));
        for (mounted, is_sure) in &mounts.mounts {
            let found = principals::of_mount(tenant, mounted, at, LISTED_MAX, txn).await?;
            if found.cut {
                not_looked_at.push(format!("{}: more than {LISTED_MAX} roles or users", mounted.path));
            }
            forgotten.extend(found.forgotten);
            roles.extend(found.known.into_iter().map(|role| Principal { sure: role.sure && *is_sure, ..role }));
        }
        let mut entities = Vec::new();
        let ids = identity::ids_as_of(txn, tenant, at).await?;
        if ids.len() > LISTED_MAX {
            not_looked_at.push(format!("more than {LISTED_MAX} entities"));
        }
        for id in ids.iter().take(LISTED_MAX) {
            match identity::standing_as_of(txn, tenant, id, at).await? {
                Stood::As(standing, sure) => entities.push((standing, sure)),
                Stood::Out => {}
                Stood::Forgotten => forgotten.push(format!("entity {id}")),
            }
        }
        let groups = identity::groups_as_of(txn, tenant, at, LISTED_MAX).await?;
        forgotten.extend(groups.forgotten.iter().map(|id| format!("group {id}")));
        let tokens = tokens(tenant, at, &mut not_looked_at, txn).await?;
        let merged = merged(tenant, &tokens, &entities, at, txn).await?;
        let consumers = consumers(tenant, (path, &mounts), at, &mut forgotten, txn).await?;
        let mut policies = txn.names(tenant, Kind::Policy, SYSTEM, "").await?.to_vec();
        policies.extend(policy_history::names(txn, tenant).await?.iter().cloned());
        policies.sort_unstable();
        policies.dedup();
        Ok(Self { roles, entities, groups: groups.groups, tokens, merged, consumers, policies, not_looked_at, forgotten })
    }

    /// Those who may do something, sorted.
    pub(super) async fn judged(&self, judge: &mut Judge<'_>, txn: &mut Txn) -> Result<Vec<Row>, Refusal> {
        let mut rows = Vec::new();
        for role in &self.roles {
            let Admits { globs, refused, any_policy, .. } = &role.admits;
            let mut policies = role.admits.policies.clone();
            let asked_for = self.policies.iter().filter(|name| matches_any(globs, name) && !matches_any(refused, name));
            policies.extend(asked_for.map(ToString::to_string));
            policies.sort_unstable();
            policies.dedup();
            let verdict = judge.judge(&policies, None, txn).await?;
            let row = Row::new(role.kind, &role.mount, role.name.clone(), policies, verdict);
            rows.push(Row { any_policy: *any_policy, sure: role.sure, ..row });
        }
        for (standing, sure) in &self.entities {
            let policies = standing.policies();
            let verdict = judge.judge(&policies, Some(&standing.identity()), txn).await?;
            let known_as: Vec<&str> = standing.aliases.iter().map(|alias| alias.name.as_str()).collect();
            let note = (!known_as.is_empty()).then(|| format!("known as {}", known_as.join(", ")));
            let name = format!("{} ({})", standing.entity.name, standing.entity.id);
            rows.push(Row { note, sure: *sure, ..Row::new("entity", "identity/", name, policies, verdict) });
        }
        for (group, sure) in &self.groups {
            let verdict = judge.judge(&group.policies, None, txn).await?;
            let row = Row::new("group", "identity/", group.name.clone(), group.policies.clone(), verdict);
            rows.push(Row { sure: *sure, ..row });
        }
        for (alike, count) in &self.tokens {
            let mut policies = alike.policies.clone();
            let (identity, note) = match self.entity(&alike.entity_id) {
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
            let row = Row::new("token", "auth/token/", alike.display_name.clone(), policies, verdict);
            rows.push(Row { count: Some(*count), note, ..row });
        }
        for consumer in &self.consumers {
            let verdict = Verdict { capabilities: vec!["resolve"], ..Verdict::default() };
            let row = Row::new("reference", "sys/references/", consumer.name.clone(), Vec::new(), verdict);
            rows.push(Row { note: Some(consumer.conditions.clone()), sure: consumer.sure, ..row });
        }
        rows.retain(|row| row.verdict.is_something() || row.any_policy);
        rows.sort_by(|a, b| (a.kind, &a.mount, &a.name).cmp(&(b.kind, &b.mount, &b.name)));
        Ok(rows)
    }

    fn entity(&self, id: &str) -> Option<&Standing> {
        let listed = self.entities.iter().map(|(standing, _)| standing).find(|standing| standing.entity.id == id);
        listed.or_else(|| self.merged.get(id))
    }
}

impl Row {
    fn new(kind: &'static str, mount: &str, name: String, policies: Vec<String>, verdict: Verdict) -> Self {
        let mount = mount.to_owned();
        Self { kind, mount, name, policies, verdict, count: None, any_policy: false, sure: true, note: None }
    }

    pub(super) fn show(&self, object: &mut Object<'_>) {
        object.field("kind", self.kind).field("mount", &self.mount).field("name", &self.name);
        object.strings("policies", &self.policies).strings("capabilities", &self.verdict.capabilities);
        object.field("depends_on_entity", &self.verdict.depends_on_entity).field("second_factor", &self.verdict.second_factor);
        object.field("any_policy", &self.any_policy).field("tokens", &self.count);
        object.field("since_unknown", &!self.sure).field("note", &self.note);
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

/// The entities of tokens that stand for another one by now.
async fn merged(
    tenant: &Arc<Tenant>,
    tokens: &BTreeMap<Alike, u64>,
    entities: &[(Standing, bool)],
    at: Option<Timestamp>,
    txn: &mut Txn,
) -> Result<BTreeMap<String, Standing>, Refusal> {
    let mut merged = BTreeMap::new();
    let known: HashSet<&str> = entities.iter().map(|(standing, _)| standing.entity.id.as_str()).collect();
    let ids: BTreeSet<&str> = tokens.keys().map(|alike| alike.entity_id.as_str()).collect();
    for id in ids.into_iter().filter(|id| !id.is_empty() && !known.contains(id)) {
        if let Stood::As(standing, _) = identity::standing_as_of(txn, tenant, id, at).await? {
            merged.insert(id.to_owned(), standing);
        }
    }
    Ok(merged)
}

/// Whom references to what was at `path` were for. They need no policy, and an explicit deny of their own still refuses them.
async fn consumers(
    tenant: &Arc<Tenant>,
    (path, mounts): (&Path, &directory::Earlier),
    at: Option<Timestamp>,
    forgotten: &mut Vec<String>,
    txn: &mut Txn,
) -> Result<Vec<Consumer>, Refusal> {
    let Some(target) = mounts.answering(path.as_str()).and_then(|mounted| Target::below(tenant, mounted, path)) else {
        return Ok(Vec::new());
    };
    let listed = ReferenceRecord::past_directory(target.place.mount.id, &target.path);
    let mut ids = target.references(txn).await?;
    if at.is_some() {
        let past = txn.names_of_past(tenant, Kind::Reference, SYSTEM, &listed).await?;
        ids.extend(past.iter().filter_map(|id| ReferenceId::parse(id)));
        ids.sort_unstable();
        ids.dedup();
    }
    let mut consumers = Vec::new();
    for id in ids {
        let short = id.as_str().get(..12).unwrap_or_default();
        let (record, sure) = match txn.as_of::<ReferenceRecord, ReferenceRecord>(tenant, &id.address(), &listed, at).await? {
            Known::Was(record) => (record, true),
            Known::First(record) => (record, false),
            Known::Absent => continue,
            Known::Forgotten => {
                forgotten.push(format!("reference {short}.."));
                continue;
            }
        };
        // How often it may still be used is known of today.
        let is_spent =
            at.is_none() && references::read(tenant, &id, txn).await?.is_none_or(|now| now.binding.uses_left == Some(0));
        if let Some(conditions) = conditions(&record, short, at.unwrap_or(txn.now())).filter(|_| !is_spent) {
            let named = record.binding.consumers.iter().map(ToString::to_string);
            consumers.extend(named.map(|name| Consumer { name, conditions: conditions.clone(), sure }));
        }
    }
    Ok(consumers)
}

/// Under which conditions a reference resolves for whom it is for; `None` when it does for nobody.
fn conditions(record: &ReferenceRecord, short: &str, now: Timestamp) -> Option<String> {
    let binding = &record.binding;
    if record.created > now || binding.expires.is_some_and(|until| until <= now) {
        return None;
    }
    let mut conditions = format!("by reference {short}.., without a policy, unless one denies it");
    if let Some(purpose) = &binding.purpose {
        let _ = write!(conditions, "; for the purpose {purpose}");
    }
    if let Some(uses) = binding.uses {
        let _ = write!(conditions, "; {uses} times in all");
    }
    if let Some(from) = binding.not_before.filter(|from| *from > now) {
        let _ = write!(conditions, "; not before {}", from.rfc3339());
    }
    Some(conditions)
}
