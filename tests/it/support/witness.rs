//! `strongroom witness`: the real binary.

use std::ffi::OsString;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::Target;
use super::client::{Client, Reply};
use super::process::{Process, free_port};
use super::tools;

/// A running witness; ends with this value.
pub(crate) struct Witness {
    process: Process,
    client: Client,
    /// Its public key.
    pub(crate) key: String,
    /// Where it listens.
    pub(crate) url: String,
    again: (PathBuf, [String; 3]),
}

fn command(folder: &Path, name: &str, address: &str, log: &str, more: &[&str]) -> Command {
    let file = |name: &str| folder.join(name).into_os_string();
    let mut arguments: Vec<OsString> =
        ["witness", "--name", name, "--listen", address, "--log", log].into_iter().map(OsString::from).collect();
    arguments.extend(["--key-file".into(), file("key"), "--state-file".into(), file("state")]);
    arguments.extend(more.iter().map(OsString::from));
    let mut command = Command::new(tools::strongroom());
    command.args(arguments).env_clear();
    command
}

impl Witness {
    /// A witness of this name, whose files are in this folder.
    pub(crate) fn start(folder: &Path, name: &str, log: &str, more: &[&str]) -> Self {
        Self::start_at(folder, [name.to_owned(), format!("127.0.0.1:{}", free_port()), log.to_owned()], more)
    }

    fn start_at(folder: &Path, again: [String; 3], more: &[&str]) -> Self {
        let [name, address, log] = &again;
        let mut process = Process::start(command(folder, name, address, log, more), folder, "witness");
        process.wait_until("an open port", || TcpStream::connect(address).is_ok());
        let url = format!("http://{address}");
        let client = Client::new(&Target { url: url.clone(), ca: None, token: String::new() });
        // It prints its key, once it listens.
        let printed = || {
            let printed = fs::read_to_string(folder.join("witness.stdout")).unwrap_or_default();
            printed.lines().rfind(|line| line.starts_with(&format!("{name}+"))).map(str::to_owned)
        };
        process.wait_until("its key", || printed().is_some());
        let key = printed().unwrap();
        Self { process, client, key, url, again: (folder.to_owned(), again) }
    }

    /// Starts it again, where it was, after it was killed.
    pub(crate) fn come_back(self) -> Self {
        let (folder, again) = self.again;
        Self::start_at(&folder, again, &[])
    }

    /// Asks it to cosign.
    pub(crate) fn add(&self, body: &str) -> Reply {
        self.client.send("POST", "/add-checkpoint", &[], body.as_bytes())
    }

    /// Another request.
    pub(crate) fn send(&self, method: &str, path: &str) -> Reply {
        self.client.send(method, path, &[], b"")
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// What it says when it does not start.
    pub(crate) fn refuses(folder: &Path, name: &str, log: &str, more: &[&str]) -> String {
        let Output { status, stderr, .. } = command(folder, name, "127.0.0.1:0", log, more).output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{said}");
        said
    }
}
