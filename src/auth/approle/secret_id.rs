//! Secret ids: made, looked up, used and deleted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::operation::{Issue, Which};
use super::role::{Role, texts};
use crate::answer::{Answer, Refusal};
use crate::auth::token::cidr::Cidr;
use crate::commit::{Place, Txn};
use crate::id::MountId;
use crate::json::Json;
use crate::random;
use crate::record::{Address, Kind, Listing};
use crate::secret::SecretText;
use crate::time::Timestamp;

/// All about a secret id but its text.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct SecretId {
    /// The name by which it is managed without its text.
    pub accessor: String,
    /// Uses that are left; none when they are not counted.
    pub uses_left: Option<u64>,
    /// Where a login may come from; empty for anywhere.
    pub cidr_list: Vec<Cidr>,
    /// Where its tokens may be used from; empty for what the role says.
    pub token_bound_cidrs: Vec<Cidr>,
    /// Notes that its tokens carry.
    pub metadata: BTreeMap<String, String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used and counted, or made.
    pub updated: Timestamp,
    /// When it ends; none for never.
    pub expires: Option<Timestamp>,
    /// How long it was to live; 0 for ever.
    pub ttl_seconds: u64,
}

crate::json_record!(SecretId, Kind::SecretId, Listing::None);

/// Leads from an accessor to its secret id.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Accessor {
    /// The hash.
    pub hash: String,
}

crate::json_record!(Accessor, Kind::SecretIdAccessor, Listing::Flat);

/// A secret id that was found.
pub(super) struct Found {
    /// Its hash.
    pub hash: String,
    /// What is kept about it.
    pub value: Arc<SecretId>,
}

/// The directory of all secret ids of the role with this inner id.
pub(super) fn directory(role: &str) -> String {
    format!("{role}/")
}

/// Where the secret id with this hash is.
pub(super) fn address(mount: MountId, role: &str, hash: &str) -> Address {
    Address { kind: Kind::SecretId, mount, directory: directory(role), name: hash.to_owned() }
}

/// Where an accessor is.
pub(super) fn accessor_address(mount: MountId, role: &str, accessor: &str) -> Address {
    Address { kind: Kind::SecretIdAccessor, mount, directory: directory(role), name: accessor.to_owned() }
}

/// Makes one for a role, in this transaction.
pub(super) async fn issue(issue: Issue, role: &Role, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    if !role.bind_secret_id {
        return Err(Refusal::invalid("bind_secret_id is not set on the role"));
    }
    let uses = issue.num_uses.unwrap_or(role.secret_id_num_uses);
    if role.secret_id_num_uses > 0 && (uses == 0 || uses > role.secret_id_num_uses) {
        return Err(Refusal::invalid("num_uses cannot be higher than the role's secret_id_num_uses"));
    }
    let ttl = issue.ttl_seconds.unwrap_or(role.secret_id_ttl);
    if role.secret_id_ttl > 0 && (ttl == 0 || ttl > role.secret_id_ttl) {
        return Err(Refusal::invalid("ttl cannot be longer than the role's secret_id_ttl"));
    }
    let ttl_seconds = ttl.min(txn.lease_ttl().at(&place.mount.config).max_seconds);
    check_within("secret ID", &issue.cidr_list, &role.secret_id_bound_cidrs)?;
    check_within("token", &issue.token_bound_cidrs, &role.parameters.bound_cidrs.value)?;
    let text = issue.chosen.unwrap_or_else(|| SecretText::new(random::uuid()));
    let hash = hash(&text, role, place);
    let address = address(place.mount.id, &role.id, &hash);
    if txn.read::<SecretId>(&place.tenant, &address).await?.is_some() {
        return Err(Refusal::invalid("SecretID is already registered"));
    }
    let now = txn.now();
    let secret_id = SecretId {
        accessor: random::uuid(),
        uses_left: Some(uses).filter(|uses| *uses > 0),
        cidr_list: issue.cidr_list,
        token_bound_cidrs: issue.token_bound_cidrs,
        metadata: issue.metadata,
        created: now,
        updated: now,
        expires: (ttl_seconds > 0).then(|| now.plus(Duration::from_secs(ttl_seconds))),
        ttl_seconds,
    };
    txn.put(&place.tenant, &address, &secret_id, secret_id.expires).await?;
    let accessor = accessor_address(place.mount.id, &role.id, &secret_id.accessor);
    txn.put(&place.tenant, &accessor, &Accessor { hash }, secret_id.expires).await?;
    Ok(Answer::data(Json::object(|data| {
        data.field("secret_id", text.expose())
            .field("secret_id_accessor", &secret_id.accessor)
            .field("secret_id_num_uses", &uses)
            .field("secret_id_ttl", &ttl_seconds);
    })))
}

/// The one that is meant, of this role.
pub(super) async fn find(which: &Which, role: &Role, place: &Place, txn: &mut Txn) -> Result<Option<Found>, Refusal> {
    let hash = match which {
        Which::Text(text) => hash(text, role, place),
        Which::Accessor(accessor) => {
            let address = accessor_address(place.mount.id, &role.id, accessor);
            match txn.read::<Accessor>(&place.tenant, &address).await? {
                Some(found) => found.value.hash.clone(),
                None => return Ok(None),
            }
        }
    };
    let found = txn.read::<SecretId>(&place.tenant, &address(place.mount.id, &role.id, &hash)).await?;
    Ok(found.map(|found| Found { hash, value: found.value }))
}

/// Counts a use, if uses are counted. The last one ends it.
pub(super) async fn count_use(found: &Found, role: &Role, place: &Place, txn: &mut Txn) -> Result<(), Refusal> {
    match found.value.uses_left {
        None => Ok(()),
        Some(0 | 1) => {
            destroy(found, role, place, txn);
            Ok(())
        }
        Some(uses) => {
            let less = SecretId { uses_left: Some(uses - 1), updated: txn.now(), ..SecretId::clone(&found.value) };
            txn.put(&place.tenant, &address(place.mount.id, &role.id, &found.hash), &less, less.expires).await
        }
    }
}

/// Deletes one.
pub(super) fn destroy(found: &Found, role: &Role, place: &Place, txn: &mut Txn) {
    txn.forget::<SecretId>(&place.tenant, &address(place.mount.id, &role.id, &found.hash));
    txn.forget::<Accessor>(&place.tenant, &accessor_address(place.mount.id, &role.id, &found.value.accessor));
}

/// Whether every block is within one of `outer`; everything is within none.
pub(super) fn is_within(blocks: &[Cidr], outer: &[Cidr]) -> bool {
    outer.is_empty() || blocks.iter().all(|block| outer.iter().any(|outer| outer.holds(block)))
}

fn check_within(what: &str, blocks: &[Cidr], outer: &[Cidr]) -> Result<(), Refusal> {
    if is_within(blocks, outer) {
        return Ok(());
    }
    Err(Refusal::Invalid(format!(
        "failed to verify subset relationship between CIDR blocks on the role {:?} and CIDR blocks on the {what} {:?}",
        texts(outer),
        texts(blocks)
    )))
}

/// The keyed hash that a text is found by: another one for every role.
fn hash(text: &SecretText, role: &Role, place: &Place) -> String {
    let named = Zeroizing::new(format!("secret-id {} {} {}", place.mount.id, role.id, text.expose()));
    HEXLOWER.encode(&place.tenant.keyring().token_hash(&named))
}

impl SecretId {
    /// The `data` of a look-up.
    pub(super) fn json(&self) -> Json {
        const NEVER: &str = "0001-01-01T00:00:00Z";
        Json::object(|data| {
            data.strings("cidr_list", &texts(&self.cidr_list))
                .field("creation_time", &self.created.rfc3339())
                .field("expiration_time", &self.expires.map_or_else(|| NEVER.to_owned(), Timestamp::rfc3339))
                .field("last_updated_time", &self.updated.rfc3339())
                .field("metadata", &self.metadata)
                .field("secret_id_accessor", &self.accessor)
                .field("secret_id_num_uses", &self.uses_left.unwrap_or(0))
                .field("secret_id_ttl", &self.ttl_seconds)
                .strings("token_bound_cidrs", &texts(&self.token_bound_cidrs));
        })
    }
}
