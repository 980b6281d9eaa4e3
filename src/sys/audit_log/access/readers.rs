//! Who has read a path, as the log tells, and whether they may still.

use std::collections::HashMap;
use std::sync::Arc;

use super::gathered::{LISTED_MAX, token};
use super::judge::Judge;
use crate::answer::{Answer, Refusal};
use crate::audit::event::{Caller, Event};
use crate::auth::principals::{self, Principal};
use crate::commit::{Tenant, Tenants, Txn};
use crate::engine::directory;
use crate::engine::identity::{self, Standing};
use crate::json::{Json, Object};
use crate::path::Path;
use crate::policy::Identity;
use crate::sys::audit_log::search::Search;
use crate::time::Timestamp;

/// Accessors that are shown of one reader.
const ACCESSORS_SHOWN: usize = 10;

/// Reads of one page by callers who are the same to policy.
struct Reader {
    caller: Arc<Caller>,
    certificate: bool,
    count: u64,
    by_reference: u64,
    first: Timestamp,
    last: Timestamp,
    accessors: Vec<String>,
}

/// Whether somebody may still read the path, and how that is known.
struct Still {
    may_read: Option<bool>,
    basis: &'static str,
}

impl Still {
    const fn of(may_read: bool, basis: &'static str) -> Self {
        Self { may_read: Some(may_read), basis }
    }
}

/// One page of reads, put together by reader.
pub(super) async fn answer(search: &Search, path: &Path, tenants: &Arc<Tenants>) -> Result<Answer, Refusal> {
    let page = search.page(tenants).await?;
    let source = search.source().ok_or(Refusal::NotFound)?;
    let mut readers: Vec<Reader> = Vec::new();
    for hit in &page.hits {
        let Ok((_, event)) = Event::parse(&hit.bytes) else {
            return Err(Refusal::Internal("an event of the log does not parse".into()));
        };
        take(&mut readers, event, hit.position.time);
    }
    let mut txn = tenants.look();
    let tenant = &source.tenant;
    let mut standing =
        Present { tenant, judge: Judge::new(tenant, path.as_str(), None, txn.now()), roles: None, entities: HashMap::new() };
    let mut list = Json::list();
    for reader in &readers {
        let still = standing.still(reader, &mut txn).await?;
        list.object(|object| reader.show(&still, object));
    }
    let list = list.close();
    Ok(Answer::data(Json::object_of(list.expose().len() + 512, |data| {
        data.field("path", path.as_str()).field("namespace", &source.namespace);
        data.raw("readers", list.expose()).field("more", &page.more).field("next", &search.next(&page));
    })))
}

fn take(readers: &mut Vec<Reader>, event: Event, logged: Timestamp) {
    let Some(caller) = event.caller else { return };
    let same = |reader: &Reader| {
        let known = &reader.caller;
        (&known.tenant, &known.display_name, &known.entity, &known.policies)
            == (&caller.tenant, &caller.display_name, &caller.entity, &caller.policies)
    };
    let known = readers.iter().position(same).unwrap_or_else(|| {
        let certificate = caller.kind.as_str() == "certificate";
        let (count, by_reference, accessors) = (0, 0, Vec::new());
        let caller = Arc::clone(&caller);
        readers.push(Reader { caller, certificate, count, by_reference, first: logged, last: logged, accessors });
        readers.len() - 1
    });
    let Some(at) = readers.get_mut(known) else { return };
    at.count += 1;
    at.by_reference += u64::from(event.reference.is_some());
    (at.first, at.last) = (at.first.min(logged), at.last.max(logged));
    if at.accessors.len() < ACCESSORS_SHOWN && !caller.accessor.is_empty() && !at.accessors.contains(&caller.accessor) {
        at.accessors.push(caller.accessor.clone());
    }
}

impl Reader {
    fn show(&self, still: &Still, object: &mut Object<'_>) {
        let caller = &self.caller;
        object.field("display_name", &caller.display_name).field("entity", &caller.entity).field("kind", caller.kind.as_str());
        object.strings("policies", &caller.policies).strings("accessors", &self.accessors);
        object.field("count", &self.count).field("by_reference", &self.by_reference);
        object.field("first", &self.first.rfc3339()).field("last", &self.last.rfc3339());
        object.field("may_read", &still.may_read).field("basis", still.basis);
    }
}

/// What there is now, looked up when it is needed.
struct Present<'a> {
    tenant: &'a Arc<Tenant>,
    judge: Judge<'a>,
    roles: Option<Vec<Principal>>,
    entities: HashMap<String, Option<Arc<Standing>>>,
}

impl Present<'_> {
    async fn still(&mut self, reader: &Reader, txn: &mut Txn) -> Result<Still, Refusal> {
        let caller = &reader.caller;
        if caller.tenant != self.tenant.id() {
            return Ok(Still { may_read: None, basis: "a token of a namespace above: ask there" });
        }
        let standing = match &caller.entity {
            Some(id) => match self.entity(id, txn).await? {
                Some(standing) => Some(standing),
                None => return Ok(Still::of(false, "its entity is disabled or gone")),
            },
            None => None,
        };
        for accessor in &reader.accessors {
            if let Some(entry) = token(self.tenant, accessor, txn).await? {
                return Ok(Still::of(self.may_read(&entry.policies, standing.as_deref(), txn).await?, "a token that is good"));
            }
        }
        if reader.certificate {
            let role = self.role(|role| format!("{}certs/{}", role.mount, role.name) == caller.display_name, txn).await?;
            let Some(policies) = role else { return Ok(Still::of(false, "its certificate role is gone")) };
            return Ok(Still::of(self.may_read(&policies, standing.as_deref(), txn).await?, "its certificate role"));
        }
        let Some(standing) = standing else {
            if caller.kind.as_str() == "batch" {
                return Ok(Still { may_read: None, basis: "a batch token, which is stored nowhere" });
            }
            return Ok(Still::of(false, "its token is gone"));
        };
        let mut policies = Vec::new();
        let mut open = false;
        for alias in &standing.aliases {
            let found = self.alias(&alias.accessor, &alias.name, txn).await?;
            open |= matches!(found, Alias::Unknown);
            if let Alias::Gets(names) = found {
                policies.extend(names);
            }
        }
        if open {
            // Which role the next login goes by is for the client to say: it had these policies by the last one.
            policies.extend(caller.policies.iter().cloned());
            return Ok(Still::of(self.may_read(&policies, Some(&standing), txn).await?, "another login with the same policies"));
        }
        Ok(Still::of(self.may_read(&policies, Some(&standing), txn).await?, "another login"))
    }

    async fn may_read(&mut self, policies: &[String], standing: Option<&Standing>, txn: &mut Txn) -> Result<bool, Refusal> {
        let mut names = policies.to_vec();
        let mut identity = Identity::default();
        if let Some(standing) = standing {
            names.extend(standing.policies());
            identity = standing.identity();
        }
        names.sort_unstable();
        names.dedup();
        Ok(self.judge.judge(&names, Some(&identity), txn).await?.may_read())
    }

    async fn entity(&mut self, id: &str, txn: &mut Txn) -> Result<Option<Arc<Standing>>, Refusal> {
        if let Some(known) = self.entities.get(id) {
            return Ok(known.clone());
        }
        let found = identity::standing(txn, self.tenant, id).await?.map(Arc::new);
        self.entities.insert(id.to_owned(), found.clone());
        Ok(found)
    }

    /// What whom a mount calls `name` gets by another login there.
    async fn alias(&mut self, accessor: &str, name: &str, txn: &mut Txn) -> Result<Alias, Refusal> {
        let Some(mounted) = directory::by_accessor(self.tenant, accessor, txn).await? else { return Ok(Alias::Gone) };
        let path = mounted.path;
        let named = self.role(|role| role.mount == path && role.admits.alias.as_deref() == Some(name), txn).await?;
        if let Some(policies) = named {
            return Ok(Alias::Gets(policies));
        }
        let by_name = self.role(|role| role.mount == path && role.admits.alias.is_some(), txn).await?.is_some();
        let any = self.role(|role| role.mount == path && role.admits.alias.is_none(), txn).await?.is_some();
        Ok(if any && !by_name { Alias::Unknown } else { Alias::Gone })
    }

    /// The policies of the first role or user that is meant.
    async fn role(&mut self, is_meant: impl Fn(&Principal) -> bool, txn: &mut Txn) -> Result<Option<Vec<String>>, Refusal> {
        if self.roles.is_none() {
            let mut roles = Vec::new();
            for mounted in directory::all(self.tenant, txn).await? {
                roles.extend(principals::of_mount(self.tenant, &mounted, None, LISTED_MAX, txn).await?.known);
            }
            self.roles = Some(roles);
        }
        let roles = self.roles.iter().flatten();
        Ok(roles.into_iter().find(|role| is_meant(role)).map(|role| role.admits.policies.clone()))
    }
}

/// What is known of an alias.
enum Alias {
    /// Who logs in under it gets these policies.
    Gets(Vec<String>),
    /// Nobody can log in under it any more.
    Gone,
    /// That depends on the role that is named at the login.
    Unknown,
}
