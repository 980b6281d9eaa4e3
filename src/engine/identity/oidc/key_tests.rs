//! Keys over time: what is published when, and what comes back from the store.

use super::*;

const HOUR: u64 = 3600;

fn at(seconds: u64) -> Timestamp {
    Timestamp(0).plus(Duration::from_secs(seconds))
}

fn ids(key: &OidcKey, now: Timestamp) -> Vec<String> {
    key.published(now).map(|public| public.id.clone()).collect()
}

#[tokio::test]
async fn a_public_key_is_known_before_it_signs_and_until_nothing_signed_is_valid() {
    let first = OidcKey::new(SigningAlgorithm::EdDsa, at(0)).await.unwrap();
    let second = first.rotated(HOUR, SigningAlgorithm::EdDsa, at(10)).await.unwrap();
    assert_eq!(second.settings.current_id, first.settings.next_id);
    assert!(ids(&first, at(0)).contains(&second.settings.current_id), "published before it signs");
    assert!(ids(&second, at(10 + HOUR - 1)).contains(&first.settings.current_id));
    assert!(!ids(&second, at(10 + HOUR)).contains(&first.settings.current_id));
    // A later rotation lengthens nothing.
    let third = second.rotated(9 * HOUR, SigningAlgorithm::EdDsa, at(20)).await.unwrap();
    assert!(!ids(&third, at(10 + HOUR)).contains(&first.settings.current_id));
    assert!(ids(&third, at(10 + HOUR)).contains(&second.settings.current_id));

    let other = third.rotated(HOUR, SigningAlgorithm::Es256, at(30)).await.unwrap();
    let signed = other.signing_key().sign(b"text").unwrap();
    let public = other.published(at(30)).find(|public| public.id == other.settings.current_id).unwrap();
    assert!(public.algorithm == SigningAlgorithm::Es256 && public.key.verify(SigningAlgorithm::Es256, b"text", &signed));
    assert!(!ids(&other, at(30 + 10 * HOUR)).contains(&third.settings.next_id), "what never signed goes too");
}

#[tokio::test]
async fn published_keys_are_bounded() {
    let mut key = OidcKey::new(SigningAlgorithm::EdDsa, at(0)).await.unwrap();
    for _ in 0..PUBLISHED_MAX + 5 {
        key = key.rotated(HOUR, SigningAlgorithm::EdDsa, at(1)).await.unwrap();
    }
    let published = ids(&key, at(1));
    assert_eq!(published.len(), PUBLISHED_MAX);
    assert!(published.contains(&key.settings.current_id) && published.contains(&key.settings.next_id));
}

#[tokio::test]
async fn records_come_back_as_they_were_and_broken_ones_do_not() {
    let key = OidcKey::new(SigningAlgorithm::Es384, at(0)).await.unwrap().with(60, 600, vec!["me".to_owned()], at(5));
    assert_eq!(key.settings.rotates, at(65));
    let bytes = key.encode();
    let back = OidcKey::decode(bytes.duplicate()).unwrap();
    assert_eq!(back.encode().expose(), bytes.expose());
    let signed = back.signing_key().sign(b"text").unwrap();
    let public = key.published(at(5)).find(|public| public.id == key.settings.current_id).unwrap();
    assert!(public.key.verify(SigningAlgorithm::Es384, b"text", &signed));
    for length in [0, 3, 4, 40, bytes.expose().len() / 2] {
        assert!(OidcKey::decode(SecretBytes::new(bytes.expose()[..length].to_vec())).is_err(), "{length}");
    }
}
