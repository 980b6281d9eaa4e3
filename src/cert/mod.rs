//! Client certificates (RFC 5280): what one says of its holder, who vouches for it, and who takes that back.
//!
//! Whoever has a [`Presented`] knows that the key of its leaf signed the handshake, and nothing else: a [`Bundle`] decides
//! whether anybody vouches for it, a [`Crl`] whether it was revoked. Pure: no IO, the time is an argument. It must not know
//! roles, tenants or connections. Fingerprints are SHA-256 of the whole DER.

mod bundle;
mod crl;
mod identity;
#[cfg(test)]
#[path = "../../tests/it/support/certificates.rs"]
pub(crate) mod testing;

/// Of a certificate, from its PEM.
#[cfg(test)]
pub(crate) fn der(pem: &str) -> CertificateDer<'static> {
    use rustls_pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

use std::sync::OnceLock;

use rustls_pki_types::CertificateDer;

pub use bundle::{Bundle, BundleError, CERTIFICATES_MAX, Revocation, Verified};
pub use crl::{Crl, CrlError};
pub use identity::{Extension, Identity, public_key};

use crate::crypto;

/// What a client showed when the connection began: its certificate, whose key it holds, and those that came with it.
pub struct Presented {
    leaf: CertificateDer<'static>,
    others: Vec<CertificateDer<'static>>,
    fingerprint: [u8; 32],
    digest: [u8; 32],
    /// Read when somebody asks, once for the connection.
    identity: OnceLock<Option<Identity>>,
}

impl Presented {
    /// `chain` begins with the leaf; `None` when it is empty.
    pub fn new(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let (leaf, others) = chain.split_first()?;
        let digests: Vec<[u8; 32]> = chain.iter().map(|certificate| crypto::sha256(&[certificate])).collect();
        let parts: Vec<&[u8]> = digests.iter().map(<[u8; 32]>::as_slice).collect();
        Some(Self {
            leaf: leaf.clone().into_owned(),
            others: others.iter().map(|certificate| certificate.clone().into_owned()).collect(),
            fingerprint: digests.first().copied()?,
            digest: crypto::sha256(&parts),
            identity: OnceLock::new(),
        })
    }

    /// SHA-256 of the leaf.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// Stands for all that was shown: who sends other intermediates shows something else.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// What the leaf says; `None` when it cannot be read, or says something in two ways.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.get_or_init(|| Identity::parse(&self.leaf)).as_ref()
    }
}
