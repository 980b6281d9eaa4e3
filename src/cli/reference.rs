//! `reference`: opaque references, from a path to one and from one to the secret.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use ureq::http::Method;

use super::client::Client;
use super::failure::Failure;
use super::kv::{Envelope, RawFields, Secret, encode, one, place, print_keys, print_secret, rows};
use super::output::{Format, Output};
use crate::json::{Json, Object};
use crate::reference::Reference as Text;

/// Make, use and manage references to secrets
#[derive(Subcommand)]
pub(super) enum Reference {
    Mint(Mint),
    Resolve(Resolve),
    List(List),
    Describe(Describe),
    Rotate(Rotate),
    Revoke(Revoke),
    Check(Check),
}

/// Make a reference to a secret of kv version 2; prints its id and its text
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom reference mint connectors/crm
  strongroom reference mint --secret-field password --ttl 24h --uses 5 connectors/crm
  strongroom reference mint --entity 8d2fb1a5-2a4e-4a71-9e7e-0d6b4a1c9f10 --purpose nightly-sync connectors/crm")]
pub(super) struct Mint {
    /// Mount of the kv engine [default: secret]
    #[arg(long)]
    mount: Option<String>,
    /// Path of the secret; may begin with the default mount's name
    path: String,
    /// Always this version [default: the newest]
    #[arg(long)]
    version: Option<u64>,
    /// This field of the secret only
    #[arg(long, value_name = "FIELD")]
    secret_field: Option<String>,
    #[command(flatten)]
    conditions: Conditions,
    /// Only print this field of the answer (id, reference)
    #[arg(long)]
    field: Option<String>,
}

// Under which conditions a new reference resolves. (A docstring would be a help text.)
#[derive(Args)]
pub(super) struct Conditions {
    /// What it is for; who resolves it must say the same
    #[arg(long)]
    purpose: Option<String>,
    /// How long it is good for, as in 24h
    #[arg(long, value_name = "TIME")]
    ttl: Option<String>,
    /// How often it resolves
    #[arg(long)]
    uses: Option<u64>,
    /// Id of an entity that needs no policy on the secret, and nobody else gets it; may be repeated
    #[arg(long = "entity", value_name = "ID")]
    entities: Vec<String>,
    /// Fingerprint (SHA-256) of a client certificate, likewise
    #[arg(long = "certificate", value_name = "HEX")]
    certificates: Vec<String>,
    /// URI in a client certificate, likewise
    #[arg(long = "uri-san", value_name = "URI")]
    uri_sans: Vec<String>,
    /// Subject of a token that was shown to a JWT or OIDC mount, with stars for any characters, likewise
    #[arg(long = "subject", value_name = "GLOB")]
    subjects: Vec<String>,
}

/// Read the secret that a reference stands for
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom reference resolve sref_abcdefghijklmnopqrstuvwxyz234567
  strongroom reference resolve --purpose nightly-sync --field password sref_abcdefghijklmnopqrstuvwxyz234567")]
pub(super) struct Resolve {
    /// The reference (`sref_..`)
    reference: String,
    /// What the secret is needed for
    #[arg(long)]
    purpose: Option<String>,
    /// Only print this field of the secret
    #[arg(long)]
    field: Option<String>,
}

/// List the ids of references: all that were minted, or those of a secret or a consumer
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom reference list
  strongroom reference list --path connectors/crm
  strongroom reference list --entity 8d2fb1a5-2a4e-4a71-9e7e-0d6b4a1c9f10 --format json")]
pub(super) struct List {
    /// Mount of the kv engine [default: secret]
    #[arg(long, requires = "path")]
    mount: Option<String>,
    /// Path of a secret
    #[arg(long)]
    path: Option<String>,
    /// Id of an entity
    #[arg(long, value_name = "ID", conflicts_with = "path")]
    entity: Option<String>,
    /// Subject of a token
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["path", "entity"])]
    subject: Option<String>,
}

/// Show what a reference points to and for whom, never the secret
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom reference describe sref_abcdefghijklmnopqrstuvwxyz234567")]
pub(super) struct Describe {
    /// The reference, or its id
    reference: String,
}

/// Give a reference another text, which is printed; the old one is dead
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom reference rotate sref_abcdefghijklmnopqrstuvwxyz234567
  strongroom reference rotate --field reference sref_abcdefghijklmnopqrstuvwxyz234567")]
pub(super) struct Rotate {
    /// The reference, or its id
    reference: String,
    /// Only print this field of the answer (id, reference)
    #[arg(long)]
    field: Option<String>,
}

/// End a reference, or all of a secret
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom reference revoke sref_abcdefghijklmnopqrstuvwxyz234567
  strongroom reference revoke --path connectors/crm")]
pub(super) struct Revoke {
    /// The reference, or its id
    #[arg(required_unless_present = "path", conflicts_with = "path")]
    reference: Option<String>,
    /// Mount of the kv engine [default: secret]
    #[arg(long, requires = "path")]
    mount: Option<String>,
    /// Path of a secret
    #[arg(long)]
    path: Option<String>,
}

/// Tell whether a text is a reference, by its checksum; asks no server. Exit code 0 it is, 1 it is not
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom reference check sref_abcdefghijklmnopqrstuvwxyz234567
  grep -rhoE 'sref_[a-z2-7]{32}' . | xargs -n1 strongroom reference check")]
pub(super) struct Check {
    /// The text
    text: String,
}

impl Reference {
    pub(super) fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Mint(mint) => mint.run(client, output),
            Self::Resolve(resolve) => resolve.run(client, output),
            Self::List(list) => list.run(client, output),
            Self::Describe(Describe { reference }) => ask(client, "describe", &named(&reference), None, output),
            Self::Rotate(Rotate { reference, field }) => ask(client, "rotate", &named(&reference), field.as_deref(), output),
            Self::Revoke(revoke) => revoke.run(client, output),
            // Asks nobody, so that it is done before there is a client.
            Self::Check(check) => check.run(output).map(|_| ()),
        }
    }
}

impl Mint {
    fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let path = place(self.mount.as_deref(), "data", &self.path);
        let bound = self.conditions.name_consumers();
        let body = Json::object(|body| {
            optional(body, "version", self.version.as_ref());
            optional(body, "field", self.secret_field.as_ref());
            self.conditions.write(body);
            if !bound {
                body.field("path", &path);
            }
        });
        let verb = if bound { format!("bind/{}", encode(&path)) } else { "mint".to_owned() };
        ask(client, &verb, &body, self.field.as_deref(), output)
    }
}

impl Conditions {
    /// Whether it is for certain consumers.
    fn name_consumers(&self) -> bool {
        self.consumers().iter().any(|(_, texts)| !texts.is_empty())
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        !self.name_consumers() && self.purpose.is_none() && self.ttl.is_none() && self.uses.is_none()
    }

    fn consumers(&self) -> [(&str, &[String]); 4] {
        let Self { entities, certificates, uri_sans, subjects, .. } = self;
        [("entities", entities), ("certificates", certificates), ("uri_sans", uri_sans), ("subjects", subjects)]
    }

    /// As the API takes them.
    pub(super) fn write(&self, body: &mut Object<'_>) {
        optional(body, "purpose", self.purpose.as_ref());
        optional(body, "ttl", self.ttl.as_ref());
        optional(body, "uses", self.uses.as_ref());
        for (name, texts) in self.consumers() {
            if !texts.is_empty() {
                body.strings(name, texts);
            }
        }
    }
}

impl Resolve {
    fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let body = Json::object(|body| {
            body.field("reference", &self.reference);
            optional(body, "purpose", self.purpose.as_ref());
        });
        let reply = client.send(Method::POST, "sys/references/resolve", Some(&body))?;
        print_secret(&reply.body, &reply.parse::<Envelope<Secret<'_>>>()?.data, self.field.as_deref(), output)
    }
}

impl List {
    fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let body = match &self.path {
            Some(path) => of_path(self.mount.as_deref(), path),
            None if self.entity.is_none() && self.subject.is_none() => return print_keys(client, "sys/references", output),
            None => Json::object(|body| {
                optional(body, "entity", self.entity.as_ref());
                optional(body, "subject", self.subject.as_ref());
            }),
        };
        let reply = client.send(Method::POST, "sys/references/search", Some(&body))?;
        if output.format == Format::Json {
            return output.answer(&reply.body);
        }
        let found: Envelope<RawFields<'_>> = reply.parse()?;
        let ids = found.data.get("keys").and_then(|keys| serde_json::from_str::<Vec<String>>(keys.get()).ok());
        ids.unwrap_or_default().iter().try_for_each(|id| output.line(id))
    }
}

impl Revoke {
    fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let body = match (&self.path, &self.reference) {
            (Some(path), _) => of_path(self.mount.as_deref(), path),
            (None, reference) => named(reference.as_deref().unwrap_or_default()),
        };
        ask(client, "revoke", &body, None, output)
    }
}

impl Check {
    pub(super) fn run(&self, output: &Output) -> Result<ExitCode, Failure> {
        if Text::parse(&self.text).is_some() {
            output.line("a reference")?;
            return Ok(ExitCode::SUCCESS);
        }
        Err(Failure::local("not a reference: mistyped, or not complete"))
    }
}

/// Sends `body` to `sys/references/VERB` and prints the answer's fields, or one of them.
fn ask(client: &Client, verb: &str, body: &Json, field: Option<&str>, output: &Output) -> Result<(), Failure> {
    let reply = client.send(Method::POST, &format!("sys/references/{verb}"), Some(body))?;
    let answer: Envelope<RawFields<'_>> = reply.parse()?;
    match (field, output.format) {
        (Some(field), _) => one(&answer.data, field, output),
        (None, Format::Json) => output.answer(&reply.body),
        (None, Format::Table) => output.table(&rows(&answer.data)),
    }
}

/// A reference by its text, or by its id.
fn named(text: &str) -> Json {
    Json::object(|body| {
        body.field(if text.starts_with("sref_") { "reference" } else { "id" }, text);
    })
}

fn of_path(mount: Option<&str>, path: &str) -> Json {
    Json::object(|body| {
        body.field("path", &place(mount, "data", path));
    })
}

fn optional(body: &mut Object<'_>, name: &str, value: Option<&impl serde::Serialize>) {
    if let Some(value) = value {
        body.field(name, value);
    }
}
