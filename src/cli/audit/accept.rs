//! `audit accept-rollback`: what is missing of logs is given up.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use data_encoding::HEXLOWER;
use serde::Deserialize;
use ureq::http::Method;

use super::export::Envelope;
use super::printable;
use crate::audit::anchor::{Accepted, Anchored};
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::commit::accepted_beside;
use crate::durable::write_whole;

/// Go on with namespaces whose store was put back to an older state, in a new epoch of their logs
#[derive(Args)]
#[command(
    after_help = "A namespace whose store has less of its log than was signed stays sealed. This gives up what is missing, for ever.
Where a whole database was put back, begin with --anchors on the machine of one server, then --all.

Examples:
  strongroom audit accept-rollback acme
  strongroom audit accept-rollback --namespace acme team-a
  strongroom audit accept-rollback --all
  strongroom audit accept-rollback --anchors /var/lib/strongroom/anchors"
)]
pub(in crate::cli) struct AcceptRollback {
    /// A namespace in the one that the token works in
    #[arg(value_name = "NAME", required_unless_present_any = ["all", "anchors"])]
    name: Option<String>,
    /// All namespaces below that are rolled back
    #[arg(long, conflicts_with = "name")]
    all: bool,
    /// The deployment's own logs (of the root namespace, and of strangers): the file that the server's configuration names
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "all"])]
    anchors: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Begun {
    epoch: u32,
    given_up: GivenUp,
}

#[derive(Deserialize)]
struct GivenUp {
    epoch: u32,
    size: u64,
    root: String,
}

#[derive(Deserialize)]
struct Keys {
    #[serde(default)]
    keys: Vec<String>,
}

impl AcceptRollback {
    /// `connect` makes the client, where one is needed.
    pub(in crate::cli) fn run(
        self,
        connect: impl FnOnce() -> Result<(Client, Output), Failure>,
        output: &Output,
    ) -> Result<(), Failure> {
        if let Some(file) = &self.anchors {
            return accept_locally(file, output);
        }
        let (client, output) = connect()?;
        let above = client.namespace().unwrap_or_default().trim_matches('/').to_owned();
        match self.name {
            Some(name) => accept(&client, &above, name.trim_matches('/'), &output),
            None => accept_below(&client, &above, &output),
        }
    }
}

fn accept(client: &Client, above: &str, name: &str, output: &Output) -> Result<(), Failure> {
    let path = format!("sys/namespaces/{name}/accept-rollback");
    let reply = client.send_in(Some(above), Method::POST, &path, None)?;
    let Begun { epoch, given_up } = reply.parse::<Envelope<Begun>>()?.data;
    let GivenUp { epoch: last, size, root } = given_up;
    let full = if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
    output.line(&format!(
        "{}: epoch {epoch} of its log begins; given up: the {size} events with root {} of epoch {last}",
        printable(&full),
        printable(&root)
    ))
}

/// Parents before their children, which cannot be seen before.
fn accept_below(client: &Client, above: &str, output: &Output) -> Result<(), Failure> {
    let mut waiting = vec![above.to_owned()];
    while let Some(above) = waiting.pop() {
        let names = match client.send_in(Some(&above), Method::GET, "sys/namespaces?list=true", None) {
            Ok(reply) => reply.parse::<Envelope<Keys>>()?.data.keys,
            Err(Failure::Server { status: 404, .. }) => Vec::new(),
            Err(failure) => return Err(failure),
        };
        for name in names.iter().map(|name| name.trim_matches('/')) {
            match accept(client, &above, name, output) {
                // Nothing to accept there.
                Ok(()) | Err(Failure::Server { status: 400, .. }) => {}
                Err(failure) => return Err(failure),
            }
            waiting.push(if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") });
        }
    }
    Ok(())
}

/// Writes down, beside the anchors, which of them are given up. The server takes that at its next try to open.
fn accept_locally(file: &Path, output: &Output) -> Result<(), Failure> {
    let wrong = |what: &dyn std::fmt::Display| Failure::local(format!("{}: {what}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| wrong(&error))?;
    let (Anchored { deployment, root, edge, anchors }, _) = Anchored::parse(&text).map_err(|error| wrong(&error))?;
    let own: BTreeMap<_, _> = anchors.into_iter().filter(|(tenant, _)| *tenant == root || *tenant == edge).collect();
    if own.is_empty() {
        return Err(wrong(&"it has no anchor of the deployment's own logs: nothing was given up"));
    }
    let beside = accepted_beside(file);
    for (tenant, anchor) in &own {
        let which = if *tenant == root { "of the root namespace" } else { "of strangers" };
        output.line(&format!(
            "the log {which}: the {} events with root {} of epoch {} are given up, where the store does not have them",
            anchor.size,
            HEXLOWER.encode(&anchor.root),
            anchor.epoch
        ))?;
    }
    let written = write_whole(&beside, &Accepted { deployment, anchors: own }.text(), 0o644);
    written.map_err(|error| Failure::local(format!("{}: {error}", beside.display())))?;
    output.line("The server takes this when it opens next: by itself, when it is started, or when it is unsealed.")
}
