//! The real `bao` command line client, in sessions as people have them. Each session is one function over a running server;
//! it runs against OpenBao (the control: is the session right?) and against this server.
//!
//! What is asserted holds for both. Where this server differs on purpose, the session stays away, and a test of its own
//! says what holds here.

mod ceremonies;
mod kv;
mod leases;
mod logins;
mod namespaces;
mod operator;
mod tokens;

use crate::support::hvac::run_script;
use crate::support::openbao::OpenBao;
use crate::support::postgres::Database;
use crate::support::server::Server;

/// Sessions that a dev server is enough for.
macro_rules! sessions {
    ($($name:ident: $session:path,)*) => {
        mod openbao {
            use super::*;
            $(#[test]
            fn $name() {
                let server = OpenBao::dev();
                $session(&server.target);
            })*
        }

        mod dev {
            use super::*;
            $(#[test]
            fn $name() {
                let server = Server::dev();
                $session(&server.target());
            })*
        }

        mod sqlite {
            use super::*;
            $(#[test]
            fn $name() {
                let server = Server::initialised_on_sqlite();
                $session(&server.target());
            })*
        }

        mod postgresql {
            use super::*;
            $(#[test]
            fn $name() {
                let database = Database::new();
                let server = Server::initialised_on_postgresql(database);
                $session(&server.target());
            })*
        }
    };
}

sessions! {
    kv_values: kv::values,
    kv_versions: kv::versions,
    kv_metadata: kv::metadata,
    kv_version_one: kv::version_one,
    kv_upgrade: kv::upgrade,
    mounts: operator::mounts,
    remount: operator::remount,
    reads: operator::reads,
    status_and_login: operator::status_and_login,
    login_with_a_password: logins::with_a_password,
    login_with_a_role: logins::with_a_role,
    login_with_a_second_factor: logins::with_a_second_factor,
    policies: tokens::policies,
    token_lifetime: tokens::lifetime,
    token_rights: tokens::rights,
    cubbyhole: tokens::cubbyhole,
    response_wrapping: tokens::wrapping,
    token_roles: leases::roles,
    token_leases: leases::leases,
    namespaces: namespaces::tree,
    namespace_locks: namespaces::locks,
}

#[test]
fn openbao_is_initialised_sealed_and_unsealed() {
    let server = OpenBao::uninitialised();
    operator::ceremony(&server.target);
}

#[test]
fn this_server_is_initialised_sealed_and_unsealed() {
    let server = Server::uninitialised_on_sqlite();
    operator::ceremony(&server.target());
}

#[test]
fn openbao_changes_its_keys() {
    let server = OpenBao::uninitialised();
    ceremonies::keys(&server.target);
}

#[test]
fn openbao_has_new_shares_verified() {
    let server = OpenBao::uninitialised();
    ceremonies::verified(&server.target);
}

#[test]
fn this_server_changes_its_keys() {
    let server = Server::uninitialised_on_sqlite();
    ceremonies::keys(&server.target());
}

#[test]
fn this_server_has_new_shares_verified() {
    let server = Server::uninitialised_on_sqlite();
    ceremonies::verified(&server.target());
}

/// Shares and tokens that are typed at hidden prompts, and Ctrl-C at them.
#[test]
fn what_is_typed_on_a_terminal_of_openbao() {
    let server = OpenBao::uninitialised();
    run_script("terminal.py", &server.target);
}

#[test]
fn what_is_typed_on_a_terminal_of_this_server() {
    let server = Server::uninitialised_on_sqlite();
    run_script("terminal.py", &server.target());
}
