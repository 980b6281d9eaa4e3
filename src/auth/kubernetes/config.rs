//! Which cluster a mount trusts.

use serde::{Deserialize, Serialize};

use crate::answer::Refusal;
use crate::auth::signed::{Source, Url, keys_in, text_of};
use crate::engine::table::Field;
use crate::fields::Fields;
use crate::id::MountId;
use crate::json::Json;
use crate::outbound::has_authorities;
use crate::record::{Address, Kind, Listing};

/// The configuration of a mount.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Where the cluster's keys are.
    pub(super) source: Source,
    /// What the cluster calls itself in tokens; empty for what discovery says, or anything.
    issuer: String,
    /// The name is shown, and not compared.
    ignores_issuer: bool,
    /// Shown, and where authorities of the cluster's own hold.
    host: String,
    /// Of the cluster's API, PEM.
    authorities: String,
    /// Kept and shown: files of a pod are never read.
    disable_local_ca_jwt: bool,
}

crate::json_record!(Config, Kind::KubernetesConfig, Listing::None);

/// What may be written.
pub(super) const FIELDS: &[Field] = &[
    field("kubernetes_host", "string", "The cluster's API: shown, and never called by itself."),
    field("kubernetes_ca_cert", "string", "Authorities of the API's certificate, in PEM form, for URLs below kubernetes_host."),
    field("pem_keys", "array", "Public keys or certificates in PEM form that the cluster's tokens are signed with."),
    field("jwks_url", "string", "Where the cluster publishes its keys."),
    field("jwks_ca_pem", "string", "Authorities of that server's certificate, in PEM form."),
    field("oidc_discovery_url", "string", "The cluster's issuer, below which its discovery document is."),
    field("oidc_discovery_ca_pem", "string", "Authorities of that server's certificate, in PEM form."),
    field("issuer", "string", "Who must have issued a token."),
    field("disable_iss_validation", "boolean", "Do not compare the issuer; false when one is named."),
    field("disable_local_ca_jwt", "boolean", "Kept and shown: files of a pod are never read."),
    field("token_reviewer_jwt", "string", "Must be empty: the cluster is not asked about tokens."),
];

const fn field(name: &'static str, kind: &'static str, help: &'static str) -> Field {
    Field { name, kind, help }
}

const KEYS_WANTED: &str = "exactly one of 'pem_keys', 'jwks_url' or 'oidc_discovery_url' must be set: the cluster's TokenReview \
                           is not called, tokens are verified by the cluster's keys";

impl Config {
    /// Reads the fields of a write, which takes the place of the one before.
    pub(super) fn parse(fields: &Fields<'_>) -> Result<Self, Refusal> {
        let text = |name: &str| text_of(fields, name);
        if !text("token_reviewer_jwt")?.is_empty() {
            return Err(Refusal::invalid(
                "token_reviewer_jwt is not offered: TokenReview is not called; set 'pem_keys', 'jwks_url' or 'oidc_discovery_url'",
            ));
        }
        let (host, authorities) = (text("kubernetes_host")?, text("kubernetes_ca_cert")?);
        if !authorities.is_empty() && !has_authorities(&authorities) {
            return Err(Refusal::invalid("error checking kubernetes_ca_cert"));
        }
        let url = |name: &str, pem: &str| -> Result<Option<Url>, Refusal> {
            Ok(Url::read(fields, name, pem)?.map(|url| of_cluster(url, &host, &authorities)))
        };
        let jwks = url("jwks_url", "jwks_ca_pem")?.map(Source::Jwks);
        let discovery = url("oidc_discovery_url", "oidc_discovery_ca_pem")?.map(Source::Discovery);
        let source = Source::one_of([keys_in(fields, "pem_keys")?, jwks, discovery]);
        let source = source.ok_or_else(|| Refusal::invalid(KEYS_WANTED))?;
        let issuer = text("issuer")?;
        let ignores_issuer = fields.boolean("disable_iss_validation")?.unwrap_or(issuer.is_empty());
        if issuer.is_empty() && !ignores_issuer && !matches!(source, Source::Discovery(_)) {
            return Err(Refusal::invalid("'issuer' must be set where disable_iss_validation is false"));
        }
        let disable_local_ca_jwt = fields.boolean("disable_local_ca_jwt")?.unwrap_or(false);
        Ok(Self { source, issuer, ignores_issuer, host, authorities, disable_local_ca_jwt })
    }

    /// Where the configuration of a mount is.
    pub(super) fn address(mount: MountId) -> Address {
        Address { kind: Kind::KubernetesConfig, mount, directory: String::new(), name: String::new() }
    }

    /// Who must have issued a token, if that is compared.
    pub(super) fn issuer(&self) -> Option<&str> {
        Some(self.issuer.as_str()).filter(|issuer| !issuer.is_empty() && !self.ignores_issuer)
    }

    /// The `data` of a read.
    pub(super) fn json(&self) -> Json {
        let (pem, jwks, discovery) = self.source.parts();
        let pem: Vec<&str> = pem.iter().map(|text| text.trim()).collect();
        Json::object(|data| {
            data.field("disable_iss_validation", &self.ignores_issuer)
                .field("disable_local_ca_jwt", &self.disable_local_ca_jwt)
                .field("issuer", &self.issuer)
                .field("jwks_ca_pem", &jwks.authorities)
                .field("jwks_url", &jwks.url)
                .field("kubernetes_ca_cert", &self.authorities)
                .field("kubernetes_host", &self.host)
                .field("oidc_discovery_ca_pem", &discovery.authorities)
                .field("oidc_discovery_url", &discovery.url)
                .strings("pem_keys", &pem)
                .field("token_reviewer_jwt_set", &false);
        })
    }
}

/// A URL of the cluster's own API is of the cluster's authorities; any other, of those that were named for it.
fn of_cluster(url: Url, host: &str, authorities: &str) -> Url {
    let host = host.trim_end_matches('/');
    let below = !host.is_empty() && url.url.strip_prefix(host).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if below && url.authorities.is_empty() { Url { authorities: authorities.to_owned(), ..url } } else { url }
}
