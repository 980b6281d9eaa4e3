//! The issuers that mounts trust: their keys and what they say of themselves, fetched and kept.

use std::sync::Arc;

use super::config::{Source, Url};
use super::fetched::{Fetched, When};
use super::keys::KeySet;
use super::provider::Provider;
use crate::crypto;
use crate::outbound::{Ask, FetchError, Outbound};
use crate::time::Timestamp;

/// Whatever is known of issuers. One for the whole server: keys are public, and a source is a URL with its authorities.
pub struct Issuers {
    pub(super) outbound: Outbound,
    keys: Fetched<KeySet>,
    providers: Fetched<Provider>,
}

/// An issuer as a token is checked against it.
pub(super) struct Issuer {
    pub keys: Arc<KeySet>,
    /// What it calls itself, if it said so.
    pub name: Option<String>,
}

impl Issuers {
    /// Fetches by `outbound`.
    pub fn new(outbound: Outbound) -> Self {
        Self { outbound, keys: Fetched::default(), providers: Fetched::default() }
    }

    /// The keys of a source, with the one of `key_id` if it has it.
    pub(super) async fn issuer(
        &self,
        source: &Source,
        key_id: Option<&str>,
        when: (When, Timestamp),
    ) -> Result<Issuer, FetchError> {
        match source {
            Source::Keys { keys, .. } => Ok(Issuer { keys: Arc::new(KeySet::of(keys)), name: None }),
            Source::Jwks(at) => Ok(Issuer { keys: self.keys(at, key_id, when).await?, name: None }),
            Source::Discovery(at) => {
                let provider = self.provider(at, when).await?;
                let jwks = Url { url: provider.jwks_uri.clone(), authorities: at.authorities.clone() };
                Ok(Issuer { keys: self.keys(&jwks, key_id, when).await?, name: Some(provider.issuer.clone()) })
            }
        }
    }

    /// What the issuer at a URL says of itself.
    pub(super) async fn provider(&self, at: &Url, when: (When, Timestamp)) -> Result<Arc<Provider>, FetchError> {
        let fetch = async {
            let document = self.outbound.check(&Provider::document(&at.url))?;
            let bytes = self.outbound.fetch(&document, at.authorities(), Ask::Get).await?;
            Provider::parse(&bytes, &at.url, &self.outbound)
        };
        self.providers.of(name(at), when, |_| true, fetch).await
    }

    async fn keys(&self, at: &Url, key_id: Option<&str>, when: (When, Timestamp)) -> Result<Arc<KeySet>, FetchError> {
        let fetch = async {
            let to = self.outbound.check(&at.url)?;
            let bytes = self.outbound.fetch(&to, at.authorities(), Ask::Get).await?;
            KeySet::parse(&bytes).ok_or_else(|| FetchError::Failed("the answer is no set of keys".to_owned()))
        };
        self.keys.of(name(at), when, |keys| keys.knows(key_id), fetch).await
    }
}

fn name(at: &Url) -> [u8; 32] {
    let length = at.url.len().to_be_bytes();
    crypto::sha256(&[&length, at.url.as_bytes(), at.authorities.as_bytes()])
}
