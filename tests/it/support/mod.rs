//! What the tests run against and with: real servers, real clients, no stand-ins.
//!
//! `server`, `openbao` and `postgres` start servers, `client`, `bao` and `hvac` talk to them. Everything listens on
//! loopback, lives in a temporary folder and ends with the value that started it. Waits are bounded; what does not come
//! in time fails the test with the output so far.

pub(crate) mod bao;
pub(crate) mod bao_proxy;
pub(crate) mod between;
pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod collector;
pub(crate) mod database;
pub(crate) mod fixture;
pub(crate) mod hvac;
pub(crate) mod in_process;
pub(crate) mod issuer;
pub(crate) mod kms;
pub(crate) mod line;
pub(crate) mod link;
pub(crate) mod marks;
pub(crate) mod openbao;
pub(crate) mod overheard;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod s3;
pub(crate) mod seed;
pub(crate) mod server;
pub(crate) mod softhsm;
pub(crate) mod tokens;
pub(crate) mod tools;
pub(crate) mod witness;

use std::path::PathBuf;

/// A server as its clients see it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// `https://127.0.0.1:PORT`, or `http://` for OpenBao without TLS.
    pub(crate) url: String,
    /// The authority of its certificate, PEM.
    pub(crate) ca: Option<PathBuf>,
    /// A root token; empty when the server is not initialised.
    pub(crate) token: String,
}

impl Target {
    /// `127.0.0.1:PORT`
    pub(crate) fn authority(&self) -> &str {
        self.url.split_once("://").map_or(self.url.as_str(), |(_, authority)| authority)
    }
}

/// Says something to whoever reads the output of a test: it is shown when the test fails, and with `--nocapture`.
#[expect(clippy::print_stdout, reason = "the test runner captures it")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// True when the large sizes and many rounds are wanted (`scripts/test --full`).
pub(crate) fn full() -> bool {
    tools::variable("STRONGROOM_TEST_FULL").is_some_and(|value| value == "1")
}

/// Makes one test per store of each function that takes a fresh server (initialised, unsealed, with shares).
macro_rules! on_stores {
    ($($name:ident,)*) => {
        mod sqlite {
            $(
                #[test]
                fn $name() {
                    super::$name(&mut crate::support::server::Server::initialised_on_sqlite());
                }
            )*
        }

        mod postgresql {
            $(
                #[test]
                fn $name() {
                    let database = crate::support::postgres::Database::new();
                    super::$name(&mut crate::support::server::Server::initialised_on_postgresql(database));
                }
            )*
        }
    };
}
pub(crate) use on_stores;
