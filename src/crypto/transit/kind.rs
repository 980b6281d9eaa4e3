//! The types of keys of the Transit engine, and what each can do.

use serde::{Deserialize, Serialize};

use super::symmetric::Scheme;
use crate::crypto::hazmat::cipher::Suite;
use crate::crypto::hazmat::ec::MlDsa;
use crate::crypto::signing::Curve;

/// A type of key. Names are those of the API, and are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyType {
    /// AES-128-GCM with a random nonce of 96 bits.
    #[serde(rename = "aes128-gcm96")]
    Aes128Gcm96,
    /// AES-256-GCM with a random nonce of 96 bits.
    #[serde(rename = "aes256-gcm96")]
    Aes256Gcm96,
    /// ChaCha20-Poly1305 with a random nonce of 96 bits.
    #[serde(rename = "chacha20-poly1305")]
    ChaCha20Poly1305,
    /// XChaCha20-Poly1305 with a random nonce of 192 bits.
    #[serde(rename = "xchacha20-poly1305")]
    XChaCha20Poly1305,
    /// AES-256-GCM with a commitment to the key and a random nonce of 192 bits. Ours alone.
    #[serde(rename = "aes256-gcm-committing")]
    Aes256GcmCommitting,
    /// Ed25519.
    #[serde(rename = "ed25519")]
    Ed25519,
    /// ECDSA on P-256.
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
    /// ECDSA on P-384.
    #[serde(rename = "ecdsa-p384")]
    EcdsaP384,
    /// ECDSA on P-521.
    #[serde(rename = "ecdsa-p521")]
    EcdsaP521,
    /// RSA of 2048 bits.
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    /// RSA of 3072 bits.
    #[serde(rename = "rsa-3072")]
    Rsa3072,
    /// RSA of 4096 bits.
    #[serde(rename = "rsa-4096")]
    Rsa4096,
    /// A key of HMAC alone.
    #[serde(rename = "hmac")]
    Hmac,
    /// ML-DSA-44.
    #[serde(rename = "mldsa-44")]
    MlDsa44,
    /// ML-DSA-65.
    #[serde(rename = "mldsa-65")]
    MlDsa65,
    /// ML-DSA-87.
    #[serde(rename = "mldsa-87")]
    MlDsa87,
}

use KeyType::{
    Aes128Gcm96, Aes256Gcm96, Aes256GcmCommitting, ChaCha20Poly1305, EcdsaP256, EcdsaP384, EcdsaP521, Ed25519, Hmac, MlDsa44,
    MlDsa65, MlDsa87, Rsa2048, Rsa3072, Rsa4096, XChaCha20Poly1305,
};

/// What a type is made of.
#[derive(Clone, Copy)]
pub(super) enum Family {
    Symmetric(Scheme),
    Ed25519,
    Ec(Curve),
    /// Bits of the modulus.
    Rsa(u16),
    Mac,
    MlDsa(MlDsa),
}

impl KeyType {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Aes128Gcm96,
        Aes256Gcm96,
        ChaCha20Poly1305,
        XChaCha20Poly1305,
        Aes256GcmCommitting,
        Ed25519,
        EcdsaP256,
        EcdsaP384,
        EcdsaP521,
        Rsa2048,
        Rsa3072,
        Rsa4096,
        Hmac,
        MlDsa44,
        MlDsa65,
        MlDsa87,
    ];

    /// As the API writes it.
    pub fn name(self) -> &'static str {
        match self {
            Aes128Gcm96 => "aes128-gcm96",
            Aes256Gcm96 => "aes256-gcm96",
            ChaCha20Poly1305 => "chacha20-poly1305",
            XChaCha20Poly1305 => "xchacha20-poly1305",
            Aes256GcmCommitting => "aes256-gcm-committing",
            Ed25519 => "ed25519",
            EcdsaP256 => "ecdsa-p256",
            EcdsaP384 => "ecdsa-p384",
            EcdsaP521 => "ecdsa-p521",
            Rsa2048 => "rsa-2048",
            Rsa3072 => "rsa-3072",
            Rsa4096 => "rsa-4096",
            Hmac => "hmac",
            MlDsa44 => "mldsa-44",
            MlDsa65 => "mldsa-65",
            MlDsa87 => "mldsa-87",
        }
    }

    /// The one with this name. `ml-dsa-44`, as the standard writes it, is taken too.
    pub fn parse(name: &str) -> Option<Self> {
        let plain = name.strip_prefix("ml-dsa").map(|rest| format!("mldsa{rest}"));
        let name = plain.as_deref().unwrap_or(name);
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub(super) fn family(self) -> Family {
        match self {
            Aes128Gcm96 => Family::Symmetric(Scheme::Stock(Suite::Aes128Gcm)),
            Aes256Gcm96 => Family::Symmetric(Scheme::Stock(Suite::Aes256Gcm)),
            ChaCha20Poly1305 => Family::Symmetric(Scheme::Stock(Suite::ChaCha20Poly1305)),
            XChaCha20Poly1305 => Family::Symmetric(Scheme::Stock(Suite::XChaCha20Poly1305)),
            Aes256GcmCommitting => Family::Symmetric(Scheme::Committing),
            Ed25519 => Family::Ed25519,
            EcdsaP256 => Family::Ec(Curve::P256),
            EcdsaP384 => Family::Ec(Curve::P384),
            EcdsaP521 => Family::Ec(Curve::P521),
            Rsa2048 => Family::Rsa(2048),
            Rsa3072 => Family::Rsa(3072),
            Rsa4096 => Family::Rsa(4096),
            Hmac => Family::Mac,
            MlDsa44 => Family::MlDsa(MlDsa::Of44),
            MlDsa65 => Family::MlDsa(MlDsa::Of65),
            MlDsa87 => Family::MlDsa(MlDsa::Of87),
        }
    }

    /// The name of a public key in the answers about it.
    pub fn public_name(self) -> &'static str {
        match self {
            EcdsaP256 => "P-256",
            EcdsaP384 => "P-384",
            EcdsaP521 => "P-521",
            other => other.name(),
        }
    }

    /// AES or `ChaCha20`: a ciphertext has a nonce, may have associated data.
    pub fn is_symmetric(self) -> bool {
        matches!(self.family(), Family::Symmetric(_))
    }

    /// RSA: private operations take milliseconds.
    pub fn is_rsa(self) -> bool {
        matches!(self.family(), Family::Rsa(_))
    }

    /// ECDSA: a signature is two numbers.
    pub fn is_ecdsa(self) -> bool {
        matches!(self.family(), Family::Ec(_))
    }

    /// Bytes of an RSA modulus; 0 for other types.
    pub fn modulus_bytes(self) -> usize {
        match self.family() {
            Family::Rsa(bits) => usize::from(bits) / 8,
            _ => 0,
        }
    }

    /// Encrypts, and decrypts.
    pub fn encrypts(self) -> bool {
        self.is_symmetric() || self.is_rsa()
    }

    /// Signs, and verifies.
    pub fn signs(self) -> bool {
        !matches!(self.family(), Family::Symmetric(_) | Family::Mac)
    }

    /// A key for each context can be derived.
    pub fn derives(self) -> bool {
        self.is_symmetric() || self == Ed25519
    }

    /// What is signed is hashed first.
    pub fn signs_hashes(self) -> bool {
        matches!(self.family(), Family::Ec(_) | Family::Rsa(_))
    }

    /// A public key may be imported alone.
    pub fn imports_public(self) -> bool {
        matches!(self.family(), Family::Ec(_) | Family::Rsa(_) | Family::Ed25519)
    }

    /// How many texts one version may encrypt is bounded by the length of its random nonces (NIST SP 800-38D section 8.3).
    pub fn is_counted(self) -> bool {
        matches!(self, Aes128Gcm96 | Aes256Gcm96 | ChaCha20Poly1305)
    }
}
