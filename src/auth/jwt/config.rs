//! Whom a mount trusts.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::answer::Refusal;
use crate::auth::name::canonical;
use crate::auth::signed::{Source, TEXT_BYTES_MAX, Url, keys_in, pairs_in, text_of, too_long};
use crate::crypto::VerifyingAlgorithm;
use crate::engine::table::Field;
use crate::fields::Fields;
use crate::id::MountId;
use crate::json::Json;
use crate::record::{Address, Kind, Listing};
use crate::secret::{SecretBytes, SecretText};

/// The most algorithms that are named.
const ALGORITHMS_MAX: usize = 100;

/// The configuration of a mount, but its secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Config {
    /// Where the issuer's keys are.
    pub source: Source,
    /// Who must have issued a token; empty for what discovery says, or anybody whose keys these are.
    pub bound_issuer: String,
    /// The role of a login that names none; empty for none.
    pub default_role: String,
    /// How tokens may be signed; empty for every way, and RS256 in a browser's login.
    pub supported_algorithms: Vec<VerifyingAlgorithm>,
    /// What the issuer calls this mount.
    pub oidc_client_id: String,
    /// `query` or empty.
    pub oidc_response_mode: String,
    /// `code` or nothing.
    pub oidc_response_types: Vec<String>,
    /// Kept and shown.
    pub namespace_in_state: bool,
}

crate::json_record!(Config, Kind::JwtConfig, Listing::None);

/// What this mount proves itself to the issuer with.
pub(super) struct ClientSecret(pub(super) SecretBytes);

crate::secret_record!(ClientSecret, Kind::OidcClientSecret, Listing::None);

/// What may be written.
pub(super) const FIELDS: &[Field] = &[
    field("jwt_validation_pubkeys", "array", "Public keys or certificates in PEM form that tokens are signed with."),
    field("jwks_url", "string", "Where the issuer publishes its keys."),
    field("jwks_ca_pem", "string", "Authorities of that server's certificate, in PEM form."),
    field("jwks_pairs", "array", "Several of them: objects with jwks_url and jwks_ca_pem."),
    field("oidc_discovery_url", "string", "The issuer, below which its discovery document is."),
    field("oidc_discovery_ca_pem", "string", "Authorities of that server's certificate, in PEM form."),
    field("oidc_client_id", "string", "What the provider calls this mount."),
    field("oidc_client_secret", "string", "What this mount proves itself to the provider with; never shown."),
    field("oidc_response_mode", "string", "query, the only one that is offered."),
    field("oidc_response_types", "array", "code, the only one that is offered."),
    field("bound_issuer", "string", "Who must have issued a token."),
    field("default_role", "string", "The role of a login that names none."),
    field("jwt_supported_algs", "array", "How tokens may be signed: RS256 .. RS512, PS256 .. PS512, ES256 .. ES512, EdDSA."),
    field("provider_config", "object", "Must be empty: settings of single providers are not offered."),
    field("namespace_in_state", "boolean", "Kept and shown."),
];

const fn field(name: &'static str, kind: &'static str, help: &'static str) -> Field {
    Field { name, kind, help }
}

/// A configuration to be written, in place of the one before.
pub struct NewConfig {
    pub(super) config: Config,
    pub(super) client_secret: Option<SecretText>,
}

impl NewConfig {
    /// Reads the fields of a write.
    pub(super) fn parse(fields: &Fields<'_>) -> Result<Self, Refusal> {
        let text = |name: &str| text_of(fields, name);
        let client_id = text("oidc_client_id")?;
        let client_secret = fields.secret("oidc_client_secret")?.filter(|secret| !secret.expose().is_empty());
        if client_id.is_empty() != client_secret.is_none() {
            return Err(Refusal::invalid("both 'oidc_client_id' and 'oidc_client_secret' must be set for OIDC"));
        }
        if client_secret.as_ref().is_some_and(|secret| secret.expose().len() > TEXT_BYTES_MAX) {
            return Err(too_long("oidc_client_secret"));
        }
        if fields.nested("provider_config")?.is_some_and(|provider| !provider.is_empty()) {
            return Err(Refusal::invalid("provider_config is not offered: groups are read from a claim of the token"));
        }
        let source = source(fields)?;
        if !client_id.is_empty() && !matches!(source, Source::Discovery(_)) {
            return Err(Refusal::invalid("'oidc_discovery_url' must be set for OIDC"));
        }
        let (oidc_response_mode, oidc_response_types) = responses(fields)?;
        let default_role = text("default_role")?;
        let config = Config {
            source,
            bound_issuer: text("bound_issuer")?,
            default_role: if default_role.is_empty() { default_role } else { role_name(&default_role)? },
            supported_algorithms: algorithms(fields)?,
            oidc_client_id: client_id,
            oidc_response_mode,
            oidc_response_types,
            namespace_in_state: fields.boolean("namespace_in_state")?.unwrap_or(true),
        };
        Ok(Self { config, client_secret })
    }
}

impl Config {
    /// Where the configuration of a mount is.
    pub(super) fn address(mount: MountId) -> Address {
        Address { kind: Kind::JwtConfig, mount, directory: String::new(), name: String::new() }
    }

    /// The `data` of a read.
    pub(super) fn json(&self) -> Json {
        let (pem, jwks, discovery) = self.source.parts();
        let pairs = self.source.pairs().iter().map(|pair| json!({"jwks_url": pair.url, "jwks_ca_pem": pair.authorities}));
        let pairs: Vec<serde_json::Value> = pairs.collect();
        let pem: Vec<&str> = pem.iter().map(|text| text.trim()).collect();
        Json::object(|data| {
            data.field("bound_issuer", &self.bound_issuer)
                .field("default_role", &self.default_role)
                .field("jwks_ca_pem", &jwks.authorities)
                .field("jwks_pairs", &pairs)
                .field("jwks_url", &jwks.url)
                .field("jwt_supported_algs", &self.supported_algorithms)
                .strings("jwt_validation_pubkeys", &pem)
                .field("namespace_in_state", &self.namespace_in_state)
                .field("oidc_client_id", &self.oidc_client_id)
                .field("oidc_discovery_ca_pem", &discovery.authorities)
                .field("oidc_discovery_url", &discovery.url)
                .field("oidc_response_mode", &self.oidc_response_mode)
                .strings("oidc_response_types", &self.oidc_response_types)
                .raw("override_allowed_server_names", b"[]")
                .raw("provider_config", b"{}")
                .field("status", "valid");
        })
    }
}

impl ClientSecret {
    /// Where the secret of a mount is.
    pub(super) fn address(mount: MountId) -> Address {
        Address { kind: Kind::OidcClientSecret, mount, directory: String::new(), name: String::new() }
    }
}

fn source(fields: &Fields<'_>) -> Result<Source, Refusal> {
    let jwks = Url::read(fields, "jwks_url", "jwks_ca_pem")?.map(Source::Jwks);
    let discovery = Url::read(fields, "oidc_discovery_url", "oidc_discovery_ca_pem")?.map(Source::Discovery);
    let pairs = pairs_in(fields, "jwks_pairs")?;
    Source::one_of([keys_in(fields, "jwt_validation_pubkeys")?, jwks, pairs, discovery]).ok_or_else(|| {
        Refusal::invalid("exactly one of 'jwt_validation_pubkeys', 'jwks_url' or 'oidc_discovery_url' must be set")
    })
}

fn algorithms(fields: &Fields<'_>) -> Result<Vec<VerifyingAlgorithm>, Refusal> {
    let names = fields.list("jwt_supported_algs")?.unwrap_or_default();
    let known = |name: &String| {
        let shown: String = name.chars().take(80).collect();
        let unknown = || Refusal::Invalid(format!("invalid jwt_supported_algs: unsupported signing algorithm {shown:?}"));
        VerifyingAlgorithm::parse(name).ok_or_else(unknown)
    };
    names.iter().take(ALGORITHMS_MAX).map(known).collect()
}

/// A browser's answer comes in the query, and is a code: anything else would put tokens where they are seen.
fn responses(fields: &Fields<'_>) -> Result<(String, Vec<String>), Refusal> {
    let mode = text_of(fields, "oidc_response_mode")?;
    let types = fields.list("oidc_response_types")?.unwrap_or_default();
    if !matches!(mode.as_str(), "" | "query") {
        return Err(Refusal::invalid("invalid response_mode: only query is offered"));
    }
    if types.iter().any(|name| name != "code") {
        return Err(Refusal::invalid("invalid response_types: only code is offered"));
    }
    Ok((mode, types))
}

fn role_name(text: &str) -> Result<String, Refusal> {
    canonical(text).map_err(|_| Refusal::invalid("default_role is no name of a role"))
}
