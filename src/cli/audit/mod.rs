//! `audit`: reads, exports and verifies audit logs.

mod search;

use clap::Subcommand;

use super::client::Client;
use super::failure::Failure;
use super::output::Output;

/// Search, follow and verify the audit log
#[derive(Subcommand)]
pub(super) enum Audit {
    Search(search::Search),
    Tail(search::Tail),
    Show(search::Show),
}

impl Audit {
    pub(super) fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Search(verb) => verb.run(client, output),
            Self::Tail(verb) => verb.run(client, output),
            Self::Show(verb) => verb.run(client, output),
        }
    }
}
