//! `apply`: brings namespaces, mounts, policies, roles, groups, audit settings to what files describe.
//!
//! Reads the present state, prints what differs, and writes only that, through the HTTP API like every other command. Must
//! not know how the server keeps anything, and must never print a secret: what a file takes from elsewhere is shown as
//! `(secret)`.

mod description;
mod desired;
mod difference;
mod plan;
mod prune;
mod secrets;
mod server;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

pub use description::{Description, parse};

use super::client::{Client, Reply};
use super::environment::Environment;
use super::failure::Failure;
use super::output::{Format, Output};
use crate::json::Json;
use crate::stanza::{self, LookUp};
use crate::tree::Tree;
use difference::Desired;
use plan::{Body, Step, plan};
use prune::Prune;
use server::Server;

/// Exit code of a dry run that found a difference; 1 and 2 say that something failed, as everywhere.
const DIFFERENT: u8 = 3;

/// Bring namespaces, mounts, policies, roles, groups and audit settings to what files describe
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom apply --dry-run tenants/            what would be done; exit code 0 or 3
  strongroom apply tenants/                      do it; a second run has nothing to do
  strongroom apply --namespace acme acme.hcl     what stands at the top is meant in acme
  strongroom apply --prune tenants/              also remove other policies, token roles, ..
  strongroom apply --prune=destructive tenants/  also mounts and namespaces, with data

The difference is printed first: + create, ~ change field: old -> new, - remove. It stops at the first error and says what \
was done; that stays, and a further run goes on. Exit codes: 0 done, 1 or 2 failed, 3 a dry run found a difference. \
The form of the files is in docs/APPLY.md.")]
pub(super) struct Apply {
    /// Description, HCL or JSON; or a folder, whose *.hcl and *.json files are one description
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,
    /// Only print the difference
    #[arg(long)]
    dry_run: bool,
    /// Also remove what is there and not described, of the kinds that the files describe in that namespace
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "settings")]
    prune: Option<Prune>,
}

impl Apply {
    pub(super) fn run(self, client: &Client, output: &Output, environment: &Environment) -> Result<ExitCode, Failure> {
        let sources = stanza::read(std::slice::from_ref(&self.path)).map_err(|error| Failure::local(error.to_string()))?;
        let description = parse(&sources).map_err(|error| Failure::local(error.to_string()))?;
        let server = Server::new(client);
        let look_up = |whence: &stanza::Whence| environment.find(whence);
        let plan = plan(&server, &description, &look_up, self.prune)?;
        match output.format {
            Format::Json => output.answer(show::json(&plan, self.dry_run).expose())?,
            Format::Table => show::table(&plan, self.dry_run).iter().try_for_each(|line| output.line(line))?,
        }
        if self.dry_run {
            return Ok(if plan.steps.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) });
        }
        if plan.steps.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        for (at, step) in plan.steps.iter().enumerate() {
            step.write(&server).map_err(|failure| failure.with(&show::stopped(&plan, at)))?;
        }
        check(&server, &description, &look_up)?;
        if output.format == Format::Table {
            output.line(&format!("Done: {}.", show::count(&plan)))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A server takes fields that it does not know: whoever wrote one is told, now and not at every later run.
fn check(server: &Server<'_>, description: &Description, look_up: &LookUp<'_>) -> Result<(), Failure> {
    let left = plan(server, description, look_up, None)?;
    if left.steps.is_empty() {
        return Ok(());
    }
    Err(Failure::local(format!(
        "everything was written, but the server still shows other values: are these fields of their paths?\n{}",
        show::steps(&left).join("\n")
    )))
}

impl Step {
    fn write(&self, server: &Server<'_>) -> Result<(), Failure> {
        match &self.body {
            Body::None => server.delete(&self.space, &self.path),
            Body::Ready(body) => server.write(&self.space, &self.path, body),
            Body::Group(fields) => server.write(&self.space, &self.path, &self.group(server, fields)?),
        }
    }

    /// The fields of a group, with ids in place of names.
    fn group(&self, server: &Server<'_>, fields: &[Desired]) -> Result<Json, Failure> {
        let mut lists = Vec::new();
        for (names, ids, path) in
            [("members", "member_entity_ids", "entity/name"), ("member_groups", "member_group_ids", "group/name")]
        {
            let Some(field) = fields.iter().find(|field| field.name == names) else { continue };
            let mut found = Vec::new();
            for name in field.value.items().unwrap_or_default().iter().filter_map(Tree::as_text) {
                let id = server.identity(&self.space, path, name, "id")?;
                found.push(id.ok_or_else(|| {
                    let kind = path.split('/').next().unwrap_or_default();
                    Failure::local(format!("{}: there is no {kind} {name:?} in this namespace", self.what()))
                })?);
            }
            lists.push((ids, found));
        }
        Ok(Json::object(|out| {
            for field in fields.iter().filter(|field| !matches!(field.name.as_str(), "members" | "member_groups")) {
                out.field(&field.name, &field.value);
            }
            for (ids, found) in &lists {
                out.strings(ids, found);
            }
        }))
    }
}
