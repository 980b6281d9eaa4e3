//! Ending many tokens of a tenant at once: one small record that every use reads.
//!
//! Each token carries the generation that the tenant had when it was made. Raising it ends every batch token made before,
//! or every token whose lease is under a path, in one write; no clock is compared, because the record is in the read-set
//! of whoever makes a token.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::entry::{TokenEntry, TokenKind};
use crate::answer::Refusal;
use crate::commit::{Tenant, Txn};
use crate::record::{Address, Kind, Listing};

/// How many paths may wait for their rows to be cleared away.
const PATHS_MAX: usize = 1_000;

/// What was ended all together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// What tokens that are made now carry.
    pub generation: u64,
    /// Batch tokens of an older generation are dead.
    pub batches_from: u64,
    /// Tokens of an older generation are dead, whatever they are.
    #[serde(default)]
    pub all_from: u64,
    /// Paths whose older tokens are dead, until a job has removed their rows.
    pub paths: Vec<DeadPath>,
}

/// A path whose tokens were ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadPath {
    /// Ends in a slash, unless it is empty: all paths.
    pub prefix: String,
    /// Tokens of an older generation are dead.
    pub below: u64,
}

crate::json_record!(Epoch, Kind::TokenEpoch, Listing::None);

impl Epoch {
    /// The record of a tenant; it is in the read-set also when it is not there.
    pub async fn of(txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Arc<Self>, Refusal> {
        Ok(txn.read::<Self>(tenant, &address()).await?.map_or_else(Arc::default, |found| found.value))
    }

    /// Whether a token was ended with others.
    pub fn ended(&self, entry: &TokenEntry) -> bool {
        match entry.kind {
            kind if self.ended_with_all(kind, entry.generation) => true,
            TokenKind::Batch => entry.generation < self.batches_from,
            TokenKind::Service => !entry.is_wrapping() && self.paths.iter().any(|dead| dead.ends(&entry.path, entry.generation)),
            TokenKind::Released | TokenKind::Certificate => false,
        }
    }

    /// Whether a token is of before all were ended. A certificate's holder has none.
    fn ended_with_all(&self, kind: TokenKind, generation: u64) -> bool {
        kind != TokenKind::Certificate && generation < self.all_from
    }

    async fn put(&self, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
        txn.put(tenant, &address(), self, None).await
    }
}

impl DeadPath {
    /// Whether a lease made at `path` in `generation` is under it.
    pub fn ends(&self, path: &str, generation: u64) -> bool {
        let Some(rest) = path.strip_prefix(self.prefix.strip_suffix('/').unwrap_or(&self.prefix)) else { return false };
        generation < self.below && (self.prefix.is_empty() || rest.is_empty() || rest.starts_with('/'))
    }
}

fn address() -> Address {
    Address::system(Kind::TokenEpoch, "epoch")
}

/// Ends all batch tokens of a tenant that there are now.
pub async fn end_batches(txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
    let mut epoch = Epoch::clone(&*Epoch::of(txn, tenant).await?);
    epoch.generation = epoch.generation.saturating_add(1);
    epoch.batches_from = epoch.generation;
    epoch.put(txn, tenant).await
}

/// Ends all tokens of a tenant that there are now, those that wrap an answer, too. Rows go later.
pub async fn end_all(txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
    let generation = Epoch::of(txn, tenant).await?.generation.saturating_add(1);
    let everywhere = DeadPath { prefix: String::new(), below: generation };
    let epoch = Epoch { generation, batches_from: generation, all_from: generation, paths: vec![everywhere] };
    epoch.put(txn, tenant).await
}

/// Ends all tokens of a tenant whose leases are under `prefix` now, with everything below them. Rows go later.
pub async fn end_path(txn: &mut Txn, tenant: &Arc<Tenant>, prefix: String) -> Result<DeadPath, Refusal> {
    let mut epoch = Epoch::clone(&*Epoch::of(txn, tenant).await?);
    epoch.generation = epoch.generation.saturating_add(1);
    epoch.paths.retain(|dead| dead.prefix != prefix);
    if epoch.paths.len() >= PATHS_MAX {
        return Err(Refusal::TooMany("too many revoked prefixes are still being cleared away; try again".into()));
    }
    let path = DeadPath { prefix, below: epoch.generation };
    epoch.paths.push(path.clone());
    epoch.put(txn, tenant).await?;
    txn.wake_jobs(false);
    Ok(path)
}

/// The rows under a path are gone: nothing is left that it could end.
pub async fn cleared(txn: &mut Txn, tenant: &Arc<Tenant>, path: &DeadPath) -> Result<(), Refusal> {
    let mut epoch = Epoch::clone(&*Epoch::of(txn, tenant).await?);
    epoch.paths.retain(|dead| dead != path);
    epoch.put(txn, tenant).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_of_an_older_generation_ends() {
        let epoch = Epoch { all_from: 3, ..Epoch::default() };
        for kind in [TokenKind::Batch, TokenKind::Service, TokenKind::Released] {
            assert!(epoch.ended_with_all(kind, 0) && epoch.ended_with_all(kind, 2) && !epoch.ended_with_all(kind, 3));
            assert!(!Epoch::default().ended_with_all(kind, 0), "nothing was ended");
        }
        assert!(!epoch.ended_with_all(TokenKind::Certificate, 0));
    }

    #[test]
    fn a_path_ends_what_is_under_it_by_whole_segments() {
        let ends = |prefix: &str, path: &str| DeadPath { prefix: prefix.to_owned(), below: 5 }.ends(path, 4);
        for (prefix, path, ended) in [
            ("auth/token/create/", "auth/token/create", true),
            ("auth/token/create/", "auth/token/create/role", true),
            ("auth/token/create/", "auth/token/create-orphan", false),
            ("auth/", "auth/token/create", true),
            ("aut/", "auth/token/create", false),
            ("auth/token/create/role/", "auth/token/create", false),
            ("", "auth/token/create", true),
        ] {
            assert_eq!(ends(prefix, path), ended, "{path} under {prefix}");
        }
        assert!(!DeadPath { prefix: String::new(), below: 5 }.ends("auth", 5), "what is made afterwards lives");
    }
}
