//! Keys of Transit.

use serde_json::json;

use super::play::Play;
use crate::support::in_process::Ask;

pub(super) async fn what_was_encrypted_opens(play: &Play<'_>) {
    let (_, mounts) = play.shown(|| Ask::root("GET", "sys/mounts", None)).await;
    if mounts.get("transit/").is_none() {
        play.prepare(204, Ask::root("POST", "sys/mounts/transit", Some(json!({"type": "transit"})))).await;
    }
    let [key, rotate, encrypt, decrypt] = ["keys/{}", "keys/{}/rotate", "encrypt/{}", "decrypt/{}"]
        .map(|path| format!("transit/{}", path.replace("{}", &play.name)));
    let sealing = || Ask::root("POST", &encrypt, Some(json!({"plaintext": "aGVsbG8="})));
    let opening = |ciphertext: &str| Ask::root("POST", &decrypt, Some(json!({"ciphertext": ciphertext})));
    play.begin();
    // The first makes the key.
    let first = play.act(sealing()).await;
    let rotated = play.act(Ask::root("POST", &rotate, Some(json!({})))).await;
    let second = play.act(sealing()).await;
    play.over();
    first.only(200);
    second.only(200);

    let (status, shown) = play.shown(|| Ask::root("GET", &key, None)).await;
    assert!(status == 200 || !first.is_answered() && !second.is_answered(), "{}: {shown}", play.name);
    if first.is_answered() {
        let versions = if rotated.is_answered() { 2..=2 } else { 1..=2 };
        assert!(versions.contains(&shown["latest_version"].as_u64().unwrap()), "{}: {shown}", play.name);
    }
    for sealed in [&first, &second].iter().filter_map(|told| told.with(200)) {
        let ciphertext = sealed["data"]["ciphertext"].as_str().unwrap();
        let (status, opened) = play.shown(|| opening(ciphertext)).await;
        assert_eq!((status, &opened["plaintext"]), (200, &json!("aGVsbG8=")), "{}: {opened}", play.name);
    }
    let (status, sealed) = play.again(sealing()).await;
    assert_eq!(status, 200, "{}: {sealed}", play.name);
    let (status, opened) = play.shown(|| opening(sealed["data"]["ciphertext"].as_str().unwrap())).await;
    assert_eq!((status, &opened["plaintext"]), (200, &json!("aGVsbG8=")), "{}", play.name);
}
