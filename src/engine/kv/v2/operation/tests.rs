use std::collections::BTreeMap;

use super::super::settings::{CustomChange, DeleteAfter};
use super::*;
use crate::engine::table::{Match, find};
use crate::path::Path;

/// What the table and the row's parser make of a call; `None` when there is no row.
fn parse(verb: Verb, path: &str, query: &str, body: &str) -> Option<Result<Operation, Refusal>> {
    let path = Path::new(path).unwrap();
    let Match::Row(row, captures) = find(TABLE, verb, &path) else { return None };
    let query = Query::parse(query).unwrap();
    let fields = Fields::parse(body.as_bytes(), None).unwrap();
    Some((row.parse)(&Call { verb, path: &path, captures, query: &query, fields: &fields }))
}

fn parsed(verb: Verb, path: &str, query: &str, body: &str) -> Operation {
    parse(verb, path, query, body).unwrap().unwrap_or_else(|refusal| panic!("{path}?{query} {body}: {refusal:?}"))
}

fn refused(verb: Verb, path: &str, query: &str, body: &str) -> Refusal {
    match parse(verb, path, query, body).unwrap() {
        Ok(_) => panic!("{path}?{query} {body}: accepted"),
        Err(refusal) => refusal,
    }
}

fn invalid(verb: Verb, path: &str, query: &str, body: &str) -> String {
    match refused(verb, path, query, body) {
        Refusal::Invalid(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn versions_in_a_query_are_weakly_typed() {
    for (query, expected) in [
        ("", None),
        ("version=", None),
        ("version=0", None),
        ("version=-3", None),
        ("version=2", Some(2)),
        ("version=%202", Some(2)),
        ("other=9", None),
    ] {
        let Operation::ReadData(path, version) = parsed(Verb::Read, "data/a/b", query, "") else { panic!("{query}") };
        assert_eq!((path.as_str(), version), ("a/b", expected), "{query}");
    }
    for query in ["version=x", "version=1.5", "version=99999999999999999999"] {
        assert!(invalid(Verb::Read, "data/a", query, "").contains("version"));
        assert!(invalid(Verb::Read, "subkeys/a", query, "").contains("version"));
    }
}

#[test]
fn a_write_keeps_the_text_of_its_value() {
    let body = r#"{"options":{"cas":"2"},"data":{ "n" : 1.50, "s":"\u0041" }}"#;
    for verb in [Verb::Write, Verb::Patch] {
        let (Operation::WriteData(path, value, options) | Operation::PatchData(path, value, options)) =
            parsed(verb, "data/app", "", body)
        else {
            panic!("{verb:?}")
        };
        assert_eq!(path, "app");
        assert_eq!(value.expose(), br#"{ "n" : 1.50, "s":"\u0041" }"#);
        assert_eq!(options, WriteOptions { cas: Some(2), reference: true });
    }
}

#[test]
fn options_may_be_absent_null_or_text() {
    let options = |options: &str| {
        let body = format!(r#"{{"data":{{}}{options}}}"#);
        let Operation::WriteData(_, _, options) = parsed(Verb::Write, "data/a", "", &body) else { panic!("{body}") };
        (options.cas, options.reference)
    };
    assert_eq!(options(""), (None, true));
    assert_eq!(options(r#","options":null"#), (None, true));
    assert_eq!(options(r#","options":{}"#), (None, true));
    assert_eq!(options(r#","options":{"cas":null}"#), (None, true));
    assert_eq!(options(r#","options":{"cas":0,"reference":"false"}"#), (Some(0), false));
    assert_eq!(options(r#","options":{"cas":-1,"reference":true}"#), (Some(-1), true));
}

#[test]
fn a_write_without_data_is_refused() {
    for verb in [Verb::Write, Verb::Patch] {
        for body in ["", r#"{"foo":"bar"}"#, r#"{"data":null}"#] {
            assert_eq!(invalid(verb, "data/a", "", body), "no data provided");
        }
        for body in [r#"{"data":"x"}"#, r#"{"data":[]}"#, r#"{"data":1}"#] {
            assert!(invalid(verb, "data/a", "", body).contains("data"), "{body}");
        }
        let text = invalid(verb, "data/a", "", r#"{"data":{},"options":{"cas":"x"}}"#);
        assert_eq!(text, "error parsing check-and-set parameter");
        assert!(invalid(verb, "data/a", "", r#"{"data":{},"options":[]}"#).contains("options"));
        assert_eq!(invalid(verb, "data/a/", "", r#"{"data":{}}"#), "cannot write to a path ending in '/'");
    }
}

#[test]
fn lists_of_versions_are_weakly_typed() {
    for path in ["delete/a/b", "undelete/a/b", "destroy/a/b"] {
        let list = |body: &str| match parsed(Verb::Write, path, "", body) {
            Operation::DeleteVersions(secret, versions)
            | Operation::UndeleteVersions(secret, versions)
            | Operation::DestroyVersions(secret, versions) => {
                assert_eq!(secret, "a/b");
                versions
            }
            _ => panic!("{path}"),
        };
        for body in [r#"{"versions":[6,7]}"#, r#"{"versions":["6","7"]}"#, r#"{"versions":"6,7"}"#] {
            assert_eq!(list(body), [6, 7], "{body}");
        }
        for body in ["", "{}", r#"{"versions":[]}"#, r#"{"versions":null}"#, r#"{"versions":""}"#] {
            assert_eq!(invalid(Verb::Write, path, "", body), "no version number provided", "{body}");
        }
        for body in [r#"{"versions":["x"]}"#, r#"{"versions":[-1]}"#, r#"{"versions":[1.5]}"#, r#"{"versions":{}}"#] {
            assert!(invalid(Verb::Write, path, "", body).contains("versions"), "{body}");
        }
    }
}

#[test]
fn settings_are_weakly_typed() {
    let body = r#"{"cas_required":"false","delete_version_after":"24h0m0s","max_versions":"7","metadata_cas_required":1}"#;
    let expected = SettingsChange {
        max_versions: Some(7),
        cas_required: Some(false),
        metadata_cas_required: Some(true),
        delete_version_after: Some(DeleteAfter::Seconds(86_400)),
    };
    let Operation::WriteConfig(change) = parsed(Verb::Write, "config", "", body) else { panic!() };
    assert_eq!(change, expected);
    for verb in [Verb::Write, Verb::Patch] {
        let (Operation::WriteMetadata(path, change) | Operation::PatchMetadata(path, change)) =
            parsed(verb, "metadata/a", "", body)
        else {
            panic!("{verb:?}")
        };
        assert_eq!((path.as_str(), change.settings, change.custom, change.cas), ("a", expected.clone(), None, None));
    }
    for body in [
        r#"{"max_versions":-1}"#,
        r#"{"max_versions":10001}"#,
        r#"{"max_versions":"x"}"#,
        r#"{"cas_required":"maybe"}"#,
        r#"{"delete_version_after":"soon"}"#,
    ] {
        for path in ["config", "metadata/a"] {
            assert!(!invalid(Verb::Write, path, "", body).is_empty(), "{body}");
        }
    }
}

#[test]
fn only_a_mount_can_forbid_versions_to_delete_themselves() {
    for body in [r#"{"delete_version_after":"-1s"}"#, r#"{"delete_version_after":-1}"#] {
        let Operation::WriteConfig(change) = parsed(Verb::Write, "config", "", body) else { panic!() };
        assert_eq!(change.delete_version_after, Some(DeleteAfter::Never), "{body}");
        assert!(invalid(Verb::Write, "metadata/a", "", body).contains("delete_version_after"));
    }
}

#[test]
fn custom_metadata_is_text_and_null_removes_it_in_a_patch() {
    let body = r#"{"custom_metadata":{"owner":null,"team":"y","n":5},"metadata_cas":"3"}"#;
    let Operation::PatchMetadata(_, change) = parsed(Verb::Patch, "metadata/a", "", body) else { panic!() };
    let expected = BTreeMap::from([("n", Some("5")), ("owner", None), ("team", Some("y"))]);
    let expected = expected.into_iter().map(|(name, value)| (name.to_owned(), value.map(str::to_owned))).collect();
    assert_eq!((change.custom, change.cas), (Some(CustomChange::Merge(expected)), Some(3)));

    let Operation::WriteMetadata(_, change) = parsed(Verb::Write, "metadata/a", "", r#"{"custom_metadata":{"a":"b"}}"#) else {
        panic!()
    };
    assert_eq!(change.custom, Some(CustomChange::Replace(BTreeMap::from([("a".to_owned(), "b".to_owned())]))));

    assert!(invalid(Verb::Write, "metadata/a", "", body).contains("custom_metadata validation failed"));
    for body in [r#"{"custom_metadata":{"a":[1]}}"#, r#"{"custom_metadata":{"a":{}}}"#, r#"{"custom_metadata":"x"}"#] {
        for verb in [Verb::Write, Verb::Patch] {
            assert!(invalid(verb, "metadata/a", "", body).contains("custom_metadata"), "{body}");
        }
    }
}

#[test]
fn null_takes_a_setting_back_in_a_patch_only() {
    let body = r#"{"max_versions":null,"cas_required":null,"delete_version_after":null,"custom_metadata":null}"#;
    let Operation::WriteMetadata(_, change) = parsed(Verb::Write, "metadata/a", "", body) else { panic!() };
    assert!(change.is_empty());
    let Operation::PatchMetadata(_, change) = parsed(Verb::Patch, "metadata/a", "", body) else { panic!() };
    assert_eq!(change.settings.max_versions, Some(0));
    assert_eq!(change.settings.cas_required, Some(false));
    assert_eq!(change.settings.delete_version_after, Some(DeleteAfter::Seconds(0)));
    assert_eq!(change.custom, Some(CustomChange::Replace(BTreeMap::new())));
    assert_eq!(change.settings.metadata_cas_required, None);
}

#[test]
fn directories_are_listed_with_and_without_a_slash() {
    for (path, expected) in [("metadata", ""), ("metadata/", ""), ("metadata/app", "app/"), ("metadata/app/x/", "app/x/")] {
        let Operation::List(directory, page) = parsed(Verb::List, path, "", "") else { panic!("{path}") };
        assert_eq!((directory.as_str(), page), (expected, Page::default()));
        let Operation::Scan(directory, page) = parsed(Verb::Scan, path, "after=b&limit=7", "") else { panic!("{path}") };
        assert_eq!((directory.as_str(), page), (expected, Page { after: "b".to_owned(), limit: Some(7) }));
    }
    for query in ["limit=0", "limit=-1", "limit=", "after="] {
        let Operation::List(_, page) = parsed(Verb::List, "metadata", query, "") else { panic!("{query}") };
        assert_eq!(page, Page::default(), "{query}");
    }
    assert!(invalid(Verb::List, "metadata", "limit=x", "").contains("limit"));
}

#[test]
fn subkeys_have_a_depth() {
    let Operation::ReadSubkeys { path, version, depth } = parsed(Verb::Read, "subkeys/a", "depth=2&version=3", "") else {
        panic!()
    };
    assert_eq!((path.as_str(), version, depth), ("a", Some(3), 2));
    assert!(invalid(Verb::Read, "subkeys/a", "depth=x", "").contains("depth"));
}

#[test]
fn a_client_of_version_one_is_told_which_command_to_use() {
    for (verb, path, command) in [
        (Verb::Read, "app/db", "get"),
        (Verb::Write, "app/db", "put"),
        (Verb::List, "", "list"),
        (Verb::List, "app/", "list"),
        (Verb::Delete, "app/db", "delete"),
    ] {
        let Operation::WrongPath(text) = parsed(verb, path, "", "") else { panic!("{path}") };
        assert_eq!(
            text,
            format!(
                "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. \
                 If using the OpenBao CLI, use 'bao kv {command}' for this operation."
            )
        );
    }
    for verb in [Verb::Patch, Verb::Scan] {
        assert!(parse(verb, "app/db", "", "").is_none());
    }
}

#[test]
fn a_path_of_ours_with_another_verb_is_unsupported() {
    for (verb, path) in [
        (Verb::List, "data/a"),
        (Verb::Read, "delete/a"),
        (Verb::Delete, "undelete/a"),
        (Verb::List, "subkeys/a"),
        (Verb::Delete, "config"),
    ] {
        assert!(matches!(refused(verb, path, "", ""), Refusal::UnsupportedOperation), "{path}");
    }
}

#[test]
fn a_secret_has_a_name() {
    for path in ["data", "data/", "metadata", "subkeys"] {
        assert!(matches!(parsed(Verb::Read, path, "", ""), Operation::WrongPath(_)), "{path}");
    }
    for path in ["data/a/", "metadata/a/", "subkeys/a/"] {
        assert!(matches!(refused(Verb::Read, path, "", ""), Refusal::NotFound), "{path}");
    }
    assert!(matches!(refused(Verb::Delete, "data/a/", "", ""), Refusal::NotFound));
}

proptest::proptest! {
    /// Whatever comes in, every row answers.
    #[test]
    fn parsing_never_panics(
        verb in proptest::sample::select(vec![Verb::Read, Verb::List, Verb::Scan, Verb::Write, Verb::Patch, Verb::Delete]),
        first in proptest::sample::select(OWN.to_vec()),
        rest in "(/[a-z]{0,2}){0,2}",
        query in "((version|depth|limit|after)=[-0-9a-z]{0,20}&?){0,3}",
        name in proptest::sample::select(vec!["data", "options", "versions", "max_versions", "cas_required", "delete_version_after", "custom_metadata", "metadata_cas"]),
        value in proptest::sample::select(vec!["null", "{}", "[]", "-1", "1e400", "\"\"", "\"9223372036854775808\"", "{\"cas\":{}}", "[[]]", "true", "\"-\"", "{\"\":null}"]),
    ) {
        if let Ok(path) = Path::new(&format!("{first}{rest}")) {
            let body = format!("{{\"{name}\":{value},\"data\":{{}}}}");
            if name != "data" {
                parse(verb, path.as_str(), &query, &body);
            }
            parse(verb, path.as_str(), &query, &format!("{{\"{name}\":{value}}}"));
        }
    }
}
