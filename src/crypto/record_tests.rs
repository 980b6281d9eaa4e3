//! Tests of sealed records: what opens, and what must not.

use super::super::TenantKey;
use super::super::keys::Key;
use super::*;
use crate::id::{DeploymentId, TenantId};

const DEPLOYMENT: DeploymentId = DeploymentId([1; 16]);
const TENANT: TenantId = TenantId([2; 16]);

fn subject() -> Subject {
    Subject {
        kind: Kind::KvVersion,
        object: ObjectId([5; 16]),
        version: 3,
        key: RecordKey([6; 32]),
        directory: DirKey([7; 32]),
        expires_at: Some(Timestamp(1_795_251_600_000_000_000)),
    }
}

fn open(keyring: &Keyring, row: &Subject, sealed: &[u8]) -> Result<Opened, Fault> {
    keyring.try_open_record(row.kind, &row.key, &row.directory, row.expires_at, sealed)
}

fn fault(keyring: &Keyring, row: &Subject, sealed: &[u8]) -> Option<Fault> {
    open(keyring, row, sealed).err()
}

fn secret(length: usize) -> SecretBytes {
    SecretBytes::new((0..=250).cycle().take(length).collect())
}

#[test]
fn records_open_as_they_were_sealed() {
    let keyring = Keyring::generate(DEPLOYMENT, TENANT);
    for length in [0, 1, 175, 176, 4_096, 1_000_000] {
        for expires_at in [None, Some(Timestamp(0)), Some(Timestamp(-1))] {
            let row = Subject { expires_at, ..subject() };
            let sealed = keyring.seal_record(&row, &secret(length));
            assert_eq!(sealed.len(), PREFIX + OVERHEAD + padme(CONTENT_HEAD + length));
            assert_eq!(sealed.capacity(), sealed.len(), "the buffer never grew");
            let opened = open(&keyring, &row, &sealed).ok().unwrap();
            assert_eq!(opened.payload.expose(), secret(length).expose());
            assert_eq!((opened.object, opened.version), (row.object, row.version));
        }
    }
}

#[test]
fn every_byte_counts() {
    let keyring = Keyring::generate(DEPLOYMENT, TENANT);
    let sealed = keyring.seal_record(&subject(), &secret(20));
    for at in 0..sealed.len() {
        for bit in [1, 0x80] {
            let mut forged = sealed.clone();
            forged[at] ^= bit;
            assert!(open(&keyring, &subject(), &forged).is_err(), "byte {at}");
        }
        assert!(open(&keyring, &subject(), &sealed[..at]).is_err(), "cut at {at}");
    }
    assert!(open(&keyring, &subject(), &[sealed.as_slice(), &[0]].concat()).is_err());
}

#[test]
fn every_part_of_the_place_counts() {
    let keyring = Keyring::generate(DEPLOYMENT, TENANT);
    let sealed = keyring.seal_record(&subject(), &secret(20));
    let elsewhere = |deployment, tenant| {
        let tenant_key = TenantKey::generate();
        let mut copy = Keyring::open(&tenant_key, DEPLOYMENT, TENANT, 1, &keyring.seal(&tenant_key, 1)).unwrap();
        (copy.deployment, copy.tenant) = (deployment, tenant);
        copy
    };
    assert_eq!(fault(&elsewhere(DEPLOYMENT, TENANT), &subject(), &sealed), None);
    assert_eq!(fault(&elsewhere(DeploymentId([9; 16]), TENANT), &subject(), &sealed), Some(Fault::Wrap));
    assert_eq!(fault(&elsewhere(DEPLOYMENT, TenantId([9; 16])), &subject(), &sealed), Some(Fault::Wrap));
    for (row, expected) in [
        (Subject { kind: Kind::KvMetadata, ..subject() }, Fault::Wrap),
        (Subject { key: RecordKey([9; 32]), ..subject() }, Fault::Row),
        (Subject { directory: DirKey([9; 32]), ..subject() }, Fault::Row),
        (Subject { expires_at: Some(Timestamp(0)), ..subject() }, Fault::Row),
        (Subject { expires_at: None, ..subject() }, Fault::Row),
    ] {
        assert_eq!(fault(&keyring, &row, &sealed), Some(expected), "{row:?}");
    }
    for (name, at) in [("object", 0), ("version", PREFIX - 1)] {
        let mut moved = sealed.clone();
        moved[at] ^= 1;
        assert_eq!(fault(&keyring, &subject(), &moved), Some(Fault::Wrap), "{name}");
    }
}

#[test]
fn a_row_of_any_kind_is_verified_without_knowing_which() {
    let keyring = Keyring::generate(DEPLOYMENT, TENANT);
    for kind in [Kind::Namespace, Kind::Token, Kind::RetiredMount] {
        let subject = Subject { kind, ..subject() };
        let sealed = keyring.seal_record(&subject, &secret(20));
        let verify = |key, expires_at| keyring.verify_record(key, &subject.directory, expires_at, &sealed).is_ok();
        assert!(verify(&subject.key, subject.expires_at), "{kind:?}");
        assert!(!verify(&RecordKey([9; 32]), subject.expires_at), "{kind:?}");
        assert!(!verify(&subject.key, Some(Timestamp(0))) && !verify(&subject.key, None), "{kind:?}");
        let stranger = Keyring::generate(DEPLOYMENT, TENANT);
        assert!(stranger.verify_record(&subject.key, &subject.directory, subject.expires_at, &sealed).is_err(), "{kind:?}");
    }
}

#[test]
fn no_expiry_and_the_epoch_are_different() {
    assert_ne!(row(&subject().key, &subject().directory, None), row(&subject().key, &subject().directory, Some(Timestamp(0))));
}

#[test]
fn a_payload_does_not_move_under_the_wrap_of_another_object() {
    // Whoever can wrap, but not open payloads, wraps the DataKey of one object for another one.
    let keyring = Keyring::generate(DEPLOYMENT, TENANT);
    let fresh = || Fresh { data_key: Key::from_slice(&[8; 32]).unwrap(), wrap_nonce: [9; 24] };
    let source = keyring.seal_record_with(&subject(), &secret(20), fresh());
    let other = Subject { object: ObjectId([9; 16]), ..subject() };
    let mut forged = keyring.seal_record_with(&other, &secret(20), fresh());
    let payload = PREFIX + 1 + 1 + 4 + 72 + 32;
    assert_eq!(open(&keyring, &other, &forged).map(|opened| opened.object).ok(), Some(other.object));
    forged[payload..].copy_from_slice(&source[payload..]);
    assert_eq!(fault(&keyring, &other, &forged), Some(Fault::Payload));
}

#[test]
fn a_length_beyond_the_content_is_refused() {
    let keyring = Keyring::generate(DEPLOYMENT, TENANT);
    let mut sealed = vec![5; 16];
    sealed.extend_from_slice(&3_u64.to_be_bytes());
    let place = keyring.place(subject().kind as u8, &sealed).ok().unwrap();
    let row = row(&subject().key, &subject().directory, subject().expires_at);
    envelope::seal_into(&mut sealed, keyring.newest(), &place, Fresh::random(), &[&row, &u64::MAX.to_be_bytes()], 256);
    assert_eq!(fault(&keyring, &subject(), &sealed), Some(Fault::Content));
}

#[test]
fn rewrapping_changes_the_wrap_and_nothing_else() {
    let mut keyring = Keyring::generate(DEPLOYMENT, TENANT);
    let sealed = keyring.seal_record(&subject(), &secret(20));
    assert!(!keyring.is_outdated(&sealed));
    assert_eq!(keyring.add_wrapping_key(), Some(2));
    assert!(keyring.is_outdated(&sealed));
    let rewrapped = keyring.rewrap_record(&sealed).unwrap();
    assert!(!keyring.is_outdated(&rewrapped));
    let payload = PREFIX + 1 + 1 + 4 + 72;
    assert_eq!(rewrapped[payload..], sealed[payload..]);
    assert_eq!(rewrapped[..PREFIX], sealed[..PREFIX]);
    for version in [&sealed, &rewrapped] {
        assert_eq!(open(&keyring, &subject(), version).ok().unwrap().payload.expose(), secret(20).expose());
    }
    let mut damaged = sealed.clone();
    damaged[PREFIX + 6] ^= 1;
    assert!(keyring.rewrap_record(&damaged).is_err());
    let stranger = Keyring::generate(DEPLOYMENT, TENANT);
    assert!(stranger.rewrap_record(&sealed).is_err());
    assert_eq!((keyring.wrapping_keys(), keyring.retire_older(), keyring.wrapping_keys()), (2, 1, 1));
    assert!(open(&keyring, &subject(), &rewrapped).is_ok());
    assert!(open(&keyring, &subject(), &sealed).is_err());
}

#[test]
fn the_suite_comes_from_the_key() {
    let keyring = Keyring::generate(DEPLOYMENT, TENANT);
    let sealed = keyring.seal_record(&subject(), &secret(20));
    let changed = |at: usize, value: u8| {
        let mut forged = sealed.clone();
        forged[at] = value;
        fault(&keyring, &subject(), &forged)
    };
    assert_eq!(changed(PREFIX, 2), Some(Fault::Format));
    assert_eq!(changed(PREFIX + 1, 2), Some(Fault::Suite));
    assert_eq!(changed(PREFIX + 5, 2), Some(Fault::UnknownKey));
}

#[test]
#[ignore = "measures time: run alone, with --release"]
fn a_hundred_thousand_records_and_names_open_in_time() {
    let keyring = Keyring::generate(DEPLOYMENT, TENANT);
    let sealed = keyring.seal_record(&subject(), &secret(500));
    let start = std::time::Instant::now();
    for _ in 0..100_000 {
        assert!(open(&keyring, &subject(), &sealed).is_ok());
    }
    let records = start.elapsed();
    let name = keyring.seal_name(&subject().key, &subject().directory, "database-password");
    let start = std::time::Instant::now();
    for _ in 0..100_000 {
        assert!(keyring.open_name(&subject().key, &subject().directory, &name).is_ok());
    }
    let names = start.elapsed();
    let start = std::time::Instant::now();
    for _ in 0..100_000 {
        std::hint::black_box(keyring.seal_record(&subject(), &secret(500)));
    }
    eprintln!("100,000 records {records:?}, names {names:?}, seals {:?}", start.elapsed());
    assert!(records.as_secs_f64() < 1.0, "{records:?}");
    // Without build flags the vectorised Poly1305 of the crate is slow on short texts: see `poly1305_backend="soft"`.
    assert!(names.as_secs_f64() < 0.3, "{names:?}");
}

#[test]
fn what_is_encrypted_again_is_the_same_record_under_another_data_key() {
    let mut keyring = Keyring::generate(DEPLOYMENT, TENANT);
    let (row, secret) = (subject(), secret(700));
    let sealed = keyring.seal_record(&row, &secret);
    keyring.add_wrapping_key().unwrap();
    let again = |row: &Subject, sealed: &[u8]| keyring.reencrypt_record(&row.key, &row.directory, row.expires_at, sealed);
    let fresh = again(&row, &sealed).unwrap();
    assert!(keyring.is_outdated(&sealed) && !keyring.is_outdated(&fresh) && fresh.len() == sealed.len());
    let opened = open(&keyring, &row, &fresh).ok().unwrap();
    assert_eq!((opened.payload.expose(), opened.object, opened.version), (secret.expose(), row.object, row.version));
    // Commitment and text: a rewrap keeps both, since it keeps the DataKey.
    let head = PREFIX + OVERHEAD - 32 - 16;
    let rewrapped = keyring.rewrap_record(&sealed).unwrap();
    assert_eq!(rewrapped[head..], sealed[head..]);
    assert_ne!(fresh[head..head + 32], sealed[head..head + 32]);
    assert_ne!(fresh[head + 32..], sealed[head + 32..]);
    // Another row's, or damaged anywhere: it is not made to look sound.
    assert!(again(&Subject { key: RecordKey([9; 32]), ..row }, &sealed).is_err());
    assert!(again(&Subject { expires_at: None, ..row }, &sealed).is_err());
    for at in [0, 30, 60, head, sealed.len() - 1] {
        let mut forged = sealed.clone();
        forged[at] ^= 1;
        assert!(again(&row, &forged).is_err(), "byte {at}");
    }
}

/// Every value gets a `DataKey` of its own and every wrap a nonce of its own: among ten million with `STRONGROOM_TEST_FULL=1`.
#[test]
fn no_nonce_and_no_data_key_comes_twice() {
    const THREADS: usize = 4;
    let wraps = if std::env::var_os("STRONGROOM_TEST_FULL").is_some_and(|value| value == "1") { 10_000_000 } else { 40_000 };
    let (keyring, row, secret) = (Keyring::generate(DEPLOYMENT, TENANT), subject(), secret(8));
    // The nonce of the wrap behind format, suite and version; the commitment, which follows from the DataKey, at the end of the head.
    let part = |sealed: &[u8], at: usize| u128::from_be_bytes(*sealed[at..].first_chunk().unwrap());
    let (nonce, commitment) = (PREFIX + 6, PREFIX + OVERHEAD - 32 - 16);
    let (mut nonces, mut commitments) = std::thread::scope(|scope| {
        // Half of the wraps are of new values, half are made by a rotation.
        let work = || {
            let (mut nonces, mut commitments) = (Vec::new(), Vec::new());
            for _ in 0..wraps / 2 / THREADS {
                let sealed = keyring.seal_record(&row, &secret);
                nonces.extend([part(&sealed, nonce), part(&keyring.rewrap_record(&sealed).unwrap(), nonce)]);
                commitments.push(part(&sealed, commitment));
            }
            (nonces, commitments)
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let (nonces, commitments): (Vec<_>, Vec<_>) = threads.into_iter().map(|thread| thread.join().unwrap()).unzip();
        (nonces.concat(), commitments.concat())
    });
    for (seen, count) in [(&mut nonces, wraps), (&mut commitments, wraps / 2)] {
        assert_eq!(seen.len(), count);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count, "one came twice");
    }
}
