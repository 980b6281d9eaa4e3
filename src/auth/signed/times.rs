//! When a token is valid (RFC 7519 section 4.1); defaults are those that clients know. Times are seconds.

use serde::{Deserialize, Serialize};

use super::{Claims, Reason};
use crate::time::Timestamp;

/// Leeway where nothing is said: between two clocks, and of a token that does not say when it begins or ends.
const SKEW_SECONDS: f64 = 60.0;
const MISSING_SECONDS: f64 = 150.0;

/// Seconds of leeway: 0 for what is usual, less for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Leeway(pub i64);

/// How much is let pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Leeways {
    /// Between two clocks.
    pub skew: Leeway,
    /// How long a token without an end is valid.
    pub expiration: Leeway,
    /// How long before its end a token without a beginning is valid.
    pub not_before: Leeway,
}

impl Leeways {
    /// Whether a token is valid at `now`.
    pub fn check(&self, claims: &Claims, now: Timestamp) -> Result<(), Reason> {
        let at = |name: &str| claims.seconds(name).map_err(|_| "a time in it is no number");
        let (issued, begins, ends) = (at("iat")?, at("nbf")?, at("exp")?);
        let (begins, ends) = match (issued, begins, ends) {
            (None, None, None) => return Err("it has no time"),
            (Some(issued), None, Some(ends)) => (issued, ends),
            (_, Some(begins), Some(ends)) => (begins, ends),
            (None, None, Some(ends)) => (ends - self.not_before.or(MISSING_SECONDS), ends),
            (issued, begins, None) => {
                let latest = [issued, begins].into_iter().flatten().fold(f64::MIN, f64::max);
                (begins.unwrap_or(latest), latest + self.expiration.or(MISSING_SECONDS))
            }
        };
        let (now, skew) = (seconds(now), self.skew_seconds());
        if now + skew < begins || issued.is_some_and(|issued| now + skew < issued) {
            return Err("it is not valid yet");
        }
        if now - skew > ends { Err("it has expired") } else { Ok(()) }
    }

    /// Whether a user signed in at most so many seconds ago.
    pub fn check_age(&self, claims: &Claims, seconds_max: u64, now: Timestamp) -> Result<(), Reason> {
        let signed_in = claims.seconds("auth_time").ok().flatten().ok_or("it does not say when the user signed in")?;
        let age = f64::from(u32::try_from(seconds_max).unwrap_or(u32::MAX));
        if seconds(now) - signed_in > age + self.skew_seconds() { Err("the user signed in too long ago") } else { Ok(()) }
    }

    fn skew_seconds(&self) -> f64 {
        self.skew.or(SKEW_SECONDS)
    }
}

impl Leeway {
    /// What was said, or what is usual. Below zero stands for none.
    fn or(self, usual: f64) -> f64 {
        match self.0 {
            0 => usual,
            seconds if seconds < 0 => 0.0,
            seconds => f64::from(i32::try_from(seconds).unwrap_or(i32::MAX)),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact for the next 200 million years")]
fn seconds(now: Timestamp) -> f64 {
    now.unix_seconds() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretBytes;

    #[test]
    fn a_token_is_valid_between_its_times_with_some_leeway() {
        let now = Timestamp(1_000_000_000_000_000_000);
        assert_eq!(now.unix_seconds(), 1_000_000_000);
        let leeways = |skew, before, end| Leeways { skew: Leeway(skew), not_before: Leeway(before), expiration: Leeway(end) };
        for (text, leeways, valid) in [
            (r#"{"exp":1000000000}"#, leeways(0, 0, 0), true),
            (r#"{"exp":999999940}"#, leeways(0, 0, 0), true),
            (r#"{"exp":999999939}"#, leeways(0, 0, 0), false),
            (r#"{"exp":999999999}"#, leeways(-1, 0, 0), false),
            (r#"{"exp":999999990}"#, leeways(10, 0, 0), true),
            (r#"{"exp":1000000300}"#, leeways(0, 0, 0), false),
            (r#"{"exp":1000000300}"#, leeways(0, 300, 0), true),
            (r#"{"nbf":1000000061,"exp":1000000100}"#, leeways(0, 0, 0), false),
            (r#"{"nbf":1000000060,"exp":1000000100}"#, leeways(0, 0, 0), true),
            (r#"{"nbf":1,"iat":1000000061,"exp":1000000100}"#, leeways(0, 0, 0), false),
            (r#"{"iat":999999790}"#, leeways(0, 0, 0), true),
            (r#"{"iat":999999789}"#, leeways(0, 0, 0), false),
            (r#"{"iat":999999789}"#, leeways(0, 0, 200), true),
            (r#"{"iat":1000000000.5,"exp":1.0e9}"#, leeways(0, 0, 0), true),
            (r#"{"exp":"1000000100"}"#, leeways(0, 0, 0), false),
            (r#"{"exp":1000000100,"nbf":"x"}"#, leeways(0, 0, 0), false),
            (r#"{"exp":null}"#, leeways(0, 0, 0), false),
            ("{}", leeways(0, 0, 0), false),
        ] {
            let claims = Claims::parse(&SecretBytes::new(text.as_bytes().to_vec())).unwrap();
            assert_eq!(leeways.check(&claims, now).is_ok(), valid, "{text}");
        }
    }
}
