//! What an entity has to prove itself with, and what became of its proofs: one row.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::{BASE32_NOPAD, BASE64};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::method::{Algorithm, Method};
use crate::answer::Refusal;
use crate::commit::{Tenant, Txn};
use crate::crypto;
use crate::crypto::totp::Totp;
use crate::json::Json;
use crate::random;
use crate::record::{Address, DecodeError, Kind, Listing, Record};
use crate::secret::{SecretBytes, SecretText};
use crate::time::Timestamp;

/// How long an entity waits after as many failures in a row as a method allows, in seconds.
pub const WAIT_SECONDS: u64 = 15 * 60;

/// A TOTP secret: with what its holder's authenticator was told, which a change of the method does not reach.
pub(super) struct Secret {
    method: String,
    key: SecretBytes,
    algorithm: Algorithm,
    digits: usize,
    period_seconds: u64,
    /// The last time step that a code was accepted for.
    last_step: Option<u64>,
    made: Timestamp,
}

/// The factors of an entity. Never kept open: it holds secrets.
#[derive(Default)]
pub(super) struct EntityFactors {
    secrets: Vec<Secret>,
    /// Keyed hashes, in hexadecimal digits, of the recovery codes that are left.
    pub(super) recovery: Vec<String>,
    /// When the recovery codes were made.
    pub(super) recovery_made: Option<Timestamp>,
    /// How many proofs have failed in a row, and when the last one did.
    failed: u64,
    last_failed: Timestamp,
}

#[derive(Deserialize)]
struct Stored {
    secrets: Vec<StoredSecret>,
    recovery: Vec<String>,
    recovery_made: Option<Timestamp>,
    failed: u64,
    last_failed: Timestamp,
}

#[derive(Deserialize)]
struct StoredSecret {
    method: String,
    /// Base64.
    key: String,
    algorithm: Algorithm,
    digits: usize,
    period_seconds: u64,
    last_step: Option<u64>,
    made: Timestamp,
}

impl Record for EntityFactors {
    const KIND: Kind = Kind::EntityFactors;
    const LISTING: Listing = Listing::None;
    const CACHED: bool = false;

    fn encode(&self) -> SecretBytes {
        let mut secrets = Json::list();
        for secret in &self.secrets {
            let key = SecretText::new(BASE64.encode(secret.key.expose()));
            secrets.object(|out| {
                out.field("method", &secret.method)
                    .field("key", key.expose())
                    .field("algorithm", &secret.algorithm)
                    .field("digits", &secret.digits)
                    .field("period_seconds", &secret.period_seconds)
                    .field("last_step", &secret.last_step)
                    .field("made", &secret.made);
            });
        }
        let secrets = secrets.close();
        let json = Json::object_of(secrets.expose().len() + 1_024, |out| {
            out.raw("secrets", secrets.expose())
                .strings("recovery", &self.recovery)
                .field("recovery_made", &self.recovery_made)
                .field("failed", &self.failed)
                .field("last_failed", &self.last_failed);
        });
        json.into_secret()
    }

    fn decode(payload: SecretBytes) -> Result<Self, DecodeError> {
        let wrong = |reason: String| DecodeError { kind: Self::KIND, reason };
        let stored: Stored = serde_json::from_slice(payload.expose())
            .map_err(|error| wrong(format!("line {} column {}", error.line(), error.column())))?;
        let secret = |stored: StoredSecret| {
            let key = SecretText::new(stored.key);
            let key = BASE64.decode(key.expose().as_bytes()).map_err(|_| wrong("a key is not base64".to_owned()))?;
            Ok(Secret {
                method: stored.method,
                key: SecretBytes::new(key),
                algorithm: stored.algorithm,
                digits: stored.digits,
                period_seconds: stored.period_seconds,
                last_step: stored.last_step,
                made: stored.made,
            })
        };
        Ok(Self {
            secrets: stored.secrets.into_iter().map(secret).collect::<Result<_, _>>()?,
            recovery: stored.recovery,
            recovery_made: stored.recovery_made,
            failed: stored.failed,
            last_failed: stored.last_failed,
        })
    }
}

fn address(entity_id: &str) -> Address {
    Address::system(Kind::EntityFactors, entity_id)
}

/// The factors of an entity; none where it has none.
pub(super) async fn of(entity_id: &str, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<EntityFactors, Refusal> {
    let found = txn.read::<EntityFactors>(tenant, &address(entity_id)).await?;
    // What was read is kept nowhere else: `CACHED` is false.
    let mut own = found.map(|found| found.value.duplicate()).unwrap_or_default();
    if let Some(restored) = txn.after_restore(tenant).await? {
        own.spend_before(restored.at);
    }
    Ok(own)
}

/// Forgets the factors of an entity that is gone.
pub fn forget(entity_id: &str, txn: &mut Txn, tenant: &Arc<Tenant>) {
    txn.forget::<EntityFactors>(tenant, &address(entity_id));
}

impl Secret {
    /// A fresh one.
    pub(super) fn new(method: &Method, now: Timestamp) -> Self {
        let settings = &method.settings;
        Self {
            method: method.id.clone(),
            key: random::secret(settings.key_bytes),
            algorithm: settings.algorithm,
            digits: settings.digits,
            period_seconds: settings.period_seconds,
            last_step: None,
            made: now,
        }
    }

    /// What authenticators read.
    pub(super) fn url(&self, issuer: &str, account: &str) -> SecretText {
        const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
        let (issuer, account) = (utf8_percent_encode(issuer, PLAIN), utf8_percent_encode(account, PLAIN));
        let key = SecretText::new(BASE32_NOPAD.encode(self.key.expose()));
        let Self { digits, period_seconds, .. } = self;
        let algorithm = self.algorithm.name();
        SecretText::new(format!(
            "otpauth://totp/{issuer}:{account}?algorithm={algorithm}&digits={digits}&issuer={issuer}&period={period_seconds}&secret={}",
            key.expose()
        ))
    }

    fn duplicate(&self) -> Self {
        Self { method: self.method.clone(), key: self.key.duplicate(), ..*self }
    }
}

impl EntityFactors {
    fn duplicate(&self) -> Self {
        Self {
            secrets: self.secrets.iter().map(Secret::duplicate).collect(),
            recovery: self.recovery.clone(),
            recovery_made: self.recovery_made,
            failed: self.failed,
            last_failed: self.last_failed,
        }
    }

    /// Writes them. Without any secret there is nothing to be written: recovery codes stand for one.
    pub(super) async fn store(&self, entity_id: &str, txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
        if self.secrets.is_empty() {
            forget(entity_id, txn, tenant);
            return Ok(());
        }
        txn.put(tenant, &address(entity_id), self, None).await
    }

    /// Whether there is any.
    pub(super) fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// Whether there is one of a method.
    pub(super) fn has(&self, method: &str) -> bool {
        self.secrets.iter().any(|secret| secret.method == method)
    }

    /// Whether there is one of a method that was there at `time` already.
    pub(super) fn had(&self, method: &str, time: Timestamp) -> bool {
        self.secrets.iter().any(|secret| secret.method == method && secret.made <= time)
    }

    /// Puts one in place of what there was of its method.
    pub(super) fn set(&mut self, secret: Secret) {
        self.drop(&secret.method.clone());
        self.secrets.push(secret);
    }

    /// Takes that of a method away.
    pub(super) fn drop(&mut self, method: &str) {
        self.secrets.retain(|secret| secret.method != method);
    }

    /// Drops what methods that are gone have left.
    pub(super) fn tidy(&mut self, methods: &[Arc<Method>]) {
        self.secrets.retain(|secret| methods.iter().any(|method| method.id == secret.method));
    }

    /// Takes a code of a method, once.
    pub(super) fn accept(&mut self, method: &Method, passcode: &SecretText, now: Timestamp) -> bool {
        let Some(secret) = self.secrets.iter_mut().find(|secret| secret.method == method.id) else { return false };
        let Secret { algorithm, digits, period_seconds, .. } = *secret;
        let totp = Totp { hash: algorithm.hash(), digits, period_seconds };
        let seconds = u64::try_from(now.unix_seconds()).unwrap_or(0);
        let step = totp.step(&secret.key, passcode.expose(), seconds, method.settings.skew, secret.last_step);
        secret.last_step = step.or(secret.last_step);
        step.is_some()
    }

    /// Takes a recovery code, known by its hash, once.
    pub(super) fn spend(&mut self, hash: &str) -> bool {
        let before = self.recovery.len();
        self.recovery.retain(|known| !crypto::equal(known.as_bytes(), hash.as_bytes()));
        self.recovery.len() < before
    }

    /// Takes everything that can have been used at `time`, or before: the store was restored then, and does not know.
    fn spend_before(&mut self, time: Timestamp) {
        if self.recovery_made.is_some_and(|made| made <= time) {
            self.recovery.clear();
        }
        let seconds = u64::try_from(time.unix_seconds()).unwrap_or(0);
        for secret in &mut self.secrets {
            // A code may be used one step early.
            let last = seconds.checked_div(secret.period_seconds).map(|step| step.saturating_add(1));
            secret.last_step = secret.last_step.max(last);
        }
    }

    /// Whether nothing is taken at `now`: `attempts` have failed in a row.
    pub(super) fn waits(&self, attempts: u64, now: Timestamp) -> bool {
        self.failed >= attempts && now.since(self.last_failed) < Duration::from_secs(WAIT_SECONDS)
    }

    /// Counts a proof. A row of failures begins anew when the last one is long ago.
    pub(super) fn count(&mut self, right: bool, now: Timestamp) {
        let over = now.since(self.last_failed) >= Duration::from_secs(WAIT_SECONDS);
        self.failed = if right { 0 } else { 1 + if over { 0 } else { self.failed } };
        self.last_failed = if right { self.last_failed } else { now };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp(0).plus(Duration::from_secs(seconds))
    }

    #[test]
    fn they_survive_being_stored() {
        let key = SecretBytes::new(vec![7; 20]);
        let secret = |method: &str| Secret {
            method: method.to_owned(),
            key: key.duplicate(),
            algorithm: Algorithm::Sha512,
            digits: 8,
            period_seconds: 60,
            last_step: Some(9),
            made: at(5),
        };
        let factors = EntityFactors {
            secrets: vec![secret("a"), secret("b")],
            recovery: vec!["00".to_owned()],
            recovery_made: Some(at(6)),
            failed: 3,
            last_failed: at(7),
        };
        let mut read = EntityFactors::decode(factors.encode()).unwrap();
        assert_eq!(read.encode().expose(), factors.encode().expose());
        assert!(read.has("a") && read.had("a", at(5)) && !read.had("a", at(4)) && !read.has("c"));
        assert!(read.spend("00") && !read.spend("00"));
        read.drop("a");
        assert!(!read.has("a") && read.has("b"));
        let url = secret("a").url("Acme & Söhne", "id-1");
        let start = "otpauth://totp/Acme%20%26%20S%C3%B6hne:id-1?algorithm=SHA512&digits=8&issuer=Acme%20%26%20S%C3%B6hne&period=60&secret=";
        assert_eq!(url.expose(), format!("{start}{}", BASE32_NOPAD.encode(&[7; 20])));
        for payload in ["", "{}", r#"{"secrets":[{"key":"secret!"}]}"#] {
            let error = EntityFactors::decode(SecretBytes::new(payload.as_bytes().to_vec())).err().unwrap();
            assert!(!error.to_string().contains("secret!"), "an error never shows content");
        }
    }

    #[test]
    fn what_may_have_been_used_before_a_restore_is_not_taken() {
        let secret = |last_step| Secret {
            method: "a".to_owned(),
            key: SecretBytes::new(vec![7; 20]),
            algorithm: Algorithm::Sha1,
            digits: 6,
            period_seconds: 30,
            last_step,
            made: at(5),
        };
        let factors = |made, last_step| EntityFactors {
            secrets: vec![secret(last_step)],
            recovery: vec!["00".to_owned()],
            recovery_made: Some(at(made)),
            ..EntityFactors::default()
        };
        for (made, last_step, last, codes) in [(60, None, 4, 0), (90, Some(9), 9, 0), (91, Some(1), 4, 1)] {
            let mut own = factors(made, last_step);
            own.spend_before(at(90));
            assert_eq!((own.secrets[0].last_step, own.recovery.len()), (Some(last), codes), "{made}");
        }
    }

    #[test]
    fn failures_in_a_row_are_waited_for() {
        for (times, now, waits) in [
            (&[0, 1][..], 1, false),
            (&[0, 1, 2], 2, true),
            (&[0, 1, 2], 2 + WAIT_SECONDS - 1, true),
            (&[0, 1, 2], 2 + WAIT_SECONDS, false),
            (&[0, 1, 1 + WAIT_SECONDS], 1 + WAIT_SECONDS, false),
            (&[0, 1, 2, 2 + WAIT_SECONDS], 2 + WAIT_SECONDS, false),
        ] {
            let mut factors = EntityFactors::default();
            for time in times {
                factors.count(false, at(*time));
            }
            assert_eq!(factors.waits(3, at(now)), waits, "{times:?} at {now}");
            factors.count(true, at(now));
            assert!(!factors.waits(1, at(now)), "one that is right ends the row");
        }
    }
}
