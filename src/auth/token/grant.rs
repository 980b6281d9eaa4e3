//! Which policies a token may give to a child: pure rules, the same as those of `OpenBao`.

use super::entry::ROOT_POLICY;
use super::role::TokenRole;
use crate::answer::Refusal;
use crate::glob;
use crate::policy::shipped::WRAPPING;

/// The policy that every token gets unless its creator declines it.
const DEFAULT_POLICY: &str = "default";

const NOT_FROM_ABOVE: &str = "root or sudo privileges required to directly generate a token in a child namespace";
const NO_ROOT_FROM_ABOVE: &str = "root tokens may not be created from a parent namespace";

/// The most policies that one token names.
pub const POLICIES_MAX: usize = 256;

/// Who makes the child.
#[derive(Clone, Copy, Debug)]
pub struct Giver<'a> {
    /// The policies of its token.
    pub policies: &'a [String],
    /// It has `sudo` on the endpoint that it calls.
    pub sudo: bool,
    /// Its token belongs to a tenant above the one that the child is made in.
    pub from_above: bool,
}

/// The policies of the child. `asked` is what the request names, `decline_default` its `no_default_policy`.
///
/// Without `sudo` the child gets no policy that its maker has not; nobody but root makes root, and never in a tenant
/// below. `default` is added when the maker has it (with `sudo`: always).
pub fn policies(asked: &[String], decline_default: bool, giver: Giver<'_>) -> Result<Vec<String>, Refusal> {
    let asked_names = sanitized(asked);
    let own = sanitized(giver.policies);
    let (mut names, add_default) = if giver.from_above {
        if !giver.sudo {
            return Err(Refusal::invalid(NOT_FROM_ABOVE));
        }
        if contains(&asked_names, ROOT_POLICY) {
            return Err(Refusal::invalid(NO_ROOT_FROM_ABOVE));
        }
        (asked_names, true)
    } else if asked.is_empty() {
        (own.clone(), false)
    } else if giver.sudo {
        (asked_names, true)
    } else {
        if !asked_names.iter().all(|name| own.contains(name)) {
            return Err(Refusal::invalid("child policies must be subset of parent"));
        }
        (asked_names, contains(&own, DEFAULT_POLICY))
    };
    if add_default && !contains(&names, ROOT_POLICY) {
        add_default_to(&mut names);
    }
    checked(names, decline_default, &own)
}

/// The policies of a token that a login gives: those of the role or user, whoever asks.
pub fn policies_of_login(names: &[String], decline_default: bool) -> Result<Vec<String>, Refusal> {
    let mut names = sanitized(names);
    if contains(&names, ROOT_POLICY) {
        return Err(Refusal::invalid("auth methods cannot create root tokens"));
    }
    if !decline_default {
        add_default_to(&mut names);
    }
    checked(names, false, &[])
}

/// The policies of a child made with a role. A role that names policies decides alone which may be given, whatever its
/// user has; one that names none leaves it to the rules above.
pub fn policies_by_role(
    asked: &[String],
    decline_default: bool,
    role: &TokenRole,
    giver: Giver<'_>,
) -> Result<Vec<String>, Refusal> {
    let allows = !role.allowed_policies.is_empty() || !role.allowed_policies_glob.is_empty();
    let disallows = !role.disallowed_policies.is_empty() || !role.disallowed_policies_glob.is_empty();
    if !allows && !disallows {
        return policies(asked, decline_default, giver);
    }
    if giver.from_above && !giver.sudo {
        return Err(Refusal::invalid(NOT_FROM_ABOVE));
    }
    let is_disallowed =
        |name: &str| contains(&role.disallowed_policies, name) || matches_any(&role.disallowed_policies_glob, name);
    let with_default = |names: &[String]| {
        let mut names = sanitized(names);
        if !decline_default && !is_disallowed(DEFAULT_POLICY) && !contains(&names, ROOT_POLICY) {
            add_default_to(&mut names);
        }
        names
    };
    let own = sanitized(giver.policies);
    let allowed = with_default(&role.allowed_policies);
    let names = match (asked.is_empty(), allows) {
        (false, _) => with_default(asked),
        (true, true) => allowed.clone(),
        (true, false) => with_default(giver.policies),
    };
    let is_allowed = |name: &String| contains(&allowed, name) || matches_any(&role.allowed_policies_glob, name);
    if allows && !names.iter().all(is_allowed) {
        return Err(Refusal::invalid(format!(
            "token policies ({}) must be subset of the role's allowed policies ({}) or glob policies ({})",
            quoted(&names),
            quoted(&allowed),
            quoted(&role.allowed_policies_glob)
        )));
    }
    if let Some(name) = names.iter().find(|name| is_disallowed(name)) {
        return Err(Refusal::invalid(format!("token policy {name:?} is disallowed by this role")));
    }
    if giver.from_above && contains(&names, ROOT_POLICY) {
        return Err(Refusal::invalid(NO_ROOT_FROM_ABOVE));
    }
    checked(names, decline_default, &own)
}

/// Whether one of the globs matches all of a text.
pub fn matches_any(globs: &[String], text: &str) -> bool {
    globs.iter().any(|glob| glob::matches(glob, text))
}

fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

fn add_default_to(names: &mut Vec<String>) {
    if !contains(names, DEFAULT_POLICY) {
        names.push(DEFAULT_POLICY.to_owned());
        names.sort_unstable();
    }
}

/// What holds for every child, whatever its policies came from.
fn checked(mut names: Vec<String>, decline_default: bool, own: &[String]) -> Result<Vec<String>, Refusal> {
    let root = contains(&names, ROOT_POLICY);
    if decline_default {
        names.retain(|name| name != DEFAULT_POLICY);
    }
    if contains(&names, WRAPPING.name) {
        return Err(Refusal::invalid(format!("cannot assign policy {:?}", WRAPPING.name)));
    }
    if root && !contains(own, ROOT_POLICY) {
        return Err(Refusal::invalid("root tokens may not be created without parent token being root"));
    }
    if names.len() > POLICIES_MAX {
        return Err(Refusal::invalid(format!("a token names at most {POLICIES_MAX} policies")));
    }
    Ok(names)
}

/// Trimmed, lower case, sorted, each once, none empty; `root` stands alone.
pub fn sanitized(names: &[String]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty()).collect();
    if contains(&names, ROOT_POLICY) {
        return vec![ROOT_POLICY.to_owned()];
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn contains(names: &[String], name: &str) -> bool {
    names.iter().any(|other| other == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &str) -> Vec<String> {
        names.split_terminator(' ').map(str::to_owned).collect()
    }

    /// Sudo, and a maker in a tenant above.
    const PLAIN: (bool, bool) = (false, false);
    const SUDO: (bool, bool) = (true, false);
    const ABOVE: (bool, bool) = (false, true);
    const SUDO_ABOVE: (bool, bool) = (true, true);

    #[test]
    fn a_child_gets_what_its_maker_may_give() {
        let subset = "child policies must be subset of parent";
        let root = "root tokens may not be created without parent token being root";
        for (asked, decline, own, (sudo, from_above), expected) in [
            ("", false, "default dev", PLAIN, Ok("default dev")),
            ("", true, "default dev", PLAIN, Ok("dev")),
            ("", false, "dev", PLAIN, Ok("dev")),
            ("dev", false, "default dev ops", PLAIN, Ok("default dev")),
            ("dev", true, "default dev ops", PLAIN, Ok("dev")),
            ("dev", false, "dev ops", PLAIN, Ok("dev")),
            ("DEV", false, "dev", PLAIN, Ok("dev")),
            ("default", false, "dev", PLAIN, Err(subset)),
            ("ops", false, "default dev", PLAIN, Err(subset)),
            ("root", false, "default dev", PLAIN, Err(subset)),
            ("dev", false, "root", PLAIN, Err(subset)),
            ("ops", false, "dev", SUDO, Ok("default ops")),
            ("ops", true, "dev", SUDO, Ok("ops")),
            ("root", false, "dev", SUDO, Err(root)),
            (" Root dev", false, "dev", SUDO, Err(root)),
            ("root dev", false, "root", SUDO, Ok("root")),
            ("", false, "root", SUDO, Ok("root")),
            ("dev", false, "root", SUDO, Ok("default dev")),
            (
                "dev",
                false,
                "root",
                ABOVE,
                Err("root or sudo privileges required to directly generate a token in a child namespace"),
            ),
            ("dev", false, "root", SUDO_ABOVE, Ok("default dev")),
            ("", false, "root", SUDO_ABOVE, Ok("default")),
            ("", true, "root", SUDO_ABOVE, Ok("")),
            ("root", false, "root", SUDO_ABOVE, Err("root tokens may not be created from a parent namespace")),
            ("response-wrapping", false, "root", SUDO, Err("cannot assign policy \"response-wrapping\"")),
        ] {
            let giver = Giver { policies: &list(own), sudo, from_above };
            let outcome = policies(&list(asked), decline, giver).map_err(|refusal| match refusal {
                Refusal::Invalid(text) => text,
                other => format!("{other:?}"),
            });
            assert_eq!(outcome, expected.map(list).map_err(str::to_owned), "{asked} from {own}");
        }
    }

    #[test]
    fn blank_names_grant_nothing_and_inherit_nothing() {
        let giver = Giver { policies: &list("dev"), sudo: false, from_above: false };
        assert_eq!(policies(&[String::from(" ")], false, giver).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn the_number_of_policies_is_bounded() {
        let many: Vec<String> = (0..POLICIES_MAX).map(|at| format!("p{at}")).collect();
        let giver = Giver { policies: &[], sudo: true, from_above: false };
        assert!(policies(&many, true, giver).is_ok());
        assert!(policies(&many, false, giver).is_err(), "with default it is one too many");
    }

    #[test]
    fn globs_match_the_whole_text() {
        for (glob, text, matched) in [
            ("*", "", true),
            ("*", "any", true),
            ("dev-*", "dev-", true),
            ("dev-*", "dev", false),
            ("*-ro", "app-ro", true),
            ("*-ro", "app-rw", false),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1c", false),
            ("a*a", "a", false),
            ("a*c", "ac", true),
            ("*b*", "abc", true),
            ("a*b*c", "acb", false),
            ("", "a", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
        ] {
            assert_eq!(matches_any(&[glob.to_owned()], text), matched, "{glob} {text}");
        }
    }

    #[test]
    fn a_role_that_names_policies_decides_alone() {
        let role = |allowed: &str, globs: &str, not: &str| TokenRole {
            allowed_policies: list(allowed),
            allowed_policies_glob: list(globs),
            disallowed_policies: list(not),
            ..TokenRole::default()
        };
        let disallowed = |name: &str| Err(format!("token policy {name:?} is disallowed by this role"));
        for (role, asked, decline, own, expected) in [
            (role("a b", "", ""), "", false, "dev", Ok("a b default")),
            (role("a b", "", ""), "a", false, "dev", Ok("a default")),
            (role("a b", "", ""), "a", true, "dev", Ok("a")),
            (role("a b", "", ""), "default", false, "dev", Ok("default")),
            (role("", "g* x", ""), "", false, "dev", Ok("default")),
            (role("", "g* x", ""), "good", false, "dev", Ok("default good")),
            (role("", "", "bad"), "", false, "default dev", Ok("default dev")),
            (role("", "", "bad"), "ok", false, "dev", Ok("default ok")),
            (role("", "", "bad"), "bad", false, "root", disallowed("bad").map(|()| "")),
            (role("", "", "bad default"), "ok", false, "dev", Ok("ok")),
            (role("a b", "", "b"), "", false, "dev", disallowed("b").map(|()| "")),
            (role("", "", ""), "ops", false, "dev", Err("child policies must be subset of parent".to_owned())),
            (role("root", "", ""), "", false, "root", Ok("root")),
        ] {
            let giver = Giver { policies: &list(own), sudo: false, from_above: false };
            let outcome = policies_by_role(&list(asked), decline, &role, giver).map_err(|refusal| match refusal {
                Refusal::Invalid(text) => text,
                other => format!("{other:?}"),
            });
            assert_eq!(outcome, expected.map(list), "{asked} from {own}");
        }
        let above = Giver { policies: &list("root"), sudo: false, from_above: true };
        assert!(policies_by_role(&[], false, &role("a", "", ""), above).is_err(), "from above it takes sudo");
        let above = Giver { sudo: true, ..above };
        assert!(policies_by_role(&list("root"), false, &role("", "*", ""), above).is_err(), "and gives no root");
    }
}
