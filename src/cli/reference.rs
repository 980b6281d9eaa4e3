//! `reference`: from an opaque reference to the secret.

use clap::{Args, Subcommand};
use ureq::http::Method;

use super::client::Client;
use super::failure::Failure;
use super::kv::{Envelope, Secret, print_secret};
use super::output::Output;
use crate::json::Json;

/// Use the references that writes answered with
#[derive(Subcommand)]
pub(super) enum Reference {
    Resolve(Resolve),
}

/// Read the secret that a reference stands for
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom reference resolve sref_abcdefghijklmnopqrstuvwxyz234567
  strongroom reference resolve --purpose nightly-sync --field password sref_abcdefghijklmnopqrstuvwxyz234567")]
pub(super) struct Resolve {
    /// The reference (`sref_..`)
    reference: String,
    /// What the secret is needed for; stands in the audit log
    #[arg(long)]
    purpose: Option<String>,
    /// Only print this field of the secret
    #[arg(long)]
    field: Option<String>,
}

impl Reference {
    pub(super) fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let Self::Resolve(resolve) = self;
        let body = Json::object(|body| {
            body.field("reference", &resolve.reference);
            if let Some(purpose) = &resolve.purpose {
                body.field("purpose", purpose);
            }
        });
        let reply = client.send(Method::POST, "sys/references/resolve", Some(&body))?;
        print_secret(&reply.body, &reply.parse::<Envelope<Secret<'_>>>()?.data, resolve.field.as_deref(), output)
    }
}
