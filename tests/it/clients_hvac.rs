//! hvac, the Python client, on OpenBao (the control) and on this server.

use crate::support::hvac::run_script;
use crate::support::openbao::OpenBao;
use crate::support::postgres::Database;
use crate::support::server::Server;

#[test]
fn core_on_openbao() {
    let server = OpenBao::dev();
    run_script("hvac_core.py", &server.target);
}

#[test]
fn core_on_dev() {
    let server = Server::dev();
    run_script("hvac_core.py", &server.target());
}

#[test]
fn core_on_sqlite() {
    let server = Server::initialised_on_sqlite();
    run_script("hvac_core.py", &server.target());
}

#[test]
fn core_on_postgresql() {
    let database = Database::new();
    let server = Server::initialised_on_postgresql(database);
    run_script("hvac_core.py", &server.target());
}

#[test]
fn engines_on_openbao() {
    let server = OpenBao::dev();
    run_script("hvac_engines.py", &server.target);
}

#[test]
fn engines_on_dev() {
    let server = Server::dev();
    run_script("hvac_engines.py", &server.target());
}

#[test]
fn engines_on_sqlite() {
    let server = Server::initialised_on_sqlite();
    run_script("hvac_engines.py", &server.target());
}

#[test]
fn engines_on_postgresql() {
    let database = Database::new();
    let server = Server::initialised_on_postgresql(database);
    run_script("hvac_engines.py", &server.target());
}

#[test]
fn tokens_on_openbao() {
    let server = OpenBao::dev();
    run_script("hvac_tokens.py", &server.target);
}

#[test]
fn tokens_on_sqlite() {
    let server = Server::initialised_on_sqlite();
    run_script("hvac_tokens.py", &server.target());
}

#[test]
fn tokens_on_postgresql() {
    let server = Server::initialised_on_postgresql(Database::new());
    run_script("hvac_tokens.py", &server.target());
}

#[test]
fn ceremonies_on_openbao() {
    let server = OpenBao::uninitialised_with_older_ceremonies();
    run_script("hvac_ceremonies.py", &server.target);
}

#[test]
fn ceremonies_on_sqlite() {
    let lines = "  disable_unauthed_rekey_endpoints = false\n  disable_unauthed_generate_root_endpoints = false\n";
    let server = Server::uninitialised_with_listener(lines);
    run_script("hvac_ceremonies.py", &server.target());
}

#[test]
fn identity_on_openbao() {
    let server = OpenBao::dev();
    run_script("hvac_identity.py", &server.target);
}

#[test]
fn identity_on_sqlite() {
    let server = Server::initialised_on_sqlite();
    run_script("hvac_identity.py", &server.target());
}

#[test]
fn identity_on_postgresql() {
    let database = Database::new();
    let server = Server::initialised_on_postgresql(database);
    run_script("hvac_identity.py", &server.target());
}

#[test]
fn logins_on_openbao() {
    let server = OpenBao::dev();
    run_script("hvac_logins.py", &server.target);
}

#[test]
fn logins_on_sqlite() {
    let server = Server::initialised_on_sqlite();
    run_script("hvac_logins.py", &server.target());
}

#[test]
fn logins_on_postgresql() {
    let database = Database::new();
    let server = Server::initialised_on_postgresql(database);
    run_script("hvac_logins.py", &server.target());
}

#[test]
fn transit_on_openbao() {
    let server = OpenBao::dev();
    run_script("hvac_transit.py", &server.target);
}

#[test]
fn transit_on_sqlite() {
    let server = Server::initialised_on_sqlite();
    run_script("hvac_transit.py", &server.target());
}

#[test]
fn transit_on_postgresql() {
    let database = Database::new();
    let server = Server::initialised_on_postgresql(database);
    run_script("hvac_transit.py", &server.target());
}
