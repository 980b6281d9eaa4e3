//! Namespaces, which are made and deleted with keys of their own.

use serde_json::json;

use super::play::Play;
use crate::support::in_process::Ask;

pub(super) async fn a_namespace_is_made_and_deleted_wholly_or_not_at_all(play: &Play<'_>) {
    let path = format!("sys/namespaces/{}", play.name);
    let ask = |method: &'static str| Ask::root(method, &path, None);
    let kv = || Some(json!({"type": "kv", "options": {"version": "2"}}));
    let mount = || Ask { namespace: &play.name, ..Ask::root("POST", "sys/mounts/kv", kv()) };
    let write = || Ask { namespace: &play.name, ..Ask::root("POST", "kv/data/a", Some(json!({"data": {"k": play.name}}))) };
    let read = || Ask { namespace: &play.name, ..Ask::root("GET", "kv/data/a", None) };
    play.begin();
    let made = play.act(ask("POST")).await;
    let mounted = play.act(mount()).await;
    let written = play.act(write()).await;
    let deleted = play.act(ask("DELETE")).await;
    play.over();
    made.only(200);
    if made.is_answered() {
        mounted.only(204);
        if mounted.is_answered() {
            written.only(200);
        }
    }

    let (status, shown) = play.shown(|| ask("GET")).await;
    let there = status == 200;
    assert!(there || status == 404, "{}: {status} {shown}", play.name);
    assert!(!(there && deleted.is_answered()), "{}: it was answered, and is still there", play.name);
    assert!(!(there && made.is_undone()), "{}: nothing was to be changed", play.name);
    assert!(there || !(made.is_answered() && deleted.is_undone()), "{}: nothing was to be changed", play.name);
    if !there {
        // Never made, or deleted; nobody was told that it was deleted when it was not there.
        assert_eq!(play.shown(read).await.0, 404, "{}", play.name);
    } else if written.with(200).is_some() {
        assert_eq!(play.shown(read).await.1["data"]["k"], json!(play.name), "{}", play.name);
    }
    // It is made again, if it is not there: as another one, with nothing in it.
    if !there {
        assert_eq!(play.again(ask("POST")).await.0, 200, "{}", play.name);
        assert_eq!(play.shown(read).await.0, 404, "{}", play.name);
    }
    let (mounted, body) = play.again(mount()).await;
    assert!(mounted == 204 || mounted == 400 && there, "{}: {body}", play.name);
    let (status, body) = play.again(write()).await;
    assert_eq!(status, 200, "{}: {body}", play.name);
    assert_eq!(play.shown(read).await.1["data"]["k"], json!(play.name), "{}", play.name);
    let (status, body) = play.again(ask("DELETE")).await;
    assert!(matches!(status, 200 | 202 | 204), "{}: {status} {body}", play.name);
    assert_eq!(play.shown(|| ask("GET")).await.0, 404, "{}", play.name);
    assert_eq!(play.shown(read).await.0, 404, "{}", play.name);
}
