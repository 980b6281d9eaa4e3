//! `bao auth`, `bao login` and what it is used for with `AppRole` and userpass.

use serde_json::json;

use crate::mfa::Authenticator;
use crate::support::Target;
use crate::support::bao::Bao;

/// Enable, a user, `bao login`, a wrong password, list, disable.
pub(super) fn with_a_password(target: &Target) {
    let bao = Bao::new(target);
    bao.ok(&["auth", "enable", "userpass"]).says(&["Success! Enabled userpass auth method at: userpass/"]);
    bao.ok(&["auth", "tune", "-user-lockout-threshold=7", "-user-lockout-duration=2m", "userpass/"]);
    bao.ok(&["read", "sys/auth/userpass/tune"]).row("user_lockout_threshold", "7").row("user_lockout_duration", "2m");
    bao.ok(&["write", "auth/userpass/users/bob", "password=pw", "token_policies=default", "token_ttl=1h"]);
    let anybody = bao.without_token();
    let login = ["login", "-no-store", "-method=userpass", "username=bob", "password=pw"];
    anybody.ok(&login).row("token_duration", "1h").row("token_policies", "[\"default\"]").row("token_meta_username", "bob");
    let token = anybody.ok(&["login", "-no-store", "-field=token", "-method=userpass", "username=BOB", "password=pw"]);
    bao.with_token(token.text()).ok(&["token", "lookup"]).row("display_name", "userpass-bob").row("meta", "map[username:bob]");
    let wrong = ["login", "-no-store", "-method=userpass", "username=bob", "password=wrong"];
    anybody.refused(&wrong, "invalid username or password");
    bao.ok(&["list", "auth/userpass/users"]).says(&["bob"]);
    bao.ok(&["read", "auth/userpass/users/bob"]).row("token_ttl", "1h").row("token_policies", "[default]");
    bao.ok(&["auth", "disable", "userpass"]);
    anybody.refused(&login, "permission denied");
}

/// A method, a secret, an enforcement, and logins in one step and in two.
pub(super) fn with_a_second_factor(target: &Target) {
    let bao = Bao::new(target);
    bao.ok(&["auth", "enable", "userpass"]);
    bao.ok(&["write", "auth/userpass/users/eve", "password=pw", "token_policies=default"]);
    let field = |name: &str, arguments: &[&str]| {
        let (command, rest) = arguments.split_first().unwrap();
        let words: Vec<&str> = [&[*command, name], rest].concat();
        bao.ok(&words).text().to_owned()
    };
    let accessor = field("-field=accessor", &["read", "sys/auth/userpass"]);
    let accessor = format!("mount_accessor={accessor}");
    let entity = field("-field=canonical_id", &["write", "identity/entity-alias", "name=eve", &accessor]);
    let path = "identity/mfa/method/totp";
    let method = field("-field=method_id", &["write", path, "issuer=Acme", "method_name=app", "period=3600"]);
    bao.ok(&["list", path]).says(&[&method]);
    bao.ok(&["read", &format!("{path}/{method}")]).row("name", "app").row("period", "1h").row("digits", "6");
    let (of_method, of_entity) = (format!("method_id={method}"), format!("entity_id={entity}"));
    let url = field("-field=url", &["write", &format!("{path}/admin-generate"), &of_method, &of_entity]);
    let app = Authenticator::new(&url);
    let enforcement = "identity/mfa/login-enforcement/people";
    bao.ok(&["write", enforcement, &format!("mfa_method_ids={method}"), "auth_method_types=userpass"]);
    bao.ok(&["read", enforcement]).row("mfa_method_ids", &format!("[{method}]")).row("name", "people");
    bao.ok(&["list", "identity/mfa/login-enforcement"]).says(&["people"]);
    let anybody = bao.without_token();
    let login = ["login", "-no-store", "-method=userpass", "username=eve", "password=pw"];
    anybody.ok(&login).row("mfa_constraint_people_totp_id", &method).row("mfa_constraint_people_totp_name", "app");
    let with = |passcode: &str| {
        ["login", "-no-store", "-method=userpass", "-mfa", passcode, "username=eve", "password=pw"].map(str::to_owned)
    };
    let words = |words: &[String; 7]| anybody.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
    words(&with(&format!("app:{}", app.wrong()))).exits(2).complains("permission denied");
    words(&with(&format!("app:{}", app.code(0))))
        .exits(0)
        .row("token_policies", "[\"default\"]")
        .row("token_meta_username", "eve");
    words(&with(&format!("app:{}", app.code(0)))).exits(2).complains("permission denied");
    let waits = anybody.json(1, &["write", "auth/userpass/login/eve", "password=pw"]);
    let request = waits["auth"]["mfa_requirement"]["mfa_request_id"].clone();
    let payload = |code: &str| json!({"mfa_request_id": request, "mfa_payload": {&method: [code]}}).to_string();
    let validate = ["write", "-format=json", "sys/mfa/validate", "-"];
    anybody.feed(&validate, &payload(&app.code(0))).exits(2).complains("failed to satisfy enforcement people.");
    let auth = anybody.feed(&validate, &payload(&app.code(1))).exits(0).json()["auth"].clone();
    bao.ok(&["token", "lookup", auth["client_token"].as_str().unwrap()]).row("display_name", "userpass-eve");
    anybody.feed(&validate, &payload(&app.code(1))).exits(2).complains("invalid request ID");
    bao.ok(&["write", &format!("{path}/admin-destroy"), &of_method, &of_entity]);
    bao.ok(&["delete", enforcement]);
    bao.ok(&["delete", &format!("{path}/{method}")]);
    anybody.ok(&login).row("token_meta_username", "eve");
}

/// A role, a secret id, a login by `bao write`, look-ups, destroying.
pub(super) fn with_a_role(target: &Target) {
    let bao = Bao::new(target);
    bao.ok(&["auth", "enable", "-path=machines", "approle"]);
    let role = ["write", "auth/machines/role/web", "token_policies=default", "secret_id_num_uses=2", "token_ttl=20m"];
    bao.ok(&role);
    bao.ok(&["read", "auth/machines/role/web"])
        .row("secret_id_num_uses", "2")
        .row("token_ttl", "20m")
        .row("token_type", "default");
    let role_id = bao.ok(&["read", "-field=role_id", "auth/machines/role/web/role-id"]).text().to_owned();
    let made = &bao.json(2, &["write", "-f", "auth/machines/role/web/secret-id"])["data"];
    let secret_id = made["secret_id"].as_str().unwrap();
    let anybody = bao.without_token();
    let (role_id, secret) = (format!("role_id={role_id}"), format!("secret_id={secret_id}"));
    let login = ["write", "auth/machines/login", role_id.as_str(), secret.as_str()];
    let auth = &anybody.json(1, &login)["auth"];
    assert_eq!((&auth["lease_duration"], &auth["metadata"]), (&json!(1200), &json!({"role_name": "web"})));
    bao.ok(&["token", "lookup", auth["client_token"].as_str().unwrap()]).row("display_name", "machines");
    let accessor = format!("secret_id_accessor={}", made["secret_id_accessor"].as_str().unwrap());
    bao.ok(&["write", "auth/machines/role/web/secret-id-accessor/lookup", &accessor]).row("secret_id_num_uses", "1");
    bao.ok(&["write", "auth/machines/role/web/secret-id/destroy", &secret]);
    anybody.refused(&login, "invalid role or secret ID");
    bao.ok(&["delete", "auth/machines/role/web"]);
    bao.refused(&["read", "auth/machines/role/web"], "No value found");
}
