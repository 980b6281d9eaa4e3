//! Revocation lists (RFC 5280 section 5).

use std::collections::BTreeSet;

use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject as _;
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_parser::prelude::{CertificateRevocationList as Parsed, FromDer as _};

use super::identity::timestamp;
use crate::crypto;
use crate::time::Timestamp;

/// A revocation list does not parse, or is of a kind that cannot be checked.
#[derive(Debug, thiserror::Error)]
#[error("failed to parse CRL: {0}")]
pub struct CrlError(&'static str);

/// A revocation list. Who signed it is checked where a chain is, with the key of the chain's issuer.
pub struct Crl {
    der: Vec<u8>,
    digest: [u8; 32],
    issuer: Vec<u8>,
    scope: Option<Vec<u8>>,
    serials: BTreeSet<String>,
    issued: Timestamp,
    next: Timestamp,
    list: CertRevocationList<'static>,
}

impl Crl {
    /// Reads PEM, or DER.
    pub fn parse(text: &[u8]) -> Result<Self, CrlError> {
        let der = match CertificateRevocationListDer::from_pem_slice(text) {
            Ok(der) => der.as_ref().to_vec(),
            Err(_) => text.to_vec(),
        };
        let (rest, parsed) = Parsed::from_der(&der).map_err(|_| CrlError("it is neither PEM nor DER of one"))?;
        if !rest.is_empty() {
            return Err(CrlError("something follows it"));
        }
        let list = OwnedCertRevocationList::from_der(&der);
        let list = CertRevocationList::from(list.map_err(|_| {
            CrlError("only complete lists of version 2 with a number and a time of the next update can be checked")
        })?);
        let next = parsed.next_update().ok_or(CrlError("it has no time of the next update"))?;
        Ok(Self {
            issuer: parsed.issuer().as_raw().to_vec(),
            scope: list.issuing_distribution_point().map(<[u8]>::to_vec),
            serials: parsed.iter_revoked_certificates().map(|revoked| revoked.serial().to_string()).collect(),
            issued: timestamp(parsed.last_update()),
            next: timestamp(next),
            list,
            digest: crypto::sha256(&[&der]),
            der,
        })
    }

    /// The list as it came, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of that.
    pub(super) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The serial numbers in it, decimal.
    pub fn serials(&self) -> impl Iterator<Item = &str> {
        self.serials.iter().map(String::as_str)
    }

    /// Whether it takes back the certificate with this number that `issuer` (DER) gave out.
    pub(super) fn revokes(&self, issuer: &[u8], serial: &str) -> bool {
        self.issuer == issuer && self.serials.contains(serial)
    }

    /// Whether it speaks of certificates of `issuer` (DER), and is not followed by another by now.
    pub(super) fn is_current_for(&self, issuer: &[u8], now: Timestamp) -> bool {
        self.issuer == issuer && self.issued <= now && now < self.next
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Timestamp {
        self.next
    }

    /// As the verifier of chains reads it.
    pub(super) fn list(&self) -> &CertRevocationList<'static> {
        &self.list
    }

    /// Whether `self` takes the place of `other`: of the same issuer, about the same certificates, and newer.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.scope == other.scope && (self.issued, self.next) > (other.issued, other.next)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Identity;
    use super::super::testing::{Authority, BEGIN, END, FUTURE, Leaf, PAST};
    use super::*;

    fn seconds(at: u64) -> Timestamp {
        Timestamp(i64::try_from(at).unwrap() * 1_000_000_000)
    }

    #[test]
    fn a_list_names_serial_numbers_of_its_issuer() {
        let (authority, other) = (Authority::new("CA"), Authority::new("Other CA"));
        let leaf = authority.sign(&Leaf { serial: Some(7), ..Leaf::new() });
        let crl = Crl::parse(authority.crl(&[7, 300], (BEGIN, PAST)).as_bytes()).unwrap();
        assert_eq!(crl.serials().collect::<Vec<_>>(), ["300", "7"]);
        let issuer = Identity::parse(&leaf.der).unwrap().issuer;
        assert!(crl.revokes(&issuer, "7") && !crl.revokes(&issuer, "8"));
        let others = Crl::parse(other.crl(&[7], (BEGIN, END)).as_bytes()).unwrap();
        assert!(!others.revokes(&issuer, "7"), "another issuer's numbers");
        assert!(crl.is_current_for(&issuer, seconds(BEGIN)) && !crl.is_current_for(&issuer, seconds(PAST)));
        assert!(!crl.is_current_for(&issuer, seconds(BEGIN - 1)), "not before it was issued");
    }

    #[test]
    fn of_two_lists_of_an_issuer_the_newer_one_counts() {
        let (authority, other) = (Authority::new("CA"), Authority::new("Other CA"));
        let list = |of: &Authority, issued| Crl::parse(of.crl(&[], (issued, FUTURE)).as_bytes()).unwrap();
        assert!(list(&authority, PAST).replaces(&list(&authority, BEGIN)));
        assert!(!list(&authority, BEGIN).replaces(&list(&authority, PAST)));
        assert!(!list(&authority, PAST).replaces(&list(&other, BEGIN)));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["", "junk", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"] {
            assert!(Crl::parse(text.as_bytes()).is_err(), "{text}");
        }
        let crl = Crl::parse(Authority::new("CA").crl(&[1], (BEGIN, END)).as_bytes()).unwrap();
        let mut longer = crl.der().to_vec();
        assert!(Crl::parse(&longer).is_ok(), "DER is taken as well");
        longer.push(0);
        assert!(Crl::parse(&longer).is_err());
        assert!(Crl::parse(longer.get(..40).unwrap()).is_err());
    }
}
