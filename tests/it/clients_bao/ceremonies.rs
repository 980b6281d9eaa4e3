//! `bao operator rotate`, `generate-root`, `rotate-keys`.

use serde_json::Value;

use crate::support::Target;
use crate::support::bao::Bao;
use crate::support::server::Server;

/// Makes three shares, two of which are needed, and opens the server. The shares, and a client with the root token.
fn opened(target: &Target) -> (Vec<String>, Bao) {
    let bao = Bao::new(target);
    let init = bao.json(2, &["operator", "init", "-key-shares=3", "-key-threshold=2"]);
    let shares = strings(&init["unseal_keys_b64"]);
    bao.ok(&["operator", "unseal", &shares[0]]);
    bao.ok(&["operator", "unseal", &shares[1]]).row("Sealed", "false");
    (shares, bao.with_token(init["root_token"].as_str().unwrap()))
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().unwrap_or_else(|| panic!("{list}")).iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn nonce(begun: &Value) -> String {
    format!("-nonce={}", begun["nonce"].as_str().unwrap())
}

/// New wrapping keys, a root token by shares, and new shares.
pub(super) fn keys(target: &Target) {
    let (shares, bao) = opened(target);
    bao.ok(&["operator", "key-status"]).row("Key Term", "1");
    bao.ok(&["operator", "rotate"]).row("Key Term", "2");
    bao.with_token("s.wrong").refused(&["operator", "rotate"], "permission denied");

    bao.ok(&["operator", "generate-root", "-status"]).row("Started", "false");
    let begun = bao.json(2, &["operator", "generate-root", "-init"]);
    let at = nonce(&begun);
    bao.run(&["operator", "generate-root", "-nonce=wrong", &shares[0]]).complains("incorrect nonce supplied");
    bao.ok(&["operator", "generate-root", &at, &shares[0]]).row("Progress", "1/2");
    bao.ok(&["operator", "generate-root", "-cancel"]);
    bao.ok(&["operator", "generate-root", "-status"]).row("Started", "false");
    let begun = bao.json(2, &["operator", "generate-root", "-init"]);
    let at = nonce(&begun);
    bao.ok(&["operator", "generate-root", &at, &shares[2]]);
    let done = bao.json(2, &["operator", "generate-root", &at, &shares[0]]);
    let (encoded, otp) = (done["encoded_token"].as_str().unwrap(), begun["otp"].as_str().unwrap());
    let made = bao.ok(&["operator", "generate-root", &format!("-decode={encoded}"), &format!("-otp={otp}")]);
    bao.with_token(made.text()).ok(&["token", "lookup"]).row("policies", "[root]");

    bao.refused(&["operator", "rekey", "-init", "-key-shares=1", "-key-threshold=1"], "unsupported operation");
    bao.ok(&["operator", "rotate-keys", "-status"]).row("Started", "false");
    bao.ok(&["operator", "rotate-keys", "-init", "-key-shares=5", "-key-threshold=3"]).row("New Shares", "5");
    bao.ok(&["operator", "rotate-keys", "-cancel"]);
    let begun = bao.json(2, &["operator", "rotate-keys", "-init", "-key-shares=2", "-key-threshold=2"]);
    let at = nonce(&begun);
    bao.refused(&["operator", "rotate-keys", "-init", "-key-shares=2", "-key-threshold=2"], "already in progress");
    bao.refused(&["operator", "rotate-keys", "-nonce=wrong", &shares[0]], "incorrect nonce supplied");
    bao.ok(&["operator", "rotate-keys", &at, &shares[1]]).row("Progress", "1/2");
    let second = strings(&bao.json(2, &["operator", "rotate-keys", &at, &shares[2]])["keys_base64"]);
    bao.ok(&["operator", "seal"]);
    bao.ok(&["operator", "unseal", &second[0]]);
    bao.ok(&["operator", "unseal", &second[1]]).row("Sealed", "false");
}

/// New shares that are brought before they count.
pub(super) fn verified(target: &Target) {
    let (shares, bao) = opened(target);
    let begun = bao.json(2, &["operator", "rotate-keys", "-init", "-key-shares=3", "-key-threshold=2", "-verify"]);
    let at = nonce(&begun);
    bao.ok(&["operator", "rotate-keys", &at, &shares[0]]);
    let done = bao.json(2, &["operator", "rotate-keys", &at, &shares[1]]);
    assert_eq!(done["verification_required"], true);
    let second = strings(&done["keys_base64"]);
    let at = format!("-nonce={}", done["verification_nonce"].as_str().unwrap());
    bao.ok(&["operator", "rotate-keys", "-verify", "-status"]).row("Verification Progress", "0/2");
    bao.ok(&["operator", "rotate-keys", "-verify", &at, &second[1]]).says(&["1/2"]);
    bao.ok(&["operator", "rotate-keys", "-verify", &at, &second[2]]).says(&["verification successful"]);
    bao.ok(&["operator", "seal"]);
    bao.ok(&["operator", "unseal", &second[0]]);
    bao.ok(&["operator", "unseal", &second[2]]).row("Sealed", "false");
}

/// The older commands, where a listener offers what they need.
#[test]
fn older_commands_work_where_the_listener_allows_it() {
    let server = Server::uninitialised_with_listener("  disable_unauthed_rekey_endpoints = false\n");
    let (shares, bao) = opened(&server.target());
    let begun = bao.json(2, &["operator", "rekey", "-init", "-key-shares=1", "-key-threshold=1"]);
    let at = nonce(&begun);
    bao.ok(&["operator", "rekey", "-status"]).row("Started", "true");
    bao.ok(&["operator", "rekey", &at, &shares[0]]).row("Progress", "1/2");
    let second = strings(&bao.json(2, &["operator", "rekey", &at, &shares[1]])["keys_base64"]);
    bao.ok(&["operator", "seal"]);
    bao.ok(&["operator", "unseal", &second[0]]).row("Sealed", "false");
}
