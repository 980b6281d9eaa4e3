//! `strongroom server` and `strongroom migrate`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::environment::Environment;
use super::failure::Failure;
use super::output::Output;
use crate::app::{self, DevOptions};
use crate::logging::LogLevel;
use crate::secret::SecretText;

/// Runs the server.
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom server --dev                          try it out: everything in ./strongroom-dev
  strongroom server --dev --dev-dir /tmp/x --dev-root-token-id root
  strongroom server --config /etc/strongroom       every *.hcl and *.json in the folder
  strongroom server --config a.hcl --config b.hcl  several files, merged

SIGTERM lets requests in flight finish and stops; SIGHUP reads certificates and the log level again.")]
pub(super) struct Server {
    /// Configuration file, or folder of *.hcl and *.json files; may be repeated
    #[arg(long, value_name = "FILE|DIR", conflicts_with = "dev", required_unless_present = "dev")]
    config: Vec<PathBuf>,
    /// Development mode: SQLite, a key and certificates of its own, loopback only, not safe for real secrets
    #[arg(long)]
    dev: bool,
    /// Root token of the development server; a random one if absent
    #[arg(long, value_name = "ID", requires = "dev")]
    dev_root_token_id: Option<String>,
    /// Address of the development server
    #[arg(long, value_name = "ADDR", requires = "dev", default_value = "127.0.0.1:8200")]
    dev_listen_address: SocketAddr,
    /// Folder of the development server: database, certificates, and `env`, a file to `source`
    #[arg(long, value_name = "DIR", requires = "dev", default_value = "strongroom-dev")]
    dev_dir: PathBuf,
    /// Log level: trace, debug, info, warn, error (the configuration has `log_level`)
    #[arg(long, value_name = "LEVEL", requires = "dev")]
    log_level: Option<String>,
}

impl Server {
    pub(super) fn run(self, environment: &Environment) -> Result<ExitCode, Failure> {
        let done = if self.dev {
            let log_level = self.log_level.map(|word| level(&word)).transpose()?;
            app::run_dev(DevOptions {
                root_token: self.dev_root_token_id.map(SecretText::new),
                address: self.dev_listen_address,
                folder: self.dev_dir,
                log_level,
                traces: environment.traces(),
            })
        } else {
            let socket = environment.notify_socket();
            let look_up = |whence: &_| environment.find(whence);
            app::run(&self.config, environment.secret("PG_CONNECTION_URL"), socket.as_deref(), &look_up, environment.traces())
        };
        done.map(|()| ExitCode::SUCCESS).map_err(|error| Failure::local(error.to_string()))
    }
}

fn level(word: &str) -> Result<LogLevel, Failure> {
    let found = LogLevel::WORDS.iter().find(|(known, _)| *known == word);
    found
        .map(|(_, level)| *level)
        .ok_or_else(|| Failure::local(format!("--log-level {word}: use trace, debug, info, warn or error")))
}

/// Prepares a `PostgreSQL` database: tables, row-level security, and the key that signs tenant contexts.
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom migrate --print-roles | psql postgresql://postgres@db/postgres       once, as an administrator
  strongroom migrate --database-url postgresql://strongroom_owner@db/strongroom --context-key-file /etc/strongroom/context.key

Run again after every upgrade: what is there already stays. A run that was interrupted is finished by the next.
The key of a file that is there already is given to the database.")]
pub(super) struct Migrate {
    /// Connection of the owner role; else that of `BAO_PG_CONNECTION_URL`, which shows in no list of processes
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// File that the server's `storage "postgresql"` names as `context_key_file`; made with mode 0600
    #[arg(long, value_name = "FILE", required_unless_present = "print_roles")]
    context_key_file: Option<PathBuf>,
    /// Print the SQL that makes the roles, and do nothing else
    #[arg(long)]
    print_roles: bool,
}

impl Migrate {
    pub(super) fn run(self, environment: &Environment, output: &Output) -> Result<ExitCode, Failure> {
        if self.print_roles {
            output.line(app::role_statements())?;
            return Ok(ExitCode::SUCCESS);
        }
        let url = self.database_url.map(SecretText::new).or_else(|| environment.secret("PG_CONNECTION_URL"));
        let (Some(url), Some(file)) = (url, self.context_key_file) else {
            return Err(Failure::local("--database-url (or BAO_PG_CONNECTION_URL) and --context-key-file are needed"));
        };
        let done = app::migrate(&url, &file).map_err(|error| Failure::local(error.to_string()))?;
        output.line(&format!("The database has schema version {} (it had {}).", done.to, done.from))?;
        if done.new_key {
            output.line(&format!(
                "The context key in {} is new to the database: every server needs this file, and a restart.",
                file.display()
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
