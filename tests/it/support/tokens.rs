//! Signed tokens of an issuer, made with real keys.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, RsaEncoding,
};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Value, json};
use strongroom::time::{Clock as _, SystemClock};

/// A private key.
pub(crate) enum Key {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair, &'static str),
    Ed(Ed25519KeyPair),
}

impl Key {
    /// A fresh one that can sign by `algorithm`.
    pub(crate) fn new(algorithm: &str) -> Self {
        let ec = |signing, curve| Self::Ec(EcdsaKeyPair::generate(signing).unwrap(), curve);
        match algorithm {
            "ES256" => ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            "ES384" => ec(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            "ES512" => ec(&ECDSA_P521_SHA512_FIXED_SIGNING, "P-521"),
            "EdDSA" => Self::Ed(Ed25519KeyPair::generate().unwrap()),
            _ => Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
        }
    }

    /// Its public key, PEM.
    pub(crate) fn public_pem(&self) -> String {
        let der = |key: PublicKeyX509Der<'static>| BASE64.encode(key.as_ref());
        let text = match self {
            Self::Rsa(key) => der(key.public_key().as_der().unwrap()),
            Self::Ec(key, _) => der(key.public_key().as_der().unwrap()),
            Self::Ed(key) => der(key.public_key().as_der().unwrap()),
        };
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// Its public key as an issuer publishes it.
    pub(crate) fn jwk(&self, id: &str) -> Value {
        let number = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        match self {
            Self::Rsa(key) => {
                let (n, e) = (key.public_key().modulus(), key.public_key().exponent());
                let [n, e] = [n, e].map(|bytes| number(bytes.big_endian_without_leading_zero()));
                json!({"kty": "RSA", "kid": id, "use": "sig", "n": n, "e": e})
            }
            Self::Ec(key, curve) => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({"kty": "EC", "kid": id, "crv": curve, "x": number(x), "y": number(y)})
            }
            Self::Ed(key) => json!({"kty": "OKP", "kid": id, "crv": "Ed25519", "x": number(key.public_key().as_ref())}),
        }
    }

    /// Signs a text by an algorithm that is one of this key.
    pub(crate) fn sign(&self, algorithm: &str, text: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let padding: &'static dyn RsaEncoding = match algorithm {
                    "RS256" => &signature::RSA_PKCS1_SHA256,
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    _ => &signature::RSA_PSS_SHA512,
                };
                let mut signed = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, text, &mut signed).unwrap();
                signed
            }
            Self::Ec(key, _) => key.sign(&random, text).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(text).as_ref().to_vec(),
        }
    }

    /// A token with these claims and a key id.
    pub(crate) fn token(&self, algorithm: &str, id: &str, claims: &Value) -> String {
        self.token_with(&json!({"alg": algorithm, "typ": "JWT", "kid": id}), claims)
    }

    /// A token with this header.
    pub(crate) fn token_with(&self, header: &Value, claims: &Value) -> String {
        let text = unsigned(header, claims);
        let signed = self.sign(header["alg"].as_str().unwrap(), text.as_bytes());
        format!("{text}.{}", BASE64URL_NOPAD.encode(&signed))
    }
}

/// Header and payload of a token.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    [header, claims].map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes())).join(".")
}

/// Now, in seconds.
pub(crate) fn now() -> i64 {
    SystemClock.now().unix_seconds()
}

/// Claims of somebody, valid for some minutes, with others added or in place of them; `null` removes one.
pub(crate) fn claims(subject: &str, others: &Value) -> Value {
    let mut claims = json!({"iss": "https://issuer.test", "sub": subject, "aud": "strongroom", "iat": now(), "exp": now() + 300});
    for (name, value) in others.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}
