//! What verifiers read: who issues tokens and with which public keys (RFC 7517). Nothing in here is secret.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::run::Asker;
use super::key::Published;
use super::{key, role};
use crate::answer::{Answer, Data, Refusal};
use crate::commit::{Tenant, Txn};
use crate::crypto::SigningAlgorithm;
use crate::json::Json;
use crate::record::{Address, Kind, Listing};

/// The settings of identity tokens.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct OidcConfig {
    /// Scheme, host and port; empty for the server's own address.
    issuer: String,
}

crate::json_record!(OidcConfig, Kind::OidcConfig, Listing::None);

const WARNING: &str = "If \"issuer\" is set explicitly, all tokens must be validated against that address, including those \
                       issued by secondary clusters. Setting issuer to \"\" will restore the default behavior of using the \
                       cluster's api_addr as the issuer.";

fn address() -> Address {
    Address::system(Kind::OidcConfig, "config")
}

async fn config(tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<OidcConfig, Refusal> {
    Ok(txn.read::<OidcConfig>(tenant, &address()).await?.map(|found| OidcConfig::clone(&found.value)).unwrap_or_default())
}

/// The `iss` of a tenant's tokens: where its configuration is found.
pub(super) async fn issuer(tenant: &Arc<Tenant>, asker: &Asker<'_>, txn: &mut Txn) -> Result<String, Refusal> {
    let set = config(tenant, txn).await?.issuer;
    let base = if set.is_empty() { txn.tenants().api_addr().to_owned() } else { set };
    Ok(format!("{base}/v1/{}identity/oidc", asker.namespace))
}

pub(super) async fn read_config(tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let config = config(tenant, txn).await?;
    Ok(Answer::data(Json::object(|data| {
        data.field("issuer", &config.issuer);
    })))
}

pub(super) async fn write_config(issuer: String, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Answer, Refusal> {
    config(tenant, txn).await?;
    let explicit = !issuer.is_empty();
    txn.put(tenant, &address(), &OidcConfig { issuer }, None).await?;
    if !explicit {
        return Ok(Answer::Empty);
    }
    Ok(Answer::Data(Data { warnings: vec![WARNING.to_owned()], ..Data::new(None) }))
}

/// `.well-known/openid-configuration`
pub(super) async fn configuration(tenant: &Arc<Tenant>, asker: &Asker<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let issuer = issuer(tenant, asker, txn).await?;
    let algorithms = SigningAlgorithm::ALL.map(SigningAlgorithm::name);
    let body = Json::object(|body| {
        body.field("issuer", &issuer)
            .field("jwks_uri", &format!("{issuer}/.well-known/keys"))
            .strings("response_types_supported", &["id_token"])
            .strings("subject_types_supported", &["public"])
            .strings("id_token_signing_alg_values_supported", &algorithms);
    });
    Ok(Answer::Bare { status: 200, body })
}

/// A public key as verifiers read it.
#[derive(Serialize)]
struct Jwk<'a> {
    r#use: &'static str,
    kid: &'a str,
    alg: &'static str,
    #[serde(flatten)]
    key: &'a crate::crypto::VerifyingKey,
}

impl<'a> Jwk<'a> {
    fn of(public: &'a Published) -> Self {
        Self { r#use: "sig", kid: &public.id, alg: public.algorithm.name(), key: &public.key }
    }
}

/// `.well-known/keys`: the public keys of keys that some role uses.
pub(super) async fn keys(tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let now = txn.now();
    let used: BTreeSet<String> = role::all(tenant, txn).await?.into_iter().map(|(_, role)| role.key.clone()).collect();
    let mut found = Vec::with_capacity(used.len());
    for name in &used {
        found.extend(key::find(name, tenant, txn).await?);
    }
    let all: Vec<Jwk<'_>> = found.iter().flat_map(|key| key.published(now)).map(Jwk::of).collect();
    let body = Json::object(|body| {
        body.field("keys", &all);
    });
    Ok(Answer::Bare { status: 200, body })
}
