//! What parameters are taken for, and which are refused.

use super::*;

fn parsed(query: &str) -> Result<Asked, Refusal> {
    search(&Query::parse(query).unwrap())
}

#[test]
fn parameters_are_read() {
    let asked = parsed("since=2h&until=2026-11-21T09:00:00Z&caller=AB:").unwrap();
    assert_eq!(asked.since, Some(When::Ago(Duration::from_hours(2))));
    assert_eq!(asked.until, Some(When::At(Timestamp::parse_rfc3339("2026-11-21T09:00:00Z").unwrap())));
    assert_eq!((asked.newest_first, asked.limit), (true, PAGE_DEFAULT));
    assert_eq!(asked.filter.caller.as_deref(), Some("AB:"));
    let fingerprint = parsed(&format!("caller={}", ["AB"; 32].join(":"))).unwrap();
    assert_eq!(fingerprint.filter.caller, Some("ab".repeat(32)));
    assert!(!parsed("order=asc").unwrap().newest_first);
}

#[test]
fn what_is_malformed_is_refused() {
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    for query in [
        "since=yesterday",
        "since=-2h",
        "until=2026-13-01T00:00:00Z",
        "since=2026-11-21T09:00:00Z&until=2026-11-20T09:00:00Z",
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=-1",
        "order=up",
        "cursor=abc",
        "outcome=ok",
        "reference=sref_abcdefghijklmnopqrstuvwxyz234567",
        "reference=abcd",
        "children=maybe",
        "children=true&edge=true",
        "archive=maybe",
        &format!("text={long}"),
    ] {
        assert!(matches!(parsed(query), Err(Refusal::Invalid(_))), "{query}");
    }
}
