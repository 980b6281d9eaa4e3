//! node-vault, on OpenBao (the control) and on this server.

use std::path::Path;

use crate::support::openbao::OpenBao;
use crate::support::postgres::Database;
use crate::support::process::run;
use crate::support::server::Server;
use crate::support::{Target, tools};

/// Runs `tests/it/node/session.js`; fails with everything it printed when it fails.
#[track_caller]
fn session(target: &Target) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/node/session.js");
    let mut variables = vec![
        ("NODE_PATH".to_owned(), tools::node_modules().display().to_string()),
        ("VAULT_ADDR".to_owned(), target.url.clone()),
        ("VAULT_TOKEN".to_owned(), target.token.clone()),
    ];
    if let Some(ca) = &target.ca {
        variables.push(("NODE_EXTRA_CA_CERTS".to_owned(), ca.display().to_string()));
    }
    let done = run(Path::new("node"), &[&script.display().to_string()], &variables, None);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
}

#[test]
fn core_on_openbao() {
    session(&OpenBao::dev().target);
}

#[test]
fn core_on_sqlite() {
    session(&Server::initialised_on_sqlite().target());
}

#[test]
fn core_on_postgresql() {
    session(&Server::initialised_on_postgresql(Database::new()).target());
}
