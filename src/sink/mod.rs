//! Copies of the audit log outside of the store, for systems that watch many servers: files, system logs, HTTP.
//!
//! Each sink reads the log behind the commit, from the position that it keeps in a file of its own, so it never holds up a
//! request, and loses nothing: a receiver that hangs, is slow or full makes it fall behind, and it catches up by reading on.
//! What it holds in memory is one batch. A batch may be delivered twice, when the server ends between delivering it and writing
//! that down.
//!
//! This folder must not write to the log or to a tenant, and must not know what a client asked for beyond the event. Entries are
//! lines of JSON in the form of Vault's audit devices (`entry.rs`). Sizes are bytes.

mod entry;
mod feed;
mod position;
mod receiver;
mod worker;

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::commit::{Committer, News};
use crate::config::AuditSink;
use crate::id::DeploymentId;
use crate::outbound::Outbound;
use feed::Feed;
use worker::Worker;

/// Why a sink cannot be what the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The URL may not be called, or the authorities are none.
    #[error("audit \"{0}\": {1}")]
    Target(String, String),
    /// A thread could not be started.
    #[error("audit \"{0}\": {1}")]
    Thread(String, std::io::Error),
}

/// All sinks of a server, as long as the process lives: sealing stops what feeds them, and unsealing goes on where they are.
#[derive(Default)]
pub struct Sinks(Vec<Sink>);

struct Sink {
    news: Arc<News>,
    hmac_accessor: bool,
    worker: Arc<Worker>,
}

impl Sinks {
    /// Starts a thread for each, which waits. Nothing is opened yet: a receiver that is away is tried again.
    pub fn new(declared: Vec<AuditSink>, outbound: &Outbound) -> Result<Self, SinkError> {
        let mut sinks = Vec::with_capacity(declared.len());
        for AuditSink { name, hmac_accessor, position_file, to, .. } in declared {
            let receiver = receiver::Receiver::new(to, outbound).map_err(|what| SinkError::Target(name.clone(), what))?;
            let worker = Worker::start(&name, receiver, position_file).map_err(|error| SinkError::Thread(name.clone(), error))?;
            sinks.push(Sink { news: Arc::new(News::new(&name)), hmac_accessor, worker: Arc::new(worker) });
        }
        Ok(Self(sinks))
    }

    /// What the committer tells them by.
    pub fn news(&self) -> Vec<Arc<News>> {
        self.0.iter().map(|sink| Arc::clone(&sink.news)).collect()
    }

    /// Feeds them from the logs of an open server, until the tasks are aborted.
    pub fn feed(&self, committer: &Arc<Committer>, deployment: DeploymentId) -> Vec<JoinHandle<()>> {
        let feed = |sink: &Sink| {
            let (news, worker) = (Arc::clone(&sink.news), Arc::clone(&sink.worker));
            tokio::spawn(Feed::new(Arc::clone(committer), deployment, news, worker, sink.hmac_accessor).run())
        };
        self.0.iter().map(feed).collect()
    }

    /// Has files opened again: others have moved them away.
    pub fn reopen(&self) {
        self.0.iter().for_each(|sink| sink.worker.reopen());
    }
}
