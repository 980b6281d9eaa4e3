//! The store: can it be used as a start would?

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Finding, clock};
use crate::config::{Postgres, Storage};
use crate::storage::postgres::{self, Step};
use crate::storage::sqlite::{self, Examined};

pub(super) async fn examine(storage: &Storage) -> Vec<Finding> {
    match storage {
        Storage::Sqlite { path } => sqlite_file(path),
        Storage::Postgres(settings) => postgresql(settings).await,
    }
}

fn sqlite_file(path: &Path) -> Vec<Finding> {
    let (check, shown) = ("storage \"sqlite\"", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && folder.is_dir() => {
            return vec![Finding::ok(check, format!("{shown} is not there yet: the first start makes it"))];
        }
        Err(error) => {
            let remedy = format!("make the folder {}, for the server's user", folder.display());
            return vec![Finding::fail(check, format!("{shown}: {error}"), remedy)];
        }
    };
    let mut findings = Vec::new();
    let (me, mode) = (rustix::process::geteuid(), metadata.mode() & 0o7777);
    if !me.is_root() && metadata.uid() != me.as_raw() {
        let text = format!("{shown} belongs to user {}, and this is user {}", metadata.uid(), me.as_raw());
        findings.push(Finding::fail(check, text, "look again as the server's user, or give it the file with chown"));
    } else if mode & 0o077 != 0 {
        let text = format!("{shown} has mode {mode:04o}: others than its owner may read it");
        findings.push(Finding::warn(check, text, format!("chmod 600 {shown}")));
    }
    findings.push(match sqlite::examine(path) {
        Ok(Examined::Free) => Finding::ok(check, format!("{shown} can be opened; no server uses it now")),
        Ok(Examined::Older) => Finding::ok(check, format!("{shown} is of an older version: the next start brings it up to date")),
        Ok(Examined::InUse(holder)) => Finding::ok(check, format!("a server runs on {shown} (pid {holder})")),
        Err(error) => Finding::fail(check, error.to_string(), "name the right file, or restore it from a backup"),
    });
    findings
}

async fn postgresql(settings: &Postgres) -> Vec<Finding> {
    let examined = postgres::examine(settings.connection_url.expose(), &settings.context_key_file.path).await;
    let mut findings: Vec<Finding> = examined.steps.into_iter().map(step).collect();
    if let Some(theirs) = examined.now {
        // It was read somewhere between asking and answering.
        let half = examined.answered.since(examined.asked) / 2;
        findings.push(clock("the database", theirs, examined.asked.plus(half), half.as_secs() + 1));
    }
    findings
}

fn step(Step { what, outcome }: Step) -> Finding {
    let check = format!("storage \"postgresql\" {what}");
    let remedy = match what {
        "connection" => {
            "check connection_url, that the database runs, and that it lets the role strongroom_runtime in (pg_hba.conf)"
        }
        "context key" => "run `strongroom migrate`, and give every server the context_key_file that it keeps",
        "role" => "sign in as strongroom_runtime, as `strongroom migrate --print-roles` makes it",
        "schema" => "run `strongroom migrate` with this version",
        _ => "change the setting, and restart the database",
    };
    match outcome {
        Ok(text) => Finding::ok(check, text),
        Err(error) => Finding::fail(check, error.to_string(), remedy),
    }
}
