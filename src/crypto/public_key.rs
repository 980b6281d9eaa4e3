//! Public keys as files have them: PEM (RFC 7468) of a key (RFC 5280 section 4.1.2.7, RFC 8017 appendix A.1.1) or of a
//! certificate that has one.

use data_encoding::BASE64URL_NOPAD;
use x509_parser::der_parser::asn1_rs::FromDer as _;
use x509_parser::pem::Pem;
use x509_parser::public_key::{PublicKey, RSAPublicKey};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::VerifyingKey;
use super::signing::{Curve, ED25519};

/// A text has no public key of a known kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("data does not contain any valid public keys")]
pub struct NoPublicKey;

impl VerifyingKey {
    /// The first public key of a PEM text.
    pub fn from_pem(text: &str) -> Result<Self, NoPublicKey> {
        Pem::iter_from_buffer(text.as_bytes()).map_while(Result::ok).find_map(|pem| of_pem(&pem)).ok_or(NoPublicKey)
    }
}

fn of_pem(pem: &Pem) -> Option<VerifyingKey> {
    match pem.label.as_str() {
        "PUBLIC KEY" => of_info(&SubjectPublicKeyInfo::from_der(&pem.contents).ok()?.1),
        "RSA PUBLIC KEY" => Some(of_rsa(&RSAPublicKey::from_der(&pem.contents).ok()?.1)),
        "CERTIFICATE" => of_info(pem.parse_x509().ok()?.public_key()),
        _ => None,
    }
}

fn of_info(info: &SubjectPublicKeyInfo<'_>) -> Option<VerifyingKey> {
    if info.algorithm.algorithm.to_id_string() == "1.3.101.112" {
        let x = BASE64URL_NOPAD.encode(&info.subject_public_key.data);
        return Some(VerifyingKey::Okp { crv: ED25519.to_owned(), x });
    }
    match info.parsed().ok()? {
        PublicKey::RSA(key) => Some(of_rsa(&key)),
        PublicKey::EC(point) => {
            let curve = match info.algorithm.parameters.as_ref()?.as_oid().ok()?.to_id_string().as_str() {
                "1.2.840.10045.3.1.7" => Curve::P256,
                "1.3.132.0.34" => Curve::P384,
                "1.3.132.0.35" => Curve::P521,
                _ => return None,
            };
            // Uncompressed: 4, x, y.
            let both = point.data().strip_prefix(&[4])?;
            let (x, y) = both.split_at(both.len() / 2);
            let text = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
            Some(VerifyingKey::Ec { crv: curve.name().to_owned(), x: text(x), y: text(y) })
        }
        _ => None,
    }
}

/// DER writes a zero before a number whose first bit is set; JOSE does not.
fn of_rsa(key: &RSAPublicKey<'_>) -> VerifyingKey {
    let text = |number: &[u8]| {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        BASE64URL_NOPAD.encode(number.get(zeros..).unwrap_or_default())
    };
    VerifyingKey::Rsa { n: text(key.modulus), e: text(key.exponent) }
}

#[cfg(test)]
#[path = "public_key_tests.rs"]
mod tests;
