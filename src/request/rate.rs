//! Rate limits, as a request meets them: after it is known whose it is and before policy is asked, so that one too many costs little,
//! and its log next to nothing.

use std::net::IpAddr;

use super::Call;
use super::chain::Resolved;
use super::dispatch::Location;
use crate::answer::Refusal;
use crate::commit::Txn;
use crate::crypto::Keyring;
use crate::metrics;
use crate::quota::{Id, Taken};
use crate::record::{Address, Kind, SYSTEM};
use crate::sys::quotas;

/// How a request stands to the rate limit that holds for it.
#[derive(Clone)]
pub struct Rate {
    /// What was taken of it.
    pub taken: Taken,
    /// Answers say so.
    pub shown: bool,
    /// Every refused request has its event.
    audited: bool,
}

impl Rate {
    /// Whether the request was refused and leaves no event: a flood must not fill the log that it is kept from.
    pub(super) fn leaves_no_event(&self) -> bool {
        self.taken.refused.as_ref().is_some_and(|refused| !refused.first && !self.audited)
    }
}

impl Call {
    /// Counts the request, once however often it is decided.
    pub(super) async fn within_rate(&self, asked: &Resolved, location: &Location, txn: &mut Txn) -> Result<(), Refusal> {
        let Some(quotas) = quotas::in_force(txn).await? else { return Ok(()) };
        let (path, now) = (asked.path.as_str(), txn.tenants().clock().uptime());
        let counted = self.rate.get_or_init(|| {
            let rule = quotas.rule(&asked.namespace, location.mount_path(), path)?;
            let tenants = txn.tenants();
            let taken = tenants
                .leases()
                .buckets()
                .take(rule, self.incoming.remote.ip(), now, |rule, source| count_id(tenants.root().keyring(), rule, source));
            Some(Rate { taken, shown: quotas.headers, audited: quotas.audited })
        });
        match counted {
            Some(rate) if rate.taken.refused.is_some() => {
                metrics::over_rate_limit();
                Err(Refusal::TooMany(format!("request path {path:?}: rate limit quota exceeded")))
            }
            _ => Ok(()),
        }
    }
}

/// What servers call the count of a rule and a source among themselves: the database learns neither.
fn count_id(root: &Keyring, rule: &str, source: Option<IpAddr>) -> Id {
    let (directory, name) = (format!("counts/{rule}/"), source.map_or_else(String::new, |source| source.to_string()));
    let key = root.record_key(&Address { kind: Kind::Quotas, mount: SYSTEM, directory, name }).0;
    key.first_chunk().copied().unwrap_or_default()
}
