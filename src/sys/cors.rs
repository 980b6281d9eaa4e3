//! `sys/config/cors`: which web pages of other origins may call this API from a browser (the Fetch standard's CORS protocol).
//! One setting for the deployment, kept in the root tenant.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Refusal};
use crate::commit::{Attempt, Committer, Place, Txn};
use crate::engine::table::{Call, Field, Need, Row, Verb};
use crate::json::Json;
use crate::record::{Address, Kind, Listing};

/// The most origins, and the most further headers.
const ENTRIES_MAX: usize = 100;
/// The longest origin or header name, in bytes.
const ENTRY_BYTES_MAX: usize = 256;

/// Headers that pages may send besides those that every page may.
const HEADERS: [&str; 11] = [
    "Content-Type",
    "Authorization",
    "X-Vault-Token",
    "X-Vault-MFA",
    "X-Vault-No-Request-Forwarding",
    "X-Vault-Wrap-Format",
    "X-Vault-Wrap-TTL",
    "X-Requested-With",
    "X-Vault-AWS-IAM-Server-ID",
    "X-Vault-Policy-Override",
    "X-Vault-Namespace",
];

/// The setting, as long as CORS is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorsConfig {
    /// Origins (`https://app.example.com`), or `*` alone for all.
    pub origins: Vec<String>,
    /// Headers that pages may send.
    pub headers: Vec<String>,
    /// Pages may use the browser's client certificate.
    #[serde(default)]
    pub credentials: bool,
}

crate::json_record!(CorsConfig, Kind::CorsConfig, Listing::None);

impl CorsConfig {
    /// Whether pages of `origin` may call.
    pub fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| allowed == "*" || allowed == origin)
    }
}

/// One operation.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation {
    /// The setting.
    Read,
    /// Another one.
    Write(CorsConfig),
    /// Off.
    Delete,
}

const FIELDS: &[Field] = &[
    Field { name: "allowed_origins", kind: "array", help: "Origins such as `https://app.example.com`; or `*` alone, for all." },
    Field { name: "allowed_headers", kind: "array", help: "Headers that pages may send besides the usual ones." },
    Field { name: "allow_credentials", kind: "boolean", help: "Pages may use the browser's client certificate; not with `*`." },
    Field { name: "enable", kind: "boolean", help: "Ignored: writing turns it on, deleting off." },
];

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row::new(Verb::Read, "config/cors", Need::Sudo, &[], "Shows which web pages may call.", |_| Ok(Operation::Read)),
    Row::new(Verb::Write, "config/cors", Need::Sudo, FIELDS, "Lets web pages of other origins call.", write),
    Row::new(Verb::Delete, "config/cors", Need::Sudo, &[], "Lets no web page of another origin call.", |_| Ok(Operation::Delete)),
];

fn write(call: &Call<'_>) -> Result<Operation, Refusal> {
    let origins = call.fields.list("allowed_origins")?.unwrap_or_default();
    let further = call.fields.list("allowed_headers")?.unwrap_or_default();
    let credentials = call.fields.boolean("allow_credentials")?.unwrap_or(false);
    if origins.is_empty() {
        return Err(Refusal::invalid("at least one origin or the wildcard must be provided"));
    }
    let all = origins.iter().any(|origin| origin == "*");
    if all && origins.len() > 1 {
        return Err(Refusal::invalid("to allow all origins the '*' must be the only value for allowed_origins"));
    }
    if all && credentials {
        return Err(Refusal::invalid(
            "allow_credentials cannot be combined with the origin '*': any page could act as its visitor",
        ));
    }
    if origins.len() > ENTRIES_MAX || further.len() > ENTRIES_MAX {
        return Err(Refusal::invalid(format!("at most {ENTRIES_MAX} origins and {ENTRIES_MAX} headers")));
    }
    // They go into headers of answers as they are.
    let fits = |text: &String| text.len() <= ENTRY_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    if let Some(bad) = origins.iter().chain(&further).find(|text| !fits(text)) {
        return Err(Refusal::invalid(format!(
            "{bad:?} is no origin or header name: at most {ENTRY_BYTES_MAX} visible characters"
        )));
    }
    let headers = HEADERS.into_iter().map(str::to_owned).chain(further).collect();
    Ok(Operation::Write(CorsConfig { origins, headers, credentials }))
}

fn address() -> Address {
    Address::system(Kind::CorsConfig, "")
}

/// Runs one operation.
pub async fn run(operation: Operation, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    super::in_root(place)?;
    let found = txn.read::<CorsConfig>(tenant, &address()).await?;
    match operation {
        Operation::Read => Ok(Answer::doubled(Json::object(|data| {
            data.field("enabled", &found.is_some());
            if let Some(found) = &found {
                data.field("allow_credentials", &found.value.credentials);
                data.strings("allowed_headers", &found.value.headers).strings("allowed_origins", &found.value.origins);
            }
        }))),
        Operation::Write(config) => {
            txn.put(tenant, &address(), &config, None).await?;
            Ok(Answer::Empty)
        }
        Operation::Delete => {
            txn.remove::<CorsConfig>(tenant, &address()).await?;
            Ok(Answer::Empty)
        }
    }
}

/// The setting in force, as this server knows it: another server's change is known with the next request to the root.
pub async fn in_force(committer: &Committer) -> Result<Option<Arc<CorsConfig>>, Refusal> {
    let look = Arc::new(Look::default());
    committer.run(Arc::clone(&look) as Arc<dyn Attempt>).await?;
    Ok(look.0.lock().unwrap_or_else(PoisonError::into_inner).take())
}

/// Decides nothing and leaves no event: it only reads.
#[derive(Default)]
struct Look(Mutex<Option<Arc<CorsConfig>>>);

#[async_trait]
impl Attempt for Look {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let root = txn.tenants().root();
        let found = txn.read::<CorsConfig>(&root, &address()).await?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = found.map(|found| found.value);
        Ok(Answer::Empty)
    }
}
