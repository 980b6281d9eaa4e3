//! One-time passwords that change with the time (RFC 6238, on HOTP of RFC 4226).

use super::equal;
use super::transit::Hash;
use crate::secret::SecretBytes;

/// How the codes of a key are made: what the authenticator of its holder was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totp {
    /// SHA-1, SHA-256 or SHA-512.
    pub hash: Hash,
    /// 6 or 8.
    pub digits: usize,
    /// How long a code is shown.
    pub period_seconds: u64,
}

impl Totp {
    /// The step of the time `unix_seconds` whose code `passcode` is, of those that are at most `skew` steps away and later
    /// than `after`, the last one that was accepted. Exactly the digits count: no blanks, no signs, no other script's digits.
    /// Takes as long for a wrong code as for a right one.
    pub fn step(&self, key: &SecretBytes, passcode: &str, unix_seconds: u64, skew: u64, after: Option<u64>) -> Option<u64> {
        if passcode.len() != self.digits || !passcode.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let now = unix_seconds.checked_div(self.period_seconds)?;
        let steps = now.saturating_sub(skew)..=now.saturating_add(skew);
        let right = |step: &u64| equal(self.code(key, *step).as_bytes(), passcode.as_bytes());
        let matching: Vec<u64> = steps.filter(right).collect();
        matching.into_iter().filter(|step| after.is_none_or(|after| *step > after)).max()
    }

    /// RFC 4226 section 5.3.
    fn code(&self, key: &SecretBytes, step: u64) -> String {
        let mac = self.hash.mac(key.expose(), &step.to_be_bytes());
        let offset = usize::from(mac.last().copied().unwrap_or(0) & 15);
        let word = mac.get(offset..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
        let number = u64::from(u32::from_be_bytes(word) & 0x7fff_ffff);
        let digits = format!("{number:010}");
        digits.get(digits.len().saturating_sub(self.digits)..).unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &[u8] = b"1234567890123456789012345678901234567890123456789012345678901234";

    fn of(hash: Hash, digits: usize) -> (Totp, SecretBytes) {
        let length = match hash {
            Hash::Sha1 => 20,
            Hash::Sha256 => 32,
            _ => 64,
        };
        (Totp { hash, digits, period_seconds: 30 }, SecretBytes::new(SEED[..length].to_vec()))
    }

    /// Appendix B of RFC 6238.
    #[test]
    fn codes_are_those_of_the_rfc() {
        for (time, sha1, sha256, sha512) in [
            (59, "94287082", "46119246", "90693936"),
            (1_111_111_109, "07081804", "68084774", "25091201"),
            (1_111_111_111, "14050471", "67062674", "99943326"),
            (1_234_567_890, "89005924", "91819424", "93441116"),
            (2_000_000_000, "69279037", "90698825", "38618901"),
            (20_000_000_000, "65353130", "77737706", "47863826"),
        ] {
            for (hash, code) in [(Hash::Sha1, sha1), (Hash::Sha256, sha256), (Hash::Sha512, sha512)] {
                let (totp, key) = of(hash, 8);
                assert_eq!(totp.step(&key, code, time, 0, None), Some(time / 30), "{hash:?} {time}");
                let (totp, key) = of(hash, 6);
                assert_eq!(totp.step(&key, &code[2..], time, 0, None), Some(time / 30), "{hash:?} {time}, six digits");
            }
        }
    }

    #[test]
    fn exactly_the_digits_count() {
        let (totp, key) = of(Hash::Sha1, 6);
        assert_eq!(totp.step(&key, "287082", 59, 0, None), Some(1));
        for code in [
            "",
            " 287082",
            "287082 ",
            "287082\n",
            "287 082",
            "\u{a0}287082",
            "+287082",
            "0287082",
            "87082",
            "28708",
            "2870820",
            "28708x",
            "２８７０８２",
            "٢٨٧٠٨٢",
            "287082\0",
            "94287082",
        ] {
            assert_eq!(totp.step(&key, code, 59, 1, None), None, "{code:?}");
        }
    }

    #[test]
    fn a_code_is_taken_near_its_time_and_after_the_last_one_only() {
        let (totp, key) = of(Hash::Sha1, 8);
        for (time, skew, after, step) in [
            (59, 1, None, Some(1)),
            (29, 1, None, Some(1)),
            (60, 1, None, Some(1)),
            (89, 1, None, Some(1)),
            (90, 1, None, None),
            (60, 0, None, None),
            (29, 0, None, None),
            (59, 1, Some(0), Some(1)),
            (59, 1, Some(1), None),
            (59, 1, Some(2), None),
        ] {
            assert_eq!(totp.step(&key, "94287082", time, skew, after), step, "at {time}, skew {skew}, after {after:?}");
        }
        let never = Totp { period_seconds: 0, ..totp };
        assert_eq!(never.step(&key, "94287082", 59, 1, None), None);
    }
}
