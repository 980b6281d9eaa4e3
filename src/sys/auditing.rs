//! `sys/config/auditing`: which headers of its requests a tenant has in its audit log, in clear or as keyed hashes.
//!
//! One record of the tenant, read with every request of it. What proves who somebody is never gets there in clear.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Tenant, Txn};
use crate::crypto::Keyring;
use crate::engine::table::{Call, Field, Need, Row, Verb};
use crate::json::Json;
use crate::record::{Address, Kind, Listing};

/// The most headers of a tenant.
const HEADERS_MAX: usize = 32;
/// The longest name of a header, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// The most values of one header that an event has: the first ones.
const VALUES_MAX: usize = 8;
/// What an event has of a value in clear, in bytes: its beginning. Hashes are of all of it.
const VALUE_BYTES_MAX: usize = 512;

/// Credentials: not even their hashes.
const NEVER: [&str; 4] = ["authorization", "proxy-authorization", "x-vault-token", "x-vault-mfa"];
/// Often credentials: as hashes only.
const HASHED_ONLY: [&str; 2] = ["cookie", "set-cookie"];

/// The setting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditedHeaders {
    /// Whether the values are hashed, by the header's name in lower case.
    headers: BTreeMap<String, bool>,
}

crate::json_record!(AuditedHeaders, Kind::AuditedHeaders, Listing::None);

/// One operation. Names are as they were written.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation {
    /// All headers.
    All,
    /// One.
    Read(String),
    /// One more, or another way for it; `true` for hashes.
    Write(String, bool),
    /// One less.
    Delete(String),
}

const FIELDS: &[Field] =
    &[Field { name: "hmac", kind: "boolean", help: "Log a keyed hash of the header's values instead of the values." }];

const ALL: &str = "config/auditing/request-headers";
const ONE: &str = "config/auditing/request-headers/:header";

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row::new(Verb::Read, ALL, Need::Sudo, &[], "Shows which request headers are in the audit log.", |_| Ok(Operation::All)),
    Row::new(Verb::Read, ONE, Need::Sudo, &[], "Shows how a request header is in the audit log.", |call| {
        Ok(Operation::Read(call.captures.get(0).to_owned()))
    }),
    Row::new(Verb::Write, ONE, Need::Sudo, FIELDS, "Has a request header in the audit log from now on.", write),
    Row::new(Verb::Delete, ONE, Need::Sudo, &[], "Has a request header in the audit log no more.", |call| {
        Ok(Operation::Delete(call.captures.get(0).to_owned()))
    }),
];

fn write(call: &Call<'_>) -> Result<Operation, Refusal> {
    let name = call.captures.get(0);
    let hmac = call.fields.boolean("hmac")?.unwrap_or(false);
    // A token of RFC 9110 section 5.6.2.
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.len() > NAME_BYTES_MAX || !name.bytes().all(fits) {
        return Err(Refusal::invalid(format!(
            "this is no name of a header: at most {NAME_BYTES_MAX} letters, digits and hyphens"
        )));
    }
    let key = name.to_ascii_lowercase();
    if NEVER.contains(&key.as_str()) {
        return Err(Refusal::invalid(format!("the header {key} holds credentials and cannot be in the audit log")));
    }
    if HASHED_ONLY.contains(&key.as_str()) && !hmac {
        return Err(Refusal::invalid(format!("the header {key} may hold credentials and is logged with hmac=true only")));
    }
    Ok(Operation::Write(name.to_owned(), hmac))
}

fn address() -> Address {
    Address::system(Kind::AuditedHeaders, "")
}

/// The setting of a tenant, if it has one.
pub async fn in_force(tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Option<Arc<AuditedHeaders>>, Refusal> {
    Ok(txn.read::<AuditedHeaders>(tenant, &address()).await?.map(|found| found.value))
}

/// Runs one operation.
pub async fn run(operation: Operation, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    let mut setting = in_force(tenant, txn).await?.map(|found| (*found).clone()).unwrap_or_default();
    match operation {
        Operation::All => {
            return Ok(Answer::doubled(Json::object(|data| {
                data.object("headers", |headers| {
                    for (name, hmac) in &setting.headers {
                        headers.object(name, |one| {
                            one.field("hmac", hmac);
                        });
                    }
                });
            })));
        }
        Operation::Read(name) => {
            let hmac = setting.headers.get(&name.to_ascii_lowercase());
            let hmac = hmac.ok_or_else(|| Refusal::invalid("Could not find header in config"))?;
            return Ok(Answer::doubled(Json::object(|data| {
                data.object(&name, |one| {
                    one.field("hmac", hmac);
                });
            })));
        }
        Operation::Write(name, hmac) => {
            setting.headers.insert(name.to_ascii_lowercase(), hmac);
            if setting.headers.len() > HEADERS_MAX {
                return Err(Refusal::invalid(format!("at most {HEADERS_MAX} request headers can be in the audit log")));
            }
        }
        Operation::Delete(name) => {
            if setting.headers.remove(&name.to_ascii_lowercase()).is_none() {
                return Ok(Answer::Empty);
            }
        }
    }
    if setting.headers.is_empty() {
        txn.remove::<AuditedHeaders>(tenant, &address()).await?;
    } else {
        txn.put(tenant, &address(), &setting, None).await?;
    }
    Ok(Answer::Empty)
}

impl AuditedHeaders {
    /// What an event has of a request's headers; `values` finds those of a name.
    pub fn recorded<'h>(&self, keyring: &Keyring, values: impl Fn(&str) -> Vec<&'h [u8]>) -> BTreeMap<String, Vec<String>> {
        let of = |(name, hmac): (&String, &bool)| {
            let shown = |value: &[u8]| if *hmac { keyring.audit_hash(value) } else { beginning(value) };
            let values: Vec<String> = values(name).into_iter().take(VALUES_MAX).map(shown).collect();
            (!values.is_empty()).then(|| (name.clone(), values))
        };
        self.headers.iter().filter_map(of).collect()
    }
}

/// As text, cut where a character ends.
fn beginning(value: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(value).into_owned();
    text.truncate(text.floor_char_boundary(VALUE_BYTES_MAX));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{DeploymentId, TenantId};

    #[test]
    fn an_event_has_the_headers_that_are_named_and_no_more_of_them_than_fits() {
        let keyring = Keyring::generate(DeploymentId([1; 16]), TenantId([2; 16]));
        let headers = [("x-clear", false), ("x-hashed", true), ("x-absent", true)];
        let setting = AuditedHeaders { headers: headers.map(|(name, hmac)| (name.to_owned(), hmac)).into() };
        let (long, many) = ("é".repeat(VALUE_BYTES_MAX), vec![b"same".as_slice(); VALUES_MAX + 1]);
        let recorded = setting.recorded(&keyring, |name| match name {
            "x-clear" => vec![b"one", b"\xff", long.as_bytes()],
            "x-hashed" => many.clone(),
            "x-other" => vec![b"never"],
            _ => Vec::new(),
        });
        assert_eq!(recorded.keys().collect::<Vec<_>>(), ["x-clear", "x-hashed"]);
        assert_eq!(recorded["x-clear"][..2], ["one", "\u{fffd}"]);
        assert_eq!(recorded["x-clear"][2].len(), VALUE_BYTES_MAX);
        assert_eq!(recorded["x-hashed"], vec![keyring.audit_hash(b"same"); VALUES_MAX]);
        assert!(recorded["x-hashed"][0].starts_with("hmac-sha256:"));
    }
}
