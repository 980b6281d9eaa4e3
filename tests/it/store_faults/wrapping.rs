//! Answers that are put away, and taken out once.

use serde_json::json;

use super::play::Play;
use crate::support::in_process::Ask;

pub(super) async fn what_was_put_away_is_taken_out_once(play: &Play<'_>) {
    let wrap = || Ask { wrap_ttl: Some("600"), ..Ask::root("POST", "sys/wrapping/wrap", Some(json!({"k": play.name}))) };
    let unwrap = |token: &str| Ask::root("POST", "sys/wrapping/unwrap", Some(json!({"token": token})));
    play.begin();
    let wrapped = play.act(wrap()).await;
    wrapped.only(200);
    let wrapped = match wrapped.with(200) {
        Some(wrapped) => wrapped.clone(),
        None => play.again(wrap()).await.1,
    };
    let token = wrapped["wrap_info"]["token"].as_str().unwrap();
    let first = play.act(unwrap(token)).await;
    play.over();
    first.only(200);
    if let Some(opened) = first.with(200) {
        assert_eq!(opened["data"], json!({"k": play.name}), "{}", play.name);
    }

    let (status, second) = play.again(unwrap(token)).await;
    if first.is_answered() {
        assert_eq!(status, 400, "{}: taken out twice: {second}", play.name);
    } else if status == 200 {
        assert_eq!(second["data"], json!({"k": play.name}), "{}", play.name);
    } else {
        // Who was told nothing may have taken it out.
        assert_eq!((status, first.is_undone()), (400, false), "{}: {second}", play.name);
    }
    assert_eq!(play.shown(|| unwrap(token)).await.0, 400, "{}", play.name);
}
