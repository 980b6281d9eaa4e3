//! Hashes of passwords: Argon2id, as it is made here, and what others made (Argon2 and bcrypt).
//!
//! Text form: `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH` (PHC string format, base64 without padding), or bcrypt's
//! `$2b$12$...`. What a hash may cost is bounded, because whoever logs in makes the server pay it.

use data_encoding::BASE64_NOPAD;
use zeroize::Zeroizing;

use super::equal;
use super::hazmat::password::{Cost, Variant, argon2, bcrypt, bcrypt_cost};
use crate::random;
use crate::secret::SecretText;

/// What a hash that is made here costs: 19 MiB and two passes, as OWASP has it.
const COST: Cost = Cost { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
/// The most that a hash that is brought along may cost: memory in KiB.
pub const MEMORY_KIB_MAX: u32 = 64 * 1024;
/// The most passes.
pub const PASSES_MAX: u32 = 10;
/// The most lanes.
pub const LANES_MAX: u32 = 8;
/// The highest cost of bcrypt.
pub const BCRYPT_COST_MAX: u32 = 14;
/// The longest text.
const TEXT_BYTES_MAX: usize = 512;

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// The hash of a password. It is kept like a secret: who has it can guess without being counted.
pub struct PasswordHash {
    text: SecretText,
    form: Form,
}

enum Form {
    Argon2 { variant: Variant, cost: Cost, salt: Vec<u8>, hash: Zeroizing<Vec<u8>> },
    Bcrypt,
}

/// A text is no hash that can be checked, or one that costs too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid bcrypt or argon2 hash, or one that costs too much to check")]
pub struct NoHash;

impl PasswordHash {
    /// Hashes a password with a fresh salt. Takes tens of milliseconds.
    pub fn of(password: &SecretText) -> Self {
        let salt = random::bytes::<SALT_BYTES>();
        let mut hash = Zeroizing::new(vec![0; HASH_BYTES]);
        // The parameters are constants in range, which a test checks.
        let _ = argon2(Variant::Id, COST, password.expose().as_bytes(), &salt, &mut hash);
        let Cost { memory_kib, passes, lanes } = COST;
        let (salt_text, hash_text) = (BASE64_NOPAD.encode(&salt), Zeroizing::new(BASE64_NOPAD.encode(&hash)));
        let text = format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt_text}${}", *hash_text);
        let form = Form::Argon2 { variant: Variant::Id, cost: COST, salt: salt.to_vec(), hash };
        Self { text: SecretText::new(text), form }
    }

    /// Costs what a check of a hash costs that was made here: for names without one.
    pub fn check_nothing(password: &SecretText) {
        let mut hash = Zeroizing::new(vec![0; HASH_BYTES]);
        let _ = argon2(Variant::Id, COST, password.expose().as_bytes(), &[0; SALT_BYTES], &mut hash);
    }

    /// Reads the text of a hash.
    pub fn parse(text: &str) -> Result<Self, NoHash> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(NoHash);
        }
        let form = if text.starts_with("$argon2") { argon2_form(text) } else { bcrypt_form(text) };
        Ok(Self { text: SecretText::new(text.to_owned()), form: form.ok_or(NoHash)? })
    }

    /// Whether it is the hash of `password`. Takes as long for a wrong one as for the right one.
    pub fn is_of(&self, password: &SecretText) -> bool {
        let password = password.expose().as_bytes();
        match &self.form {
            Form::Argon2 { variant, cost, salt, hash } => {
                let mut found = Zeroizing::new(vec![0; hash.len()]);
                argon2(*variant, *cost, password, salt, &mut found).is_some() && equal(&found, hash)
            }
            Form::Bcrypt => bcrypt(password, self.text.expose()),
        }
    }

    /// Whether it is what would be made here.
    pub fn is_ours(&self) -> bool {
        matches!(&self.form, Form::Argon2 { variant: Variant::Id, cost: COST, hash, .. } if hash.len() == HASH_BYTES)
    }

    /// A copy, for a record that goes on holding it.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let form = match &self.form {
            Form::Argon2 { variant, cost, salt, hash } => {
                Form::Argon2 { variant: *variant, cost: *cost, salt: salt.clone(), hash: hash.clone() }
            }
            Form::Bcrypt => Form::Bcrypt,
        };
        Self { text: SecretText::new(self.text.expose().to_owned()), form }
    }

    /// Its text, to store it.
    pub fn text(&self) -> &SecretText {
        &self.text
    }
}

fn argon2_form(text: &str) -> Option<Form> {
    let mut parts = text.strip_prefix('$')?.split('$');
    let variant = match parts.next()? {
        "argon2id" => Variant::Id,
        "argon2i" => Variant::I,
        "argon2d" => Variant::D,
        _ => return None,
    };
    if parts.next()? != "v=19" {
        return None;
    }
    let [memory, passes, lanes] = parts.next()?.split(',').collect::<Vec<_>>().try_into().ok()?;
    let number =
        |part: &str, name: &str, max: u32| part.strip_prefix(name)?.parse().ok().filter(|value| (1..=max).contains(value));
    let cost = Cost {
        memory_kib: number(memory, "m=", MEMORY_KIB_MAX)?,
        passes: number(passes, "t=", PASSES_MAX)?,
        lanes: number(lanes, "p=", LANES_MAX)?,
    };
    let salt = BASE64_NOPAD.decode(parts.next()?.as_bytes()).ok()?;
    let hash = Zeroizing::new(BASE64_NOPAD.decode(parts.next()?.as_bytes()).ok()?);
    let fits = (8..=64).contains(&salt.len()) && (16..=64).contains(&hash.len()) && cost.memory_kib >= 8 * cost.lanes;
    (fits && parts.next().is_none()).then_some(Form::Argon2 { variant, cost, salt, hash })
}

fn bcrypt_form(text: &str) -> Option<Form> {
    let known = ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) && text.len() == 60;
    (known && (4..=BCRYPT_COST_MAX).contains(&bcrypt_cost(text)?)).then_some(Form::Bcrypt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> SecretText {
        SecretText::new(text.to_owned())
    }

    #[test]
    fn a_hash_is_of_its_password_and_of_no_other() {
        let hash = PasswordHash::of(&password("hunter2"));
        let read = PasswordHash::parse(hash.text().expose()).unwrap();
        for hash in [&hash, &read] {
            assert!(hash.is_ours() && hash.is_of(&password("hunter2")));
            for other in ["hunter3", "", "hunter2 ", "Hunter2"] {
                assert!(!hash.is_of(&password(other)), "{other}");
            }
        }
        assert_ne!(hash.text().expose(), PasswordHash::of(&password("hunter2")).text().expose(), "salts are fresh");
    }

    /// Made by the reference implementation of Argon2 (its test vectors) and by other makers of bcrypt.
    #[test]
    fn hashes_that_others_made_are_checked() {
        for (text, of) in [
            ("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "password"),
            ("$argon2i$v=19$m=256,t=2,p=2$c29tZXNhbHQ$T/XOJ2mh1/TIpJHfCdQan76Q5esCFVoT5MAeIM1Oq2E", "password"),
            ("$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"),
            ("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"),
        ] {
            let hash = PasswordHash::parse(text).unwrap_or_else(|_| panic!("{text}"));
            assert!(hash.is_of(&password(of)) && !hash.is_of(&password("other")) && !hash.is_ours(), "{text}");
        }
    }

    #[test]
    fn what_is_no_hash_or_costs_too_much_is_refused() {
        let salt = "c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        for text in [
            String::new(),
            "b".to_owned(),
            "$2b$".to_owned(),
            format!("$argon2id$v=19$m=65537,t=2,p=1${salt}"),
            format!("$argon2id$v=19$m=256,t=11,p=1${salt}"),
            format!("$argon2id$v=19$m=256,t=2,p=9${salt}"),
            format!("$argon2id$v=19$m=7,t=2,p=1${salt}"),
            format!("$argon2id$v=19$m=0,t=0,p=0${salt}"),
            format!("$argon2id$v=16$m=256,t=2,p=1${salt}"),
            format!("$argon2id$v=19$m=256,t=2,p=1${salt}$more"),
            format!("$argon2x$v=19$m=256,t=2,p=1${salt}"),
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$AAAA".to_owned(),
            "$2b$15$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".to_owned(),
            "$2b$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".to_owned(),
            "x".repeat(600),
        ] {
            assert!(PasswordHash::parse(&text).is_err(), "{text}");
        }
    }
}
