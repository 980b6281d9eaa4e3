//! Certificates and revocation lists, which clients show and operators write.

use strongroom::cert::{Bundle, Crl, Identity, public_key};

/// What is read is read the same again, and its names are what they look like.
pub(super) fn certificate(data: &[u8]) {
    if let Some(identity) = Identity::parse(data) {
        assert_eq!(Identity::parse(data).as_ref(), Some(&identity));
        let names = identity.common_name.iter().chain(&identity.dns_names).chain(&identity.emails).chain(&identity.uris);
        assert!(names.flat_map(|name| name.chars()).all(|character| !character.is_control()));
        assert!(public_key(data).is_some());
    }
    if let Ok(list) = Crl::parse(data) {
        let again = Crl::parse(list.der());
        assert!(again.is_ok_and(|again| again.serials().eq(list.serials())));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        drop(Bundle::parse(text));
    }
}
