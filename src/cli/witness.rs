//! `strongroom witness`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::failure::Failure;
use super::output::Output;
use crate::app::{self, WitnessOptions};
use crate::audit::note::LogKey;

/// Runs a witness: cosigns the checkpoints of logs, as far as each extends all before it (C2SP tlog-witness)
#[derive(Args)]
#[command(
    after_help = "POST /add-checkpoint is all it answers. Run it on a machine that is not the log's, by people who are not the log's.
The state file must not be lost, and not be put back to an older one: a witness that has forgotten is none.

Examples:
  strongroom witness --name witness.example.com/w1 --listen 0.0.0.0:8300 --key-file w1.key --state-file w1.state \\
      --log 'log.example.com/a+1b2c3d4e+AU..' --init                       the first start makes key and state
  strongroom witness --name witness.example.com/w1 --listen 0.0.0.0:8300 --key-file w1.key --state-file w1.state \\
      --log 'log.example.com/a+1b2c3d4e+AU..' --log 'key.example+9f8e7d6c+AQ..=other.example.com/log'"
)]
pub(super) struct Witness {
    /// What it is called: a URL without a scheme, which need not lead anywhere
    #[arg(long)]
    name: String,
    /// Address and port to listen on
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// Its private key: 32 bytes, or their hexadecimal or base64 form, mode 0600
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// Where it remembers what it has cosigned
    #[arg(long, value_name = "FILE")]
    state_file: PathBuf,
    /// A log: a key that may sign for it, and its origin, if that is not the key's name; may be repeated
    #[arg(long = "log", value_name = "VKEY[=ORIGIN]", required = true)]
    logs: Vec<String>,
    /// The first start: make the state file, and the key file unless it is there
    #[arg(long)]
    init: bool,
    /// Certificate chain, PEM; without it plain HTTP is spoken, for a proxy in front of it
    #[arg(long, value_name = "FILE", requires = "tls_key_file")]
    tls_cert_file: Option<PathBuf>,
    /// Key of the certificate, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    tls_key_file: Option<PathBuf>,
}

impl Witness {
    pub(super) fn run(self, output: &Output) -> Result<ExitCode, Failure> {
        let logs = self.logs.iter().map(|text| log(text)).collect::<Result<_, _>>()?;
        let options = WitnessOptions {
            name: self.name,
            listen: self.listen,
            key_file: self.key_file,
            state_file: self.state_file,
            logs,
            first_start: self.init,
            tls: self.tls_cert_file.zip(self.tls_key_file),
        };
        // Nobody may be there to read it.
        let told = |key: &str| drop(output.line(key));
        app::run_witness(options, told).map(|()| ExitCode::SUCCESS).map_err(|error| Failure::local(error.to_string()))
    }
}

/// A key has no equals sign: it has 33 bytes.
fn log(text: &str) -> Result<(String, LogKey), Failure> {
    let (key, origin) = text.split_once('=').map_or((text, None), |(key, origin)| (key, Some(origin)));
    let key =
        LogKey::parse(key).ok_or_else(|| Failure::local("--log is not the public key of a log, as in NAME+ID+BASE64=ORIGIN"))?;
    let origin = origin.unwrap_or_else(|| key.name()).to_owned();
    if origin.is_empty() || origin.contains(char::is_whitespace) {
        return Err(Failure::local("--log has an origin with spaces, or none behind its equals sign"));
    }
    Ok((origin, key))
}
