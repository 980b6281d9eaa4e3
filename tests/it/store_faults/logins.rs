//! Logins with what is good for one of them.

use serde_json::json;

use super::play::Play;
use crate::support::in_process::Ask;

pub(super) async fn a_secret_id_is_good_for_one_login(play: &Play<'_>) {
    let role = format!("auth/approle/role/{}", play.name);
    let (_, mounts) = play.shown(|| Ask::root("GET", "sys/auth", None)).await;
    if mounts.get("approle/").is_none() {
        play.prepare(204, Ask::root("POST", "sys/auth/approle", Some(json!({"type": "approle"})))).await;
    }
    let terms = json!({"token_policies": ["default"], "secret_id_num_uses": 1, "role_id": play.name});
    play.prepare(204, Ask::root("POST", &role, Some(terms))).await;
    let path = format!("{role}/secret-id");
    let secret_id = || Ask::root("POST", &path, Some(json!({})));
    let login = |id: &str| Ask {
        token: "",
        ..Ask::root("POST", "auth/approle/login", Some(json!({"role_id": play.name, "secret_id": id})))
    };
    play.begin();
    let given = play.act(secret_id()).await;
    given.only(200);
    let given = match given.with(200) {
        Some(given) => given.clone(),
        None => play.again(secret_id()).await.1,
    };
    let id = given["data"]["secret_id"].as_str().unwrap();
    let first = play.act(login(id)).await;
    play.over();
    first.only(200);

    let (status, second) = play.again(login(id)).await;
    let told = if first.is_answered() { first.with(200) } else { (status == 200).then_some(&second) };
    assert!(!(first.is_answered() && status == 200), "{}: two logins", play.name);
    assert!(!first.is_undone() || status == 200, "{}: nothing was to be changed: {second}", play.name);
    if let Some(login) = told {
        let token = login["auth"]["client_token"].as_str().unwrap();
        let (status, own) = play.shown(|| Ask { token, ..Ask::root("GET", "auth/token/lookup-self", None) }).await;
        assert_eq!((status, &own["path"]), (200, &json!("auth/approle/login")), "{}", play.name);
    }
    assert_eq!(play.shown(|| login(id)).await.0, 400, "{}", play.name);
}
