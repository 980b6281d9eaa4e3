//! What there is of references, and the end of them. Their texts are not kept, so that nothing here shows one.

use super::mint::{made, no_secret};
use super::operation::{Named, Query, Sought};
use super::target::Target;
use crate::answer::{Answer, Refusal, time_or_empty};
use crate::commit::{Place, Txn};
use crate::engine::listing::{NAMES_MAX, Range};
use crate::engine::{kv, references};
use crate::json::{Json, Object};
use crate::record::{Kind, SYSTEM};
use crate::reference::{Consumer, Reference, ReferenceId, ReferenceListing, ReferenceRecord};

/// The most references that one search shows, or that are revoked at once.
const SEARCH_MAX: usize = 1_000;

pub(super) async fn list(range: &Range, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let names = txn.names(&place.tenant, Kind::ReferenceListing, SYSTEM, ReferenceListing::ALL).await?;
    Answer::keys(range.of(&names, NAMES_MAX)?)
}

/// `{"keys": [ids], "key_info": {id: what is known of it}}`; none is `NotFound`.
pub(super) async fn search(query: &Query, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let ids = match query {
        Query::Path(path) => match Target::at(tenant, path, txn).await? {
            Some(target) => target.references(txn).await?,
            None => Vec::new(),
        },
        Query::Consumer(consumer) => {
            let mut ids = references::listed(tenant, &ReferenceListing::of_consumer(consumer), txn).await?;
            if let Consumer::Subject(text) = consumer
                && !text.contains('*')
            {
                // A pattern may mean it, too.
                let patterns = ReferenceListing::of_consumer(&Consumer::Subject("*".to_owned()));
                ids.extend(references::listed(tenant, &patterns, txn).await?);
            }
            ids
        }
    };
    if ids.len() > SEARCH_MAX {
        return Err(Refusal::Invalid(format!("more than {SEARCH_MAX} references: list all, and describe them")));
    }
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        // What has expired is listed until the job of expiry has passed by.
        let record = references::read(tenant, &id, txn).await?;
        if let Some(record) = record.filter(|record| query.finds(record)) {
            found.push((id.as_str().to_owned(), description(&id, &record, place, txn).await?));
        }
    }
    if found.is_empty() {
        return Err(Refusal::NotFound);
    }
    let keys: Vec<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
    Ok(Answer::data(Json::object(|data| {
        data.object("key_info", |info| {
            for (id, description) in &found {
                info.raw(id, description.expose());
            }
        });
        data.strings("keys", &keys);
    })))
}

pub(super) async fn describe(named: &Named, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let id = id(named, place);
    let record = references::read(&place.tenant, &id, txn).await?.ok_or(Refusal::NotFound)?;
    Ok(Answer::data(description(&id, &record, place, txn).await?))
}

async fn description(id: &ReferenceId, record: &ReferenceRecord, place: &Place, txn: &mut Txn) -> Result<Json, Refusal> {
    let target = Target::in_mount(&place.tenant, record.target_mount, &record.target_path, txn).await?;
    let standing = match &target {
        Some(target) => target.standing(record.pinned, txn).await?.filter(|found| found.object == record.target_object),
        None => None,
    };
    let path = target.filter(|_| standing.is_some()).map(|target| target.read_path());
    Ok(Json::object(|data| {
        data.field("id", id.as_str()).field("path", &path).field("version", &record.pinned).field("field", &record.field);
        data.field("standing", &record.standing).field("created_time", &record.created.rfc3339());
        conditions(data, record);
    }))
}

fn conditions(data: &mut Object<'_>, record: &ReferenceRecord) {
    let binding = &record.binding;
    let (mut entities, mut certificates, mut uris, mut subjects) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for consumer in &binding.consumers {
        match consumer {
            Consumer::Entity(id) => entities.push(id),
            Consumer::Certificate(fingerprint) => certificates.push(fingerprint),
            Consumer::UriSan(uri) => uris.push(uri),
            Consumer::Subject(glob) => subjects.push(glob),
        }
    }
    data.strings("entities", &entities).strings("certificates", &certificates).strings("uri_sans", &uris);
    data.strings("subjects", &subjects);
    data.field("purpose", &binding.purpose);
    data.field("not_before", &time_or_empty(binding.not_before)).field("expires", &time_or_empty(binding.expires));
    data.field("uses", &binding.uses).field("uses_left", &binding.uses_left);
}

/// The same reference under another text, which is the answer. The old text stands for nothing from then on.
pub(super) async fn rotate(named: &Named, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let old = id(named, place);
    let record = references::read(tenant, &old, txn).await?.ok_or(Refusal::NotFound)?;
    let new = Reference::random();
    if record.standing {
        replace_standing(&record, &new, place, txn).await?;
    } else {
        references::remove(tenant, &old, txn).await?;
        references::put(tenant, &new, &record, txn).await?;
    }
    txn.note_reference(tenant.keyring().reference_hash(new.as_str()));
    Ok(made(&new, &ReferenceId::of(tenant.keyring(), &new)))
}

/// `{"revoked": how many}`
pub(super) async fn revoke(sought: &Sought, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let ids = match sought {
        Sought::Named(named) => vec![id(named, place)],
        Sought::Path(path) => Target::at(tenant, path, txn).await?.ok_or_else(no_secret)?.references(txn).await?,
    };
    if ids.len() > SEARCH_MAX {
        return Err(Refusal::Invalid(format!("more than {SEARCH_MAX} references: revoke some of them by id")));
    }
    let mut revoked = 0;
    for id in ids {
        let Some(record) = references::read(tenant, &id, txn).await? else { continue };
        revoked += 1;
        if record.standing {
            // A secret always has one: the next write answers with it.
            replace_standing(&record, &Reference::random(), place, txn).await?;
        } else {
            references::remove(tenant, &id, txn).await?;
            let target = Target::in_mount(tenant, record.target_mount, &record.target_path, txn).await?;
            if let Some(target) = target {
                target.forget(txn).await?;
            }
        }
    }
    if revoked == 0 {
        return Err(Refusal::NotFound);
    }
    Ok(Answer::data(Json::object(|data| {
        data.field("revoked", &revoked);
    })))
}

async fn replace_standing(record: &ReferenceRecord, new: &Reference, place: &Place, txn: &mut Txn) -> Result<(), Refusal> {
    let target = Target::in_mount(&place.tenant, record.target_mount, &record.target_path, txn).await?;
    let target = target.ok_or(Refusal::NotFound)?;
    kv::replace_standing(&target.place, &target.path, new, txn).await
}

fn id(named: &Named, place: &Place) -> ReferenceId {
    match named {
        Named::Reference(reference) => ReferenceId::of(place.tenant.keyring(), reference),
        Named::Id(id) => id.clone(),
    }
}
