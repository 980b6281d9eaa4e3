//! `audit receipt`: exchanges a receipt for a proof, and checks one without the server.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use data_encoding::HEXLOWER;
use serde::Deserialize;
use serde_json::json;

use super::export::{Envelope, Log, Which};
use super::printable;
use crate::audit::merkle::Hash;
use crate::audit::note::LogKey;
use crate::audit::receipt::{self, Proof};
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output};
use crate::id::TenantId;

/// How long a checkpoint is waited for that has the event in it.
const SIGNED_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Exchange the receipt of a request for a proof that `audit verify --receipt` checks
#[derive(Args)]
#[command(after_help = "A request with the header X-Strongroom-Receipt: 1 has its receipt in the same header of the answer.

Examples:
  strongroom audit receipt 'strongroom/3f../9c../0 4711 q83v..=' > proof
  strongroom audit verify --receipt proof --key \"$(cat trusted.key)\"")]
pub(in crate::cli) struct Receipt {
    /// The receipt, as the header had it
    #[arg(value_name = "RECEIPT")]
    text: String,
    /// It is of a request without a valid token
    #[arg(long)]
    edge: bool,
    /// Its namespace was erased since; asked in the root namespace
    #[arg(long, conflicts_with = "edge")]
    erased: bool,
}

#[derive(Deserialize)]
struct Shown {
    leaf: String,
    path: Vec<String>,
}

impl Receipt {
    pub(super) fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let receipt = receipt::Receipt::parse(self.text.trim());
        let receipt = receipt.ok_or_else(|| Failure::local("that is not a receipt: ORIGIN INDEX HASH"))?;
        let log = Log { client, namespace: client.namespace(), which: self.which(&receipt)? };
        let key = log.key()?;
        if !key.named(&receipt.origin).is_of_log(&key) {
            return Err(Failure::local(format!(
                "the receipt is of the log {}, and the namespace's is {}: name the namespace of the request with --namespace",
                printable(&receipt.origin),
                printable(key.name())
            )));
        }
        let begin = Instant::now();
        let (head, checkpoint) = loop {
            let (head, note) = log.newest(&key)?;
            if head.size > receipt.index {
                break (head, note);
            }
            if self.erased || begin.elapsed() > SIGNED_WITHIN {
                return Err(Failure::local(format!("only {} events are signed so far: try again later", head.size)));
            }
            std::thread::sleep(PAUSE);
        };
        let shown = log.ask(&format!("/proof/{}", receipt.index), &format!("size={}", head.size))?;
        let Shown { leaf, path } = shown.parse::<Envelope<Shown>>()?.data;
        if leaf != HEXLOWER.encode(&receipt.leaf) {
            return Err(Failure::local(format!(
                "event {} of the log is another one than the receipt is of: the log was changed. Keep the receipt.",
                receipt.index
            )));
        }
        let hash = |text: &String| -> Option<Hash> { HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok() };
        let path =
            path.iter().map(hash).collect::<Option<_>>().ok_or_else(|| Failure::local("the server's proof is malformed"))?;
        let proof = Proof { receipt, path, checkpoint };
        proof.verify(&key).map_err(|error| Failure::local(format!("the server's proof was refused: {error}")))?;
        output.raw(proof.to_string().as_bytes())
    }

    fn which(&self, receipt: &receipt::Receipt) -> Result<Which, Failure> {
        if !self.erased {
            return Ok(Which::of(self.edge));
        }
        let tenant = receipt.origin.split('/').nth(2).and_then(TenantId::parse);
        let tenant = tenant.ok_or_else(|| Failure::local("the receipt names no namespace"))?;
        Ok(Which::Erased(tenant.to_string()))
    }
}

/// Checks a proof without the server.
pub(super) fn verify(file: &Path, key: &LogKey, output: &Output) -> Result<ExitCode, Failure> {
    let unreadable = |error| Failure::local(format!("{} cannot be read: {error}", file.display()));
    let text = std::fs::read(file).map_err(unreadable)?;
    let proof = String::from_utf8(text).ok().and_then(|text| Proof::parse(&text));
    let proof = proof.ok_or_else(|| Failure::local(format!("changed: {} is not a proof of a receipt", file.display())))?;
    let (index, outcome) = (proof.receipt.index, proof.verify(key));
    if output.format == Format::Json {
        let shown = json!({
            "log": proof.receipt.origin,
            "index": index,
            "leaf": HEXLOWER.encode(&proof.receipt.leaf),
            "events": outcome.as_ref().ok().map(|head| head.size),
            "verified": outcome.is_ok(),
            "error": outcome.as_ref().err().map(ToString::to_string),
        });
        output.line(&shown.to_string())?;
    } else {
        output.line(&match &outcome {
            Ok(head) => format!("verified: event {index} is one of the {} that were signed", head.size),
            Err(error) => format!("not verified: event {index}: {error}"),
        })?;
    }
    Ok(ExitCode::from(u8::from(outcome.is_err())))
}
