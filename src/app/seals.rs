//! From the `seal` stanzas to the guard of the root key.

use std::sync::Arc;

use super::AppError;
use crate::config::{Config, SealKind};
use crate::seal::aws_kms::{AwsKms, AwsKmsSettings};
use crate::seal::breaker::Breaker;
use crate::seal::{LocalSeal, Seal, static_key};
use crate::sys::barrier::Guard;

/// The guard that the configuration names. Without a stanza it is shares, as everywhere in this family of servers.
pub(super) async fn guard(config: &Config) -> Result<Guard, AppError> {
    let seal = match config.seals.as_slice() {
        [] => return Ok(Guard::Shamir),
        [seal] => seal,
        [_, second, ..] => return Err(AppError::Unsupported(format!("seal \"{}\": more than one seal; keep one", second.name))),
    };
    let name = seal.name.clone();
    match &seal.kind {
        SealKind::Shamir => Ok(Guard::Shamir),
        SealKind::Static { previous: Some(_), .. } => {
            Err(AppError::Unsupported(format!("seal \"{name}\": a previous key; only the current key is read")))
        }
        SealKind::Static { current, previous: None } => {
            let root = static_key::read(&current.file.path)?;
            Ok(Guard::Auto(vec![Arc::new(LocalSeal::static_key(name, root))]))
        }
        SealKind::AwsKms(kms) => {
            let settings = AwsKmsSettings {
                key: kms.key.clone(),
                region: kms.region.clone(),
                endpoint: kms.endpoint.clone(),
                timeout: kms.timeout,
            };
            Ok(Guard::Auto(vec![remote(Arc::new(AwsKms::new(name, settings).await), kms.timeout)]))
        }
    }
}

fn remote(seal: Arc<dyn Seal>, timeout: std::time::Duration) -> Arc<dyn Seal> {
    Arc::new(Breaker::new(seal, timeout))
}
