//! `operator doctor`: what is wrong with a server, or will be, and what to do about it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Deserialize;
use ureq::http::Method;

use super::client::{Client, ClientOptions};
use super::environment::{Environment, Flags};
use super::failure::Failure;
use super::output::{Format, Output};
use crate::app::{self, Finding, Outcome};
use crate::time::{Clock as _, SystemClock};

/// Check configuration, seals, store, clock, TLS files, disk and memory, and say what to do; exit code 1 if something fails
#[derive(Args)]
#[command(
    after_help = "Run it as the server's user, on its machine, before a start or while the server runs: nothing is changed. Each seal wraps and
opens a random key. With an address (BAO_ADDR, --address) the server that answers there is looked at, too.

Examples:
  strongroom operator doctor --config /etc/strongroom
  strongroom operator doctor --config a.hcl --config b.hcl --format json"
)]
pub(super) struct Doctor {
    /// Configuration file, or folder of *.hcl and *.json files; may be repeated
    #[arg(long, value_name = "FILE|DIR", required = true)]
    config: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct State {
    initialized: bool,
    sealed: bool,
}

impl Doctor {
    pub(super) fn run(self, flags: &Flags, environment: &Environment) -> Result<ExitCode, Failure> {
        let output = Output::new(flags.format(environment)?);
        let url = environment.secret("PG_CONNECTION_URL");
        let mut findings = app::doctor(&self.config, url).map_err(|error| Failure::local(error.to_string()))?;
        if flags.address.is_some() || environment.text("ADDR").is_some() {
            findings.extend(running(flags, environment));
        } else if !findings.iter().any(|finding| finding.check.starts_with("clock")) {
            let text = format!("this machine says {}, and there is nothing to compare it with", SystemClock.now().rfc3339());
            findings.push(Finding::warn(
                "clock",
                text,
                "name the address of a server (BAO_ADDR, --address), or look at `timedatectl`",
            ));
        }
        print(&findings, &output)?;
        let failed = findings.iter().any(|finding| finding.outcome == Outcome::Fail);
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// The server that answers at the address.
fn running(flags: &Flags, environment: &Environment) -> Vec<Finding> {
    let check = "running server";
    let asked = ClientOptions::gather(flags, environment)
        .and_then(Client::new)
        .and_then(|client| client.send_in(None, Method::GET, "sys/seal-status", None));
    let now = SystemClock.now();
    let reply = match asked {
        Ok(reply) => reply,
        Err(failure) => return vec![Finding::warn(check, failure.to_string(), "start it, or correct the address")],
    };
    let mut findings = vec![match reply.parse::<State>() {
        Err(failure) => Finding::fail(check, failure.to_string(), "correct the address (BAO_ADDR, --address)"),
        Ok(State { initialized: false, .. }) => Finding::warn(check, "is not initialised", "run `bao operator init`, once"),
        Ok(State { sealed: true, .. }) => {
            Finding::fail(check, "is sealed", "unseal it, or see the seals above and the server's log")
        }
        Ok(_) => Finding::ok(check, "is open"),
    }];
    findings.extend(reply.date.map(|theirs| app::clock("the running server", theirs, now, 1)));
    findings
}

fn print(findings: &[Finding], output: &Output) -> Result<(), Failure> {
    if output.format == Format::Json {
        let json = serde_json::to_vec(findings).map_err(|error| Failure::local(error.to_string()))?;
        return output.answer(&json);
    }
    findings.iter().try_for_each(|Finding { check, outcome, text, remedy }| {
        let word = match outcome {
            Outcome::Ok => "ok  ",
            Outcome::Warn => "warn",
            Outcome::Fail => "fail",
        };
        let remedy = if remedy.is_empty() { String::new() } else { format!(" => {remedy}") };
        let line: String =
            format!("{word}  {check}: {text}{remedy}").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        output.line(&line)
    })
}
