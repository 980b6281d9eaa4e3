//! When, from where and with which certificate an alias logged in last. A row of its own: each login writes it, and nothing that
//! a request depends on changes with it.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::record::Names;
use crate::answer::Refusal;
use crate::commit::{Tenant, Txn};
use crate::json::Object;
use crate::record::{Address, Kind, Listing};
use crate::time::Timestamp;

/// A login that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastLogin {
    /// When.
    pub time: Timestamp,
    /// From where.
    pub address: IpAddr,
    /// SHA-256 of the connection's client certificate, in hexadecimal digits.
    #[serde(default)]
    pub certificate: Option<String>,
}

crate::json_record!(LastLogin, Kind::LastLogin, Listing::None);

/// That of the alias that the mount with `accessor` calls `name`.
pub async fn last_login(
    txn: &mut Txn,
    tenant: &Arc<Tenant>,
    (accessor, name): (&str, &str),
) -> Result<Option<Arc<LastLogin>>, Refusal> {
    match Names::Aliases(accessor).id(name, txn, tenant).await? {
        Some(alias) => LastLogin::of(&alias, txn, tenant).await,
        None => Ok(None),
    }
}

/// Forgets it: the method has nobody of this name any more.
pub async fn forget_last_login(txn: &mut Txn, tenant: &Arc<Tenant>, (accessor, name): (&str, &str)) -> Result<(), Refusal> {
    if let Some(alias) = Names::Aliases(accessor).id(name, txn, tenant).await? {
        LastLogin::forget(&alias, txn, tenant);
    }
    Ok(())
}

impl LastLogin {
    fn address(alias: &str) -> Address {
        Address::system(Kind::LastLogin, alias)
    }

    /// That of the alias with this id.
    pub(super) async fn of(alias: &str, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Option<Arc<Self>>, Refusal> {
        Ok(txn.read::<Self>(tenant, &Self::address(alias)).await?.map(|found| found.value))
    }

    /// Writes it down for the alias with this id.
    pub async fn note(&self, alias: &str, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
        txn.put(tenant, &Self::address(alias), self, None).await
    }

    /// Forgets that of an alias.
    pub(super) fn forget(alias: &str, txn: &mut Txn, tenant: &Arc<Tenant>) {
        txn.forget::<Self>(tenant, &Self::address(alias));
    }

    /// Its fields, as users and aliases are shown.
    pub fn show(&self, data: &mut Object<'_>) {
        data.field("last_login_address", &self.address);
        if let Some(certificate) = &self.certificate {
            data.field("last_login_certificate", certificate);
        }
        data.field("last_login_time", &self.time.rfc3339());
    }
}
