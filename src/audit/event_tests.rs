//! Tests of the canonical form of events.

use proptest::prelude::*;

use super::*;

fn full() -> Event {
    Event {
        time: Timestamp(1_795_251_600_123_456_789),
        request: "7f0e7d0c-9c4d-4a59-8f5c-0b7b3f6d2a11".into(),
        tenant: TenantId([0x11; 16]),
        caller: Some(Arc::new(Caller {
            tenant: TenantId([0x22; 16]),
            accessor: "Wq3k0aKcB2XnqXJr8R9yT5vZ".to_owned(),
            display_name: "approle-\"billing\"".to_owned(),
            policies: vec!["default".to_owned(), "service".to_owned()],
            kind: Word::new("service"),
            entity: None,
        })),
        certificate: Some([0xab; 32]),
        operation: Word::new("write"),
        path: "secret/data/tenants/42/connector".into(),
        mount_type: Some(Word::new("kv")),
        read_version: Some(6),
        written_version: Some(7),
        reference: Some([0x5a; 32]),
        status: 403,
        error: Some(error_class(&Refusal::Denied)),
        remote: Some("[::1]:4711".parse().unwrap()),
        headers: BTreeMap::new(),
        detail: Some("line\nbreak".to_owned()),
    }
}

/// With all that version 2 added.
fn second() -> Event {
    let caller = Caller { entity: Some("e1".to_owned()), ..full().caller.as_deref().unwrap().clone() };
    let headers = [("x-a", vec!["1".to_owned(), "hmac-sha256:00".to_owned()]), ("x-\"b\"", Vec::new())];
    let headers = headers.map(|(name, values)| (name.to_owned(), values)).into();
    Event { caller: Some(Arc::new(caller)), headers, ..full() }
}

fn bytes(event: &Event) -> Vec<u8> {
    let mut out = Vec::new();
    event.canonical([7; 16], &mut out);
    out
}

/// Old logs must verify for ever: these texts may only be added to.
#[test]
fn the_form_is_fixed() {
    let hex = |digits: &str, times: usize| digits.repeat(times);
    let expected = format!(
        concat!(
            r#"{{"nonce":"{nonce}","v":1,"time":"2026-11-21T09:00:00.123456789Z","#,
            r#""request":"7f0e7d0c-9c4d-4a59-8f5c-0b7b3f6d2a11","tenant":"{tenant}","#,
            r#""caller":{{"tenant":"{home}","accessor":"Wq3k0aKcB2XnqXJr8R9yT5vZ","display_name":"approle-\"billing\"","#,
            r#""policies":["default","service"],"kind":"service"}},"certificate":"{certificate}","operation":"write","#,
            r#""path":"secret/data/tenants/42/connector","mount_type":"kv","read_version":6,"written_version":7,"#,
            r#""reference":"{reference}","status":403,"error":"denied","remote":"[::1]:4711","detail":"line\nbreak"}}"#
        ),
        nonce = hex("07", 16),
        tenant = hex("11", 16),
        home = hex("22", 16),
        certificate = hex("ab", 32),
        reference = hex("5a", 32),
    );
    assert_eq!(String::from_utf8(bytes(&full())).unwrap(), expected);
}

#[test]
fn the_second_form_adds_the_entity_and_headers() {
    let first = String::from_utf8(bytes(&full())).unwrap();
    let expected = first
        .replacen(r#""v":1"#, r#""v":2"#, 1)
        .replacen(r#""kind":"service"}"#, r#""kind":"service","entity":"e1"}"#, 1)
        .replacen(r#","detail""#, r#","headers":{"x-\"b\"":[],"x-a":["1","hmac-sha256:00"]},"detail""#, 1);
    assert_eq!(String::from_utf8(bytes(&second())).unwrap(), expected);
    assert_eq!(Event::parse(expected.as_bytes()).unwrap(), ([7; 16], second()));
}

#[test]
fn an_event_without_optional_fields_leaves_them_out() {
    let event = Event {
        caller: None,
        certificate: None,
        mount_type: None,
        read_version: None,
        written_version: None,
        reference: None,
        error: None,
        remote: None,
        detail: None,
        time: Timestamp(0),
        ..full()
    };
    let expected = format!(
        r#"{{"nonce":"{}","v":1,"time":"1970-01-01T00:00:00Z","request":"{}","tenant":"{}","operation":"write","path":"{}","status":403}}"#,
        "07".repeat(16),
        event.request,
        event.tenant,
        event.path
    );
    assert_eq!(String::from_utf8(bytes(&event)).unwrap(), expected);
    assert_eq!(Event::parse(expected.as_bytes()).unwrap(), ([7; 16], event));
}

#[test]
fn events_beside_each_other_are_written_as_if_they_were_alone() {
    for first in [full(), second(), Event { remote: None, ..full() }] {
        let common = Common::of(&first);
        let refused =
            Event { status: 404, error: Some(Word::new("not_found")), read_version: None, detail: None, ..first.clone() };
        for event in [&first, &refused, &Event { reference: None, error: None, ..first.clone() }] {
            assert!(event.is_beside(&first));
            let mut out = Vec::new();
            event.canonical_with(&common, [7; 16], &mut out);
            assert_eq!(out, bytes(event));
        }
        for other in [
            Event { time: Timestamp(1), ..first.clone() },
            Event { path: "elsewhere".into(), ..first.clone() },
            Event { caller: None, ..first.clone() },
            Event { request: "another".into(), ..first.clone() },
            Event { certificate: None, ..first.clone() },
            Event { remote: Some("127.0.0.1:1".parse().unwrap()), ..first.clone() },
            Event { headers: [("x-c".to_owned(), Vec::new())].into(), ..first.clone() },
        ] {
            assert!(!other.is_beside(&first));
        }
    }
}

#[test]
fn what_is_not_canonical_does_not_parse() {
    let good = String::from_utf8(bytes(&full())).unwrap();
    assert!(Event::parse(good.as_bytes()).is_ok());
    for (what, from, to) in [
        ("a space", "\"v\":1", "\"v\": 1"),
        ("an unknown field", "\"status\":", "\"value\":1,\"status\":"),
        ("an escape that is not needed", "secret/data", "secret\\/data"),
        ("upper-case digits", "abab", "ABAB"),
        ("another number of digits", "abab", "ab"),
        ("another form of the time", "123456789Z", "123456789+00:00"),
        ("null for absent", "\"read_version\":6", "\"read_version\":null"),
        (
            "fields in another order",
            "\"v\":1,\"time\":\"2026-11-21T09:00:00.123456789Z\"",
            "\"time\":\"2026-11-21T09:00:00.123456789Z\",\"v\":1",
        ),
        ("a field twice", "\"v\":1", "\"v\":1,\"v\":1"),
        ("a missing field", "\"status\":403,", ""),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{what}: the test changes nothing");
        assert!(Event::parse(bad.as_bytes()).is_err(), "{what} was accepted");
    }
    let newer = good.replacen("\"v\":1", "\"v\":3", 1);
    assert!(matches!(Event::parse(newer.as_bytes()), Err(EventError::Version(3))));
    // An event has one form: the oldest that can say all of it.
    let needless = good.replacen("\"v\":1", "\"v\":2", 1);
    assert!(matches!(Event::parse(needless.as_bytes()), Err(EventError::NotCanonical)));
    let late = String::from_utf8(bytes(&second())).unwrap().replacen("\"v\":2", "\"v\":1", 1);
    assert!(matches!(Event::parse(late.as_bytes()), Err(EventError::NotCanonical)));
}

/// Refusals whose text may quote the client, and the words that stand for them.
#[test]
fn a_refusal_leaves_a_class_and_no_text() {
    let quoting = "field s3cr3t is not known".to_owned();
    for refusal in [
        Refusal::Invalid(quoting.clone()),
        Refusal::Forbidden(quoting.clone()),
        Refusal::NoMount(quoting.clone()),
        Refusal::Missing(quoting.clone()),
        Refusal::TooMany(quoting.clone()),
        Refusal::Internal(quoting.clone()),
        Refusal::Unavailable(quoting.clone()),
        Refusal::UnsupportedMedia(quoting),
    ] {
        let word = error_class(&refusal);
        assert!(word.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{word:?}");
        assert!(!word.as_str().contains("s3cr3t"));
    }
}

proptest! {
    #[test]
    fn any_event_survives_its_canonical_form(
        nonce in any::<[u8; 16]>(),
        time in any::<i64>(),
        path in any::<String>(),
        name in any::<String>(),
        policies in proptest::collection::vec(any::<String>(), 0..5),
        versions in any::<(Option<u64>, Option<u64>)>(),
        hashes in any::<(Option<[u8; 32]>, Option<[u8; 32]>)>(),
        detail in any::<Option<String>>(),
        status in any::<u16>(),
        remote in any::<Option<std::net::SocketAddrV4>>(),
        anonymous in any::<bool>(),
        entity in any::<Option<String>>(),
        headers in proptest::collection::btree_map(any::<String>(), proptest::collection::vec(any::<String>(), 0..3), 0..3),
    ) {
        let caller = Caller { display_name: name, policies, entity, ..full().caller.as_deref().unwrap().clone() };
        let event = Event {
            time: Timestamp(time),
            path: path.into(),
            caller: (!anonymous).then(|| Arc::new(caller)),
            read_version: versions.0,
            written_version: versions.1,
            certificate: hashes.0,
            reference: hashes.1,
            remote: remote.map(SocketAddr::V4),
            headers,
            detail,
            status,
            ..full()
        };
        let mut out = Vec::new();
        event.canonical(nonce, &mut out);
        prop_assert_eq!(Event::parse(&out).unwrap(), (nonce, event));
    }

    #[test]
    fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in any::<proptest::sample::Index>(), flip in 1..=255_u8) {
        prop_assert!(Event::parse(&bytes).is_err());
        let mut damaged = self::bytes(&full());
        let at = at.index(damaged.len());
        damaged[at] ^= flip;
        if let Ok((nonce, event)) = Event::parse(&damaged) {
            prop_assert!((nonce, event) != ([7; 16], full()), "a changed byte went unnoticed");
        }
    }
}

/// Prints what an event costs: `cargo test --release -- --ignored --nocapture event_cost`.
#[test]
#[ignore = "a measurement, not a check"]
fn event_cost() {
    let rounds: u32 = 200_000;
    let event = full();
    let mut out = Vec::with_capacity(1024);
    let start = std::time::Instant::now();
    for _ in 0..rounds {
        out.clear();
        std::hint::black_box(&event).canonical([7; 16], &mut out);
        std::hint::black_box(&out);
    }
    println!("canonical: {:?} an event of {} bytes", start.elapsed() / rounds, out.len());
    let start = std::time::Instant::now();
    for _ in 0..rounds {
        std::hint::black_box(crate::audit::merkle::leaf_hash(std::hint::black_box(&out)));
    }
    println!("leaf hash: {:?}", start.elapsed() / rounds);
}
