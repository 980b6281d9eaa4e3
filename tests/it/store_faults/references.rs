//! References that count their uses.

use serde_json::json;

use super::play::Play;
use crate::support::in_process::Ask;

pub(super) async fn a_reference_is_resolved_as_often_as_it_may_be(play: &Play<'_>) {
    let path = format!("secret/data/{}", play.name);
    play.prepare(200, Ask::root("POST", &path, Some(json!({"data": {"k": play.name}})))).await;
    let mint = || Ask::root("POST", "sys/references/mint", Some(json!({"path": path, "uses": 2})));
    let named = |operation: &'static str, reference: &str| {
        let path = if operation == "resolve" { "sys/references/resolve" } else { "sys/references/describe" };
        Ask::root("POST", path, Some(json!({"reference": reference})))
    };
    play.begin();
    let minted = play.act(mint()).await;
    minted.only(200);
    let minted = match minted.with(200) {
        Some(minted) => minted.clone(),
        None => play.again(mint()).await.1,
    };
    let reference = minted["data"]["reference"].as_str().unwrap();
    let first = play.act(named("resolve", reference)).await;
    play.over();
    first.only(200);
    if let Some(resolved) = first.with(200) {
        assert_eq!(resolved["data"]["data"], json!({"k": play.name}), "{}", play.name);
    }

    let (_, told) = play.shown(|| named("describe", reference)).await;
    let left = told["uses_left"].as_u64().unwrap();
    let expected = if first.is_answered() {
        1..=1
    } else if first.is_undone() {
        2..=2
    } else {
        1..=2
    };
    assert!(expected.contains(&left), "{}: {left} uses are left", play.name);
    for _ in 0..left {
        let (status, resolved) = play.again(named("resolve", reference)).await;
        assert_eq!((status, &resolved["data"]["data"]), (200, &json!({"k": play.name})), "{}: {resolved}", play.name);
    }
    assert_eq!(play.shown(|| named("resolve", reference)).await.0, 403, "{}", play.name);
}
