//! What holds for all roles of a mount.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::answer::Refusal;
use crate::auth::login::Login;
use crate::auth::origin::Fingerprint;
use crate::commit::{Tenant, Txn};
use crate::engine::table::Field;
use crate::fields::Fields;
use crate::id::MountId;
use crate::json::Json;
use crate::record::{Address, Kind, Listing};

/// The most certificates that a mount refuses one by one.
pub(super) const DENIED_MAX: usize = 1_000;

/// The settings of a mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct CertConfig {
    /// Certificates that no role takes, and whose tokens are none.
    denied: Vec<Fingerprint>,
    /// Accepted and shown: nobody is asked whether a certificate was revoked.
    ocsp_cache_size: i64,
}

crate::json_record!(CertConfig, Kind::CertConfig, Listing::None);

/// How it is written.
pub(super) const FIELDS: &[Field] = &[
    field(
        "denied_fingerprints",
        "array",
        "SHA-256 of certificates (DER) that no role takes and whose tokens are none, hexadecimal: the whole list.",
    ),
    field("disable_binding", "boolean", "Only false: a token is renewed with the certificate that it was logged in with."),
    field("enable_identity_alias_metadata", "boolean", "Only false."),
    field("ocsp_cache_size", "integer", "Kept and shown: there is no OCSP."),
];

const fn field(name: &'static str, kind: &'static str, help: &'static str) -> Field {
    Field { name, kind, help }
}

/// What a write says.
#[derive(Debug)]
pub struct Change {
    denied: Option<Vec<Fingerprint>>,
    ocsp_cache_size: Option<i64>,
}

impl Change {
    pub(super) fn parse(fields: &Fields<'_>) -> Result<Self, Refusal> {
        for (name, reason) in [
            ("disable_binding", "a token is renewed with the certificate that it was logged in with, and with no other"),
            ("enable_identity_alias_metadata", "aliases keep no metadata of certificates"),
        ] {
            if fields.boolean(name)? == Some(true) {
                return Err(Refusal::invalid(format!("{name}: only false: {reason}")));
            }
        }
        let Some(texts) = fields.list("denied_fingerprints")? else {
            return Ok(Self { denied: None, ocsp_cache_size: fields.integer("ocsp_cache_size")? });
        };
        if texts.len() > DENIED_MAX {
            return Err(Refusal::invalid(format!("denied_fingerprints: at most {DENIED_MAX}")));
        }
        let wrong = || Refusal::invalid("denied_fingerprints: each is a SHA-256, 64 hexadecimal digits");
        let denied = texts.iter().map(|text| fingerprint(text).ok_or_else(wrong)).collect::<Result<_, _>>()?;
        Ok(Self { denied: Some(denied), ocsp_cache_size: fields.integer("ocsp_cache_size")? })
    }

    pub(super) fn apply(self, before: &CertConfig) -> CertConfig {
        CertConfig {
            denied: self.denied.unwrap_or_else(|| before.denied.clone()),
            ocsp_cache_size: self.ocsp_cache_size.unwrap_or(before.ocsp_cache_size),
        }
    }
}

/// Whether somebody logged in with a certificate that the mount denies now; mounts of other methods deny none.
pub async fn denies(login: &Login, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<bool, Refusal> {
    let Some(Fingerprint(certificate)) = login.certificate else { return Ok(false) };
    let found = txn.read::<CertConfig>(tenant, &CertConfig::address(login.mount)).await?;
    Ok(found.is_some_and(|found| found.value.denies(certificate)))
}

/// As people write one: in upper or lower case, with or without colons.
fn fingerprint(text: &str) -> Option<Fingerprint> {
    Fingerprint::try_from(text.trim().replace(':', "").to_lowercase()).ok()
}

impl CertConfig {
    /// Where it is.
    pub(super) fn address(mount: MountId) -> Address {
        Address { kind: Kind::CertConfig, mount, directory: String::new(), name: String::new() }
    }

    /// Whether no role takes this certificate.
    pub(super) fn denies(&self, certificate: [u8; 32]) -> bool {
        self.denied.contains(&Fingerprint(certificate))
    }

    /// The `data` of a read.
    pub(super) fn json(&self) -> Json {
        Json::object(|data| {
            data.field("denied_fingerprints", &self.denied)
                .field("disable_binding", &false)
                .field("enable_identity_alias_metadata", &false)
                .field("ocsp_cache_size", &self.ocsp_cache_size);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_taken_as_people_write_them() {
        let colons = ["AB"; 32].join(":");
        let change = |body: &str| Change::parse(&Fields::parse(body.as_bytes(), None).unwrap());
        let config = change(&format!(r#"{{"denied_fingerprints":["{colons}"]}}"#)).unwrap().apply(&CertConfig::default());
        assert!(config.denies([0xab; 32]) && !config.denies([0xac; 32]));
        assert_eq!(change("{}").unwrap().apply(&config), config, "what is not named stays");
        assert!(!change(r#"{"denied_fingerprints":[]}"#).unwrap().apply(&config).denies([0xab; 32]));
        for body in [r#"{"denied_fingerprints":"ab"}"#, r#"{"denied_fingerprints":["zz"]}"#, r#"{"disable_binding":true}"#] {
            assert!(change(body).is_err(), "{body}");
        }
    }
}
