//! Random bytes from the operating system's generator, and nothing else.
//!
//! There is no injected generator: a nonce or key made by anything else would be a flaw, and the code that
//! needs fixed bytes for test vectors takes them as arguments instead.

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
    let mut raw = bytes::<16>();
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
    fn uuids_are_version_four_and_differ() {
        let (a, b) = (uuid(), uuid());
        assert_ne!(a, b);
        assert_eq!(a.len(), 36);
        assert_eq!(a.as_bytes()[14], b'4');
    }
}
