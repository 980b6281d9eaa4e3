//! The policy language: HCL or JSON text to rules. A key that is not known, or that would not be enforced, is refused:
//! a policy must never mean less than it says.

use super::capability::{Capabilities, Capability};
use super::factor::FactorDemand;
use super::pattern::Pattern;
use super::rule::{Rule, Values};
use super::syntax::{self, Value};
use crate::time::{Timestamp, parse_duration};

/// The longest policy text, in bytes.
pub const POLICY_BYTES_MAX: usize = 256 * 1024;
/// The most `path` blocks in one policy.
pub const RULES_MAX: usize = 4096;

/// Why a policy was refused. The texts go to the client as they are; a policy is no secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Longer than `POLICY_BYTES_MAX`.
    #[error("policy is longer than {POLICY_BYTES_MAX} bytes")]
    TooLong,
    /// More than `RULES_MAX` rules.
    #[error("policy has more than {RULES_MAX} paths")]
    TooManyRules,
    /// Neither HCL nor JSON, or something else than `path` at the top.
    #[error("failed to parse policy: {0}")]
    Syntax(String),
    /// A rule that means nothing, with the line it begins in (0 in JSON).
    #[error("failed to parse policy: {}path {path:?}: {reason}", line_text(*line))]
    Rule {
        /// Counted from 1.
        line: usize,
        /// The path of the rule, as it is written.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

pub(super) fn line_text(line: usize) -> String {
    if line == 0 { String::new() } else { format!("line {line}: ") }
}

/// What a rule is written for.
pub(super) enum Target {
    Fixed(Pattern),
    /// A pattern with `{{name}}` in it.
    Templated(String),
}

/// The rules of a policy text, in order.
pub(super) fn rules(text: &str) -> Result<Vec<(Target, Rule)>, PolicyError> {
    if text.len() > POLICY_BYTES_MAX {
        return Err(PolicyError::TooLong);
    }
    let paths = if text.trim_start().starts_with('{') { syntax::json(text)? } else { syntax::hcl(text)? };
    if paths.len() > RULES_MAX {
        return Err(PolicyError::TooManyRules);
    }
    let read = |syntax::PathBlock { line, path, members }| {
        let rule = target(&path).and_then(|target| Ok((target, rule(members)?)));
        rule.map_err(|reason| PolicyError::Rule { line, path, reason })
    };
    paths.into_iter().map(read).collect()
}

fn target(path: &str) -> Result<Target, String> {
    if !path.contains("{{") {
        return Ok(Target::Fixed(Pattern::parse(path)?));
    }
    let mut rest = path;
    while let Some((_, after)) = rest.split_once("{{") {
        let (name, tail) = after.split_once("}}").ok_or("a template is not closed with }}")?;
        if !is_template(name.trim()) {
            return Err(format!("unknown template {:?}", name.trim()));
        }
        rest = tail;
    }
    // Whatever is wrong with the pattern is wrong with any value in it.
    Pattern::parse(path)?;
    Ok(Target::Templated(path.to_owned()))
}

/// The names that Vault knows.
fn is_template(name: &str) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        ["identity", "entity", "id" | "name"]
        | ["identity", "entity", "aliases", _, "id" | "name"]
        | ["identity", "groups", "ids", _, "name"]
        | ["identity", "groups", "names", _, "id"] => true,
        ["identity", "entity", "metadata", key @ ..]
        | ["identity", "entity", "aliases", _, "metadata" | "custom_metadata", key @ ..] => !key.is_empty(),
        _ => false,
    }
}

fn rule(members: Vec<(String, Value)>) -> Result<Rule, String> {
    let mut rule = Rule::default();
    let mut seen = Vec::new();
    let (mut methods, mut max_age) = (None, None);
    for (key, value) in members {
        if seen.contains(&key) {
            return Err(format!("{key:?} is given twice"));
        }
        match key.as_str() {
            "capabilities" => rule.capabilities = rule.capabilities.union(capabilities(value)?),
            "policy" => rule.capabilities = rule.capabilities.union(old_policy(&value.scalar("policy")?)?),
            "allowed_parameters" => rule.allowed = parameters(value, "allowed_parameters")?,
            "denied_parameters" => rule.denied = parameters(value, "denied_parameters")?,
            "required_parameters" => {
                let names = value.texts("required_parameters")?;
                rule.required = names.into_iter().map(|name| name.to_lowercase()).collect();
            }
            "min_wrapping_ttl" => rule.min_wrapping_ttl = wrapping_ttl(value, "min_wrapping_ttl")?,
            "max_wrapping_ttl" => rule.max_wrapping_ttl = wrapping_ttl(value, "max_wrapping_ttl")?,
            "expiration" => {
                let text = value.scalar("expiration")?;
                rule.expiration = Some(Timestamp::parse_rfc3339(&text).ok_or("expiration must be a time as in RFC 3339")?);
            }
            "mfa_methods" => methods = Some(mfa_methods(value)?),
            "mfa_max_age" => max_age = Some(mfa_max_age(value)?),
            "comment" => drop(value.scalar("comment")?),
            "control_group" | "pagination_limit" | "list_scan_response_keys_filter_path" => {
                return Err(format!("{key:?} is not supported here, and a rule without it would grant more than is meant"));
            }
            _ => return Err(format!("invalid key {key:?}")),
        }
        seen.push(key);
    }
    if let (Some(least), Some(most)) = (rule.min_wrapping_ttl, rule.max_wrapping_ttl)
        && most < least
    {
        return Err("max_wrapping_ttl cannot be less than min_wrapping_ttl".to_owned());
    }
    rule.factor = match (methods, max_age) {
        (Some(methods), Some(max_age)) => Some(FactorDemand { methods, max_age }),
        (None, None) => None,
        _ => {
            return Err(
                "mfa_methods and mfa_max_age go together: a factor is shown to a token, and counts for a while".to_owned()
            );
        }
    };
    Ok(rule)
}

fn capabilities(value: Value) -> Result<Capabilities, String> {
    let names = value.texts("capabilities")?;
    names.iter().map(|name| Capability::parse(name).ok_or_else(|| format!("invalid capability {name:?}"))).collect()
}

/// The form from before capabilities.
fn old_policy(name: &str) -> Result<Capabilities, String> {
    use Capability::{Create, Delete, Deny, List, Read, Sudo, Update};
    Ok(match name {
        "deny" => [Deny].into_iter().collect(),
        "read" => [Read, List].into_iter().collect(),
        "write" => [Create, Read, Update, Delete, List].into_iter().collect(),
        "sudo" => [Create, Read, Update, Delete, List, Sudo].into_iter().collect(),
        _ => return Err(format!("invalid policy {name:?}")),
    })
}

fn parameters(value: Value, what: &str) -> Result<std::collections::BTreeMap<String, Values>, String> {
    let Value::Object(members) = value else { return Err(format!("{what} must be an object of lists")) };
    members.into_iter().map(|(name, values)| Ok((name.to_lowercase(), values.texts(what)?))).collect()
}

fn mfa_methods(value: Value) -> Result<Vec<String>, String> {
    let names = value.texts("mfa_methods")?;
    if names.is_empty() || names.iter().any(String::is_empty) {
        return Err("mfa_methods must name at least one method".to_owned());
    }
    Ok(names)
}

fn mfa_max_age(value: Value) -> Result<std::time::Duration, String> {
    let age = parse_duration(&value.scalar("mfa_max_age")?).filter(|age| !age.is_zero());
    age.ok_or_else(|| "mfa_max_age must be a duration such as \"15m\"".to_owned())
}

/// Zero is "not set", as it is in Vault.
fn wrapping_ttl(value: Value, what: &str) -> Result<Option<std::time::Duration>, String> {
    let text = value.scalar(what)?;
    let ttl = parse_duration(&text).ok_or_else(|| format!("{what} must be a duration such as \"10m\""))?;
    Ok((!ttl.is_zero()).then_some(ttl))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        rules(text).err().unwrap_or_else(|| panic!("accepted: {text}")).to_string()
    }

    fn only(text: &str) -> Rule {
        rules(text).unwrap_or_else(|error| panic!("{text}: {error}")).remove(0).1
    }

    #[test]
    fn hcl_and_json_say_the_same() {
        let hcl = r#"
            name = "x" # a comment
            path "secret/*" {
                capabilities = ["read", "update"]
                allowed_parameters = { "Ttl" = ["1h", 3600], other = [] }
                denied_parameters { policies = ["root"] }
                required_parameters = ["Ttl"]
                min_wrapping_ttl = "1m"
                max_wrapping_ttl = 90
                expiration = "2030-01-01T00:00:00Z"
                mfa_methods = ["totp", "other"]
                mfa_max_age = "15m"
                comment = "for the tests"
            }"#;
        let json = r#"{"name": "x", "path": {"secret/*": {"capabilities": ["read", "update"],
            "allowed_parameters": {"Ttl": ["1h", 3600], "other": []}, "denied_parameters": {"policies": ["root"]},
            "required_parameters": ["Ttl"], "min_wrapping_ttl": "1m", "max_wrapping_ttl": 90,
            "expiration": "2030-01-01T00:00:00Z", "mfa_methods": ["totp", "other"], "mfa_max_age": 900,
            "comment": "for the tests"}}}"#;
        for rule in [only(hcl), only(json), only(&json.replace(": {\"secret", ": [{\"secret").replace("}}}", "}}]}"))] {
            assert_eq!(rule.capabilities.names(), ["read", "update"]);
            assert_eq!(rule.allowed.keys().collect::<Vec<_>>(), ["other", "ttl"]);
            assert_eq!(rule.allowed["ttl"], ["1h", "3600"]);
            assert_eq!(rule.denied["policies"], ["root"]);
            assert_eq!(rule.required, ["ttl"]);
            assert_eq!(rule.min_wrapping_ttl.map(|ttl| ttl.as_secs()), Some(60));
            assert_eq!(rule.max_wrapping_ttl.map(|ttl| ttl.as_secs()), Some(90));
            assert!(rule.expiration.is_some());
            let factor = rule.factor.unwrap();
            assert_eq!((factor.methods.join(" ").as_str(), factor.max_age.as_secs()), ("totp other", 900));
        }
        assert!(rules("").unwrap().is_empty() && rules("{}").unwrap().is_empty());
    }

    #[test]
    fn old_policies_and_deny() {
        for (policy, names) in [
            ("read", vec!["list", "read"]),
            ("write", vec!["create", "delete", "list", "read", "update"]),
            ("sudo", vec!["create", "delete", "list", "read", "sudo", "update"]),
            ("deny", vec!["deny"]),
        ] {
            assert_eq!(only(&format!("path \"x\" {{\n policy = \"{policy}\"\n}}")).capabilities.names(), names);
        }
        assert_eq!(only(r#"path "x" { capabilities = ["read", "deny"] }"#).capabilities.names(), ["deny"]);
    }

    #[test]
    fn errors_name_line_path_and_reason() {
        let text = "path \"a\" {\n  capabilities = [\"read\"]\n}\n\n# more\npath \"b\" {\n  capabilities = [\"nope\"]\n}\n";
        assert_eq!(refused(text), "failed to parse policy: line 6: path \"b\": invalid capability \"nope\"");
        for (body, reason) in [
            ("capability = [\"read\"]", "invalid key \"capability\""),
            ("capabilities = \"read\"", "capabilities must be a list"),
            ("capabilities = [[\"read\"]]", "must be a string"),
            ("policy = \"admin\"", "invalid policy \"admin\""),
            ("min_wrapping_ttl = \"soon\"", "must be a duration"),
            ("min_wrapping_ttl = -1", "must be"),
            ("min_wrapping_ttl = 9\nmax_wrapping_ttl = 1", "cannot be less than"),
            ("expiration = \"tomorrow\"", "RFC 3339"),
            ("allowed_parameters = []", "must be an object"),
            ("allowed_parameters = { a = \"b\" }", "must be a list"),
            ("pagination_limit = 5", "not supported"),
            ("list_scan_response_keys_filter_path = \"x\"", "not supported"),
            ("control_group {\n}", "not supported"),
            ("mfa_methods = [\"totp\"]", "go together"),
            ("mfa_max_age = \"15m\"", "go together"),
            ("mfa_methods = []\nmfa_max_age = \"15m\"", "at least one method"),
            ("mfa_methods = [\"\"]\nmfa_max_age = \"15m\"", "at least one method"),
            ("mfa_methods = \"totp\"\nmfa_max_age = \"15m\"", "must be a list"),
            ("mfa_methods = [\"totp\"]\nmfa_max_age = 0", "must be a duration"),
            ("mfa_methods = [\"totp\"]\nmfa_max_age = \"soon\"", "must be a duration"),
            ("capabilities = [\"${read}\"]", "without expressions"),
            ("capabilities = [lower(\"READ\")]", "without expressions"),
        ] {
            let text = refused(&format!("path \"x\" {{\n{body}\n}}"));
            assert!(text.starts_with("failed to parse policy: line 1: path \"x\": ") && text.contains(reason), "{text}");
        }
        for (path, reason) in [
            ("a/+*", "'+*' is forbidden"),
            ("a/{{identity.entity.id", "not closed"),
            ("a/{{identity.entity.secret}}", "unknown template"),
            ("a/{{identity.entity.metadata}}", "unknown template"),
        ] {
            assert!(refused(&format!("path \"{path}\" {{\n}}")).contains(reason), "{path}");
        }
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        for text in [
            "path",
            "path {}",
            "path \"a\" \"b\" {}",
            "paths \"a\" {}",
            "rule = 1",
            "path \"a\" {",
            "{\"path\": 1}",
            "{\"path\": {\"a\": 1}}",
            "{\"paths\": {}}",
            "{\"path\": {\"a\": {}, \"a\": {}}}",
            "{\"path\": {\"a\": {\"policy\": \"read\", \"policy\": \"write\"}}}",
            "path \"a\" {\n policy = \"read\"\n policy = \"write\"\n}",
        ] {
            assert!(refused(text).starts_with("failed to parse policy"), "{text}");
        }
        let deep = format!("path \"a\" {{\n capabilities = {}{}\n}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(refused(&deep).starts_with("failed to parse policy"));
        assert_eq!(rules(&"#".repeat(POLICY_BYTES_MAX + 1)).err(), Some(PolicyError::TooLong));
        let many = "path \"a\" {\n}\n".repeat(RULES_MAX);
        assert_eq!(rules(&many).unwrap().len(), RULES_MAX);
        assert_eq!(rules(&format!("{many}path \"a\" {{\n}}\n")).err(), Some(PolicyError::TooManyRules));
    }
}
