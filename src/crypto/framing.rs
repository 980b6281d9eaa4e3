//! Length-prefixed lists: what AAD and derivations are made of, so that no two lists are ever the same bytes.

/// The parts, each behind its length (u64, big endian).
pub(super) fn framed(parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| framed_len(part.len())).sum();
    let mut bytes = Vec::with_capacity(length);
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// Bytes that a part of `length` bytes takes.
pub(super) const fn framed_len(length: usize) -> usize {
    8 + length
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn different_lists_are_different_bytes(a: Vec<Vec<u8>>, b: Vec<Vec<u8>>) {
            let slices = |list: &[Vec<u8>]| framed(&list.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(slices(&a) == slices(&b), a == b);
        }
    }

    #[test]
    fn bytes_do_not_slip_from_one_part_into_the_next() {
        assert_ne!(framed(&[b"ab", b"c"]), framed(&[b"a", b"bc"]));
        assert_ne!(framed(&[b"a", b""]), framed(&[b"a"]));
        assert_eq!(framed(&[b"a"]), [0, 0, 0, 0, 0, 0, 0, 1, b'a']);
    }
}
