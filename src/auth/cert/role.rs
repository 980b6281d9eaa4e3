//! Roles: which certificates are let in, and what their holders get.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::constraints::{self, Constraints};
use crate::answer::Refusal;
use crate::auth::name::{NAME_BYTES_MAX, canonical};
use crate::auth::parameters::{self, TokenParameters, with_token_fields};
use crate::auth::principals::Admits;
use crate::cert::{Bundle, Identity};
use crate::engine::table::{Call, Field};
use crate::fields::Fields;
use crate::json::Json;
use crate::mount::LeaseTtl;
use crate::record::{Kind, Listing};

/// The most roles of one mount: a login that names none looks at all of them.
pub(super) const ROLES_MAX: usize = 1_000;
/// The longest bundle, in bytes.
const BUNDLE_BYTES_MAX: usize = 256 << 10;

/// A role.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct CertRole {
    /// Authorities, or certificates that are trusted themselves: PEM, as it was written.
    certificate: String,
    /// What people know its tokens by.
    display_name: String,
    constraints: Constraints,
    /// Extensions whose text goes into the metadata of its tokens.
    allowed_metadata_extensions: Vec<String>,
    /// Refuse a certificate that no current revocation list speaks of.
    pub(super) require_crl: bool,
    /// Whoever shows a certificate is let in without a token.
    pub(super) tokenless: bool,
    /// Its tokens are good on connections with the certificate only that they were logged in with.
    pub(super) binds_token: bool,
    /// What its tokens get.
    pub(super) tokens: TokenParameters,
    /// The certificates, read once.
    #[serde(skip)]
    bundle: OnceLock<Option<Bundle>>,
}

crate::json_record!(CertRole, Kind::CertRole, Listing::Flat, past = |role| Admits::by(&role.tokens).past());

/// How a role is written.
pub(super) const FIELDS: [Field; 31] = with_token_fields([
    field("certificate", "string", "Authorities, or certificates that are trusted themselves, PEM."),
    field("display_name", "string", "What people know its tokens by; without, the role's name."),
    constraints::FIELDS[0],
    constraints::FIELDS[1],
    constraints::FIELDS[2],
    constraints::FIELDS[3],
    constraints::FIELDS[4],
    constraints::FIELDS[5],
    constraints::FIELDS[6],
    field("allowed_metadata_extensions", "array", "Object identifiers of extensions whose text its tokens carry."),
    field("require_crl", "boolean", "Refuse certificates that no current revocation list of the mount speaks of."),
    field("tokenless", "boolean", "Requests without a token, on a connection with such a certificate, are let in."),
    field("token_bind_certificate", "boolean", "Its tokens are good with the certificate only that they were logged in with."),
    field("policies", "array", "Old name of token_policies."),
    field("ttl", "duration", "Old name of token_ttl."),
    field("max_ttl", "duration", "Old name of token_max_ttl."),
    field("period", "duration", "Old name of token_period."),
    field("bound_cidrs", "array", "Old name of token_bound_cidrs."),
    field("ocsp_enabled", "boolean", "Only false: nothing is fetched."),
    field("ocsp_ca_certificates", "string", "Without effect: there is no OCSP."),
    field("ocsp_servers_override", "array", "Without effect: there is no OCSP."),
]);

const fn field(name: &'static str, kind: &'static str, help: &'static str) -> Field {
    Field { name, kind, help }
}

/// The name in the path of a call.
pub(super) fn name(call: &Call<'_>) -> Result<String, Refusal> {
    canonical(call.captures.get(0))
}

/// What a write says: what it does not name stays as it is.
#[derive(Debug)]
pub struct Change {
    certificate: Option<String>,
    display_name: Option<String>,
    constraints: constraints::Change,
    allowed_metadata_extensions: Option<Vec<String>>,
    require_crl: Option<bool>,
    tokenless: Option<bool>,
    binds_token: Option<bool>,
    tokens: parameters::Change,
}

impl Change {
    /// Reads the fields of a write.
    pub(super) fn parse(fields: &Fields<'_>) -> Result<Self, Refusal> {
        if fields.boolean("ocsp_enabled")? == Some(true) {
            return Err(Refusal::invalid("ocsp_enabled: only false, since nothing is fetched: write revocation lists to crls/"));
        }
        let display_name = fields.text("display_name")?.filter(|name| !name.is_empty());
        if display_name.as_ref().is_some_and(|name| name.len() > NAME_BYTES_MAX) {
            return Err(Refusal::invalid(format!("display_name: at most {NAME_BYTES_MAX} bytes")));
        }
        Ok(Self {
            certificate: fields.text("certificate")?,
            display_name,
            constraints: constraints::Change::parse(fields)?,
            allowed_metadata_extensions: constraints::entries(fields, "allowed_metadata_extensions")?,
            require_crl: fields.boolean("require_crl")?,
            tokenless: fields.boolean("tokenless")?,
            binds_token: fields.boolean("token_bind_certificate")?,
            tokens: parameters::Change::parse(fields, &["policies", "ttl", "max_ttl", "period", "bound_cidrs"])?,
        })
    }

    /// The role `name` as it is afterwards, and warnings. `limits` are those of the mount.
    pub(super) fn apply(self, name: &str, before: &CertRole, limits: LeaseTtl) -> Result<(CertRole, Vec<String>), Refusal> {
        let (tokens, warnings) = self.tokens.apply(&before.tokens, limits)?;
        let role = CertRole {
            certificate: self.certificate.unwrap_or_else(|| before.certificate.clone()),
            display_name: self.display_name.unwrap_or_else(|| match before.display_name.as_str() {
                "" => name.to_owned(),
                known => known.to_owned(),
            }),
            constraints: self.constraints.apply(&before.constraints),
            allowed_metadata_extensions: self
                .allowed_metadata_extensions
                .unwrap_or_else(|| before.allowed_metadata_extensions.clone()),
            require_crl: self.require_crl.unwrap_or(before.require_crl),
            tokenless: self.tokenless.unwrap_or(before.tokenless),
            binds_token: self.binds_token.unwrap_or(before.binds_token),
            tokens,
            bundle: OnceLock::new(),
        };
        if role.certificate.len() > BUNDLE_BYTES_MAX {
            return Err(Refusal::invalid(format!("certificate: at most {BUNDLE_BYTES_MAX} bytes")));
        }
        Bundle::parse(&role.certificate).map_err(|error| Refusal::invalid(error.to_string()))?;
        Ok((role, warnings))
    }
}

impl CertRole {
    /// Whom it trusts; `None` when that does not parse any more: then nobody.
    pub(super) fn bundle(&self) -> Option<&Bundle> {
        self.bundle.get_or_init(|| Bundle::parse(&self.certificate).ok()).as_ref()
    }

    /// Whether a certificate carries what it demands.
    pub(super) fn allows(&self, identity: &Identity) -> bool {
        self.constraints.allow(identity)
    }

    /// What people know its tokens by.
    pub(super) fn display_name(&self) -> &str {
        &self.display_name
    }

    /// Extensions that its tokens carry: name in their metadata, and text.
    pub(super) fn metadata_extensions(&self, identity: &Identity) -> impl Iterator<Item = (String, String)> {
        let wanted = identity.extensions.iter().filter(|extension| self.allowed_metadata_extensions.contains(&extension.oid));
        wanted.filter_map(|extension| Some((extension.oid.replace('.', "-"), extension.text()?.to_owned())))
    }

    /// The `data` of a read.
    pub(super) fn json(&self) -> Json {
        Json::object_of(self.certificate.len() + 2048, |data| {
            constraints::show_list(data, "allowed_metadata_extensions", &self.allowed_metadata_extensions);
            self.constraints.show(data);
            data.field("certificate", &self.certificate)
                .field("display_name", &self.display_name)
                .field("ocsp_ca_certificates", "")
                .field("ocsp_enabled", &false)
                .field("ocsp_fail_open", &false)
                .field("ocsp_query_all_servers", &false)
                .null("ocsp_servers_override")
                .field("require_crl", &self.require_crl)
                .field("token_bind_certificate", &self.binds_token)
                .field("tokenless", &self.tokenless);
            self.tokens.show(data);
        })
    }
}
