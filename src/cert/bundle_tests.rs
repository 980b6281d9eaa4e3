//! Who is trusted, and who is not: each refusal is a flaw that was found in some certificate login.

use super::super::der;
use super::super::testing::{Authority, BEGIN, END, FUTURE, Leaf, PAST, Signed};
use super::*;

/// 2026-01-01
const NOW: Timestamp = Timestamp(1_767_225_600_000_000_000);

fn shown(chain: &[&[u8]]) -> Presented {
    let chain: Vec<CertificateDer<'_>> = chain.iter().map(|der| CertificateDer::from(*der)).collect();
    Presented::new(&chain).unwrap()
}

fn verify(bundle: &str, chain: &[&[u8]], crls: &[&Crl], demanded: bool) -> Option<Timestamp> {
    let bundle = Bundle::parse(bundle).unwrap();
    bundle.verify(&shown(chain), &Revocation { lists: crls, demanded }, NOW).map(|verified| verified.valid_until)
}

fn trusts(bundle: &str, chain: &[&[u8]]) -> bool {
    verify(bundle, chain, &[], false).is_some()
}

fn seconds(at: u64) -> Timestamp {
    Timestamp(i64::try_from(at).unwrap() * 1_000_000_000)
}

fn crl(text: &str) -> Crl {
    Crl::parse(text.as_bytes()).unwrap()
}

#[test]
fn an_authority_vouches_for_what_it_signed_with_every_kind_of_key() {
    for algorithm in
        [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519, &rcgen::PKCS_RSA_SHA256]
    {
        let authority = Authority::of("CA", algorithm, (BEGIN, END), None);
        let leaf = authority.sign(&Leaf { algorithm, ..Leaf::new() });
        assert!(trusts(&authority.pem(), &[&leaf.der]), "{algorithm:?}");
        assert!(!trusts(&Authority::new("CA").pem(), &[&leaf.der]), "an authority of the same name");
    }
}

#[test]
fn intermediates_come_with_the_leaf() {
    let root = Authority::new("Root");
    let middle = root.below("Middle");
    let leaf = middle.sign(&Leaf::new());
    assert!(trusts(&root.pem(), &[&leaf.der, &der(&middle.pem())]));
    assert!(!trusts(&root.pem(), &[&leaf.der]));
    assert!(trusts(&middle.pem(), &[&leaf.der]), "an intermediate may be whom one trusts");
    assert!(trusts(&[Authority::new("Other").pem(), root.pem()].concat(), &[&leaf.der, &der(&middle.pem())]), "one of several");
}

#[test]
fn an_authority_that_allows_no_intermediate_has_none() {
    let root = Authority::of("Root", &rcgen::PKCS_ECDSA_P256_SHA256, (BEGIN, END), Some(0));
    let middle = root.below("Middle");
    let leaf = middle.sign(&Leaf::new());
    assert!(!trusts(&root.pem(), &[&leaf.der, &der(&middle.pem())]));
    assert!(trusts(&root.pem(), &[&root.sign(&Leaf::new()).der]));
}

#[test]
fn a_pinned_certificate_is_compared_whole() {
    let authority = Authority::new("CA");
    let leaf = Leaf { common_name: Some("web"), serial: Some(7), ..Leaf::new() };
    let pinned = authority.sign(&leaf);
    assert!(trusts(&pinned.pem, &[&pinned.der]));
    let forger = Authority::new("CA");
    let same_serial_and_name = forger.sign(&leaf);
    let same_key_and_name = Signed::by_itself(&Leaf { key: Some(&pinned.key), ..leaf.clone() });
    let same_key_other_name = forger.sign(&Leaf { common_name: Some("admin"), key: Some(&pinned.key), ..leaf.clone() });
    let renewed = authority.sign(&Leaf { serial: Some(8), key: Some(&pinned.key), ..leaf });
    for forged in [same_serial_and_name, same_key_and_name, same_key_other_name, renewed] {
        assert!(!trusts(&pinned.pem, &[&forged.der]));
        assert!(!trusts(&pinned.pem, &[&forged.der, &pinned.der]), "the pinned one beside it proves nothing");
    }
}

#[test]
fn a_certificate_in_a_bundle_that_is_no_authority_vouches_for_nobody() {
    let authority = Authority::new("CA");
    let plain = authority.sign(&Leaf { common_name: Some("web"), ..Leaf::new() });
    let forged = plain.misused_to_sign("web", &Leaf { common_name: Some("admin"), ..Leaf::new() });
    let bundle = [plain.pem.as_str(), &authority.pem()].concat();
    assert!(trusts(&bundle, &[&plain.der]));
    assert!(!trusts(&bundle, &[&forged.der]));
    assert!(!trusts(&bundle, &[&forged.der, &plain.der]));
}

#[test]
fn a_certificate_that_signs_itself_is_trusted_only_where_it_is_pinned() {
    let (own, other) = (Signed::by_itself(&Leaf::new()), Signed::by_itself(&Leaf::new()));
    assert!(trusts(&own.pem, &[&own.der]));
    assert!(!trusts(&own.pem, &[&other.der]));
    assert!(!trusts(&Authority::new("CA").pem(), &[&own.der]));
    // hvac pins certificates that are authorities themselves.
    let authority = Authority::new("hvac");
    assert!(trusts(&authority.pem(), &[&der(&authority.pem())]));
}

#[test]
fn times_count_on_the_whole_way() {
    let authority = Authority::new("CA");
    let with = |from, until| authority.sign(&Leaf { from, until, ..Leaf::new() });
    let (over, not_yet) = (with(BEGIN, PAST), with(FUTURE, END));
    for leaf in [&over, &not_yet] {
        assert!(!trusts(&authority.pem(), &[&leaf.der]));
        assert!(!trusts(&leaf.pem, &[&leaf.der]), "pinned");
    }
    let past = Authority::of("Past", &rcgen::PKCS_ECDSA_P256_SHA256, (BEGIN, PAST), None);
    assert!(!trusts(&past.pem(), &[&past.sign(&Leaf::new()).der]), "an authority whose time is over");
    let short = Authority::of("Short", &rcgen::PKCS_ECDSA_P256_SHA256, (BEGIN, FUTURE), None);
    let leaf = short.sign(&Leaf::new());
    assert_eq!(verify(&short.pem(), &[&leaf.der], &[], false), Some(seconds(FUTURE)), "the earliest end counts");
    let leaf = authority.sign(&Leaf { until: FUTURE, ..Leaf::new() });
    assert_eq!(verify(&authority.pem(), &[&leaf.der], &[], false), Some(seconds(FUTURE)));
}

#[test]
fn a_certificate_of_servers_is_none_of_clients() {
    let authority = Authority::new("CA");
    let leaf = authority.sign(&Leaf { for_servers_only: true, ..Leaf::new() });
    assert!(!trusts(&authority.pem(), &[&leaf.der]));
    assert!(matches!(Bundle::parse(&leaf.pem), Err(BundleError::NotForClients)));
}

#[test]
fn what_is_revoked_is_refused_wherever_it_stands() {
    let root = Authority::new("Root");
    let leaf = root.sign(&Leaf { serial: Some(7), ..Leaf::new() });
    let list = crl(&root.crl(&[7], (BEGIN, PAST)));
    assert_eq!(verify(&root.pem(), &[&leaf.der], &[&list], false), None, "an old list counts as well");
    assert_eq!(verify(&leaf.pem, &[&leaf.der], &[&list], false), None, "pinned");
    let newer = crl(&root.crl(&[], (PAST, FUTURE)));
    assert_eq!(verify(&root.pem(), &[&leaf.der], &[&newer, &list], false), None);
    let other = crl(&Authority::new("Other").crl(&[7], (BEGIN, FUTURE)));
    assert!(verify(&root.pem(), &[&leaf.der], &[&other], false).is_some());
}

#[test]
fn a_role_that_demands_a_list_refuses_without_a_current_one() {
    let root = Authority::new("Root");
    let middle = root.below("Middle");
    let leaf = middle.sign(&Leaf { serial: Some(7), ..Leaf::new() });
    let (of_root, of_middle) = (crl(&root.crl(&[], (BEGIN, FUTURE))), crl(&middle.crl(&[], (PAST, FUTURE))));
    let demanded = |crls: &[&Crl]| verify(&root.pem(), &[&leaf.der, &der(&middle.pem())], crls, true);
    assert_eq!(demanded(&[&of_root, &of_middle]), Some(seconds(FUTURE)), "until the next list is due");
    assert_eq!(demanded(&[]), None);
    assert_eq!(demanded(&[&of_root]), None);
    assert_eq!(demanded(&[&of_middle]), None);
    let old = crl(&middle.crl(&[], (BEGIN, PAST)));
    assert_eq!(demanded(&[&of_root, &old]), None);
    assert!(demanded(&[&old, &of_root, &of_middle]).is_some(), "a newer one takes its place");
    let forged = crl(&Authority::new("Middle").crl(&[], (BEGIN, FUTURE)));
    assert_eq!(demanded(&[&of_root, &forged]), None, "signed by somebody else");
    assert_eq!(demanded(&[&of_root, &crl(&middle.crl(&[7], (BEGIN, FUTURE)))]), None);
}

#[test]
fn texts_that_are_no_bundle_are_refused() {
    let pem = Authority::new("CA").pem();
    for text in ["", "junk", &pem.replace("MII", "AAA")] {
        assert!(matches!(Bundle::parse(text), Err(BundleError::Unreadable)), "{text}");
    }
    assert!(matches!(Bundle::parse(&pem.repeat(CERTIFICATES_MAX + 1)), Err(BundleError::TooMany)));
}
