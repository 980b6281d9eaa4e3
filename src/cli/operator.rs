//! `operator`: what whoever keeps the server running does beyond what other clients offer.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Deserialize;
use ureq::http::Method;

use super::client::Client;
use super::doctor::Doctor;
use super::failure::Failure;
use super::kv::{Envelope, RawFields, rows};
use super::output::{Format, Output};
use super::rotate::{Rotate, status};
use crate::json::Json;
use crate::secret::SecretText;

/// Rotate keys, change seals, and see what is wrong with a server
#[derive(Subcommand)]
pub(super) enum Operator {
    Rotate(Rotate),
    KeyStatus(KeyStatus),
    SealMigrate(SealMigrate),
    Doctor(Doctor),
}

/// Show which wrapping key is in use, and how far values are wrapped by it
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom operator key-status
  strongroom operator key-status --format json")]
pub(super) struct KeyStatus {}

/// Show which seals wrap keys, how far a change of them is, and which may be dropped now
#[derive(Args)]
#[command(
    after_help = "Add the new seal to the configuration and restart; when this shows that the change is complete, drop the old one and restart.
From key shares to a seal: list both, restart, and bring the shares with `operator unseal -migrate`. From a seal to key shares: list both,
restart, and have shares given out with --key-shares.

Examples:
  strongroom operator seal-migrate
  strongroom operator seal-migrate --key-shares 5 --key-threshold 3
  strongroom operator seal-migrate --format json"
)]
pub(super) struct SealMigrate {
    /// Have so many key shares given out, of a root key that wraps beside the seals
    #[arg(long, requires = "key_threshold")]
    key_shares: Option<u8>,
    /// How many of them open
    #[arg(long, requires = "key_shares")]
    key_threshold: Option<u8>,
}

#[derive(Deserialize)]
struct Change {
    finished: bool,
    wrapped: u64,
    waiting: u64,
    failed: u64,
    #[serde(default)]
    own_keys: u64,
    problem: String,
    seals: BTreeMap<String, Seal>,
}

#[derive(Deserialize)]
struct Seal {
    r#type: String,
    listed: bool,
    answers: bool,
    may_be_dropped: bool,
    reason: String,
}

impl Operator {
    pub(super) fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Rotate(rotate) => rotate.run(client, output),
            Self::KeyStatus(KeyStatus {}) => status(client, output),
            Self::SealMigrate(SealMigrate { key_shares: Some(shares), key_threshold: Some(threshold) }) => {
                give_out(client, output, shares, threshold)
            }
            Self::SealMigrate(_) => seals(client, output),
            Self::Doctor(_) => Err(Failure::local("operator doctor looks at files of this machine")),
        }
    }
}

/// Asks for shares of a root key beside the seals. Where there are recovery shares, those are to be brought for them: `required`.
fn give_out(client: &Client, output: &Output, shares: u8, threshold: u8) -> Result<(), Failure> {
    let body = Json::object(|body| {
        body.field("secret_shares", &shares).field("secret_threshold", &threshold);
    });
    let reply = client.send(Method::POST, "sys/rotate/root/init", Some(&body))?;
    match output.format {
        Format::Json => output.answer(&reply.body),
        Format::Table => output.table(&rows(&reply.parse::<Envelope<RawFields<'_>>>()?.data)),
    }
}

fn seals(client: &Client, output: &Output) -> Result<(), Failure> {
    let reply = client.send(Method::GET, "sys/seals", None)?;
    match output.format {
        Format::Json => output.answer(&reply.body),
        Format::Table => {
            let state = reply.parse::<Envelope<Change>>()?.data;
            let lines: Vec<(&str, SecretText)> = state
                .seals
                .iter()
                .map(|(name, seal)| (name.as_str(), seal.line()))
                .chain([("complete", state.line())])
                .map(|(name, line)| (name, SecretText::new(line)))
                .collect();
            output.table(&lines)
        }
    }
}

impl Seal {
    fn line(&self) -> String {
        let kind = if self.r#type.is_empty() { "not configured here" } else { self.r#type.as_str() };
        let place = if self.listed { "wraps every key" } else { "being dropped" };
        let answers = if self.answers { "answers" } else { "does not answer" };
        let end = if self.may_be_dropped { "may be dropped now".to_owned() } else { format!("needed: {}", self.reason) };
        format!("{kind}; {place}; {answers}; {end}")
    }
}

impl Change {
    fn line(&self) -> String {
        let Self { wrapped, waiting, failed, own_keys, problem, .. } = self;
        // Those below them are not looked at: whoever has disabled such a key holds up nobody else.
        let own = if *own_keys == 0 { String::new() } else { format!("; {own_keys} passed by, which have keys of their own") };
        if self.finished {
            return format!("yes: every key is wrapped by the seals above, and by no other{own}");
        }
        let why = if problem.is_empty() { String::new() } else { format!(" ({problem})") };
        format!("no: {wrapped} namespaces wrapped, {waiting} waiting, {failed} failed{own}{why}")
    }
}
