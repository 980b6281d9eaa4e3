//! Hiding lengths. Values are padded with Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and
//! Communication with PURBs", PETS 2019, section 4): at most 12% more, and only O(log log n) bits of the length show.

/// Nothing is shorter than this, in bytes: most secrets look alike.
pub(super) const FLOOR: usize = 256;

/// The length, in bytes, that `length` bytes are padded to.
pub(super) fn padme(length: usize) -> usize {
    if length <= FLOOR {
        return FLOOR;
    }
    let exponent = length.ilog2();
    let kept = exponent.ilog2() + 1;
    let mask = (1_usize << (exponent - kept)) - 1;
    length.saturating_add(mask) & !mask
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn never_shorter_and_at_most_an_eighth_longer(length in FLOOR..1_usize << 40) {
            let padded = padme(length);
            prop_assert!(padded >= length);
            prop_assert!(padded - length <= length * 12 / 100, "{length} became {padded}");
            prop_assert_eq!(padme(padded), padded);
        }

        #[test]
        fn grows_with_the_length(a in 0..1_usize << 40, b in 0..1_usize << 40) {
            prop_assert!(a.min(b) == b || padme(a) <= padme(b));
        }
    }

    #[test]
    fn known_lengths() {
        for (length, padded) in [(0, 256), (256, 256), (257, 272), (272, 272), (273, 288), (1000, 1024), (1_048_577, 1_081_344)] {
            assert_eq!(padme(length), padded, "{length}");
        }
    }

    #[test]
    fn few_lengths_are_left() {
        let lengths: std::collections::BTreeSet<_> = (0..=1 << 20).map(padme).collect();
        assert!(lengths.len() < 300, "{}", lengths.len());
    }
}
