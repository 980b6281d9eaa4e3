//! Tests of splitting and joining.

use proptest::prelude::*;

use super::*;

fn root() -> RootKey {
    RootKey::from_secret(&SecretBytes::new((0..32).map(|at| at * 7 + 3).collect())).unwrap()
}

fn pick(shares: &[SecretBytes], which: &[usize]) -> Vec<SecretBytes> {
    which.iter().map(|at| shares[*at].duplicate()).collect()
}

fn numbers() -> impl Strategy<Value = (usize, usize)> {
    (2_usize..=20).prop_flat_map(|n| (Just(n), 2..=n))
}

proptest! {
    #[test]
    fn any_threshold_of_shares_gives_the_key((n, t) in numbers(), order in Just((0..20).collect::<Vec<usize>>()).prop_shuffle()) {
        let (set, shares) = split(&root(), n, t).unwrap();
        let order: Vec<usize> = order.into_iter().filter(|at| *at < n).collect();
        for count in [t, n] {
            let joined = combine(&pick(&shares, &order[..count]), &set).ok().unwrap().secret();
            prop_assert!(joined.expose() == root().secret().expose());
        }
        let fewer = pick(&shares, &order[..t - 1]);
        prop_assert_eq!(combine(&fewer, &set).err(), Some(ShareError::TooFew { given: t - 1, needed: t }));
        // Nor does the arithmetic alone give it.
        prop_assert!(interpolate(&fewer).unwrap().expose() != root().secret().expose());
    }

    #[test]
    fn fewer_shares_fit_every_key(secret: [u8; 32], share: [u8; 32], x in 1_u8..=255) {
        // One share of 2 of n: for any key there is a coefficient that gives this very share, so it tells nothing.
        let inverse = field::inverse(x).unwrap();
        let coefficient: [u8; 32] = std::array::from_fn(|at| field::multiply(secret[at] ^ share[at], inverse));
        let made = evaluate(&secret, &[Zeroizing::new(coefficient)], x);
        prop_assert_eq!(made.expose(), [&share[..], &[x]].concat());
    }
}

#[test]
fn the_largest_split_works() {
    let (set, shares) = split(&root(), 255, 255).unwrap();
    let points: std::collections::BTreeSet<u8> = shares.iter().map(|share| share.expose()[32]).collect();
    assert!(points.len() == 255 && !points.contains(&0));
    assert_eq!(combine(&shares, &set).ok().unwrap().secret().expose(), root().secret().expose());
}

#[test]
fn one_of_one_is_the_key_itself() {
    let (set, shares) = split(&root(), 1, 1).unwrap();
    assert_eq!(shares[0].expose(), root().secret().expose());
    assert_eq!(combine(&shares, &set).ok().unwrap().secret().expose(), root().secret().expose());
    let wrong = [SecretBytes::new(vec![1; 32])];
    assert_eq!(combine(&wrong, &set).err(), Some(ShareError::NotOfThisSet { position: 1 }));
}

#[test]
fn impossible_numbers_are_refused() {
    for (n, t) in [(0, 0), (1, 0), (2, 1), (3, 4), (1, 2), (256, 2), (300, 260), (0, 1)] {
        assert_eq!(split(&root(), n, t).err(), Some(ShareError::Numbers { shares: n, threshold: t }), "{t} of {n}");
    }
}

#[test]
fn wrong_and_repeated_shares_are_told() {
    let (set, shares) = split(&root(), 5, 3).unwrap();
    let (_, foreign) = split(&root(), 5, 3).unwrap();
    for (at, share) in shares.iter().enumerate() {
        assert_eq!(set.recognises(share), Some(at));
        for byte in 0..33 {
            let mut bad = share.expose().to_vec();
            bad[byte] ^= 1;
            assert_eq!(set.recognises(&SecretBytes::new(bad)), None, "byte {byte}");
        }
        assert_eq!(set.recognises(&foreign[at]), None);
    }
    let mut mixed = pick(&shares, &[0, 1]);
    mixed.push(foreign[2].duplicate());
    assert_eq!(combine(&mixed, &set).err(), Some(ShareError::NotOfThisSet { position: 3 }));
    assert_eq!(combine(&pick(&shares, &[0, 1, 0]), &set).err(), Some(ShareError::Repeated { position: 3 }));
    assert_eq!(combine(&[], &set).err(), Some(ShareError::TooFew { given: 0, needed: 3 }));
}

#[test]
fn a_damaged_set_gives_no_key() {
    let (set, shares) = split(&root(), 3, 3).unwrap();
    let lowered = ShareSet { threshold: 2, ..set.clone() };
    assert_eq!(combine(&pick(&shares, &[0, 1]), &lowered).err(), Some(ShareError::WrongKey));
    let changed = ShareSet { root: Check([0; 32]), ..set };
    assert_eq!(combine(&shares, &changed).err(), Some(ShareError::WrongKey));
    let (set, shares) = split(&root(), 2, 2).unwrap();
    for threshold in [0, 1] {
        let lowered = ShareSet { threshold, ..set.clone() };
        assert_eq!(combine(&pick(&shares, &[0]), &lowered).err(), Some(ShareError::WrongKey));
    }
}

#[test]
fn a_set_survives_json_and_shows_no_share() {
    let (set, shares) = split(&root(), 3, 2).unwrap();
    let text = serde_json::to_string(&set).unwrap();
    assert_eq!(serde_json::from_str::<ShareSet>(&text).unwrap(), set);
    for secret in shares.iter().map(SecretBytes::expose).chain([root().secret().expose()]) {
        assert!(!text.contains(&data_encoding::HEXLOWER.encode(&secret[..8])));
    }
}

/// A share set in Vault's format, by hand. The first byte's polynomial is 0x53 + 0xca x + 0x02 x^2:
/// at x = 1 it is 0x53 ^ 0xca ^ 0x02 = 0x9b;
/// at x = 2, 0xca * 2 = 0x194 ^ 0x11b = 0x8f and 2 * 4 = 0x08: 0x53 ^ 0x8f ^ 0x08 = 0xd4;
/// at x = 3, 0xca * 3 = 0x8f ^ 0xca = 0x45 and 2 * 5 = 0x0a: 0x53 ^ 0x45 ^ 0x0a = 0x1c.
/// Byte `at` of each row is the first one plus `at`, so that every place is different.
#[test]
fn known_shares_in_vaults_format() {
    let row = |first: u8| -> [u8; 32] { std::array::from_fn(|at| first.wrapping_add(u8::try_from(at).unwrap())) };
    let (secret, linear, quadratic) = (row(0x53), row(0xca), row(0x02));
    let coefficients = [Zeroizing::new(linear), Zeroizing::new(quadratic)];
    let shares: Vec<SecretBytes> = [1, 2, 3].iter().map(|x| evaluate(&secret, &coefficients, *x)).collect();
    for (share, (first, x)) in shares.iter().zip([(0x9b, 1), (0xd4, 2), (0x1c, 3)]) {
        assert_eq!((share.len(), share.expose()[0], share.expose()[32]), (33, first, x));
        for at in 0..32 {
            let y = secret[at] ^ field::naive(linear[at], x) ^ field::naive(quadratic[at], field::naive(x, x));
            assert_eq!(share.expose()[at], y, "byte {at} at x = {x}");
        }
    }
    assert_eq!(interpolate(&shares).unwrap().expose(), secret);
    let twice = [shares[0].duplicate(), shares[0].duplicate()];
    assert!(interpolate(&twice).is_none());
}
