//! Shamir's secret sharing of the root key, byte for byte as Vault's and `OpenBao`'s shares are.
//!
//! Each byte of the key is the constant of a random polynomial of degree t-1 over GF(2^8) with the polynomial
//! x^8 + x^4 + x^3 + x + 1 (0x11b). A share is the 32 values at one x in 1..=255, then that x: 33 bytes. Of 1 of 1 the share is
//! the key itself, 32 bytes, as Vault's initialisation gives it out.
//!
//! Shares alone do not tell whether they are right. A `ShareSet` is stored in the clear beside the data, and holds a check value
//! (HMAC, keyed with the share) of each share and of the key. That reveals nothing that can be guessed: the values of fewer
//! than t shares are uniform and independent of each other and of the key, so whoever lacks one share would have to guess
//! 32 uniform bytes at once.

mod field;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::crypto::{RootKey, equal, keyed_hash};
use crate::random;
use crate::secret::SecretBytes;

const KEY: usize = 32;
const SHARE_LABEL: &[u8] = b"strongroom v1 share check";
const ROOT_LABEL: &[u8] = b"strongroom v1 root check";

/// Why shares were not made or not joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// `split` was asked for something else than 1 of 1, or 2 <= t <= n <= 255.
    #[error(
        "{threshold} of {shares} shares is not possible: use 1 of 1, or a threshold from 2 to the number of shares, at most 255"
    )]
    Numbers {
        /// How many shares were asked for.
        shares: usize,
        /// How many were to be needed.
        threshold: usize,
    },
    /// Not a share of this set: mistyped, or of another set.
    #[error("share {position} of those given does not belong to this set")]
    NotOfThisSet {
        /// Which of the shares given, from 1.
        position: usize,
    },
    /// One share given twice.
    #[error("share {position} of those given was given before")]
    Repeated {
        /// Which of the shares given, from 1.
        position: usize,
    },
    /// Fewer different shares than the threshold.
    #[error("{given} of the {needed} shares needed")]
    TooFew {
        /// How many there are.
        given: usize,
        /// How many must be there.
        needed: usize,
    },
    /// All shares are of this set, and the key that they give is not: the stored set was changed.
    #[error("the shares do not give the key of this set: the stored set is damaged")]
    WrongKey,
}

/// The public part of a split key, to be stored: which shares there are, and how to recognise them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareSet {
    /// Random; keeps the check values of two sets apart.
    pub id: Check<16>,
    /// How many shares give the key.
    pub threshold: u8,
    /// One check value per share.
    pub shares: Vec<Check<32>>,
    /// The check value of the key.
    pub root: Check<32>,
}

/// Public bytes, serialised as hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check<const N: usize>(pub [u8; N]);

/// Splits `root` into `n` shares, any `t` of which give it back, and any fewer nothing.
///
/// # Errors
/// `ShareError::Numbers`.
pub fn split(root: &RootKey, n: usize, t: usize) -> Result<(ShareSet, Vec<SecretBytes>), ShareError> {
    let numbers = ShareError::Numbers { shares: n, threshold: t };
    let threshold = u8::try_from(t).map_err(|_| numbers)?;
    let count = u8::try_from(n).map_err(|_| numbers)?;
    let shares = match (threshold, count) {
        (1, 1) => vec![root.secret()],
        (2.., _) if threshold <= count => {
            let secret = root.secret();
            let coefficients: Vec<_> = (1..t).map(|_| Zeroizing::new(random::bytes::<KEY>())).collect();
            random_points(n).into_iter().map(|x| evaluate(secret.expose(), &coefficients, x)).collect()
        }
        _ => return Err(numbers),
    };
    let id = Check(random::bytes());
    let set = ShareSet {
        id,
        threshold,
        shares: shares.iter().map(|share| check(&id, SHARE_LABEL, share)).collect(),
        root: check(&id, ROOT_LABEL, &root.secret()),
    };
    Ok((set, shares))
}

/// Joins shares of `set`: at least its threshold of different ones.
///
/// # Errors
/// See `ShareError`; the position of a wrong share is told, never anything about the others.
pub fn combine(shares: &[SecretBytes], set: &ShareSet) -> Result<RootKey, ShareError> {
    let mut seen = vec![false; set.shares.len()];
    for (position, share) in (1..).zip(shares) {
        let which = set.recognises(share).ok_or(ShareError::NotOfThisSet { position })?;
        let seen = seen.get_mut(which).ok_or(ShareError::NotOfThisSet { position })?;
        if std::mem::replace(seen, true) {
            return Err(ShareError::Repeated { position });
        }
    }
    let needed = usize::from(set.threshold).max(1);
    if shares.len() < needed {
        return Err(ShareError::TooFew { given: shares.len(), needed });
    }
    let secret = match (needed, shares.first()) {
        (1, Some(share)) => share.duplicate(),
        _ => interpolate(shares).ok_or(ShareError::WrongKey)?,
    };
    if !equal(&check(&set.id, ROOT_LABEL, &secret).0, &set.root.0) {
        return Err(ShareError::WrongKey);
    }
    RootKey::from_secret(&secret).ok_or(ShareError::WrongKey)
}

impl ShareSet {
    /// Which share of this set it is, from 0, or `None`: so that a bad share is told when it is given, not at the end.
    pub fn recognises(&self, share: &SecretBytes) -> Option<usize> {
        let value = check(&self.id, SHARE_LABEL, share);
        self.shares.iter().position(|known| equal(&known.0, &value.0))
    }

    /// How many shares there are.
    pub fn share_count(&self) -> usize {
        self.shares.len()
    }
}

fn check(set: &Check<16>, label: &[u8], secret: &SecretBytes) -> Check<32> {
    Check(keyed_hash(secret, &[label, &set.0]))
}

/// `count` different values of x, uniform among 1..=255.
fn random_points(count: usize) -> Vec<u8> {
    let mut points: Vec<u8> = Vec::with_capacity(count);
    while points.len() < count.min(255) {
        let fresh = random::bytes::<64>();
        for x in fresh {
            if x != 0 && points.len() < count && !points.contains(&x) {
                points.push(x);
            }
        }
    }
    points
}

/// The share at `x` of the polynomials whose constants are `secret` and whose further coefficients are the rows given, lowest
/// degree first.
fn evaluate(secret: &[u8], coefficients: &[Zeroizing<[u8; KEY]>], x: u8) -> SecretBytes {
    let mut share = Zeroizing::new(Vec::with_capacity(KEY + 1));
    share.resize(KEY, 0);
    for row in coefficients.iter().rev().map(|row| row.as_slice()).chain([secret]) {
        // Horner's rule.
        for (y, coefficient) in share.iter_mut().zip(row) {
            *y = field::multiply(*y, x) ^ coefficient;
        }
    }
    share.push(x);
    SecretBytes::new(std::mem::take(&mut *share))
}

/// The values at 0 of the polynomials through all shares (Lagrange). `None` when a share has another length, or two have the
/// same x.
fn interpolate(shares: &[SecretBytes]) -> Option<SecretBytes> {
    let points: Vec<(&u8, &[u8])> = shares.iter().map(|share| share.expose().split_last()).collect::<Option<_>>()?;
    let mut secret = Zeroizing::new(vec![0; KEY]);
    for (at, (x, values)) in points.iter().enumerate() {
        let mut weight = 1;
        for (other, _) in points.iter().enumerate().filter(|(index, _)| *index != at).map(|(_, point)| point) {
            weight = field::multiply(weight, field::multiply(**other, field::inverse(**x ^ **other)?));
        }
        if values.len() != KEY {
            return None;
        }
        for (byte, y) in secret.iter_mut().zip(*values) {
            *byte ^= field::multiply(weight, *y);
        }
    }
    Some(SecretBytes::new(std::mem::take(&mut *secret)))
}

impl<const N: usize> Serialize for Check<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Check<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom(format!("not {N} bytes in hexadecimal")))
    }
}

#[cfg(test)]
#[path = "shamir/tests.rs"]
mod tests;
