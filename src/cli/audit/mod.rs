//! `audit`: reads, exports and verifies audit logs.

mod accept;
mod access;
mod export;
mod folder;
mod html;
mod receipt;
mod search;
mod state;
mod verify;
mod witnessed;

use clap::Subcommand;

use super::client::Client;
use super::failure::Failure;
use super::output::Output;

pub(super) use accept::AcceptRollback;
pub(super) use verify::Verify;

/// Search, follow, export and verify the audit log
#[derive(Subcommand)]
pub(super) enum Audit {
    Search(search::Search),
    Access(access::Access),
    Tail(search::Tail),
    Show(search::Show),
    Export(export::Export),
    Verify(Verify),
    Receipt(receipt::Receipt),
    AcceptRollback(AcceptRollback),
}

impl Audit {
    pub(super) fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Search(verb) => verb.run(client, output),
            Self::Access(verb) => verb.run(client, output),
            Self::Tail(verb) => verb.run(client, output),
            Self::Show(verb) => verb.run(client, output),
            Self::Export(verb) => verb.run(client, output),
            Self::Verify(verb) => verb.run(output).map(drop),
            Self::Receipt(verb) => verb.run(client, output),
            // These two ask no server, or not always: `cli::run` has them.
            Self::AcceptRollback(_) => Ok(()),
        }
    }
}

/// What a client or a file chose must not steer the terminal.
pub(in crate::cli) fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}
