//! Numbers as JSON writes them, in decimal, to and from big-endian bytes: private numbers of keys travel so in backups. Limbs
//! are wiped; how long it takes depends on the length only.

use zeroize::Zeroizing;

/// The most digits that are read: RSA of 4096 bits has 1,234.
const DIGITS_MAX: usize = 1_300;
const CHUNK: u64 = 1_000_000_000;

/// The decimal text of a number.
pub(super) fn write(bytes: &[u8]) -> Zeroizing<String> {
    // Base 10^9, the smallest first.
    let mut limbs = Zeroizing::new(vec![0_u32; bytes.len() * 8 / 29 + 1]);
    for byte in bytes {
        let mut carry = u64::from(*byte);
        for limb in limbs.iter_mut() {
            let sum = u64::from(*limb) * 256 + carry;
            *limb = u32::try_from(sum % CHUNK).unwrap_or_default();
            carry = sum / CHUNK;
        }
    }
    let mut digits = Zeroizing::new(String::with_capacity(limbs.len() * 9));
    for limb in limbs.iter().rev() {
        let mut rest = *limb;
        let mut part = Zeroizing::new([0_u8; 9]);
        for slot in part.iter_mut().rev() {
            *slot = u8::try_from(rest % 10).unwrap_or_default() + b'0';
            rest /= 10;
        }
        part.iter().for_each(|digit| digits.push(char::from(*digit)));
    }
    let significant = digits.trim_start_matches('0');
    Zeroizing::new(if significant.is_empty() { "0" } else { significant }.to_owned())
}

/// A number in so many bytes. `None` for what is no number without a sign, or does not fit.
pub(super) fn read(text: &str, length: usize) -> Option<Zeroizing<Vec<u8>>> {
    if text.is_empty() || text.len() > DIGITS_MAX || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut bytes = Zeroizing::new(vec![0_u8; length]);
    for digit in text.bytes() {
        let mut carry = u32::from(digit - b'0');
        for byte in bytes.iter_mut().rev() {
            let sum = u32::from(*byte) * 10 + carry;
            [.., *byte] = sum.to_be_bytes();
            carry = sum >> 8;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_numbers_are_as_everybody_writes_them() {
        for (bytes, text) in
            [(&[][..], "0"), (&[0], "0"), (&[255], "255"), (&[1, 0], "256"), (&[0x3b, 0x9a, 0xca, 0], "1000000000")]
        {
            assert_eq!(*write(bytes), text);
        }
        assert_eq!(read("65537", 3).as_deref(), Some(&vec![1, 0, 1]));
        assert_eq!(read("65537", 2), None);
        for wrong in ["", "-1", "+1", " 1", "1.5", "1e3", "x"] {
            assert_eq!(read(wrong, 8), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes in proptest::collection::vec(any::<u8>(), 1..600)) {
            let text = write(&bytes);
            if text.len() <= DIGITS_MAX {
                prop_assert_eq!(read(&text, bytes.len()), Some(Zeroizing::new(bytes)));
            }
        }
    }
}
