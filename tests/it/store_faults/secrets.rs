//! Values of KV: written, written if they are still as they were read, deleted.

use serde_json::json;

use super::play::Play;
use crate::support::in_process::Ask;

pub(super) async fn a_write_is_there_wholly_or_not_at_all(play: &Play<'_>) {
    // In a folder of its own, which appears with it.
    let path = format!("secret/data/{}/a", play.name);
    let listed = format!("secret/metadata/{}", play.name);
    let write = || Ask::root("POST", &path, Some(json!({"data": {"k": play.name}})));
    let read = || Ask::root("GET", &path, None);
    play.begin();
    let written = play.act(write()).await;
    let found = play.act(read()).await;
    play.over();
    written.only(200);

    let (status, shown) = play.shown(read).await;
    let there = status == 200;
    assert!(there || written.with(200).is_none(), "{}: it was answered, and is not there", play.name);
    assert!(!(there && written.is_undone()), "{}: nothing was to be changed", play.name);
    if found.is_answered() {
        assert_eq!(found.with(200).is_some(), there, "{}", play.name);
    }
    if there {
        assert_eq!((&shown["data"], &shown["metadata"]["version"]), (&json!({"k": play.name}), &json!(1)), "{}", play.name);
    }
    let (status, names) = play.shown(|| Ask::root("LIST", &listed, None)).await;
    assert_eq!(status, if there { 200 } else { 404 }, "{}: {names}", play.name);
    assert_eq!(play.events(&path, "write", 200).await, usize::from(there), "{}", play.name);

    let (status, again) = play.again(write()).await;
    assert_eq!((status, &again["data"]["version"]), (200, &json!(1 + u64::from(there))), "{}: {again}", play.name);
    let (_, shown) = play.shown(read).await;
    assert_eq!(shown["metadata"]["version"], 1 + u64::from(there), "{}", play.name);
    assert_eq!(play.shown(|| Ask::root("LIST", &listed, None)).await.1["keys"], json!(["a"]), "{}", play.name);
}

pub(super) async fn a_check_and_set_is_done_once(play: &Play<'_>) {
    let path = format!("secret/data/{}", play.name);
    let write = |value: &str| Ask::root("POST", &path, Some(json!({"options": {"cas": 1}, "data": {"k": value}})));
    let read = || Ask::root("GET", &path, None);
    play.prepare(200, Ask::root("POST", &path, Some(json!({"data": {"k": "before"}})))).await;
    play.begin();
    // 400 would say that somebody else was there, and nobody else is.
    let written = play.act(write("after")).await;
    play.over();
    written.only(200);

    let (status, shown) = play.shown(read).await;
    let done = shown["metadata"]["version"] == 2;
    assert_eq!((status, &shown["data"]["k"]), (200, &json!(if done { "after" } else { "before" })), "{}", play.name);
    assert!(done || written.with(200).is_none(), "{}: it was answered, and is not there", play.name);
    assert!(!(done && written.is_undone()), "{}: nothing was to be changed", play.name);
    let (status, body) = play.again(write("again")).await;
    assert_eq!(status, if done { 400 } else { 200 }, "{}: {body}", play.name);
    let (_, shown) = play.shown(read).await;
    let expected = json!(if done { "after" } else { "again" });
    assert_eq!((&shown["metadata"]["version"], &shown["data"]["k"]), (&json!(2), &expected), "{}", play.name);
    assert_eq!(play.events(&path, "write", 200).await, 2, "{}", play.name);
}

pub(super) async fn a_deletion_is_done_or_not(play: &Play<'_>) {
    let [data, metadata] = ["data", "metadata"].map(|part| format!("secret/{part}/{}/a", play.name));
    let listed = format!("secret/metadata/{}", play.name);
    let read = || Ask::root("GET", &data, None);
    play.prepare(200, Ask::root("POST", &data, Some(json!({"data": {"k": "v"}})))).await;
    play.begin();
    let deleted = play.act(Ask::root("DELETE", &data, None)).await;
    let removed = play.act(Ask::root("DELETE", &metadata, None)).await;
    play.over();
    deleted.only(204);
    removed.only(204);

    let (status, shown) = play.shown(read).await;
    let there = play.shown(|| Ask::root("GET", &metadata, None)).await.0 == 200;
    if deleted.is_answered() || removed.is_answered() {
        assert_eq!(status, 404, "{}: {shown}", play.name);
    }
    assert!(!(there && removed.is_answered()), "{}: it was answered, and is still there", play.name);
    assert!(there || !removed.is_undone(), "{}: nothing was to be changed", play.name);
    let (status, names) = play.shown(|| Ask::root("LIST", &listed, None)).await;
    assert_eq!(status, if there { 200 } else { 404 }, "{}: {names}", play.name);
    assert_eq!(play.again(Ask::root("DELETE", &metadata, None)).await.0, 204);
    assert_eq!(play.shown(read).await.0, 404);
    assert_eq!(play.shown(|| Ask::root("LIST", &listed, None)).await.0, 404);
}
