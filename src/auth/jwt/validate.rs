//! Whether a verified token is for this role, and now.

use super::role::{Bound, Match, Role};
use crate::auth::signed::{Claims, Reason, Scalar};
use crate::auth::token::grant::matches_any;
use crate::time::Timestamp;

/// Checks issuer, subject and time.
pub(super) fn check(claims: &Claims, issuer: Option<&str>, role: &Role, now: Timestamp) -> Result<(), Reason> {
    let is = |name: &str, expected: &str| claims.text(name).as_deref() == Some(expected);
    if issuer.is_some_and(|issuer| !is("iss", issuer)) {
        return Err("it is of another issuer");
    }
    if !role.bound_subject.is_empty() && !is("sub", &role.bound_subject) {
        return Err("it has another subject");
    }
    role.leeways().check(claims, now)
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
    if role.max_age == 0 { Ok(()) } else { role.leeways().check_age(claims, role.max_age, now) }
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
        (Match::Glob, Scalar::Text(pattern), Scalar::Text(text)) => matches_any(std::slice::from_ref(pattern), text),
        _ => expected == value,
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
