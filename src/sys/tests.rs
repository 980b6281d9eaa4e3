//! Every part's table through the one route, from a verb, a path and a body to an operation. Pure: nothing is run.

use std::collections::BTreeMap;

use super::mounts::{Class, MountPath, Operation as Mounts};
use super::namespaces::Operation as Namespaces;
use super::references::Operation as References;
use super::{Operation, Routed, internal_ui, route, rows};
use crate::answer::Refusal;
use crate::engine::table::{Call, Need, Verb};
use crate::fields::{Fields, Query};
use crate::mount::{Engine, MountConfig};
use crate::path::Path;
use crate::reference::Reference;

fn parse(verb: Verb, path: &str, body: &str) -> Result<Operation, Refusal> {
    let path = Path::new(path).unwrap();
    let query = Query::parse("").unwrap();
    let fields = Fields::parse(body.as_bytes(), None)?;
    match route(verb, &path) {
        Routed::Route(found) => {
            found.parse(&Call { verb, path: &path, captures: found.captures, query: &query, fields: &fields })
        }
        Routed::WrongVerb => Err(Refusal::UnsupportedOperation),
        Routed::Nothing => Err(Refusal::UnsupportedPath),
    }
}

fn mounts(verb: Verb, path: &str, body: &str) -> Result<Mounts, Refusal> {
    match parse(verb, path, body)? {
        Operation::Mounts(operation) => Ok(operation),
        _ => panic!("{path} is of another part"),
    }
}

fn namespaces(verb: Verb, path: &str, body: &str) -> Result<Namespaces, Refusal> {
    match parse(verb, path, body)? {
        Operation::Namespaces(operation) => Ok(operation),
        _ => panic!("{path} is of another part"),
    }
}

/// The text of a 400.
fn flaw<O>(result: Result<O, Refusal>) -> String {
    match result {
        Err(Refusal::Invalid(text)) => text,
        Err(other) => panic!("another refusal: {other:?}"),
        Ok(_) => panic!("was accepted"),
    }
}

#[test]
fn sudo_is_asked_where_openbao_asks_it() {
    for row in rows() {
        if row.pattern.starts_with("auth/") {
            assert_eq!(row.need, Need::Sudo, "{}", row.pattern);
        } else if row.pattern.ends_with("/legal-hold") {
            // Ours: what lays or lifts one is not what makes and deletes namespaces.
            assert_eq!(row.need, if row.verb == Verb::Read { Need::Verb } else { Need::Sudo }, "{}", row.pattern);
        } else if row.pattern.starts_with("mounts") || row.pattern.starts_with("namespaces") || row.pattern == "auth" {
            // OpenBao has no such thing.
            if row.pattern.ends_with("/accept-rollback") {
                assert_eq!(row.need, Need::Sudo);
                continue;
            }
            assert_eq!(row.need, Need::Verb, "{}", row.pattern);
        }
    }
}

#[test]
fn tune_is_told_from_a_mount_by_its_last_segment_in_all_three_spellings() {
    let token = MountPath::new(Class::Auth, "token").unwrap();
    for path in ["mounts/auth/token/tune", "auth/token/tune", "auth/token/tune/"] {
        assert!(matches!(mounts(Verb::Read, path, ""), Ok(Mounts::ReadTuning(of)) if of == token), "{path}");
        assert!(matches!(mounts(Verb::Write, path, "{}"), Ok(Mounts::Tune(of, _)) if of == token), "{path}");
        assert!(matches!(mounts(Verb::Delete, path, ""), Err(Refusal::UnsupportedOperation)), "{path}");
    }
    let deep = MountPath::new(Class::Secret, "a/b").unwrap();
    assert!(matches!(mounts(Verb::Read, "mounts/a/b/tune", ""), Ok(Mounts::ReadTuning(of)) if of == deep));
    assert!(matches!(mounts(Verb::Read, "mounts/a/b", ""), Ok(Mounts::Read(of)) if of == deep));
    assert!(matches!(mounts(Verb::Read, "mounts/tune", ""), Ok(Mounts::Read(_))));
}

#[test]
fn the_lists_take_no_other_verb() {
    assert!(matches!(mounts(Verb::Read, "mounts", ""), Ok(Mounts::List(Class::Secret))));
    assert!(matches!(mounts(Verb::Read, "auth/", ""), Ok(Mounts::List(Class::Auth))));
    for (verb, path) in [(Verb::Delete, "mounts"), (Verb::Write, "mounts/"), (Verb::Write, "auth"), (Verb::List, "mounts")] {
        assert!(matches!(parse(verb, path, ""), Err(Refusal::UnsupportedOperation)), "{verb:?} {path}");
    }
    assert!(matches!(parse(Verb::Read, "nosuch", ""), Err(Refusal::UnsupportedPath)));
}

/// The body of `bao secrets enable`, with values of other types as `bao write` sends them.
#[test]
fn an_enable_is_read_weakly_typed() {
    let body = r#"{"type":"kv","description":"main","config":{"options":null,"default_lease_ttl":"1h","max_lease_ttl":7200,
        "force_no_cache":"true","listing_visibility":"unauth","audit_non_hmac_request_keys":"a, b"},
        "local":"true","seal_wrap":false,"external_entropy_access":null,"options":{"version":2}}"#;
    let Ok(Mounts::Enable(path, new)) = mounts(Verb::Write, "mounts/secret/", body) else { panic!("no enable") };
    assert_eq!(path.whole(), "secret/");
    assert_eq!((new.engine, new.description.as_str()), (Engine::Kv2, "main"));
    assert_eq!((new.local, new.seal_wrap, new.external_entropy_access), (true, false, false));
    assert_eq!(new.options, BTreeMap::from([("version".to_owned(), "2".to_owned())]));
    let expected = MountConfig {
        default_lease_ttl_seconds: 3600,
        max_lease_ttl_seconds: 7200,
        force_no_cache: true,
        listing_visibility: Some("unauth".to_owned()),
        audit_non_hmac_request_keys: Some(vec!["a".to_owned(), "b".to_owned()]),
        ..MountConfig::default()
    };
    assert_eq!(new.config, expected);
    let Ok(Mounts::Enable(_, alias)) = mounts(Verb::Write, "mounts/s2", r#"{"type":"kv-v2","options":null}"#) else {
        panic!("no enable")
    };
    assert_eq!(alias.options.get("version").map(String::as_str), Some("2"));
    assert_eq!(alias.config, MountConfig::default());
}

#[test]
fn a_kv_mount_is_of_version_one_unless_it_says_otherwise() {
    for (body, engine, version) in [
        (r#"{"type":"kv"}"#, Engine::Kv1, None),
        (r#"{"type":"kv","options":{"version":"1"}}"#, Engine::Kv1, Some("1")),
        (r#"{"type":"kv","options":{"version":1}}"#, Engine::Kv1, Some("1")),
        (r#"{"type":"kv-v1"}"#, Engine::Kv1, Some("1")),
        (r#"{"type":"kv","options":{"version":"2"}}"#, Engine::Kv2, Some("2")),
        (r#"{"type":"kv-v2"}"#, Engine::Kv2, Some("2")),
    ] {
        let Ok(Mounts::Enable(_, new)) = mounts(Verb::Write, "mounts/x", body) else { panic!("no enable: {body}") };
        assert_eq!((new.engine, new.options.get("version").map(String::as_str)), (engine, version), "{body}");
    }
}

#[test]
fn an_enable_of_what_is_not_there_says_what_is() {
    for (path, body, text) in [
        ("mounts/x", "{}", "backend type must be specified as a string"),
        ("mounts/x", r#"{"type":""}"#, "backend type must be specified as a string"),
        ("mounts/x", r#"{"type":"nosuch"}"#, "plugin not found in the catalog: nosuch (built in: KV, as type"),
        ("mounts/x", r#"{"type":"kv","options":{"version":"3"}}"#, "unsupported: KV version 3 (built in: KV, as type"),
        ("mounts/x", r#"{"type":"kv","options":{"version":""}}"#, "unsupported: KV version  (built in"),
        ("mounts/x", r#"{"type":"cubbyhole"}"#, "mount type of \"cubbyhole\" is not mountable"),
        ("mounts/x", r#"{"type":"system"}"#, "mount type of \"system\" is not mountable"),
        ("mounts/x", r#"{"type":"kv-v2","config":[]}"#, ""),
        ("mounts/x", r#"{"type":"kv-v2","local":"perhaps"}"#, ""),
        ("mounts/x", r#"{"type":"kv-v2","config":{"default_lease_ttl":"soon"}}"#, "unable to parse default_lease_ttl"),
        (
            "mounts/x",
            r#"{"type":"kv-v2","config":{"default_lease_ttl":"2h","max_lease_ttl":"1h"}}"#,
            "given default lease TTL greater",
        ),
        ("mounts/x", r#"{"type":"kv-v2","config":{"listing_visibility":"all"}}"#, "invalid listing_visibility all"),
        ("mounts/x", r#"{"type":"kv-v2","plugin_version":"v1.0.0"}"#, "plugin_version"),
        ("mounts/sys/x", r#"{"type":"kv-v2"}"#, "cannot mount \"sys/x/\""),
        ("mounts/auth/x", r#"{"type":"kv-v2"}"#, "cannot mount \"auth/x/\""),
        ("auth/radius", r#"{"type":"radius"}"#, "plugin not found in the catalog: radius"),
        ("auth/kv", r#"{"type":"kv-v2"}"#, "plugin not found in the catalog: kv-v2"),
        ("auth/token", r#"{"type":"token"}"#, "token credential backend cannot be instantiated"),
    ] {
        let refused = flaw(mounts(Verb::Write, path, body));
        assert!(refused.starts_with(text), "{path} {body}: {refused}");
    }
    assert!(flaw(mounts(Verb::Delete, "mounts/sys", "")).starts_with("cannot unmount"));
}

#[test]
fn a_tuning_leaves_what_it_does_not_name() {
    let before = MountConfig {
        default_lease_ttl_seconds: 60,
        max_lease_ttl_seconds: 120,
        listing_visibility: Some("unauth".to_owned()),
        passthrough_request_headers: Some(vec!["X-Foo".to_owned()]),
        ..MountConfig::default()
    };
    let tuned = |body: &str| {
        let Mounts::Tune(_, tuning) = mounts(Verb::Write, "mounts/secret/tune", body)? else { panic!("no tuning") };
        let mut config = before.clone();
        tuning.apply(Engine::Kv2, &mut config).map(|()| config)
    };
    for body in ["{}", r#"{"options":null,"default_lease_ttl":"","max_lease_ttl":"","passthrough_request_headers":null}"#] {
        assert_eq!(tuned(body).unwrap(), before, "{body}");
    }
    let cleared =
        tuned(r#"{"default_lease_ttl":"system","max_lease_ttl":"0s","listing_visibility":"","passthrough_request_headers":[]}"#);
    assert_eq!(cleared.unwrap(), MountConfig::default());
    assert_eq!(tuned(r#"{"default_lease_ttl":"90"}"#).unwrap().default_lease_ttl_seconds, 90);
    assert!(flaw(tuned(r#"{"default_lease_ttl":"1h"}"#)).starts_with("given default lease TTL greater"));
    assert!(flaw(tuned(r#"{"token_type":"batch"}"#)).starts_with("'token_type'"));
    assert!(flaw(tuned(r#"{"max_lease_ttl":"-1s"}"#)).starts_with("unable to parse max_lease_ttl"));
}

#[test]
fn namespaces_are_named_by_one_plain_segment() {
    assert_eq!(namespaces(Verb::List, "namespaces/", "").unwrap(), Namespaces::List);
    assert_eq!(namespaces(Verb::Scan, "namespaces", "").unwrap(), Namespaces::Scan);
    assert_eq!(namespaces(Verb::Read, "namespaces/team1/", "").unwrap(), Namespaces::Read("team1".to_owned()));
    for name in ["root", "sys", "audit", "auth", "cubbyhole", "identity", "a b", "a*", "+", "x+y", &"n".repeat(129)] {
        flaw(namespaces(Verb::Write, &format!("namespaces/{name}"), ""));
    }
    assert_eq!(flaw(namespaces(Verb::Write, "namespaces/a/b", "")), "name must not contain /");
    assert_eq!(flaw(namespaces(Verb::Delete, "namespaces/a/b", "")), "name must not contain /");
    for verb in [Verb::Read, Verb::Write, Verb::Delete, Verb::Patch] {
        assert!(matches!(namespaces(verb, "namespaces", ""), Err(Refusal::UnsupportedOperation)), "{verb:?}");
    }
}

#[test]
fn namespace_metadata_is_strings_by_name() {
    let text = |text: &str| text.to_owned();
    let set = |body| namespaces(Verb::Write, "namespaces/team1", body);
    assert_eq!(set("").unwrap(), Namespaces::Set(text("team1"), BTreeMap::new(), None));
    let gold = Namespaces::Set(text("team1"), BTreeMap::from([(text("tier"), text("gold"))]), None);
    assert_eq!(set(r#"{"custom_metadata":{"tier":"gold"}}"#).unwrap(), gold);
    flaw(set(r#"{"custom_metadata":{"tier":["gold"]}}"#));
    assert!(flaw(set(r#"{"seals":[{"type":"awskms"}]}"#)).starts_with("unsupported"));
    let patch = |body| namespaces(Verb::Patch, "namespaces/team1", body);
    let changes = BTreeMap::from([(text("env"), Some(text("prod"))), (text("tier"), None)]);
    assert_eq!(
        patch(r#"{"custom_metadata":{"env":"prod","tier":null}}"#).unwrap(),
        Namespaces::Patch(text("team1"), changes, None)
    );
    assert_eq!(patch("{}").unwrap(), Namespaces::Patch(text("team1"), BTreeMap::new(), None));
    assert_eq!(flaw(patch(r#"{"custom_metadata":{"env":1}}"#)), "custom_metadata values must be strings");
}

#[test]
fn the_preflight_takes_any_path_and_needs_a_token() {
    let found = |path: &str| match parse(Verb::Read, path, "").unwrap() {
        Operation::InternalUi(operation) => operation,
        _ => panic!("{path} is of another part"),
    };
    assert_eq!(found("internal/ui/mounts"), internal_ui::Operation::Mounts);
    assert_eq!(found("internal/ui/mounts/secret/app/db/"), internal_ui::Operation::Preflight("secret/app/db".to_owned()));
    let need = |pattern: &str| rows().into_iter().find(|row| row.pattern == pattern).map(|row| row.need);
    assert_eq!(need("internal/ui/mounts"), Some(Need::Nobody));
    assert_eq!(need("internal/ui/mounts/:path*"), Some(Need::Token));
}

#[test]
fn only_well_formed_references_are_looked_up() {
    let resolve = |body: &str| match parse(Verb::Write, "references/resolve", body)? {
        Operation::References(References::Resolve(wanted)) => Ok(wanted.reference),
        _ => panic!("another operation"),
    };
    let reference = Reference::random();
    assert_eq!(resolve(&format!(r#"{{"reference":"{reference}"}}"#)).unwrap(), reference);
    assert!(flaw(resolve("{}")).starts_with("missing field"));
    assert!(flaw(resolve(r#"{"references":[]}"#)).starts_with("references: from 1"));
    let cut = reference.as_str().get(..36).unwrap();
    for body in [format!(r#"{{"reference":"{cut}"}}"#), r#"{"reference":"a/b"}"#.to_owned(), r#"{"reference":7}"#.to_owned()] {
        assert!(flaw(resolve(&body)).starts_with("malformed reference"), "{body}");
    }
}
