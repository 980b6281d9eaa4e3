//! Tests of filters: by hand, and that terms and the quick look never exclude what matches.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::audit::event::{Caller, Word};
use crate::audit::summary::{encode, may_have, terms};
use crate::id::TenantId;
use crate::time::Timestamp;

fn event(path: &str, accessor: &str, status: u16) -> Event {
    let caller = Caller {
        tenant: TenantId([2; 16]),
        accessor: accessor.to_owned(),
        display_name: "token-\"q\"".to_owned(),
        policies: vec!["service".to_owned()],
        kind: Word::new("service"),
        entity: Some("7f0e7d0c-entity".to_owned()),
    };
    Event {
        caller: Some(Arc::new(caller)),
        certificate: Some([0xab; 32]),
        path: path.into(),
        status,
        error: (status == 403).then(|| Word::new("denied")),
        reference: Some([0x5a; 32]),
        remote: Some("[::1]:4711".parse().unwrap()),
        ..Event::of_job(Timestamp(7), TenantId([1; 16]), Word::new("read"), "Some Words".to_owned())
    }
}

fn canonical(event: &Event) -> Vec<u8> {
    let mut bytes = Vec::new();
    event.canonical([7; 16], &mut bytes);
    bytes
}

fn takes(filter: &Filter, event: &Event) -> bool {
    let bytes = canonical(event);
    let matches = filter.matches(event, &bytes);
    let summary = encode(terms(event));
    if matches {
        assert!(filter.sieve().may_match(&bytes, &mut String::new()), "{filter:?} {event:?}");
        assert!(filter.terms().iter().all(|term| may_have(&summary, *term)), "{filter:?} {event:?}");
    }
    matches
}

#[test]
fn every_condition_takes_and_refuses() {
    let event = event("team/secret/data/a/b", "acc", 403);
    let some = |text: &str| Some(text.to_owned());
    let cases = [
        (Filter { path: some("team/secret/data/a/b"), ..Filter::default() }, true),
        (Filter { path: some("team/secret/data/a"), ..Filter::default() }, false),
        (Filter { prefix: some("team/secret/data/a"), ..Filter::default() }, true),
        (Filter { prefix: some("team/"), ..Filter::default() }, true),
        (Filter { prefix: some("te"), ..Filter::default() }, true),
        (Filter { prefix: some("secret/"), ..Filter::default() }, false),
        (Filter { caller: some("acc"), ..Filter::default() }, true),
        (Filter { entity: some("7f0e7d0c-entity"), ..Filter::default() }, true),
        (Filter { entity: some("acc"), ..Filter::default() }, false),
        (Filter { caller: some("token-\"q\""), ..Filter::default() }, true),
        (Filter { caller: Some("ab".repeat(32)), ..Filter::default() }, true),
        (Filter { caller: some("::1"), ..Filter::default() }, true),
        (Filter { caller: some("ac"), ..Filter::default() }, false),
        (Filter { operation: some("read"), ..Filter::default() }, true),
        (Filter { operation: some("write"), ..Filter::default() }, false),
        (Filter { outcome: Some(Outcome::Refused), ..Filter::default() }, true),
        (Filter { outcome: Some(Outcome::Done), ..Filter::default() }, false),
        (Filter { outcome: Some(Outcome::Failed), ..Filter::default() }, false),
        (Filter { outcome: Some(Outcome::Status(403)), ..Filter::default() }, true),
        (Filter { outcome: Some(Outcome::Status(404)), ..Filter::default() }, false),
        (Filter { error: some("denied"), ..Filter::default() }, true),
        (Filter { error: some("invalid"), ..Filter::default() }, false),
        (Filter { reference: Some([0x5a; 32]), ..Filter::default() }, true),
        (Filter { reference: Some([0; 32]), ..Filter::default() }, false),
        (Filter { request: Some(event.request.to_string()), ..Filter::default() }, true),
        (Filter { request: some("other"), ..Filter::default() }, false),
        (Filter { text: some("some wORDS"), ..Filter::default() }, true),
        (Filter { text: some("0707"), ..Filter::default() }, false),
        (Filter { operation: some("read"), path: some("x"), ..Filter::default() }, false),
    ];
    for (filter, expected) in cases {
        assert_eq!(takes(&filter, &event), expected, "{filter:?}");
    }
}

#[test]
fn outcomes_are_words_or_statuses() {
    for text in ["", "ok", "99", "600", "4x", "-1", "Done"] {
        assert_eq!(Outcome::parse(text), None, "{text}");
    }
    assert_eq!(Outcome::parse("503"), Some(Outcome::Status(503)));
}

proptest! {
    /// Short alphabets, so that conditions hold often. `takes` compares the quick ways with the exact one.
    #[test]
    fn quick_ways_never_exclude_what_matches(
        path in "[a\"/]{0,6}",
        accessor in "[ab\\\\]{0,2}",
        status in prop_oneof![Just(200_u16), Just(403), Just(503)],
        (wanted_path, wanted_prefix, wanted_caller) in ("[a\"/]{0,6}", "[a\"/]{0,3}", "[ab\\\\]{0,2}"),
        outcome in prop_oneof![Just(Outcome::Done), Just(Outcome::Refused), Just(Outcome::Failed), Just(Outcome::Status(403))],
        mask in 0..16_u8,
    ) {
        let event = event(&path, &accessor, status);
        let when = |bit: u8, value: String| (mask & bit != 0).then_some(value);
        let filter = Filter {
            path: when(1, wanted_path),
            prefix: when(2, wanted_prefix),
            caller: when(4, wanted_caller),
            outcome: (mask & 8 != 0).then_some(outcome),
            ..Filter::default()
        };
        takes(&filter, &event);
    }
}
