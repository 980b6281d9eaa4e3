//! The issuers that mounts trust: their keys and what they say of themselves, fetched and kept.

use std::sync::Arc;

use super::fetched::{Fetched, When};
use super::jws::Jws;
use super::keys::KeySet;
use super::provider::Provider;
use super::source::{Source, Url};
use super::{Claims, Reason};
use crate::answer::Refusal;
use crate::crypto::{self, VerifyingAlgorithm};
use crate::outbound::{Ask, FetchError, Outbound};
use crate::secret::SecretText;
use crate::time::Timestamp;

/// Whatever is known of issuers. One for the whole server: keys are public, and a source is a URL with its authorities.
pub struct Issuers {
    /// How other servers are called.
    pub outbound: Outbound,
    keys: Fetched<KeySet>,
    providers: Fetched<Provider>,
}

/// An issuer as a token is checked against it.
pub struct Issuer {
    /// Its keys, in as many sets as there are.
    pub keys: Vec<Arc<KeySet>>,
    /// What it calls itself, if it said so.
    pub name: Option<String>,
}

impl Issuers {
    /// Fetches by `outbound`.
    pub fn new(outbound: Outbound) -> Self {
        Self { outbound, keys: Fetched::default(), providers: Fetched::default() }
    }

    /// The keys of a source, with the one of `key_id` if it has it.
    pub async fn issuer(&self, source: &Source, key_id: Option<&str>, when: (When, Timestamp)) -> Result<Issuer, FetchError> {
        match source {
            Source::Keys { keys, .. } => Ok(Issuer { keys: vec![Arc::new(KeySet::of(keys))], name: None }),
            Source::Jwks(at) => Ok(Issuer { keys: vec![self.keys(at, key_id, when).await?], name: None }),
            Source::JwksPairs(all) => Ok(Issuer { keys: self.keys_of_all(all, key_id, when).await?, name: None }),
            Source::Discovery(at) => {
                let provider = self.provider(at, when).await?;
                let jwks = Url { url: provider.jwks_uri.clone(), authorities: at.authorities.clone() };
                Ok(Issuer { keys: vec![self.keys(&jwks, key_id, when).await?], name: Some(provider.issuer.clone()) })
            }
        }
    }

    /// What a token says that the issuer of a source has signed by an algorithm that is allowed (none named: any), and what the
    /// issuer calls itself.
    pub async fn verified(
        &self,
        source: &Source,
        token: &SecretText,
        allowed: &[VerifyingAlgorithm],
        when: (When, Timestamp),
    ) -> Result<(Claims, Option<String>), Reason> {
        let token = Jws::parse(token.expose()).ok_or("it is no token, or of an unknown algorithm")?;
        let issuer = self.issuer(source, token.key_id.as_deref(), when).await.map_err(|error| {
            tracing::warn!(%error, "a token cannot be verified");
            "the keys of its issuer cannot be had"
        })?;
        let claims = token.verify(&issuer.keys, allowed).ok_or("its signature does not verify")?;
        Ok((claims, issuer.name))
    }

    /// Whether the keys of a source can be had now, which a new configuration is refused without.
    pub async fn check(&self, source: &Source, now: Timestamp) -> Result<(), Refusal> {
        let what = if matches!(source, Source::Discovery(_)) { "oidc discovery" } else { "jwks" };
        let checked = self.issuer(source, None, (When::Now, now)).await;
        checked.map(drop).map_err(|error| Refusal::Invalid(format!("error checking {what} URL: {error}")))
    }

    /// What the issuer at a URL says of itself.
    pub async fn provider(&self, at: &Url, when: (When, Timestamp)) -> Result<Arc<Provider>, FetchError> {
        let fetch = async {
            let document = self.outbound.check(&Provider::document(&at.url))?;
            let bytes = self.outbound.fetch(&document, at.authorities(), Ask::Get).await?;
            Provider::parse(&bytes, &at.url, &self.outbound)
        };
        self.providers.of(name(at), when, |_| true, fetch).await
    }

    /// The sets that can be had: one that is away does not keep out whom another knows. A new configuration needs all of them.
    async fn keys_of_all(
        &self,
        all: &[Url],
        key_id: Option<&str>,
        when: (When, Timestamp),
    ) -> Result<Vec<Arc<KeySet>>, FetchError> {
        let (mut sets, mut failed) = (Vec::new(), None);
        for at in all {
            match self.keys(at, key_id, when).await {
                Ok(keys) => sets.push(keys),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if sets.is_empty() || when.0 == When::Now => Err(error),
            _ => Ok(sets),
        }
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
