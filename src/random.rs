//! Random bytes from the operating system's generator, and nothing else.
//!
//! There is no injected generator: a nonce or key made by anything else would be a flaw, and the code that
//! needs fixed bytes for test vectors takes them as arguments instead.

use std::cell::RefCell;

use zeroize::Zeroizing;

use crate::secret::SecretBytes;

/// `N` fresh random bytes.
///
/// # Panics
/// When the operating system has no randomness to give. Going on without would be worse than stopping.
#[expect(clippy::expect_used, reason = "no key or nonce may ever be made without randomness")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut buffer = [0; N];
    getrandom::fill(&mut buffer).expect("the operating system's random generator failed");
    buffer
}

/// Bytes that a thread asks the operating system for at a time.
const BLOCK_BYTES: usize = 1024;

thread_local! {
    static BLOCK: RefCell<Block> = RefCell::new(Block { bytes: Zeroizing::new([0; BLOCK_BYTES]), used: BLOCK_BYTES });
}

struct Block {
    bytes: Zeroizing<[u8; BLOCK_BYTES]>,
    used: usize,
}

/// `N` fresh random bytes for what every request needs (identifiers, nonces): from the same generator, asked for in blocks.
/// Each byte is given out once, and wiped from the block. Not for keys, which are never fetched before they are made.
pub fn frequent<const N: usize>() -> [u8; N] {
    const { assert!(N <= BLOCK_BYTES, "larger than a block") };
    BLOCK.with_borrow_mut(|block| {
        if block.used + N > BLOCK_BYTES {
            *block.bytes = bytes();
            block.used = 0;
        }
        let mut taken = [0; N];
        let rest = block.bytes.iter_mut().skip(block.used);
        taken.iter_mut().zip(rest).for_each(|(to, from)| *to = std::mem::take(from));
        block.used += N;
        taken
    })
}

/// `length` fresh random bytes, in a buffer that wipes itself.
///
/// # Panics
/// As `bytes`.
#[expect(clippy::expect_used, reason = "as above")]
pub fn secret(length: usize) -> SecretBytes {
    let mut buffer = vec![0; length];
    getrandom::fill(&mut buffer).expect("the operating system's random generator failed");
    SecretBytes::new(buffer)
}

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `length` characters of `[0-9A-Za-z]`, each uniform (about 5.95 bits).
pub fn base62(length: usize) -> String {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        // Bytes of 248 and above would favour the first eight characters: they are drawn again.
        let fresh = bytes::<64>().into_iter().filter(|byte| *byte < 248);
        let wanted = length - text.len();
        text.extend(fresh.take(wanted).filter_map(|byte| BASE62.get(usize::from(byte) % 62)).map(|byte| char::from(*byte)));
    }
    text
}

/// A random UUID (RFC 9562 section 5.4), in its usual text form.
pub fn uuid() -> String {
    let mut raw = frequent::<16>();
    raw[6] = (raw[6] & 0x0f) | 0x40;
    raw[8] = (raw[8] & 0x3f) | 0x80;
    crate::id::ObjectId(raw).uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base62_has_the_asked_length_and_alphabet() {
        for length in [0, 1, 24, 200] {
            let text = base62(length);
            assert_eq!(text.len(), length);
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
    }

    #[test]
    fn no_byte_of_a_block_is_given_out_twice() {
        let taken: std::collections::BTreeSet<[u8; 24]> = (0..200).map(|_| frequent::<24>()).collect();
        assert_eq!(taken.len(), 200, "blocks were crossed");
        let _whole = frequent::<BLOCK_BYTES>();
        BLOCK.with_borrow(|block| assert!(block.bytes.iter().all(|byte| *byte == 0), "what was given out is wiped"));
    }

    #[test]
    fn uuids_are_version_four_and_differ() {
        let (a, b) = (uuid(), uuid());
        assert_ne!(a, b);
        assert_eq!(a.len(), 36);
        assert_eq!(a.as_bytes()[14], b'4');
    }
}
