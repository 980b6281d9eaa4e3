//! Authorities and client certificates, made with rcgen. The unit tests of `src/cert/` use them as well.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
    SignatureAlgorithm,
};

/// 2020-01-01, when ordinary certificates begin, in seconds of Unix time.
pub(crate) const BEGIN: u64 = 1_577_836_800;
/// 2120-01-01, when they end.
pub(crate) const END: u64 = 4_733_510_400;
/// 2021-01-01.
pub(crate) const PAST: u64 = 1_609_459_200;
/// 2119-01-01.
pub(crate) const FUTURE: u64 = 4_701_974_400;

/// A time as rcgen has it.
macro_rules! at {
    ($seconds:expr) => {
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs($seconds)
    };
}

/// Who signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate that was signed, with its key.
#[derive(Clone)]
pub(crate) struct Signed {
    /// The certificate.
    pub(crate) der: Vec<u8>,
    /// The same, PEM.
    pub(crate) pem: String,
    /// Its private key, PEM.
    pub(crate) key: String,
}

/// What a certificate is to say. One of a kind unless told otherwise: common name `client`, valid for a hundred years.
#[derive(Clone)]
pub(crate) struct Leaf<'a> {
    pub(crate) common_name: Option<&'a str>,
    pub(crate) unit: Option<&'a str>,
    pub(crate) dns: &'a [&'a str],
    pub(crate) emails: &'a [&'a str],
    pub(crate) uris: &'a [&'a str],
    /// IPv4 addresses.
    pub(crate) addresses: &'a [[u8; 4]],
    /// Object identifier and value, DER.
    pub(crate) extensions: &'a [(&'a [u64], &'a [u8])],
    pub(crate) serial: Option<u64>,
    pub(crate) from: u64,
    pub(crate) until: u64,
    pub(crate) for_servers_only: bool,
    pub(crate) algorithm: &'static SignatureAlgorithm,
    /// The key, PEM, instead of a new one.
    pub(crate) key: Option<&'a str>,
}

impl Leaf<'_> {
    pub(crate) fn new() -> Self {
        Self {
            common_name: Some("client"),
            unit: None,
            dns: &[],
            emails: &[],
            uris: &[],
            addresses: &[],
            extensions: &[],
            serial: None,
            from: BEGIN,
            until: END,
            for_servers_only: false,
            algorithm: &rcgen::PKCS_ECDSA_P256_SHA256,
            key: None,
        }
    }
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self::of(name, &rcgen::PKCS_ECDSA_P256_SHA256, (BEGIN, END), None)
    }

    /// With a key of this kind, valid in this time, for so many intermediates.
    pub(crate) fn of(name: &str, algorithm: &'static SignatureAlgorithm, times: (u64, u64), below: Option<u8>) -> Self {
        Self(CertifiedIssuer::self_signed(authority(name, times, below), KeyPair::generate_for(algorithm).unwrap()).unwrap())
    }

    /// An intermediate that this one signs.
    pub(crate) fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::signed_by(authority(name, (BEGIN, END), None), key, &self.0).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Signs a client certificate.
    pub(crate) fn sign(&self, leaf: &Leaf<'_>) -> Signed {
        let key = key_of(leaf);
        let certificate = params(leaf).signed_by(&key, &self.0).unwrap();
        Signed { der: certificate.der().to_vec(), pem: certificate.pem(), key: key.serialize_pem() }
    }

    /// A list that revokes these serial numbers, PEM; the next one is due at `next`.
    pub(crate) fn crl(&self, serials: &[u64], (issued, next): (u64, u64)) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: at!(BEGIN),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: at!(issued),
            next_update: at!(next),
            crl_number: SerialNumber::from(issued),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

impl Signed {
    /// A certificate that signs itself.
    pub(crate) fn by_itself(leaf: &Leaf<'_>) -> Self {
        let key = key_of(leaf);
        let certificate = params(leaf).self_signed(&key).unwrap();
        Self { der: certificate.der().to_vec(), pem: certificate.pem(), key: key.serialize_pem() }
    }

    /// Signs another certificate with the key of this one, though it is no authority.
    pub(crate) fn misused_to_sign(&self, name: &str, leaf: &Leaf<'_>) -> Self {
        let mut own = CertificateParams::default();
        own.distinguished_name = rcgen::DistinguishedName::new();
        own.distinguished_name.push(DnType::CommonName, name);
        let issuer = rcgen::Issuer::new(own, KeyPair::from_pem(&self.key).unwrap());
        let key = key_of(leaf);
        let certificate = params(leaf).signed_by(&key, &issuer).unwrap();
        Self { der: certificate.der().to_vec(), pem: certificate.pem(), key: key.serialize_pem() }
    }
}

fn authority(name: &str, (from, until): (u64, u64), below: Option<u8>) -> CertificateParams {
    let mut params = params(&Leaf { common_name: Some(name), from, until, ..Leaf::new() });
    params.extended_key_usages.clear();
    params.is_ca = IsCa::Ca(below.map_or(BasicConstraints::Unconstrained, BasicConstraints::Constrained));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn params(leaf: &Leaf<'_>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(name) = leaf.common_name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    if let Some(unit) = leaf.unit {
        params.distinguished_name.push(DnType::OrganizationalUnitName, unit);
    }
    let dns = leaf.dns.iter().map(|name| SanType::DnsName((*name).try_into().unwrap()));
    let emails = leaf.emails.iter().map(|name| SanType::Rfc822Name((*name).try_into().unwrap()));
    let uris = leaf.uris.iter().map(|name| SanType::URI((*name).try_into().unwrap()));
    let addresses = leaf.addresses.iter().map(|address| SanType::IpAddress((*address).into()));
    params.subject_alt_names = dns.chain(emails).chain(uris).chain(addresses).collect();
    params.serial_number = leaf.serial.map(SerialNumber::from);
    params.not_before = at!(leaf.from);
    params.not_after = at!(leaf.until);
    params.use_authority_key_identifier_extension = true;
    let usage = if leaf.for_servers_only { ExtendedKeyUsagePurpose::ServerAuth } else { ExtendedKeyUsagePurpose::ClientAuth };
    params.extended_key_usages = vec![usage];
    let own = |(oid, value): &(&[u64], &[u8])| CustomExtension::from_oid_content(oid, value.to_vec());
    params.custom_extensions = leaf.extensions.iter().map(own).collect();
    params
}

fn key_of(leaf: &Leaf<'_>) -> KeyPair {
    match leaf.key {
        Some(pem) => KeyPair::from_pem(pem).unwrap(),
        None => KeyPair::generate_for(leaf.algorithm).unwrap(),
    }
}
