//! Many references at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt as _, stream};

use super::operation::Wanted;
use super::resolve::{Outcome, Resolver};
use crate::answer::{Answer, Data, Late, Refusal};
use crate::auth::Caller;
use crate::commit::{Place, Txn};
use crate::json::Json;

/// The most bytes of values that one batch answers with; items past that are refused on their own.
pub const BATCH_BYTES_MAX: usize = 32 << 20;
/// About as long as a result is besides its value.
const RESULT_BYTES: usize = 320;
/// Fewer items are written before the commit: they take less time than it takes to have another thread do that.
const LATE_MIN: usize = 16;
/// So many are looked up at once, ahead of their turn. Each may be as large as a request.
const AHEAD_MAX: usize = 32;

/// Many: each is authorised, answered and logged on its own, in the order of the request.
pub(super) async fn resolve_all(
    all: Vec<(String, Option<Wanted>)>,
    place: &Place,
    caller: &Caller,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    let mut resolver = Resolver::new(place, caller);
    let (mut items, mut bytes, mut looked_ahead) = (Vec::with_capacity(all.len()), 0, false);
    let mut left = all.into_iter();
    while let Some((text, wanted)) = left.next() {
        let asked = txn.asked();
        let outcome = match &wanted {
            None => Err(Refusal::invalid("malformed reference: mistyped, or not complete")),
            Some(_) if bytes > BATCH_BYTES_MAX => Err(Refusal::TooLarge),
            Some(wanted) => resolver.resolve(wanted, txn).await,
        };
        if let Err(refusal @ (Refusal::Unavailable(_) | Refusal::Sealed)) = outcome {
            return Err(refusal);
        }
        txn.end_item(outcome.as_ref().map(Outcome::status));
        // Where one was not in memory, others are not: they are not waited for one after another.
        if outcome.is_ok() && txn.asked() > asked && !std::mem::replace(&mut looked_ahead, true) {
            look_ahead(left.as_slice(), place, caller, txn).await;
        }
        bytes += RESULT_BYTES + outcome.as_ref().map_or(0, Outcome::bytes);
        items.push((text, outcome));
    }
    let late = items.len() >= LATE_MIN;
    let write = move || results(items, bytes);
    Ok(Answer::Data(if late { Data { late: Some(Late::new(write)), ..Data::new(None) } } else { Data::new(Some(write())) }))
}

/// Has in memory what the items lead to, up to what one batch answers with: the store is asked for many at once. What is not found here is
/// found out when its turn comes.
async fn look_ahead(items: &[(String, Option<Wanted>)], place: &Place, caller: &Caller, txn: &Txn) {
    let bytes = &AtomicUsize::new(0);
    let wanted = items.iter().filter_map(|(_, wanted)| Some((wanted.as_ref()?, txn.aside()?)));
    let looking = async |(wanted, mut aside): (&Wanted, Txn)| {
        if bytes.load(Ordering::Relaxed) <= BATCH_BYTES_MAX
            && let Ok(found) = Resolver::new(place, caller).look_ahead(wanted, &mut aside).await
        {
            bytes.fetch_add(found, Ordering::Relaxed);
        }
    };
    stream::iter(wanted).for_each_concurrent(AHEAD_MAX, looking).await;
}

/// The answer to a batch, about `bytes` long.
fn results(items: Vec<(String, Result<Outcome, Refusal>)>, bytes: usize) -> Json {
    let mut results = Json::list_in("results", bytes);
    for (text, outcome) in items {
        results.object(|item| {
            item.field("reference", &text);
            match outcome.and_then(Outcome::write) {
                Ok((status, data, etag)) => {
                    item.field("status", &status).raw("data", data.as_ref().map_or(b"null", Json::expose));
                    item.field("etag", &etag).null("error");
                }
                Err(refusal) => {
                    item.field("status", &refusal.status()).null("data").null("etag").field("error", said(&refusal));
                }
            }
        });
    }
    results.close()
}

/// The text of an item's refusal. What is unknown and what is forbidden say the same.
fn said(refusal: &Refusal) -> &str {
    match refusal {
        Refusal::Invalid(text) => text,
        Refusal::NotFound => "not found",
        Refusal::TooLarge => "the values of the batch are too large: ask for this one apart",
        Refusal::Denied => "permission denied",
        _ => "internal error",
    }
}
