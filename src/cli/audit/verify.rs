//! `audit verify`: checks a copy of a log without the server, or what the server has stored.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use data_encoding::HEXLOWER;
use serde_json::json;

use super::export::Progress;
use super::folder::CopyFolder;
use super::printable;
use crate::audit::copy::{self, Quorum, Report, Trust, heads_of};
use crate::audit::cosignature::WitnessKey;
use crate::audit::head::is_of_deployment;
use crate::audit::note::{LogKey, TreeHead, log_and_epoch};
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output, complain};

/// Check a copy of the log, without the server, or with --state what the server has stored; exit code 1 when anything is wrong
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom audit verify ./log --key 'strongroom/3f..+1b2c3d4e+AU..'
  strongroom audit verify ./log --key \"$(cat trusted.key)\" --kept last-month.checkpoint
  strongroom audit verify ./log --key \"$(cat trusted.key)\" --witness \"$(cat w1.key)\"
  strongroom audit verify ./heads --key \"$(cat trusted.key)\" --witness \"$(cat w1.key)\"
  strongroom audit verify ./log --key \"$(cat trusted.key)\" --heads ./heads
  strongroom audit verify ./log --format json
  strongroom audit verify --receipt proof --key \"$(cat trusted.key)\"
  strongroom audit verify --state --namespace acme")]
pub(in crate::cli) struct Verify {
    /// What `audit export` has written: one log, or a folder of several
    #[arg(value_name = "DIR", required_unless_present_any = ["receipt", "state"])]
    dir: Option<PathBuf>,
    /// Public key of the log, from somewhere other than the copy; without it the copy's own is used
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// A checkpoint that was kept from another time, which the copy must be of one history with
    #[arg(long, value_name = "FILE")]
    kept: Option<PathBuf>,
    /// Public key of a witness that has to have cosigned the log; may be repeated
    #[arg(long = "witness", value_name = "KEY", conflicts_with_all = ["receipt", "state"])]
    witnesses: Vec<String>,
    /// How many of these witnesses are needed; all of them without it
    #[arg(long, value_name = "N", requires = "witnesses")]
    witnesses_required: Option<usize>,
    /// A copy of the deployment's log (`audit export --deployment`), which is verified, too: the log must be of one history with every head
    /// that is there of it
    #[arg(long, value_name = "DIR", conflicts_with_all = ["receipt", "state"])]
    heads: Option<PathBuf>,
    /// Check what `audit receipt` has written, instead of a copy
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with_all = ["dir", "kept"])]
    receipt: Option<PathBuf>,
    /// Hold the records that the server has stored against its log: what was rolled back, swapped or removed is named
    #[arg(long, conflicts_with_all = ["dir", "key", "kept", "receipt"])]
    state: bool,
    /// With --state: of requests without a valid token, which belong to no namespace
    #[arg(long, requires = "state")]
    edge: bool,
}

impl Verify {
    /// Whether a server is asked.
    pub(in crate::cli) fn asks(&self) -> bool {
        self.state
    }

    /// With `--state`.
    pub(in crate::cli) fn run_asking(&self, client: &Client, output: &Output) -> Result<ExitCode, Failure> {
        super::state::verify(client, self.edge, output)
    }

    /// Without a server.
    pub(in crate::cli) fn run(self, output: &Output) -> Result<ExitCode, Failure> {
        let wrong = || Failure::local("--key is not the public key of a log, as in ORIGIN+ID+BASE64");
        let key = self.key.as_deref().map(|text| LogKey::parse(text.trim()).ok_or_else(wrong)).transpose()?;
        if let (Some(file), Some(key)) = (&self.receipt, &key) {
            return super::receipt::verify(file, key, output);
        }
        let quorum = quorum(&self.witnesses, self.witnesses_required)?;
        let dir = self.dir.unwrap_or_default();
        let kept = self.kept.as_deref().map(|file| fs::read(file).map_err(|error| unreadable(file, &error))).transpose()?;
        let copies = copies(&dir)?;
        let mut sound = true;
        if let Some(dir) = &self.heads {
            let folder = CopyFolder::new(dir);
            let key = key.as_ref().map(|key| of_copy(key, &folder)).transpose()?;
            let trust = Trust { key, quorum: quorum.clone(), ..Trust::default() };
            let report = copy::verify(&folder, trust, &mut |_| ()).map_err(|error| unreadable(dir, &error))?;
            sound &= report.findings.is_empty();
            show(dir, &report, output)?;
        }
        for copy in &copies {
            let folder = CopyFolder::new(copy);
            let several = copies.len() > 1 || self.heads.is_some() || is_deployments(&folder)?;
            let key = key.as_ref().map(|key| if several { of_copy(key, &folder) } else { Ok(key.clone()) }).transpose()?;
            // A checkpoint that was kept is of one of the logs.
            let kept = kept.as_deref().filter(|note| copies.len() == 1 || is_of(note, key.as_ref(), &folder));
            let mut progress = Progress::new("events were read");
            let heads = self.heads.as_deref().map(|dir| heads(dir, key.as_ref(), &folder)).transpose()?.unwrap_or_default();
            // With the deployment's log it is that which has to be cosigned.
            let quorum = if self.heads.is_some() { Quorum::default() } else { quorum.clone() };
            let trust = Trust { key, kept, heads, quorum };
            let report = copy::verify(&folder, trust, &mut |events| progress.tell(events, None));
            let report = report.map_err(|error| unreadable(copy, &error))?;
            sound &= report.findings.is_empty();
            show(copy, &report, output)?;
        }
        Ok(ExitCode::from(u8::from(!sound)))
    }
}

fn quorum(witnesses: &[String], required: Option<usize>) -> Result<Quorum, Failure> {
    let wrong = || Failure::local("--witness is not the public key of a witness, as in NAME+ID+BASE64");
    let mut keys: Vec<WitnessKey> = Vec::new();
    for text in witnesses {
        let key = WitnessKey::parse(text.trim()).ok_or_else(wrong)?;
        if keys.contains(&key) {
            return Err(Failure::local("--witness names one witness twice"));
        }
        keys.push(key);
    }
    let required = required.unwrap_or(keys.len());
    if required > keys.len() || (required == 0 && !keys.is_empty()) {
        return Err(Failure::local("--witnesses-required is from 1 to as many as there are --witness"));
    }
    Ok(Quorum { witnesses: keys, required })
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::local(format!("{} cannot be read: {error}", path.display()))
}

/// The folder itself, or those in it.
fn copies(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = || -> io::Result<Vec<PathBuf>> {
        let mut found: Vec<PathBuf> =
            fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        found.sort();
        Ok(found)
    };
    let found = entries().map_err(|error| unreadable(dir, &error))?;
    let several = !found.is_empty() && found.iter().all(|path| path.join(copy::KEY).is_file());
    Ok(if several { found } else { vec![dir.to_owned()] })
}

/// All logs of a deployment are signed with one key, under names of their own; its own log, too.
fn of_copy(key: &LogKey, folder: &CopyFolder) -> Result<LogKey, Failure> {
    let own = super::export::own_key(folder)?;
    let of = |name: &str| name.split('/').take(2).map(str::to_owned).collect::<Vec<_>>();
    Ok(match own {
        Some(own) if of(own.name()) == of(key.name()) => key.named(own.name()),
        _ => key.clone(),
    })
}

fn is_deployments(folder: &CopyFolder) -> Result<bool, Failure> {
    Ok(super::export::own_key(folder)?.is_some_and(|own| is_of_deployment(own.name())))
}

/// What a copy of the deployment's log has of the log in a folder.
fn heads(dir: &Path, key: Option<&LogKey>, folder: &CopyFolder) -> Result<Vec<(String, TreeHead)>, Failure> {
    let Some(log) = key.cloned().map_or_else(|| super::export::own_key(folder), |key| Ok(Some(key)))? else {
        return Ok(Vec::new());
    };
    let found = heads_of(&CopyFolder::new(dir), &log).map_err(|error| unreadable(dir, &error))?;
    if found.is_empty() {
        return Err(Failure::local(format!("{} has no head of {}", dir.display(), log.name())));
    }
    Ok(found)
}

fn is_of(note: &[u8], key: Option<&LogKey>, folder: &CopyFolder) -> bool {
    let own = || super::export::own_key(folder).ok().flatten();
    let name = key.cloned().or_else(own).map(|key| key.name().to_owned());
    let log = |origin: &str| log_and_epoch(origin).map(|(log, _)| log.to_owned());
    TreeHead::unverified(note).is_ok_and(|head| name.is_some_and(|name| log(&head.origin) == log(&name)))
}

fn show(dir: &Path, report: &Report, output: &Output) -> Result<(), Failure> {
    let fingerprint = report.key.as_ref().map(LogKey::fingerprint);
    if let (true, Some(fingerprint)) = (report.own_key, &fingerprint) {
        complain(&format!(
            "{}: checked with the key that is in the copy itself, which whoever made the copy has chosen. Its fingerprint is {fingerprint}: \
             compare it with the server's (sys/audit-log/key), or name the key with --key.",
            dir.display()
        ));
    }
    let (head, findings) = (report.head.as_ref(), &report.findings);
    if output.format == Format::Json {
        let findings: Vec<_> = findings
            .iter()
            .map(|finding| json!({"fault": finding.fault.word(), "place": finding.place, "detail": finding.detail}))
            .collect();
        let shown = json!({
            "folder": dir.to_string_lossy(),
            "log": report.key.as_ref().map(LogKey::name),
            "events": head.map(|head| head.size),
            "root": head.map(|head| HEXLOWER.encode(&head.root)),
            "fingerprint": fingerprint,
            "own_key": report.own_key,
            "epochs": report.epochs.iter().map(|(first, detail)| json!({"first": first, "detail": detail})).collect::<Vec<_>>(),
            "witnessed": report.seen.as_ref().map(|seen| {
                let by: Vec<_> = seen.by.iter().map(|(name, time)| json!({"witness": name, "time": time})).collect();
                json!({"events": seen.events, "by": by})
            }),
            "verified": findings.is_empty(),
            "findings": findings,
        });
        return output.line(&shown.to_string());
    }
    let name = report.key.as_ref().map_or("unknown", LogKey::name);
    output.line(&format!("log          {}", printable(name)))?;
    if let Some(head) = head {
        output.line(&format!("events       {}\nroot         {}", head.size, HEXLOWER.encode(&head.root)))?;
    }
    if let Some(fingerprint) = fingerprint {
        output.line(&format!("key          {fingerprint}"))?;
    }
    if let Some(seen) = &report.seen {
        let by: Vec<&str> = seen.by.iter().map(|(name, _)| name.as_str()).collect();
        output.line(&printable(&format!("witnessed    {} events, by {}", seen.events, by.join(", "))))?;
    }
    for (first, detail) in &report.epochs {
        output.line(&format!("epoch        event {first}: {}", printable(detail)))?;
    }
    findings.iter().try_for_each(|finding| output.line(&printable(&finding.to_string())))?;
    output.line(&match findings.len() {
        0 => "verified".to_owned(),
        1 => "1 finding: this copy is not the log that was signed".to_owned(),
        many => format!("{many} findings: this copy is not the log that was signed"),
    })
}
