//! GF(2^8) modulo x^8 + x^4 + x^3 + x + 1, without tables and without branches on secrets: the time and the memory touched are
//! the same for all values.

/// The product.
pub(super) fn multiply(a: u8, b: u8) -> u8 {
    let (mut product, mut shifted) = (0, a);
    for bit in 0..8 {
        product ^= shifted & mask(b >> bit);
        shifted = (shifted << 1) ^ (0x1b & mask(shifted >> 7));
    }
    product
}

/// The inverse, a^254; `None` of 0, which has none (here: two shares with the same x).
pub(super) fn inverse(a: u8) -> Option<u8> {
    let mut result = 1;
    for _ in 0..7 {
        // 254 is 0b1111_1110.
        result = multiply(multiply(result, result), a);
    }
    let inverse = multiply(result, result);
    (a != 0).then_some(inverse)
}

/// All ones when the lowest bit is set, else zero. The barrier keeps the compiler from making a branch of it.
fn mask(bit: u8) -> u8 {
    std::hint::black_box(bit & 1).wrapping_neg()
}

/// School multiplication of polynomials, then division: another way to the same answer.
#[cfg(test)]
pub(super) fn naive(a: u8, b: u8) -> u8 {
    let mut wide = (0..8).filter(|bit| b >> bit & 1 == 1).fold(0_u16, |sum, bit| sum ^ (u16::from(a) << bit));
    for degree in (8..15).rev() {
        if wide >> degree & 1 == 1 {
            wide ^= 0x11b << (degree - 8);
        }
    }
    u8::try_from(wide).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_school_arithmetic_everywhere() {
        for a in 0..=255 {
            for b in 0..=255 {
                assert_eq!(multiply(a, b), naive(a, b), "{a} {b}");
            }
        }
        // FIPS 197 section 4.2.
        assert_eq!(multiply(0x57, 0x83), 0xc1);
    }

    #[test]
    fn everything_but_zero_has_an_inverse() {
        assert_eq!(inverse(0), None);
        for a in 1..=255 {
            assert_eq!(inverse(a).map(|b| multiply(a, b)), Some(1), "{a}");
        }
    }
}
