use super::*;
use crate::policy::Granted;

fn policy(text: &str) -> Arc<Policy> {
    Arc::new(Policy::parse("test", text).unwrap_or_else(|error| panic!("{text}: {error}")))
}

fn acl(texts: &[&str]) -> Acl {
    Acl::new(texts.iter().map(|text| policy(text)).collect(), &Identity::default(), Timestamp(0))
}

/// `pattern: capability capability; pattern: ..`
fn short(rules: &str) -> String {
    let rule = |rule: &str| {
        let (pattern, names) = rule.trim().rsplit_once(": ").unwrap();
        let names: Vec<String> = names.split(' ').map(|name| format!("{name:?}")).collect();
        format!("path {pattern:?} {{\n capabilities = [{}]\n}}\n", names.join(", "))
    };
    rules.split(';').map(rule).collect()
}

fn names(rules: &[&str], path: &str) -> String {
    let texts: Vec<String> = rules.iter().map(|rules| short(rules)).collect();
    acl(&texts.iter().map(String::as_str).collect::<Vec<_>>()).capabilities(path).names().join(" ")
}

#[test]
fn nothing_is_granted_by_default() {
    assert_eq!(acl(&[]).capabilities("a").names(), ["deny"]);
    assert!(Granted::by(&acl(&[""]), &Ask::new("a", Capability::Read)).is_none());
    assert!(!acl(&[]).sees_below("a/"));
}

#[test]
fn the_strongest_pattern_decides_alone() {
    for (rules, path, expected) in [
        ("a/b: read; a/*: update", "a/b", "read"),
        ("a/*: update; *: read", "a/b", "update"),
        ("a/b*: list; a/*: update", "a/bc", "list"),
        ("a/b*: list; a/*: update", "a/c", "update"),
        // The examples of the rules, in order: glob or wildcard further right, no glob, fewer wildcards, longer.
        ("foo/a*: read; foo/+: update", "foo/ab", "read"),
        ("foo/bar/+/baz: read; foo/+/bar/baz: update", "foo/bar/bar/baz", "read"),
        ("foo/+/bar: read; foo/+/ba*: update", "foo/x/bar", "read"),
        ("foo/+: read; foo/*: update", "foo/x", "read"),
        ("foo/+/baz/x: read; foo/+/+/x: update", "foo/y/baz/x", "read"),
        ("foo/+/bar/ba*: read; foo/+/bar/b*: update", "foo/x/bar/baz", "read"),
        ("a/+/+/ccc*: read; a/+/b/+/*: update", "a/x/b/ccc/y", "read"),
        ("foo/+/a: deny; foo/+/+: read", "foo/x/a", "deny"),
        ("foo/*: read; foo/+/a: deny", "foo/x/b", "read"),
    ] {
        assert_eq!(names(&[rules], path), expected, "{rules} on {path}");
        let (first, second) = rules.split_once(';').unwrap();
        assert_eq!(names(&[second, first], path), expected, "{rules} on {path}, as two policies");
    }
}

#[test]
fn equal_patterns_are_united_and_deny_wins() {
    assert_eq!(names(&["a/*: read", "a/*: update"], "a/b"), "read update");
    assert_eq!(names(&["a/+: read; a/+: list"], "a/b"), "list read");
    assert_eq!(names(&["a: read; a: deny", "a: update"], "a"), "deny");
    assert_eq!(names(&["a/*: deny", "a/*: update", "a/b: read"], "a/b"), "read");
}

#[test]
fn lists_take_patterns_with_and_without_the_slash() {
    let may = |rules: &str, path: &str| {
        let acl = acl(&[&short(rules)]);
        let answers = [Capability::List, Capability::Scan].map(|capability| acl.decide(&Ask::new(path, capability)));
        assert_eq!(answers[0], answers[1]);
        answers[0]
    };
    for path in ["a/b", "a/b/"] {
        assert!(may("a/b: list scan", path));
        assert!(may("a/b/: list scan", path));
        assert!(may("a/*: list scan", path));
        assert!(may("a/+: list scan", path));
        assert!(may("a/+: list scan; a/*: read", path));
        assert!(!may("a/b/: read; a/b: list scan", path));
        // A deny on all below covers listing it, though the broader rule matches without the slash.
        assert!(!may("a/*: list scan; a/b/*: deny", path));
        assert!(!may("a/*: list scan; a/b: deny", path));
        assert!(!may("a/*: list scan; a/+/*: deny; a/+: deny", path));
    }
    assert!(!acl(&[&short("a/b/: read")]).decide(&Ask::new("a/b", Capability::Read)));
}

#[test]
fn sudo_and_root() {
    let acl = acl(&[&short("a: read sudo; b: read; c: sudo")]);
    let sudo = |path| Ask { sudo: true, ..Ask::new(path, Capability::Read) };
    let granted = Granted::by(&acl, &sudo("a")).unwrap();
    assert_eq!((granted.path(), granted.capability(), granted.sudo()), ("a", Capability::Read, true));
    assert!(!acl.decide(&sudo("b")) && !acl.decide(&sudo("c")));
    assert!(Acl::root().decide(&sudo("anything")) && Acl::root().sees_below("x/") && !acl.is_root());
    assert_eq!(Acl::root().capabilities("x").names(), ["root"]);
}

#[test]
fn mounts_are_seen_by_who_has_something_there() {
    let sees = |rules: &str, prefix: &str| acl(&[&short(rules)]).sees_below(prefix);
    for rules in ["secret/data/a: read", "secret/data/*: read", "sec*: read", "+/data/a: read", "secret: list", "*: read"] {
        assert!(sees(rules, "secret/") && sees(rules, "secret"), "{rules}");
    }
    for rules in [
        "secre/data/a: read",
        "other/*: read",
        "secret/data/a: deny",
        "*: read; secret/*: deny",
        "secret2/*: read",
        "other/+: read",
    ] {
        assert!(!sees(rules, "secret/"), "{rules}");
    }
    // A grant on the same pattern in one policy is undone by a deny in another.
    assert!(!acl(&[&short("secret/a: read"), &short("secret/a: deny")]).sees_below("secret/"));
}

fn allowed(rules: &[&str], body: &str) -> bool {
    let texts: Vec<String> =
        rules.iter().map(|rule| format!("path \"a\" {{\ncapabilities = [\"update\", \"delete\"]\n{rule}\n}}")).collect();
    let acl = acl(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let fields = Fields::parse(body.as_bytes(), None).unwrap();
    let ask = |capability| Ask { parameters: Some(&fields), ..Ask::new("a", capability) };
    assert!(acl.decide(&ask(Capability::Delete)), "parameters do not count on a delete");
    acl.decide(&ask(Capability::Update))
}

#[test]
fn parameters_are_required_denied_and_allowed() {
    for (rule, body, expected) in [
        ("required_parameters = [\"X\"]", r#"{"x":1}"#, true),
        ("required_parameters = [\"x\"]", r#"{"y":1}"#, false),
        ("required_parameters = [\"x\"]", r#"{"x":null}"#, false),
        ("required_parameters = [\"x\"]", "", false),
        ("denied_parameters = { x = [] }", r#"{"x":1}"#, false),
        ("denied_parameters = { x = [] }", r#"{"X":1}"#, false),
        ("denied_parameters = { x = [] }", r#"{"y":1}"#, true),
        ("denied_parameters = { \"*\" = [] }", r#"{"y":1}"#, false),
        ("denied_parameters = { \"*\" = [] }", "", true),
        ("denied_parameters = { x = [\"ro*\"] }", r#"{"x":"root"}"#, false),
        ("denied_parameters = { x = [\"root\"] }", r#"{"x":["a","root"]}"#, false),
        ("denied_parameters = { x = [\"root\"] }", r#"{"x":"a, root"}"#, false),
        ("denied_parameters = { x = [\"root\"] }", r#"{"x":"ro\u006ft"}"#, false),
        ("denied_parameters = { x = [1] }", r#"{"x":"1"}"#, false),
        ("denied_parameters = { x = [\"root\"] }", r#"{"x":"rooted"}"#, true),
        ("allowed_parameters = { x = [] }", r#"{"x":[1]}"#, true),
        ("allowed_parameters = { x = [] }", r#"{"x":1,"y":1}"#, false),
        ("allowed_parameters = { x = [\"a\", \"*b*\"] }", r#"{"x":"cbc"}"#, true),
        ("allowed_parameters = { x = [\"a\", \"*b\"] }", r#"{"x":"cbc"}"#, false),
        ("allowed_parameters = { x = [\"a\"] }", r#"{"x":["a"]}"#, false),
        ("allowed_parameters = { x = [\"a\"] }", r#"{"x":null}"#, false),
        ("allowed_parameters = { x = [\"a\"], \"*\" = [] }", r#"{"x":"a","y":{}}"#, true),
        ("allowed_parameters = { x = [\"a\"], \"*\" = [] }", r#"{"x":"b"}"#, false),
        ("allowed_parameters = { x = [\"a\"] }", "", true),
        ("allowed_parameters = { x = [] }\ndenied_parameters = { x = [\"b\"] }", r#"{"x":"b"}"#, false),
    ] {
        assert_eq!(allowed(&[rule], body), expected, "{rule} on {body}");
    }
    // Two policies: values are united, restrictions of either hold.
    assert!(allowed(
        &["allowed_parameters = { x = [\"a\"] }", "allowed_parameters = { x = [\"b\"], y = [] }"],
        r#"{"x":"b","y":1}"#
    ));
    assert!(!allowed(&["allowed_parameters = { x = [\"a\"] }", ""], r#"{"y":1}"#));
    assert!(!allowed(&["denied_parameters = { x = [\"a\"] }", ""], r#"{"x":"a"}"#));
    assert!(!allowed(&["required_parameters = [\"x\"]", "required_parameters = [\"y\"]"], r#"{"x":1}"#));
    assert!(allowed(&["allowed_parameters = { x = [\"a\"] }", "allowed_parameters = { x = [] }"], r#"{"x":"z"}"#));
}

#[test]
fn wrapping_is_bounded() {
    let text = |least: u32, most: u32| {
        format!("path \"a\" {{\ncapabilities = [\"read\"]\nmin_wrapping_ttl = {least}\nmax_wrapping_ttl = \"{most}s\"\n}}")
    };
    let may = |texts: &[String], seconds: Option<u64>| {
        let acl = acl(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        acl.decide(&Ask { wrap_ttl: seconds.map(Duration::from_secs), ..Ask::new("a", Capability::Read) })
    };
    for (seconds, expected) in [(None, false), (Some(9), false), (Some(10), true), (Some(60), true), (Some(61), false)] {
        assert_eq!(may(&[text(10, 60)], seconds), expected, "{seconds:?}");
    }
    assert!(may(&[text(0, 0)], None));
    assert!(may(&[text(10, 60), text(5, 7)], Some(7)));
    assert!(!may(&[text(10, 60), text(5, 7)], Some(8)));
    assert!(!may(&[text(10, 60), text(5, 7)], None));
}

#[test]
fn templates_match_literally_as_part_of_one_segment() {
    let text = "path \"secret/{{ identity.entity.id }}/*\" {\ncapabilities = [\"read\"]\n}\npath \"free\" {\ncapabilities = [\"read\"]\n}";
    let with = |value: Option<&str>| {
        let mut identity = Identity::default();
        if let Some(value) = value {
            identity.set("identity.entity.id", value);
        }
        Acl::new(vec![policy(text)], &identity, Timestamp(0))
    };
    let alice = with(Some("alice"));
    assert!(alice.capabilities("secret/alice/x").grants(Capability::Read));
    assert!(!alice.capabilities("secret/bob/x").grants(Capability::Read));
    assert!(alice.capabilities("free").grants(Capability::Read) && alice.broken_template().is_none());
    for bad in [Some(""), Some("*"), Some("+"), Some("a*"), Some("a/b"), Some("a\n")] {
        let acl = with(bad);
        for path in ["secret/alice/x", "secret/x/y", "secret//x", "free"] {
            assert!(!acl.decide(&Ask::new(path, Capability::Read)), "{bad:?} {path}");
        }
        assert!(!acl.sees_below("secret/") && !acl.sees_below("free"));
        assert_eq!(acl.broken_template(), Some("identity.entity.id"));
    }
    // Who is nobody has no paths of its own; a rule that denies them may still mean something, so nothing is granted then.
    let nobody = with(None);
    assert!(nobody.capabilities("free").grants(Capability::Read) && nobody.broken_template().is_none());
    assert!(!nobody.capabilities("secret/alice/x").grants_something());
    for other in [
        "path \"x/{{identity.entity.id}}\" {\npolicy = \"deny\"\n}",
        "path \"x/{{identity.entity.metadata.m}}\" {\npolicy = \"read\"\n}",
    ] {
        let acl = Acl::new(vec![policy(text), policy(other)], &Identity::default(), Timestamp(0));
        assert!(!acl.decide(&Ask::new("free", Capability::Read)) && acl.broken_template().is_some(), "{other}");
    }
    assert!(!with(Some("{{identity.entity.id}}")).capabilities("secret/alice/x").grants_something());
}

#[test]
fn expired_rules_are_as_if_not_written() {
    let text = "path \"a/b\" {\npolicy = \"deny\"\nexpiration = \"1970-01-01T00:00:10Z\"\n}\npath \"a/*\" {\npolicy = \"read\"\nexpiration = \"1970-01-01T00:00:20Z\"\n}";
    let at = |seconds: i64| Acl::new(vec![policy(text)], &Identity::default(), Timestamp(seconds * 1_000_000_000));
    let reads = |acl: &Acl| acl.decide(&Ask::new("a/b", Capability::Read));
    assert_eq!((reads(&at(9)), at(9).valid_until()), (false, Some(Timestamp(10_000_000_000))));
    assert_eq!((reads(&at(10)), at(10).valid_until()), (true, Some(Timestamp(20_000_000_000))));
    assert_eq!((reads(&at(20)), at(20).valid_until()), (false, None));
}

#[test]
fn of_a_role_only_that_counts_which_holds_for_everybody() {
    let text = short("secret/a: read; secret/{{identity.entity.name}}: update; own/+/{{identity.entity.id}}: list");
    let acl = Acl::without_templates(vec![policy(&text)], Timestamp(0));
    assert_eq!(acl.capabilities("secret/a").names(), ["read"]);
    assert_eq!(acl.capabilities("secret/b").names(), ["deny"]);
    assert!(acl.broken_template().is_none());
    // A wildcard before the template may be anything.
    assert!(policy(&text).depends_on_caller("own/x/y"));
    let templated = policy(&short("secret/{{identity.entity.name}}: read"));
    assert!(templated.depends_on_caller("secret/a") && !templated.depends_on_caller("other/a"));
    assert!(!policy(&short("secret/a: read")).depends_on_caller("secret/a"));
}
