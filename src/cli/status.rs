//! `status`: is the server there, and unsealed?

use std::process::ExitCode;

use clap::Args;
use ureq::http::Method;

use super::client::Client;
use super::failure::Failure;
use super::kv::{RawFields, rows};
use super::output::{Format, Output};

/// Show whether the server is unsealed; exit code 0 unsealed, 1 no answer, 2 sealed
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom status
  strongroom status --address https://strongroom.example.com:8200 --format json")]
pub(super) struct Status {}

impl Status {
    pub(super) fn run(self, client: &Client, output: &Output) -> Result<ExitCode, Failure> {
        let Self {} = self;
        // A refusal is no state of the seal: 2 would be read as sealed.
        let reply =
            client.send_in(None, Method::GET, "sys/seal-status", None).map_err(|failure| Failure::local(failure.to_string()))?;
        let fields: RawFields<'_> = reply.parse()?;
        match output.format {
            Format::Json => output.answer(&reply.body)?,
            Format::Table => output.table(&rows(&fields))?,
        }
        match fields.get("sealed").map(|sealed| sealed.get()) {
            Some("false") => Ok(ExitCode::SUCCESS),
            Some("true") => Ok(ExitCode::from(2)),
            _ => Err(Failure::local("the answer does not tell whether the server is sealed: is this the right address?")),
        }
    }
}
