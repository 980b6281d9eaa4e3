//! vaultrs, a strict client: a field that is missing, or of another type, is an error to it. The session is a program of its
//! own, `tests/vaultrs`, so that nothing that it needs is a dependency of this server.

use crate::support::openbao::OpenBao;
use crate::support::postgres::Database;
use crate::support::process::run;
use crate::support::server::Server;
use crate::support::{Target, tools};

/// Runs parts of the session; fails with everything that it printed when it fails.
#[track_caller]
fn session(parts: &[&str], target: &Target) {
    let mut variables = vec![("VAULT_ADDR".to_owned(), target.url.clone()), ("VAULT_TOKEN".to_owned(), target.token.clone())];
    if let Some(ca) = &target.ca {
        variables.push(("VAULT_CACERT".to_owned(), ca.display().to_string()));
    }
    let done = run(&tools::vaultrs(), parts, &variables, None);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
}

const CORE: [&str; 9] = ["mounts", "kv2", "kv1", "policies", "roles", "tokens", "wrapping", "remount", "namespaces"];

/// Without `health`: OpenBao has no `performance_standby` any more.
#[test]
fn core_on_openbao() {
    session(&CORE, &OpenBao::dev().target);
}

#[test]
fn core_on_sqlite() {
    session(&[&["health"], &CORE[..]].concat(), &Server::initialised_on_sqlite().target());
}

#[test]
fn core_on_postgresql() {
    session(&[&["health"], &CORE[..]].concat(), &Server::initialised_on_postgresql(Database::new()).target());
}
