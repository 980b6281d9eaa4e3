//! How somebody else's signature may have been made: every asymmetric algorithm of JOSE (RFC 7518 section 3, RFC 8037). There
//! is no `none` and no HMAC: a name that is not here has no meaning.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::hazmat::signature as raw;
use super::signing::Digest;
use super::{SigningAlgorithm, VerifyingKey};

/// How something was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum VerifyingAlgorithm {
    /// As keys are made here, too.
    As(SigningAlgorithm),
    /// RSA with PSS padding, and SHA-256.
    Ps256,
    /// RSA with PSS padding, and SHA-384.
    Ps384,
    /// RSA with PSS padding, and SHA-512.
    Ps512,
}

impl VerifyingAlgorithm {
    /// What providers use where nothing else was said.
    pub const RS256: Self = Self::As(SigningAlgorithm::Rs256);

    /// As JOSE writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::As(algorithm) => algorithm.name(),
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
        }
    }

    /// The one with this name.
    pub fn parse(name: &str) -> Option<Self> {
        let others = [Self::Ps256, Self::Ps384, Self::Ps512];
        SigningAlgorithm::parse(name).map(Self::As).or_else(|| others.into_iter().find(|other| other.name() == name))
    }
}

impl From<VerifyingAlgorithm> for String {
    fn from(algorithm: VerifyingAlgorithm) -> Self {
        algorithm.name().to_owned()
    }
}

impl TryFrom<String> for VerifyingAlgorithm {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::parse(&name).ok_or("an unknown algorithm")
    }
}

impl VerifyingKey {
    /// Whether `signed` is a signature of `text` by this key, made in this way and no other. A key of another family than the
    /// algorithm's verifies nothing.
    pub fn verifies(&self, algorithm: VerifyingAlgorithm, text: &[u8], signed: &[u8]) -> bool {
        let digest = match algorithm {
            VerifyingAlgorithm::As(algorithm) => return self.verify(algorithm, text, signed),
            VerifyingAlgorithm::Ps256 => Digest::Sha256,
            VerifyingAlgorithm::Ps384 => Digest::Sha384,
            VerifyingAlgorithm::Ps512 => Digest::Sha512,
        };
        let Self::Rsa { n, e } = self else { return false };
        let bytes = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).unwrap_or_default();
        raw::rsa_pss_verify((&bytes(n), &bytes(e)), digest, text, signed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SigningKey;

    #[test]
    fn only_asymmetric_algorithms_have_a_name() {
        for name in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"] {
            assert_eq!(VerifyingAlgorithm::parse(name).map(VerifyingAlgorithm::name), Some(name));
        }
        for name in ["none", "None", "NONE", "", "HS256", "HS384", "HS512", "rs256", "ES256K", "RS1", "dir"] {
            assert_eq!(VerifyingAlgorithm::parse(name), None, "{name}");
        }
    }

    #[test]
    fn one_padding_of_rsa_is_not_the_other() {
        let key = SigningKey::generate(SigningAlgorithm::Rs256).unwrap();
        let (public, signed) = (key.verifying_key().unwrap(), key.sign(b"text").unwrap());
        assert!(public.verifies(VerifyingAlgorithm::RS256, b"text", &signed));
        assert!(!public.verifies(VerifyingAlgorithm::Ps256, b"text", &signed));
    }
}
