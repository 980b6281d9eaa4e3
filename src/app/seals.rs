//! From the `seal` stanzas to the guard of the root key.

use std::sync::Arc;

use super::AppError;
use crate::config::{Config, SealKind};
use crate::seal::{LocalSeal, static_key};
use crate::sys::barrier::Guard;

/// The guard that the configuration names. Without a stanza it is shares, as everywhere in this family of servers.
pub(super) fn guard(config: &Config) -> Result<Guard, AppError> {
    let seal = match config.seals.as_slice() {
        [] => return Ok(Guard::Shamir),
        [seal] => seal,
        [_, second, ..] => return Err(AppError::Unsupported(format!("seal \"{}\": more than one seal; keep one", second.name))),
    };
    match &seal.kind {
        SealKind::Shamir => Ok(Guard::Shamir),
        SealKind::Static { previous: Some(_), .. } => {
            Err(AppError::Unsupported(format!("seal \"{}\": a previous key; only the current key is read", seal.name)))
        }
        SealKind::Static { current, previous: None } => {
            let root = static_key::read(&current.file.path)?;
            Ok(Guard::Auto(Arc::new(LocalSeal::static_key(seal.name.clone(), root))))
        }
    }
}
