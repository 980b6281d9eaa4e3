//! `tenant`: namespaces, each with keys of its own.

use clap::{Args, Subcommand};
use ureq::http::Method;

use super::client::Client;
use super::failure::Failure;
use super::kv::{encode, print_keys};
use super::output::{Format, Output};
use crate::json::Json;

/// Create and list tenants (namespaces)
#[derive(Subcommand)]
pub(super) enum Tenant {
    Create(Create),
    List(List),
}

/// Create a tenant, with an empty kv engine at secret/
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom tenant create acme
  strongroom tenant create --namespace acme team-a")]
pub(super) struct Create {
    /// Its name: one segment, below the namespace that the command works in
    name: String,
}

/// List the tenants below the namespace that the command works in
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom tenant list
  strongroom tenant list --namespace acme --format json")]
pub(super) struct List {}

impl Tenant {
    pub(super) fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(client, output),
            Self::List(List {}) => print_keys(client, "sys/namespaces", output),
        }
    }
}

impl Create {
    fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let name = self.name.trim_matches('/');
        if name.is_empty() || name.contains('/') {
            return Err(Failure::local("a name is one segment: create tenants below others with --namespace"));
        }
        let reply = client.send(Method::POST, &format!("sys/namespaces/{}", encode(name)), Some(&Json::object(|_| {})))?;
        let child = client.namespace().map_or_else(|| name.to_owned(), |parent| format!("{}/{name}", parent.trim_matches('/')));
        let mount = Json::object(|mount| {
            mount.field("type", "kv").object("options", |options| {
                options.field("version", "2");
            });
        });
        client.send_in(Some(&child), Method::POST, "sys/mounts/secret", Some(&mount))?;
        match output.format {
            Format::Json => output.answer(&reply.body),
            Format::Table => output.line(&format!("Created tenant {child}, with a kv engine at secret/")),
        }
    }
}
