//! Expired tokens go with all that leads to them.

use std::sync::Arc;

use async_trait::async_trait;

use super::authenticate::Rows;
use super::entry::{AccessorRecord, TokenEntry, accessor_address, children_of, token_address};
use super::revoke::note_remains;
use crate::answer::Refusal;
use crate::commit::{Cleared, Remains, Tenant, Txn};
use crate::record::{Kind, RecordKey, SYSTEM};

/// Changes that a token takes: its own row, its accessor and its lease at least, its place below its parent and a note of its children at most.
const CHANGES: (usize, usize) = (3, 5);

/// Removes tokens that have expired.
pub struct ExpiredTokens;

/// An expired token, and what leads to it.
struct Dead {
    accessor: String,
    record: Arc<AccessorRecord>,
}

#[async_trait]
impl Remains for ExpiredTokens {
    async fn remove(&self, txn: &mut Txn, tenant: &Arc<Tenant>, keys: &[RecordKey], changes: usize) -> Result<Cleared, Refusal> {
        let (dead, others) = find(txn, tenant, keys, changes / CHANGES.0).await?;
        let directories = dead.iter().map(|dead| children_of(&dead.record.hash));
        let have_children = txn.occupied(tenant, (Kind::TokenChild, SYSTEM), directories).await?;
        let mut removed = 0;
        for (Dead { accessor, record }, has_children) in dead.iter().zip(have_children) {
            if txn.changes() + CHANGES.1 > changes {
                break;
            }
            let AccessorRecord { hash, parent, path } = &**record;
            if has_children {
                note_remains(txn, tenant, std::slice::from_ref(hash)).await?;
            }
            let parent = parent.as_ref().map(|parent| parent.hash.as_str());
            Rows { hash, accessor, parent, path }.remove(txn, tenant);
            removed += 1;
        }
        Ok(Cleared { removed, others })
    }
}

/// The first expired tokens among the records at `keys`, at most `limit`, and what was something else up to there.
async fn find(
    txn: &mut Txn,
    tenant: &Arc<Tenant>,
    keys: &[RecordKey],
    limit: usize,
) -> Result<(Vec<Dead>, Vec<RecordKey>), Refusal> {
    txn.look_up(tenant, keys).await;
    let (mut tokens, mut others) = (Vec::new(), Vec::new());
    for key in keys {
        match txn.expired::<TokenEntry>(tenant, *key).await? {
            None => others.push(*key),
            Some(entry) => tokens.push((*key, entry.accessor)),
        }
        if tokens.len() == limit {
            break;
        }
    }
    let accessors: Vec<_> = tokens.iter().map(|(_, accessor)| tenant.keyring().record_key(&accessor_address(accessor))).collect();
    txn.look_up(tenant, &accessors).await;
    let mut dead = Vec::with_capacity(tokens.len());
    for (key, accessor) in tokens {
        match txn.read::<AccessorRecord>(tenant, &accessor_address(&accessor)).await? {
            Some(found) if tenant.keyring().record_key(&token_address(&found.value.hash)) == key => {
                dead.push(Dead { accessor, record: found.value });
            }
            _ => others.push(key),
        }
    }
    Ok((dead, others))
}
