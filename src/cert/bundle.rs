//! Whom somebody trusts: authorities, and certificates that are trusted themselves.

use std::time::Duration;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy, VerifiedPath,
};

use super::crl::Crl;
use super::{Identity, Presented};
use crate::crypto;
use crate::time::Timestamp;

/// The most certificates in one bundle.
pub const CERTIFICATES_MAX: usize = 100;

/// A text is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It holds no certificate, or one that does not parse.
    #[error("failed to parse certificate")]
    Unreadable,
    /// It holds too many.
    #[error("at most {CERTIFICATES_MAX} certificates")]
    TooMany,
    /// It is not an authority's, and not for clients: nobody could log in with it.
    #[error("non-CA certificates should have TLS client authentication set as an extended key usage")]
    NotForClients,
}

/// Certificates that somebody trusts. One that may sign others vouches for what it signed; any of them is trusted itself, and
/// is then compared whole: a certificate with the same serial number, name or key is another one.
pub struct Bundle {
    trusted: Vec<Trusted>,
    digest: [u8; 32],
}

struct Trusted {
    der: CertificateDer<'static>,
    identity: Identity,
    /// Of an authority.
    anchor: Option<TrustAnchor<'static>>,
}

/// Which revocations count.
pub struct Revocation<'a> {
    /// What was published.
    pub lists: &'a [&'a Crl],
    /// Refuse what no current list speaks of.
    pub demanded: bool,
}

/// Somebody vouches for a certificate.
#[derive(Debug, PartialEq, Eq)]
pub struct Verified {
    /// The earliest end of what that rests on.
    pub valid_until: Timestamp,
}

/// A certificate of a chain, as its issuer knows it.
struct Link {
    issuer: Vec<u8>,
    serial: String,
}

impl Bundle {
    /// Reads PEM.
    pub fn parse(pem: &str) -> Result<Self, BundleError> {
        let mut trusted = Vec::new();
        for der in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let der = der.map_err(|_| BundleError::Unreadable)?;
            if trusted.len() == CERTIFICATES_MAX {
                return Err(BundleError::TooMany);
            }
            trusted.push(Trusted::new(der)?);
        }
        if trusted.is_empty() {
            return Err(BundleError::Unreadable);
        }
        let digests: Vec<[u8; 32]> = trusted.iter().map(|one: &Trusted| crypto::sha256(&[&one.der])).collect();
        let parts: Vec<&[u8]> = digests.iter().map(<[u8; 32]>::as_slice).collect();
        Ok(Self { digest: crypto::sha256(&parts), trusted })
    }

    /// What follows from all that a verification depends on, but the time.
    pub fn name_of(&self, shown: &Presented, revocation: &Revocation<'_>) -> [u8; 32] {
        let mut parts: Vec<&[u8]> = vec![b"chain", if revocation.demanded { b"1" } else { b"0" }];
        let (digest, shown) = (self.digest, shown.digest());
        let lists = revocation.lists.iter().map(|list| list.digest().as_slice());
        parts.extend([digest.as_slice(), shown.as_slice()].into_iter().chain(lists));
        crypto::sha256(&parts)
    }

    /// Whether what was shown is trusted at `now`; `None` when it is not, for whatever reason.
    pub fn verify(&self, shown: &Presented, revocation: &Revocation<'_>, now: Timestamp) -> Option<Verified> {
        let identity = shown.identity()?;
        if !identity.is_valid_at(now) || !identity.is_for_clients {
            return None;
        }
        if self.trusted.iter().any(|trusted| trusted.der == shown.leaf) {
            return revocation.check_pinned(identity, now);
        }
        self.verify_chain(shown, revocation, now)
    }

    /// RFC 5280 section 6.1.
    fn verify_chain(&self, shown: &Presented, revocation: &Revocation<'_>, now: Timestamp) -> Option<Verified> {
        let anchors: Vec<TrustAnchor<'_>> = self.valid_authorities(now).map(|(_, anchor)| anchor.clone()).collect();
        let leaf = EndEntityCert::try_from(&shown.leaf).ok()?;
        let seconds = u64::try_from(now.unix_seconds()).ok()?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let lists = revocation.newest();
        let lists: Vec<_> = lists.iter().map(|crl| crl.list()).collect();
        let options = match (revocation.demanded, RevocationOptionsBuilder::new(&lists)) {
            (false, _) => None,
            (true, Err(_)) => return None,
            (true, Ok(options)) => Some(
                options
                    .with_depth(RevocationCheckDepth::Chain)
                    .with_status_policy(UnknownStatusPolicy::Deny)
                    .with_expiration_policy(ExpirationPolicy::Enforce)
                    .build(),
            ),
        };
        let short_enough =
            |path: &VerifiedPath<'_>| self.end_of_authority(path, now).map(drop).ok_or(webpki::Error::PathLenConstraintViolated);
        let path = leaf
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &anchors,
                &shown.others,
                time,
                KeyUsage::client_auth(),
                options,
                Some(&short_enough),
            )
            .ok()?;
        self.finish(&path, revocation, now)
    }

    fn finish(&self, path: &VerifiedPath<'_>, revocation: &Revocation<'_>, now: Timestamp) -> Option<Verified> {
        let mut valid_until = self.end_of_authority(path, now)?;
        for certificate in std::iter::once(path.end_entity().der()).chain(path.intermediate_certificates().map(webpki::Cert::der))
        {
            let identity = Identity::parse(&certificate)?;
            valid_until = valid_until.min(identity.not_after);
            valid_until = valid_until.min(revocation.check(&Link::of(&identity), now)?);
        }
        Some(Verified { valid_until })
    }

    fn valid_authorities(&self, now: Timestamp) -> impl Iterator<Item = (&Identity, &TrustAnchor<'static>)> {
        let valid = self.trusted.iter().filter(move |trusted| trusted.identity.is_valid_at(now));
        valid.filter_map(|trusted| Some((&trusted.identity, trusted.anchor.as_ref()?)))
    }

    /// The end of the authority that a path ends at, if it allows so many intermediates. Of several certificates with the
    /// same name and key the one that lasts longest counts.
    fn end_of_authority(&self, path: &VerifiedPath<'_>, now: Timestamp) -> Option<Timestamp> {
        let length = u32::try_from(path.intermediate_certificates().count()).ok()?;
        let same = self.valid_authorities(now).filter(|(_, anchor)| *anchor == path.anchor());
        let allows = same.filter(|(identity, _)| identity.intermediates_max.is_none_or(|most| length <= most));
        allows.map(|(identity, _)| identity.not_after).max()
    }
}

impl Trusted {
    fn new(der: CertificateDer<'static>) -> Result<Self, BundleError> {
        let identity = Identity::parse(&der).ok_or(BundleError::Unreadable)?;
        if !identity.is_authority && !identity.is_for_clients {
            return Err(BundleError::NotForClients);
        }
        let anchor = if identity.is_authority {
            Some(webpki::anchor_from_trusted_cert(&der).map_err(|_| BundleError::Unreadable)?.to_owned())
        } else {
            None
        };
        Ok(Self { der, identity, anchor })
    }
}

impl Link {
    fn of(identity: &Identity) -> Self {
        Self { issuer: identity.issuer.clone(), serial: identity.serial.clone() }
    }
}

impl<'a> Revocation<'a> {
    /// Of lists that take each other's place, the newest: the verifier of chains looks at one only.
    fn newest(&self) -> Vec<&'a Crl> {
        let replaced = |crl: &Crl| self.lists.iter().any(|other| other.replaces(crl));
        self.lists.iter().copied().filter(|crl| !replaced(crl)).collect()
    }

    /// Until when the link is not known to be revoked; `None` when it is. Any list that names it counts, however old.
    fn check(&self, link: &Link, now: Timestamp) -> Option<Timestamp> {
        if self.lists.iter().any(|crl| crl.revokes(&link.issuer, &link.serial)) {
            return None;
        }
        if !self.demanded {
            return Some(Timestamp(i64::MAX));
        }
        // Whoever signed it was checked with the chain.
        self.lists.iter().filter(|crl| crl.is_current_for(&link.issuer, now)).map(|crl| crl.next()).max()
    }

    /// A pinned certificate has no chain, so that nobody's key can check a list: whoever stored it here vouches for it.
    fn check_pinned(&self, identity: &Identity, now: Timestamp) -> Option<Verified> {
        let valid_until = self.check(&Link::of(identity), now)?;
        Some(Verified { valid_until: valid_until.min(identity.not_after) })
    }
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
mod tests;
