//! From the `seal` stanzas to the guard of the root key.

use std::sync::Arc;
use std::time::Duration;

use super::AppError;
use crate::config::{self, Config, SealKind};
use crate::seal::aws_kms::{AwsKms, AwsKmsSettings};
use crate::seal::breaker::Breaker;
use crate::seal::pkcs11::Pkcs11;
use crate::seal::transit::Transit;
use crate::seal::{LocalSeal, Seal, static_key};
use crate::sys::barrier::Guard;

/// The guard that the configuration names. Without a stanza it is shares, as everywhere in this family of servers.
pub(super) async fn guard(config: &Config) -> Result<Guard, AppError> {
    let mut seals = Vec::with_capacity(config.seals.len());
    let recovers = |seal: &config::Seal| matches!(seal.kind, SealKind::Recovery);
    let shares = config.seals.iter().any(|seal| matches!(seal.kind, SealKind::Shamir));
    for seal in config.seals.iter().filter(|seal| !recovers(seal)) {
        match opening_by_itself(seal).await? {
            Some(seal) => seals.push(seal),
            None if config.seals.iter().any(recovers) => {
                let problem = "shares do not open beside seal \"recovery\": leave one of them out";
                return Err(AppError::Unsupported(format!("seal \"{}\": {problem}", seal.name)));
            }
            None => {}
        }
    }
    Ok(match seals.is_empty() {
        true => Guard::Shamir,
        false if config.seals.iter().any(recovers) => Guard::Recovery(seals),
        false if shares => Guard::Both(seals),
        false => Guard::Auto(seals),
    })
}

/// A seal that needs nobody; none for shares.
pub(super) async fn opening_by_itself(seal: &config::Seal) -> Result<Option<Arc<dyn Seal>>, AppError> {
    let name = seal.name.clone();
    Ok(match &seal.kind {
        SealKind::Shamir | SealKind::Recovery => None,
        SealKind::Static { current, previous } => {
            let seal = LocalSeal::static_key(name, static_key::read(&current.file.path)?);
            Some(match previous {
                None => Arc::new(seal),
                Some(previous) => Arc::new(seal.opening_also(static_key::read(&previous.file.path)?)),
            })
        }
        SealKind::AwsKms(kms) => {
            let settings = AwsKmsSettings {
                key: kms.key.clone(),
                region: kms.region.clone(),
                endpoint: kms.endpoint.clone(),
                timeout: kms.timeout,
                allowed_keys: kms.allowed_keys.clone(),
            };
            Some(remote(Arc::new(AwsKms::new(name, settings).await), kms.timeout))
        }
        SealKind::Transit(settings) => Some(remote(Arc::new(Transit::new(name, settings)?), settings.timeout)),
        SealKind::Pkcs11(settings) => Some(remote(Arc::new(Pkcs11::new(name, settings)?), settings.timeout)),
    })
}

fn remote(seal: Arc<dyn Seal>, timeout: Duration) -> Arc<dyn Seal> {
    Arc::new(Breaker::new(seal, timeout))
}
