//! What a certificate says of itself and its holder.

use rustls_pki_types::SubjectPublicKeyInfoDer;
use x509_parser::asn1_rs::{Any, FromDer as _, Tag};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{ASN1Time, AttributeTypeAndValue, X509Certificate, X509Name};

use crate::time::Timestamp;

/// An extension as it stands in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// `1.2.3.4`
    pub oid: String,
    /// Its value, DER.
    pub value: Vec<u8>,
}

impl Extension {
    /// Its text, if its value is one.
    pub fn text(&self) -> Option<&str> {
        let (rest, value) = Any::from_der(&self.value).ok()?;
        let is_text = [Tag::Utf8String, Tag::PrintableString, Tag::Ia5String, Tag::NumericString].contains(&value.tag());
        if rest.is_empty() && is_text { std::str::from_utf8(value.data).ok() } else { None }
    }
}

/// The most names that are read: whoever holds a certificate with more is nobody.
const NAMES_MAX: usize = 256;

/// What a certificate says. Names are exactly as they stand there: no case is changed, nothing is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The common name; `None` when there is none, or more than one.
    pub common_name: Option<String>,
    /// Organisational units.
    pub organizational_units: Vec<String>,
    /// DNS names.
    pub dns_names: Vec<String>,
    /// E-mail addresses.
    pub emails: Vec<String>,
    /// URIs, SPIFFE ids among them.
    pub uris: Vec<String>,
    /// Serial number, decimal.
    pub serial: String,
    /// Hexadecimal with colons; empty when there is none.
    pub subject_key_id: String,
    /// Likewise, of the issuer's key.
    pub authority_key_id: String,
    /// All of them, in their order.
    pub extensions: Vec<Extension>,
    /// It may sign certificates (RFC 5280 sections 4.2.1.3 and 4.2.1.9).
    pub is_authority: bool,
    /// How many intermediates may come between it and a leaf; `None` for any number.
    pub intermediates_max: Option<u32>,
    /// It may prove who a client is: it does not restrict what it is for, or names that (RFC 5280 section 4.2.1.12).
    pub is_for_clients: bool,
    /// The issuer's name, DER.
    pub issuer: Vec<u8>,
    /// Valid from then on.
    pub not_before: Timestamp,
    /// Valid until then.
    pub not_after: Timestamp,
}

impl Identity {
    /// Reads a certificate of any version; `None` when it is not one, has an extension twice or one of ours that does not
    /// parse, or a name that holds a control character.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        // An extension that stands there twice says two things.
        certificate.extensions_map().ok()?;
        let names = Names::of(&certificate)?;
        let (is_authority, intermediates_max) = authority(&certificate)?;
        let usage = certificate.extended_key_usage().ok()?;
        let (subject_key_id, authority_key_id) = key_ids(&certificate);
        Some(Self {
            common_name: single(certificate.subject())?,
            organizational_units: texts(certificate.subject().iter_organizational_unit())?,
            dns_names: names.dns,
            emails: names.emails,
            uris: names.uris,
            serial: certificate.serial.to_string(),
            subject_key_id,
            authority_key_id,
            extensions: certificate.extensions().iter().map(extension).collect(),
            is_authority,
            intermediates_max,
            is_for_clients: usage.is_none_or(|usage| usage.value.any || usage.value.client_auth),
            issuer: certificate.issuer().as_raw().to_vec(),
            not_before: timestamp(certificate.validity().not_before),
            not_after: timestamp(certificate.validity().not_after),
        })
    }

    /// Whether its time has come and is not over.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

/// The public key of a certificate of any version.
pub fn public_key(der: &[u8]) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(SubjectPublicKeyInfoDer::from(certificate.public_key().raw.to_vec()))
}

/// Seconds are what a certificate counts in.
pub(super) fn timestamp(time: ASN1Time) -> Timestamp {
    Timestamp(time.timestamp().saturating_mul(1_000_000_000))
}

#[derive(Default)]
struct Names {
    dns: Vec<String>,
    emails: Vec<String>,
    uris: Vec<String>,
}

impl Names {
    fn of(certificate: &X509Certificate<'_>) -> Option<Self> {
        let mut names = Self::default();
        let Some(extension) = certificate.subject_alternative_name().ok()? else { return Some(names) };
        if extension.value.general_names.len() > NAMES_MAX {
            return None;
        }
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => names.dns.push(plain(name)?),
                GeneralName::RFC822Name(name) => names.emails.push(plain(name)?),
                GeneralName::URI(name) => names.uris.push(plain(name)?),
                GeneralName::Invalid(..) => return None,
                _ => {}
            }
        }
        Some(names)
    }
}

/// A name that is what it looks like: with a zero byte or a line feed in it, others might read it otherwise.
fn plain(name: &str) -> Option<String> {
    (!name.chars().any(char::is_control)).then(|| name.to_owned())
}

fn texts<'a>(attributes: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>) -> Option<Vec<String>> {
    attributes.map(|attribute| plain(attribute.as_str().ok()?)).collect()
}

/// The outer `None`: a name that cannot be read. The inner one: none, or several.
#[expect(clippy::option_option, reason = "what is not there, and what does not parse, are different things")]
fn single(subject: &X509Name<'_>) -> Option<Option<String>> {
    let mut names = texts(subject.iter_common_name())?;
    Some(if names.len() == 1 { names.pop() } else { None })
}

fn authority(certificate: &X509Certificate<'_>) -> Option<(bool, Option<u32>)> {
    let Some(constraints) = certificate.basic_constraints().ok()? else { return Some((false, None)) };
    let signs = certificate.key_usage().ok()?.is_none_or(|usage| usage.value.key_cert_sign());
    Some((constraints.value.ca && signs, constraints.value.path_len_constraint))
}

fn key_ids(certificate: &X509Certificate<'_>) -> (String, String) {
    let (mut subject, mut authority) = (String::new(), String::new());
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => subject = format!("{id:x}"),
            ParsedExtension::AuthorityKeyIdentifier(of) => {
                authority = of.key_identifier.as_ref().map(|id| format!("{id:x}")).unwrap_or_default();
            }
            _ => {}
        }
    }
    (subject, authority)
}

fn extension(extension: &x509_parser::extensions::X509Extension<'_>) -> Extension {
    Extension { oid: extension.oid.to_id_string(), value: extension.value.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::super::der;
    use super::super::testing::{Authority, Leaf};
    use super::*;

    #[test]
    fn names_are_read_as_they_stand() {
        let leaf = Leaf { common_name: Some("Web"), unit: Some("ops"), dns: &["web.example"], emails: &["a@b.c"], ..Leaf::new() };
        let leaf = Leaf { uris: &["spiffe://acme/web"], extensions: &[(&[1, 2, 3, 4], b"\x0c\x02hi")], ..leaf };
        let identity = Identity::parse(&Authority::new("CA").sign(&leaf).der).unwrap();
        assert_eq!(identity.common_name.as_deref(), Some("Web"));
        assert_eq!(identity.organizational_units, ["ops"]);
        assert_eq!((&*identity.dns_names, &*identity.emails), (&["web.example".to_owned()][..], &["a@b.c".to_owned()][..]));
        assert_eq!(identity.uris, ["spiffe://acme/web"]);
        assert!(identity.extensions.contains(&Extension { oid: "1.2.3.4".into(), value: b"\x0c\x02hi".to_vec() }));
        assert!(identity.is_for_clients && !identity.is_authority);
        assert!(identity.authority_key_id.split(':').all(|byte| byte.len() == 2), "{}", identity.authority_key_id);
    }

    #[test]
    fn an_authority_is_what_may_sign_certificates() {
        let authority = Authority::new("CA");
        assert!(Identity::parse(&der(&authority.pem())).unwrap().is_authority);
        let leaf = authority.sign(&Leaf { for_servers_only: true, ..Leaf::new() });
        let leaf = Identity::parse(&leaf.der).unwrap();
        assert!(!leaf.is_authority && !leaf.is_for_clients);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_not_read() {
        let authority = Authority::new("CA");
        for leaf in [
            Leaf { common_name: Some("admin\0.example"), ..Leaf::new() },
            Leaf { dns: &["admin\n.example"], ..Leaf::new() },
            Leaf { extensions: &[(&[1, 2, 3, 4], b"a"), (&[1, 2, 3, 4], b"b")], ..Leaf::new() },
            // A second list of alternative names.
            Leaf { dns: &["a.example"], extensions: &[(&[2, 5, 29, 17], b"\x30\x03\x82\x01b")], ..Leaf::new() },
        ] {
            assert_eq!(Identity::parse(&authority.sign(&leaf).der), None);
        }
        let mut longer = authority.sign(&Leaf::new()).der;
        longer.push(0);
        assert_eq!(Identity::parse(&longer), None);
        assert_eq!(Identity::parse(b""), None);
    }

    #[test]
    fn a_certificate_has_a_bounded_number_of_names() {
        let names: Vec<String> = (0..=NAMES_MAX).map(|number| format!("n{number}.example")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for (count, read) in [(NAMES_MAX, true), (NAMES_MAX + 1, false)] {
            let leaf = Leaf { dns: &names[..count], ..Leaf::new() };
            assert_eq!(Identity::parse(&Authority::new("CA").sign(&leaf).der).is_some(), read, "{count}");
        }
    }
}
