//! `audit export`: copies a log into a folder, or goes on with a copy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use data_encoding::HEXLOWER;
use serde::Deserialize;
use serde_json::value::RawValue;
use ureq::http::Method;

use super::folder::CopyFolder;
use super::printable;
use crate::audit::copy::{CHECKPOINT, CHECKPOINTS, Folder as _, KEY, UNFINISHED, Writer};
use crate::audit::merkle::leaf_hash;
use crate::audit::note::{LogKey, TreeHead};
use crate::cli::client::{Client, Reply};
use crate::cli::failure::Failure;
use crate::cli::output::{Output, complain};

/// Events that are asked for at once.
const PAGE: usize = 1_000;
/// Between two lines that say how far it is.
const PROGRESS: Duration = Duration::from_secs(2);

/// Copy the log into a folder, up to its newest checkpoint; a copy that is there goes on where it ended
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom audit export ./log
  strongroom audit export --namespace acme ./acme-log
  strongroom audit export --children ./all-logs
  strongroom audit export --deployment ./heads
  strongroom audit verify ./log --key \"$(cat trusted.key)\"")]
pub(in crate::cli) struct Export {
    /// Where the copy is, or will be
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The logs of namespaces below, too, as far as the token may read them: each in a folder of DIR
    #[arg(long)]
    children: bool,
    /// The log of requests without a valid token, which belong to no namespace
    #[arg(long, conflicts_with = "children")]
    edge: bool,
    /// The log of the deployment, which witnesses cosign: where the log of each tenant stood, by opaque ids
    #[arg(long, conflicts_with_all = ["children", "edge"])]
    deployment: bool,
}

#[derive(Deserialize)]
pub(super) struct Envelope<D> {
    pub(super) data: D,
}

#[derive(Deserialize)]
struct Key {
    key: String,
}

#[derive(Deserialize)]
struct Checkpoint {
    checkpoint: String,
}

#[derive(Deserialize)]
struct Namespaces {
    namespaces: Vec<String>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    data: Events<'a>,
}

#[derive(Deserialize)]
struct Events<'a> {
    #[serde(borrow)]
    events: Vec<Shown<'a>>,
    /// Some that were asked for were deleted from the archive.
    #[serde(default)]
    expired: bool,
}

#[derive(Deserialize)]
struct Heads {
    entries: Vec<String>,
}

#[derive(Deserialize)]
struct Shown<'a> {
    index: u64,
    leaf: String,
    #[serde(borrow)]
    event: &'a RawValue,
}

impl Export {
    pub(super) fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        if !self.children {
            let which = if self.deployment { Which::Deployment } else { Which::of(self.edge) };
            return Log { client, namespace: client.namespace(), which }.export(&self.dir, output);
        }
        let reply = client.send(Method::GET, "sys/audit-log?children=true&limit=1", None)?;
        for namespace in reply.parse::<Envelope<Namespaces>>()?.data.namespaces {
            let log = Log { client, namespace: Some(&namespace), which: Which::Own };
            // Folders have the tenant's id: names are their users' choice, and may be reused.
            let key = log.key()?;
            let id = key.name().split('/').nth(2).filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            let folder = self.dir.join(id.ok_or_else(|| Failure::local("the server's key has no name of a log"))?);
            output.line(&format!("{:<40}{}", if namespace.is_empty() { "(root)" } else { &namespace }, folder.display()))?;
            log.export(&folder, output)?;
        }
        Ok(())
    }
}

/// Whose log it is.
pub(super) enum Which {
    Own,
    Edge,
    /// That of the namespace which had this id: proofs only.
    Erased(String),
    /// That of all heads.
    Deployment,
}

impl Which {
    pub(super) fn of(edge: bool) -> Self {
        if edge { Self::Edge } else { Self::Own }
    }
}

/// One log.
pub(super) struct Log<'a> {
    pub(super) client: &'a Client,
    pub(super) namespace: Option<&'a str>,
    pub(super) which: Which,
}

impl Log<'_> {
    pub(super) fn ask(&self, path: &str, query: &str) -> Result<Reply, Failure> {
        let which = match &self.which {
            Which::Own | Which::Deployment => String::new(),
            Which::Edge => "&edge=true".to_owned(),
            Which::Erased(id) => format!("&erased={id}"),
        };
        self.client.send_in(self.namespace, Method::GET, &format!("sys/audit-log{path}?{query}{which}"), None)
    }

    fn is_of_deployment(&self) -> bool {
        matches!(self.which, Which::Deployment)
    }

    pub(super) fn key(&self) -> Result<LogKey, Failure> {
        let text = self.ask(if self.is_of_deployment() { "/deployment" } else { "/key" }, "")?.parse::<Envelope<Key>>()?.data.key;
        LogKey::parse(&text).ok_or_else(|| Failure::local("the server names a key that is not one"))
    }

    /// The newest tree that was signed, and the note.
    pub(super) fn newest(&self, key: &LogKey) -> Result<(TreeHead, String), Failure> {
        let unsigned = " (nothing is signed yet: try again in some seconds)";
        let path = if self.is_of_deployment() { "/deployment" } else { "/checkpoint" };
        let reply = self.ask(path, "").map_err(|failure| match failure {
            Failure::Server { status: 404, .. } => failure.with(unsigned),
            other => other,
        })?;
        let note = reply.parse::<Envelope<Checkpoint>>()?.data.checkpoint;
        let wrong = |error| Failure::local(format!("the server's checkpoint was refused: {error}"));
        let (head, _) = key.open_of_log(note.as_bytes()).map_err(wrong)?;
        Ok((head, note))
    }

    fn export(&self, dir: &Path, output: &Output) -> Result<(), Failure> {
        let key = self.key()?;
        let (head, note) = self.newest(&key)?;
        let there = |error: io::Error| Failure::local(format!("{}: {error}", dir.display()));
        fs::create_dir_all(dir).map_err(there)?;
        let folder = CopyFolder::new(dir);
        let base = base(&folder, &key, &head)?;
        let Some(_marker) = folder.begin().map_err(there)? else {
            return Err(Failure::local(format!("another export is writing to {}", dir.display())));
        };
        let mut writer = match &base {
            None => Writer::default(),
            Some(base) => Writer::resume(&folder, base).map_err(there)?.ok_or_else(|| damaged(dir))?,
        };
        let from = writer.size();
        folder.write(KEY, format!("{key}\n").as_bytes()).map_err(there)?;
        writer.take_over(&folder, head.size, &mut |name, bytes| folder.write(name, bytes)).map_err(there)?;
        if self.is_of_deployment() {
            self.fetch_heads(&mut writer, head.size, &folder)?;
        } else {
            self.fetch(&mut writer, head.size, &folder)?;
        }
        if writer.root() != head.root {
            return Err(Failure::local(format!(
                "the events are not those that the server signed: its log was changed, or {} was. See `strongroom audit verify`; a copy in \
                 another folder tells which it is.",
                dir.display()
            )));
        }
        writer.finish(&mut |name, bytes| folder.write(name, bytes)).map_err(there)?;
        folder.write(&format!("{CHECKPOINTS}{}", head.size), note.as_bytes()).map_err(there)?;
        // Its own note has the cosignatures.
        let unseen = if self.is_of_deployment() { None } else { super::witnessed::fetch(self, &key, head.size, &folder)? };
        folder.sync().map_err(there)?;
        folder.write(CHECKPOINT, note.as_bytes()).map_err(there)?;
        folder.end(head.size).map_err(there)?;
        if let Some(seen) = unseen {
            complain(&format!(
                "only the first {seen} of them are in the deployment's log that was signed, and cosigned where there are witnesses: export \
                 again later"
            ));
        }
        let what = if self.is_of_deployment() { "heads" } else { "events" };
        output.line(&format!("{} {what}, {} of them new, in {}", head.size, head.size - from, printable(&dir.to_string_lossy())))
    }

    /// Fetches events until there are `size`.
    fn fetch(&self, writer: &mut Writer, size: u64, folder: &CopyFolder) -> Result<(), Failure> {
        let mut progress = Progress::new("events are there");
        while writer.size() < size {
            let reply = self.ask("", &format!("order=asc&since_index={}&limit={PAGE}&archive=true", writer.size()))?;
            let Events { events, expired } = reply.parse::<Page<'_>>()?.data;
            if expired {
                return Err(Failure::local(format!(
                    "events from {} on are neither in the database nor in the archive any more: they are past their retention",
                    writer.size()
                )));
            }
            if events.is_empty() {
                return Err(Failure::local(format!(
                    "the server has signed {size} events and gives no more than {}: its log has lost its end",
                    writer.size()
                )));
            }
            for Shown { index, leaf, event } in events {
                if writer.size() == size {
                    break;
                }
                let bytes = event.get().as_bytes();
                if index != writer.size() || leaf != HEXLOWER.encode(&leaf_hash(bytes)) {
                    return Err(Failure::local(format!("the server gave something else for event {}", writer.size())));
                }
                let put = writer.push(bytes, &mut |name, bytes| folder.write(name, bytes));
                put.map_err(|error| Failure::local(format!("{}: {error}", folder.path().display())))?;
            }
            progress.tell(writer.size(), Some(size));
        }
        Ok(())
    }

    /// The same of the deployment's log.
    fn fetch_heads(&self, writer: &mut Writer, size: u64, folder: &CopyFolder) -> Result<(), Failure> {
        let mut progress = Progress::new("heads are there");
        while writer.size() < size {
            let reply = self.ask("/deployment/heads", &format!("from={}&limit={PAGE}", writer.size()))?;
            let Heads { entries } = reply.parse::<Envelope<Heads>>()?.data;
            if entries.is_empty() {
                let there = writer.size();
                return Err(Failure::local(format!("the server has signed {size} heads and gives no more than {there}")));
            }
            for entry in entries.iter().take(usize::try_from(size - writer.size()).unwrap_or(usize::MAX)) {
                let put = writer.push(entry.as_bytes(), &mut |name, bytes| folder.write(name, bytes));
                put.map_err(|error| Failure::local(format!("{}: {error}", folder.path().display())))?;
            }
            progress.tell(writer.size(), Some(size));
        }
        Ok(())
    }
}

/// The key that a copy names.
pub(super) fn own_key(folder: &CopyFolder) -> Result<Option<LogKey>, Failure> {
    let file = folder.read(KEY).map_err(|error| Failure::local(format!("{}: {error}", folder.path().display())))?;
    Ok(file.and_then(|bytes| LogKey::parse(std::str::from_utf8(&bytes).ok()?.strip_suffix('\n')?)))
}

/// The tree of the copy that is there; none when the folder is empty, or an export was cut off before its first checkpoint.
fn base(folder: &CopyFolder, key: &LogKey, head: &TreeHead) -> Result<Option<TreeHead>, Failure> {
    let dir = folder.path().display();
    let failed = |error: io::Error| Failure::local(format!("{dir}: {error}"));
    let (mut files, mut begun) = (0, false);
    folder
        .walk(&mut |name| {
            files += 1;
            begun |= name == UNFINISHED || name == KEY;
        })
        .map_err(failed)?;
    if files > 0 && !begun {
        return Err(Failure::local(format!("{dir} has files that are no copy of a log: name an empty or new folder")));
    }
    if let Some(own) = own_key(folder)?.filter(|own| !own.is_of_log(key)) {
        return Err(Failure::local(format!(
            "{dir} is the copy of another log, or signed with another key:\n  there   {own}\n  server  {key}"
        )));
    }
    let Some(note) = folder.read(CHECKPOINT).map_err(failed)? else { return Ok(None) };
    let (base, _) = key.open_of_log(&note).map_err(|_| damaged(folder.path()))?;
    if base.size > head.size {
        return Err(Failure::local(format!(
            "{dir} has {} signed events, and the server says that it has signed {}: its log has lost its end. Keep this copy.",
            base.size, head.size
        )));
    }
    Ok(Some(base))
}

fn damaged(dir: &Path) -> Failure {
    Failure::local(format!("{} does not fit its checkpoint: see `strongroom audit verify`", dir.display()))
}

/// Says how far something is, on standard error, when it takes long.
pub(super) struct Progress {
    what: &'static str,
    said: Instant,
}

impl Progress {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, said: Instant::now() }
    }

    pub(super) fn tell(&mut self, events: u64, all: Option<u64>) {
        if self.said.elapsed() >= PROGRESS {
            self.said = Instant::now();
            let of = all.map_or_else(String::new, |all| format!(" of {all}"));
            complain(&format!("{events}{of} {}", self.what));
        }
    }
}
