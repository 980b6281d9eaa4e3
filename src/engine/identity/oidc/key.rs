//! Named keys: settings, the private keys that sign now and next, and the public keys that are still published.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::role;
use crate::answer::{Answer, Refusal};
use crate::commit::{Tenant, Txn};
use crate::crypto::{SigningAlgorithm, SigningKey, VerifyingKey};
use crate::engine::listing::Range;
use crate::json::Json;
use crate::random;
use crate::record::{Address, DecodeError, Kind, Listing, Record, SYSTEM};
use crate::secret::SecretBytes;
use crate::time::Timestamp;

/// The most keys of a tenant.
pub const KEYS_MAX: usize = 100;
/// The most client ids that a key names.
pub(super) const CLIENTS_MAX: usize = 1_000;
/// The longest name and client id, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 256;
/// The most public keys of one key that are published at a time: the oldest goes first.
const PUBLISHED_MAX: usize = 64;

const DAY: u64 = 24 * 3600;
/// The longest period or TTL: ten years.
const SECONDS_MAX: u64 = 3_650 * DAY;

/// The key that every tenant has, and that is made when it is first needed.
pub(super) const DEFAULT: &str = "default";

/// A named key.
pub struct OidcKey {
    pub(super) settings: Settings,
    current: SecretBytes,
    next: SecretBytes,
}

/// What is not secret about it.
#[derive(Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) algorithm: SigningAlgorithm,
    pub(super) rotation_seconds: u64,
    pub(super) verification_seconds: u64,
    pub(super) clients: Vec<String>,
    /// When the next private key becomes the current one.
    rotates: Timestamp,
    /// Which of the published keys belongs to the private key that signs.
    pub(super) current_id: String,
    next_id: String,
    published: Vec<Published>,
}

/// A public key.
#[derive(Serialize, Deserialize)]
pub(super) struct Published {
    pub(super) id: String,
    pub(super) algorithm: SigningAlgorithm,
    pub(super) key: VerifyingKey,
    /// From then on it is not published; none while its private key is in use.
    until: Option<Timestamp>,
}

/// The settings behind their length (u32), the current private key behind its length, the next one.
impl Record for OidcKey {
    const KIND: Kind = Kind::OidcKey;
    const LISTING: Listing = Listing::Flat;
    const CACHED: bool = false;

    fn encode(&self) -> SecretBytes {
        // Plain structs of strings and numbers always serialise.
        let settings = serde_json::to_vec(&self.settings).unwrap_or_default();
        let mut bytes = Vec::with_capacity(8 + settings.len() + self.current.len() + self.next.len());
        for part in [settings.as_slice(), self.current.expose()] {
            bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        bytes.extend_from_slice(self.next.expose());
        SecretBytes::new(bytes)
    }

    fn decode(payload: SecretBytes) -> Result<Self, DecodeError> {
        let error = |reason: &str| DecodeError { kind: Kind::OidcKey, reason: reason.to_owned() };
        let (settings, rest) = behind_length(payload.expose()).ok_or_else(|| error("it is cut in the settings"))?;
        let (current, next) = behind_length(rest).ok_or_else(|| error("it is cut in a key"))?;
        let settings = serde_json::from_slice(settings).map_err(|_| error("the settings do not parse"))?;
        Ok(Self { settings, current: SecretBytes::new(current.to_vec()), next: SecretBytes::new(next.to_vec()) })
    }
}

fn behind_length(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// What a client writes about a key. `None` leaves a value as it is.
#[derive(Default)]
pub struct Change {
    pub(super) rotation_seconds: Option<u64>,
    pub(super) verification_seconds: Option<u64>,
    pub(super) clients: Option<Vec<String>>,
    pub(super) algorithm: Option<SigningAlgorithm>,
}

pub(super) fn address(name: &str) -> Address {
    Address::system(Kind::OidcKey, name)
}

/// The names of the keys that were written.
pub(super) async fn names(tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Arc<[Box<str>]>, Refusal> {
    txn.names(tenant, Kind::OidcKey, SYSTEM, "").await
}

pub(super) async fn find(name: &str, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Option<Arc<OidcKey>>, Refusal> {
    Ok(txn.read::<OidcKey>(tenant, &address(name)).await?.map(|found| found.value))
}

/// A fresh private key with its published half. Made on a thread of its own: an RSA key takes long.
async fn fresh(algorithm: SigningAlgorithm) -> Result<(SecretBytes, Published), Refusal> {
    let made = tokio::task::spawn_blocking(move || {
        let key = SigningKey::generate(algorithm)?;
        let public = key.verifying_key()?;
        Ok::<_, crate::crypto::SigningError>((key.document().duplicate(), public))
    });
    let failed = || Refusal::Internal("a signing key could not be made".to_owned());
    let (document, key) = made.await.map_err(|_| failed())?.map_err(|_| failed())?;
    Ok((document, Published { id: random::uuid(), algorithm, key, until: None }))
}

impl OidcKey {
    async fn new(algorithm: SigningAlgorithm, now: Timestamp) -> Result<Self, Refusal> {
        let (current, first) = fresh(algorithm).await?;
        let (next, second) = fresh(algorithm).await?;
        let settings = Settings {
            algorithm,
            rotation_seconds: DAY,
            verification_seconds: DAY,
            clients: Vec::new(),
            rotates: now.plus(Duration::from_secs(DAY)),
            current_id: first.id.clone(),
            next_id: second.id.clone(),
            published: vec![first, second],
        };
        Ok(Self { settings, current, next })
    }

    /// The key that signs now.
    pub(super) fn signing_key(&self) -> SigningKey {
        SigningKey::from_document(self.settings.algorithm, self.current.duplicate())
    }

    /// What others may verify with.
    pub(super) fn published(&self, now: Timestamp) -> impl Iterator<Item = &Published> {
        self.settings.published.iter().filter(move |key| key.until.is_none_or(|until| until > now))
    }

    /// The same key after the next private key took over. What the old ones signed verifies for `seconds` more.
    async fn rotated(&self, seconds: u64, algorithm: SigningAlgorithm, now: Timestamp) -> Result<Self, Refusal> {
        let until = now.plus(Duration::from_secs(seconds));
        let same = algorithm == self.settings.algorithm;
        let (next, second) = fresh(algorithm).await?;
        let (current, first) =
            if same { (self.next.duplicate(), None) } else { fresh(algorithm).await.map(|(key, public)| (key, Some(public)))? };
        let current_id = first.as_ref().map_or_else(|| self.settings.next_id.clone(), |public| public.id.clone());
        let mut published: Vec<Published> = self
            .published(now)
            .map(|old| Published {
                id: old.id.clone(),
                algorithm: old.algorithm,
                key: old.key.clone(),
                until: if old.id == current_id { None } else { Some(old.until.unwrap_or(until)) },
            })
            .collect();
        published.extend(first);
        let next_id = second.id.clone();
        published.push(second);
        let surplus = published.len().saturating_sub(PUBLISHED_MAX);
        published.drain(..surplus);
        let Settings { rotation_seconds, verification_seconds, .. } = self.settings;
        let rotates = now.plus(Duration::from_secs(rotation_seconds));
        let clients = self.settings.clients.clone();
        let settings =
            Settings { algorithm, rotation_seconds, verification_seconds, clients, rotates, current_id, next_id, published };
        Ok(Self { settings, current, next })
    }

    /// With some settings changed, and nothing else.
    fn with(&self, rotation_seconds: u64, verification_seconds: u64, clients: Vec<String>, now: Timestamp) -> Self {
        let old = &self.settings;
        let same = rotation_seconds == old.rotation_seconds;
        let rotates = if same { old.rotates } else { now.plus(Duration::from_secs(rotation_seconds)) };
        let published = self.published(now);
        let published = published
            .map(|key| Published { id: key.id.clone(), algorithm: key.algorithm, key: key.key.clone(), until: key.until })
            .collect();
        let settings = Settings {
            algorithm: old.algorithm,
            rotation_seconds,
            verification_seconds,
            clients,
            rotates,
            current_id: old.current_id.clone(),
            next_id: old.next_id.clone(),
            published,
        };
        Self { settings, current: self.current.duplicate(), next: self.next.duplicate() }
    }
}

/// The key of this name; `default` is made if it is not there yet.
pub(super) async fn find_or_make(name: &str, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Option<Arc<OidcKey>>, Refusal> {
    if let Some(found) = find(name, tenant, txn).await? {
        return Ok(Some(found));
    }
    if name != DEFAULT {
        return Ok(None);
    }
    let key = OidcKey::new(SigningAlgorithm::Rs256, txn.now()).await?;
    let key = key.with(DAY, DAY, vec!["*".to_owned()], txn.now());
    txn.put(tenant, &address(name), &key, None).await?;
    Ok(Some(Arc::new(key)))
}

pub(super) async fn list(range: &Range, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let mut names = names(tenant, txn).await?.to_vec();
    if let Err(at) = names.binary_search_by(|name| (**name).cmp(DEFAULT)) {
        names.insert(at, DEFAULT.into());
    }
    Answer::keys(range.of(&names, KEYS_MAX + 1)?)
}

pub(super) async fn read(name: &str, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let shown = |algorithm: SigningAlgorithm, clients: &[String], rotation: u64, verification: u64| {
        Answer::data(Json::object(|data| {
            data.field("algorithm", algorithm.name())
                .strings("allowed_client_ids", clients)
                .field("rotation_period", &rotation)
                .field("verification_ttl", &verification);
        }))
    };
    match find(name, tenant, txn).await? {
        Some(key) => {
            let key = &key.settings;
            Ok(shown(key.algorithm, &key.clients, key.rotation_seconds, key.verification_seconds))
        }
        None if name == DEFAULT => Ok(shown(SigningAlgorithm::Rs256, &["*".to_owned()], DAY, DAY)),
        None => Err(Refusal::NotFound),
    }
}

pub(super) async fn write(name: &str, change: Change, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let now = txn.now();
    let found = find(name, tenant, txn).await?;
    let old = found.as_ref().map(|key| &key.settings);
    let rotation = change.rotation_seconds.unwrap_or(old.map_or(DAY, |key| key.rotation_seconds));
    let verification = change.verification_seconds.unwrap_or(old.map_or(DAY, |key| key.verification_seconds));
    if rotation < 60 {
        return Err(Refusal::invalid("rotation_period must be at least one minute"));
    }
    if verification > rotation.saturating_mul(10) {
        return Err(Refusal::invalid("verification_ttl cannot be longer than 10x rotation_period"));
    }
    if rotation > SECONDS_MAX {
        return Err(Refusal::invalid("rotation_period: at most ten years"));
    }
    check_roles(name, verification, tenant, txn).await?;
    let algorithm = change.algorithm.or(old.map(|key| key.algorithm)).unwrap_or(SigningAlgorithm::Rs256);
    let default = if name == DEFAULT { vec!["*".to_owned()] } else { Vec::new() };
    let clients = change.clients.or_else(|| old.map(|key| key.clients.clone())).unwrap_or(default);
    let key = match found {
        None if names(tenant, txn).await?.len() >= KEYS_MAX => {
            return Err(Refusal::invalid(format!("there are at most {KEYS_MAX} keys")));
        }
        None => OidcKey::new(algorithm, now).await?,
        Some(key) if key.settings.algorithm == algorithm => key.with(rotation, verification, clients.clone(), now),
        Some(key) => key.rotated(verification, algorithm, now).await?,
    };
    txn.put(tenant, &address(name), &key.with(rotation, verification, clients, now), None).await?;
    Ok(Answer::Empty)
}

/// A token must not outlive the published key that verifies it.
async fn check_roles(name: &str, verification: u64, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<(), Refusal> {
    let longest = role::of_key(name, tenant, txn).await?.into_iter().map(|(_, role)| role.ttl_seconds).max();
    match longest {
        Some(ttl) if ttl > verification => Err(Refusal::invalid(format!(
            "unable to update key {name:?} because it is currently referenced by one or more roles with a token ttl greater than {verification} seconds"
        ))),
        _ => Ok(()),
    }
}

pub(super) async fn delete(name: &str, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let roles: Vec<String> = role::of_key(name, tenant, txn).await?.into_iter().map(|(role, _)| role).collect();
    if !roles.is_empty() {
        return Err(Refusal::invalid(format!(
            "unable to delete key {name:?} because it is currently referenced by these roles: {}",
            roles.join(", ")
        )));
    }
    txn.remove::<OidcKey>(tenant, &address(name)).await?;
    Ok(Answer::Empty)
}

pub(super) async fn rotate(
    name: &str,
    verification_seconds: Option<u64>,
    tenant: &Arc<Tenant>,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    let found = find_or_make(name, tenant, txn).await?;
    let key = found.ok_or_else(|| Refusal::invalid(format!("no named key found at {name:?}")))?;
    let seconds = verification_seconds.unwrap_or(key.settings.verification_seconds).min(SECONDS_MAX);
    let key = key.rotated(seconds, key.settings.algorithm, txn.now()).await?;
    txn.put(tenant, &address(name), &key, None).await?;
    Ok(Answer::Empty)
}

/// Rotates the first key whose time has come. True when there was one.
pub async fn rotate_due(txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<bool, Refusal> {
    let now = txn.now();
    for name in names(tenant, txn).await?.iter() {
        let Some(key) = find(name, tenant, txn).await? else { continue };
        if key.settings.rotates <= now {
            let key = key.rotated(key.settings.verification_seconds, key.settings.algorithm, now).await?;
            txn.put(tenant, &address(name), &key, None).await?;
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
