//! What an issuer says of itself (`OpenID` Connect Discovery 1.0 section 3).

use serde::Deserialize;

use super::jws::object;
use crate::outbound::{FetchError, Outbound};

/// An issuer. Every URL here may be called.
pub struct Provider {
    /// What it calls itself.
    pub issuer: String,
    /// Where its keys are.
    pub jwks_uri: String,
    /// Where a browser is sent to.
    pub authorization_endpoint: Option<String>,
    /// Where a code is redeemed.
    pub token_endpoint: Option<String>,
    /// Where it says more about a user.
    pub userinfo_endpoint: Option<String>,
    /// The secret of a client goes into a header, and otherwise into the form.
    pub basic: bool,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

impl Provider {
    /// Where the document of an issuer is.
    pub(super) fn document(issuer: &str) -> String {
        format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
    }

    /// Reads the document of `issuer`, which must say that it is that very issuer's.
    pub(super) fn parse(bytes: &[u8], issuer: &str, outbound: &Outbound) -> Result<Self, FetchError> {
        let wrong = |what: &str| FetchError::Failed(format!("the discovery document {what}"));
        object(bytes).ok_or_else(|| wrong("is no JSON object"))?;
        let document: Document = serde_json::from_slice(bytes).map_err(|_| wrong("lacks an issuer or jwks_uri"))?;
        if document.issuer != issuer {
            return Err(wrong("is of another issuer than it was asked for"));
        }
        let optional = [&document.authorization_endpoint, &document.token_endpoint, &document.userinfo_endpoint];
        for url in optional.into_iter().flatten().chain([&document.jwks_uri]) {
            outbound.check(url)?;
        }
        let methods = document.token_endpoint_auth_methods_supported;
        Ok(Self {
            issuer: document.issuer,
            jwks_uri: document.jwks_uri,
            authorization_endpoint: document.authorization_endpoint,
            token_endpoint: document.token_endpoint,
            userinfo_endpoint: document.userinfo_endpoint,
            // The default, when nothing is said.
            basic: methods.is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_url_of_a_discovery_document_must_be_allowed() {
        let outbound = Outbound::new(&["a.org".to_owned()], false);
        let document = |more: &str| format!(r#"{{"issuer":"https://a.org/x","jwks_uri":"https://a.org/keys"{more}}}"#);
        let parse = |text: &str| Provider::parse(text.as_bytes(), "https://a.org/x", &outbound);
        assert!(parse(&document("")).is_ok_and(|provider| provider.basic));
        for name in ["authorization_endpoint", "token_endpoint", "userinfo_endpoint"] {
            assert!(parse(&document(&format!(r#","{name}":"https://a.org/e""#))).is_ok());
            for url in ["https://b.org/e", "http://a.org/e", "https://a.org:8443/e", "file:///etc/passwd", ""] {
                let refused = parse(&document(&format!(r#","{name}":"{url}""#)));
                assert!(matches!(refused, Err(FetchError::NotAllowed(_))), "{name} {url}");
            }
        }
        assert!(parse(r#"{"issuer":"https://a.org/x","jwks_uri":"https://b.org/keys"}"#).is_err());
        for text in ["", "[]", r#"{"issuer":"https://a.org/x"}"#, r#"{"issuer":"https://a.org/y","jwks_uri":"https://a.org/k"}"#]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
