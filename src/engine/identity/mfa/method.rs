//! Methods: the kinds of second factor that a tenant has.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::run::Asker;
use super::super::show::namespace_id;
use super::enforcement;
use super::operation::NAMED_MAX;
use crate::answer::{Answer, Data, Refusal};
use crate::commit::{Place, Tenant, Txn};
use crate::crypto::transit::Hash;
use crate::engine::listing::Range;
use crate::json::{Json, Object};
use crate::random;
use crate::record::{Address, Kind, Listing, SYSTEM};

/// The most methods of a tenant.
pub const METHODS_MAX: usize = 64;

const NO_BARCODE: &str = "no barcode is made: show the url as a QR code with any tool";

/// What codes are made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// HMAC with SHA-1, which is still sound for this.
    #[serde(rename = "SHA1")]
    Sha1,
    /// HMAC with SHA-256.
    #[serde(rename = "SHA256")]
    Sha256,
    /// HMAC with SHA-512.
    #[serde(rename = "SHA512")]
    Sha512,
}

impl Algorithm {
    pub(super) fn hash(self) -> Hash {
        match self {
            Self::Sha1 => Hash::Sha1,
            Self::Sha256 => Hash::Sha256,
            Self::Sha512 => Hash::Sha512,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }
}

/// A TOTP method. Period, digits and algorithm hold for secrets that are made from now on; each secret keeps its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Method {
    /// A UUID.
    pub id: String,
    /// For people, policies and headers; empty for none. No two methods share one.
    pub name: String,
    pub(super) settings: Settings,
}

/// What a client says about a method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// What authenticators show.
    pub issuer: String,
    /// The name of the method, while it is on its way there.
    #[serde(skip)]
    pub name: String,
    /// How long a code is shown.
    pub period_seconds: u64,
    /// Bytes of a secret.
    pub key_bytes: usize,
    /// What codes are made with.
    pub algorithm: Algorithm,
    /// 6 or 8.
    pub digits: usize,
    /// How many periods a clock may be off.
    pub skew: u64,
    /// Failures in a row until an entity has to wait.
    pub attempts: u64,
    /// A barcode was asked for, which nobody makes here.
    #[serde(skip)]
    pub barcode: bool,
}

crate::json_record!(Method, Kind::MfaMethod, Listing::Flat);

impl Method {
    /// Where the method with this id is.
    fn address(id: &str) -> Address {
        Address::system(Kind::MfaMethod, id)
    }

    /// Whether a client, policy or header means it by `text`: its id, or its name.
    pub fn is_called(&self, text: &str) -> bool {
        self.id == text || (!self.name.is_empty() && self.name == text)
    }

    fn show(&self, data: &mut Object<'_>, tenant: &Tenant, namespace: &str) {
        let settings = &self.settings;
        data.field("algorithm", settings.algorithm.name())
            .field("digits", &settings.digits)
            .field("id", &self.id)
            .field("issuer", &settings.issuer)
            .field("key_size", &settings.key_bytes)
            .field("max_validation_attempts", &settings.attempts)
            .field("name", &self.name)
            .field("namespace_id", &namespace_id(tenant))
            .field("namespace_path", namespace)
            .field("period", &settings.period_seconds)
            .field("qr_size", &0)
            .field("skew", &settings.skew)
            .field("type", "totp");
    }
}

/// The method with this id.
pub(super) async fn find(id: &str, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Option<Arc<Method>>, Refusal> {
    Ok(txn.read::<Method>(tenant, &Method::address(id)).await?.map(|found| found.value))
}

/// All methods of a tenant.
pub async fn methods(txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Vec<Arc<Method>>, Refusal> {
    let mut methods = Vec::new();
    for id in txn.names(tenant, Kind::MfaMethod, SYSTEM, "").await?.iter() {
        methods.extend(find(id, txn, tenant).await?);
    }
    Ok(methods)
}

/// The method that an operation is about.
pub(super) async fn needed(id: &str, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Arc<Method>, Refusal> {
    let missing = || Refusal::Invalid(format!("configuration for method ID {id:?} does not exist"));
    find(id, txn, tenant).await?.ok_or_else(missing)
}

pub(super) async fn write(id: Option<String>, settings: Settings, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let all = methods(txn, tenant).await?;
    let namesake = all.iter().find(|method| !settings.name.is_empty() && method.name == settings.name);
    let is_update = id.is_some();
    let (id, name) = match (id, namesake) {
        (Some(id), namesake) => {
            let method = all.iter().find(|method| method.id == id).ok_or(Refusal::NotFound)?;
            if namesake.is_some_and(|namesake| namesake.id != id) {
                return Err(Refusal::invalid("a method with this name exists already"));
            }
            let name = if settings.name.is_empty() { method.name.clone() } else { settings.name.clone() };
            (id, name)
        }
        (None, Some(namesake)) => (namesake.id.clone(), settings.name.clone()),
        (None, None) if all.len() >= METHODS_MAX => {
            return Err(Refusal::Invalid(format!("at most {METHODS_MAX} methods")));
        }
        (None, None) => (random::uuid(), settings.name.clone()),
    };
    let warnings = if settings.barcode { vec![NO_BARCODE.to_owned()] } else { Vec::new() };
    let method = Method { id, name, settings };
    txn.put(tenant, &Method::address(&method.id), &method, None).await?;
    if is_update {
        return Ok(Answer::done(warnings));
    }
    let data = Json::object(|data| {
        data.field("method_id", &method.id);
    });
    Ok(Answer::Data(Data { warnings, ..Data::new(Some(data)) }))
}

pub(super) async fn read(id: &str, place: &Place, asker: &Asker<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let method = find(id, txn, &place.tenant).await?.ok_or(Refusal::NotFound)?;
    Ok(Answer::data(Json::object(|data| method.show(data, &place.tenant, asker.namespace))))
}

/// One that an enforcement names stays: whoever falls under it could not log in any more, or anybody could.
pub(super) async fn delete(id: &str, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    if let Some(user) = enforcement::using(id, txn, tenant).await? {
        return Err(Refusal::Invalid(format!("methodID is still used by an enforcement configuration with ID: {user}")));
    }
    txn.remove::<Method>(tenant, &Method::address(id)).await?;
    Ok(Answer::Empty)
}

pub(super) async fn list(range: &Range, place: &Place, asker: &Asker<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let names = txn.names(tenant, Kind::MfaMethod, SYSTEM, "").await?;
    let shown = range.of(&names, NAMED_MAX)?;
    let mut methods = Vec::with_capacity(shown.len());
    for id in shown {
        methods.extend(find(id, txn, tenant).await?);
    }
    if methods.is_empty() {
        return Err(Refusal::NotFound);
    }
    Ok(Answer::data(Json::object(|data| {
        data.object("key_info", |out| {
            for method in &methods {
                out.object(&method.id, |data| method.show(data, tenant, asker.namespace));
            }
        })
        .strings("keys", shown);
    })))
}
