//! The command line: a thin client of the HTTP API, and the start of the server.
//!
//! The only place that reads the environment, prints, and ends the process. Exit codes: 0 done, 1 something here is
//! wrong (arguments, files, no connection), 2 the server refused (`status`: sealed).

pub mod apply;
mod audit;
mod backup;
mod client;
mod doctor;
mod environment;
mod failure;
mod kv;
mod operator;
mod output;
mod reference;
mod rotate;
mod server;
mod status;
mod tenant;
mod transit;
mod witness;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use client::{Client, ClientOptions};
use environment::{Environment, Flags};
use failure::Failure;
use output::{Format, Output};

/// Keeps secrets of many tenants, each under its own key, and speaks the HTTP API of Vault and `OpenBao`.
#[derive(Parser)]
#[command(name = "strongroom", version, about, term_width = 100, after_help = ENVIRONMENT)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const ENVIRONMENT: &str = "Environment (VAULT_ in place of BAO_ works too; BAO_ wins over it, and flags win over both):
  BAO_ADDR             address of the server
  BAO_TOKEN            token; else it is read from the file BAO_TOKEN_PATH, or ~/.vault-token
  BAO_NAMESPACE        namespace (tenant) to work in
  BAO_CACERT           authority that signed the server's certificate, PEM
  BAO_CLIENT_CERT      client certificate, PEM
  BAO_CLIENT_KEY       key of the client certificate, PEM
  BAO_TLS_SERVER_NAME  name that the server's certificate is checked for
  BAO_SKIP_VERIFY      true: do not check the server's certificate
  BAO_CLIENT_TIMEOUT   longest wait for an answer, as in 60s
  BAO_FORMAT           table or json";

#[derive(Subcommand)]
enum Command {
    Server(server::Server),
    Migrate(server::Migrate),
    Witness(witness::Witness),
    /// Show whether the server is unsealed; exit code 0 unsealed, 1 no answer, 2 sealed
    Status(OfClient<status::Status>),
    /// Write, read and list secrets
    Kv(Group<kv::Kv>),
    /// Make, use and manage references to secrets
    Reference(Group<reference::Reference>),
    /// Encrypt and decrypt with keys that stay on the server
    Transit(Group<transit::Transit>),
    /// Rotate keys
    Operator(Group<operator::Operator>),
    /// Create and list tenants (namespaces)
    Tenant(Group<tenant::Tenant>),
    /// Search, follow, export and verify the audit log
    Audit(Group<audit::Audit>),
    /// Back up, verify and restore a deployment
    Backup(Group<backup::Backup>),
    /// Bring namespaces, mounts, policies, roles and groups to what files say
    Apply(OfClient<apply::Apply>),
}

// A command that asks a server, with the flags that say which one and how. (A docstring would be its help text.)
#[derive(Args)]
struct OfClient<V: Args> {
    #[command(flatten)]
    verb: V,
    #[command(flatten)]
    flags: Flags,
}

// The same with verbs below it.
#[derive(Args)]
struct Group<V: Subcommand> {
    #[command(subcommand)]
    verb: V,
    #[command(flatten)]
    flags: Flags,
}

/// A call that lasts longer hangs, and is left behind.
const LEAVE_MODULES_MAX: Duration = Duration::from_secs(2);

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let arguments = std::env::args_os().map(double_dash);
    let cli = match Cli::command().try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            let code = u8::from(error.use_stderr());
            // Nothing is left to be done when the terminal is gone.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let done = run(cli, &Environment::of_process());
    // The end of the process takes the libraries of modules down, and would crash whoever is still in one.
    crate::seal::pkcs11::gate::leave(LEAVE_MODULES_MAX);
    match done {
        Ok(code) => code,
        Err(failure) => {
            output::complain(&failure.to_string());
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(cli: Cli, environment: &Environment) -> Result<ExitCode, Failure> {
    let asking = |flags: &Flags| {
        let output = Output::new(flags.format(environment)?);
        Ok((Client::new(ClientOptions::gather(flags, environment)?)?, output))
    };
    match cli.command {
        Command::Server(verb) => return verb.run(environment),
        Command::Migrate(verb) => return verb.run(environment, &Output::new(Format::Table)),
        Command::Witness(verb) => return verb.run(&Output::new(Format::Table)),
        Command::Status(OfClient { verb, flags }) => {
            let (client, output) = asking(&flags)?;
            return verb.run(&client, &output);
        }
        Command::Apply(OfClient { verb, flags }) => {
            let (client, output) = asking(&flags)?;
            return verb.run(&client, &output, environment);
        }
        Command::Audit(Group { verb: audit::Audit::Verify(verify), flags }) if verify.asks() => {
            let (client, output) = asking(&flags)?;
            return verify.run_asking(&client, &output);
        }
        Command::Audit(Group { verb: audit::Audit::Verify(verify), flags }) => {
            return verify.run(&Output::new(flags.format(environment)?));
        }
        Command::Audit(Group { verb: audit::Audit::AcceptRollback(accept), flags }) => {
            accept.run(|| asking(&flags), &Output::new(Format::Table))?;
        }
        Command::Audit(Group { verb, flags }) => asking(&flags).and_then(|(client, output)| verb.run(&client, &output))?,
        Command::Backup(Group { verb, flags }) => {
            let output = Output::new(flags.format(environment)?);
            verb.run(|| asking(&flags), environment, &output)?;
        }
        Command::Kv(Group { verb, flags }) => asking(&flags).and_then(|(client, output)| verb.run(&client, &output))?,
        Command::Reference(Group { verb: reference::Reference::Check(check), .. }) => {
            return check.run(&Output::new(Format::Table));
        }
        Command::Reference(Group { verb, flags }) => asking(&flags).and_then(|(client, output)| verb.run(&client, &output))?,
        Command::Transit(Group { verb, flags }) => asking(&flags).and_then(|(client, output)| verb.run(&client, &output))?,
        Command::Operator(Group { verb: operator::Operator::Doctor(doctor), flags }) => {
            return doctor.run(&flags, environment);
        }
        Command::Operator(Group { verb, flags }) => asking(&flags).and_then(|(client, output)| verb.run(&client, &output))?,
        Command::Tenant(Group { verb, flags }) => asking(&flags).and_then(|(client, output)| verb.run(&client, &output))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Users of `vault` and `bao` write `-mount=x` where clap wants `--mount=x`.
fn double_dash(argument: OsString) -> OsString {
    let Some(text) = argument.to_str() else { return argument };
    let mut letters = text.chars();
    let single =
        letters.next() == Some('-') && letters.next().is_some_and(|c| c.is_ascii_alphabetic()) && letters.next().is_some();
    if single { OsString::from(format!("-{text}")) } else { argument }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
