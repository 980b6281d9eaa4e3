//! Whether a verified token is for this role, and now. What it says about time is RFC 7519 section 4.1; defaults are those
//! that clients know. Times are seconds.

use super::claims::{Claims, Scalar};
use super::role::{Bound, Leeway, Match, Role};
use crate::time::Timestamp;

/// Leeway where a role says 0: between two clocks, and of a token that does not say when it begins or ends.
const SKEW_SECONDS: f64 = 60.0;
const MISSING_SECONDS: f64 = 150.0;

/// Why a token is refused: for the log, never any content.
pub(super) type Reason = &'static str;

/// Checks issuer, subject and time.
pub(super) fn check(claims: &Claims, issuer: Option<&str>, role: &Role, now: Timestamp) -> Result<(), Reason> {
    let is = |name: &str, expected: &str| claims.text(name).as_deref() == Some(expected);
    if issuer.is_some_and(|issuer| !is("iss", issuer)) {
        return Err("it is of another issuer");
    }
    if !role.bound_subject.is_empty() && !is("sub", &role.bound_subject) {
        return Err("it has another subject");
    }
    times(claims, role, now)
}

/// Checks the audience of a token that a role of kind `jwt` gets: a token that has one is refused by a role that names none.
pub(super) fn audience(claims: &Claims, role: &Role) -> Result<(), Reason> {
    let audiences = claims.texts("aud").map_err(|_| "its audience is neither text nor a list of texts")?.unwrap_or_default();
    match (role.bound_audiences.is_empty(), audiences.is_empty()) {
        (true, true) => Ok(()),
        (true, false) => Err("it has an audience, and the role names none"),
        (false, _) if audiences.iter().any(|audience| role.bound_audiences.contains(audience)) => Ok(()),
        (false, _) => Err("it is for another audience"),
    }
}

/// Checks how long ago somebody signed in, where the role asks for that.
pub(super) fn age(claims: &Claims, role: &Role, now: Timestamp) -> Result<(), Reason> {
    if role.max_age == 0 {
        return Ok(());
    }
    let signed_in = claims.seconds("auth_time").ok().flatten().ok_or("it does not say when the user signed in")?;
    let max_age = f64::from(u32::try_from(role.max_age).unwrap_or(u32::MAX));
    if seconds(now) - signed_in > max_age + skew(role) { Err("the user signed in too long ago") } else { Ok(()) }
}

fn times(claims: &Claims, role: &Role, now: Timestamp) -> Result<(), Reason> {
    let at = |name: &str| claims.seconds(name).map_err(|_| "a time in it is no number");
    let (issued, begins, ends) = (at("iat")?, at("nbf")?, at("exp")?);
    let (begins, ends) = match (issued, begins, ends) {
        (None, None, None) => return Err("it has no time"),
        (Some(issued), None, Some(ends)) => (issued, ends),
        (_, Some(begins), Some(ends)) => (begins, ends),
        (None, None, Some(ends)) => (ends - or(role.not_before_leeway, MISSING_SECONDS), ends),
        (issued, begins, None) => {
            let latest = [issued, begins].into_iter().flatten().fold(f64::MIN, f64::max);
            (begins.unwrap_or(latest), latest + or(role.expiration_leeway, MISSING_SECONDS))
        }
    };
    let (now, skew) = (seconds(now), skew(role));
    if now + skew < begins || issued.is_some_and(|issued| now + skew < issued) {
        return Err("it is not valid yet");
    }
    if now - skew > ends { Err("it has expired") } else { Ok(()) }
}

#[expect(clippy::cast_precision_loss, reason = "exact for the next 200 million years")]
fn seconds(now: Timestamp) -> f64 {
    now.unix_seconds() as f64
}

fn skew(role: &Role) -> f64 {
    or(role.clock_skew_leeway, SKEW_SECONDS)
}

/// What a role says, or what is usual. Below zero stands for none.
fn or(leeway: Leeway, usual: f64) -> f64 {
    match leeway.0 {
        0 => usual,
        seconds if seconds < 0 => 0.0,
        seconds => f64::from(i32::try_from(seconds).unwrap_or(i32::MAX)),
    }
}

/// Checks every claim that the role binds.
pub(super) fn bound_claims(claims: &Claims, role: &Role) -> Result<(), Reason> {
    for (path, expected) in &role.bound_claims {
        let values = claims.values(path).ok_or("a bound claim is missing")?;
        let expected = match expected {
            Bound::One(one) => std::slice::from_ref(one),
            Bound::Many(many) => many.as_slice(),
        };
        let fits = |value: &Scalar| expected.iter().any(|expected| matches(role.bound_claims_type, expected, value));
        if !values.iter().any(fits) {
            return Err("a bound claim has another value");
        }
    }
    Ok(())
}

fn matches(how: Match, expected: &Scalar, value: &Scalar) -> bool {
    match (how, expected, value) {
        (Match::Glob, Scalar::Text(pattern), Scalar::Text(text)) => glob(pattern, text),
        _ => expected == value,
    }
}

/// Whether a text fits a pattern in which `*` stands for anything.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
