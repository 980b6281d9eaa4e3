//! Sending what was recorded to a collector: OTLP over HTTP, on a thread of its own. A collector that hangs or is away holds this thread and
//! nobody else: the queue in front of it is bounded, and what does not fit is dropped and counted.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::recording::{Finished, Tracer};
use super::settings::Settings;
use super::{BATCH_MAX, encode};
use crate::metrics::{self, Traces};
use crate::outbound::{Destination, Poster};

/// A batch that is not full is sent after this time.
const WAIT: Duration = Duration::from_secs(1);
/// Before a batch that was not taken is sent again; after the last of these it is dropped.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
/// The longest answer of a collector that is looked at, bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// How long the end of the server waits for what is still to be sent.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Why traces are not sent. Names no header.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The endpoint is no URL.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT is no http or https URL")]
    Endpoint,
    /// The file of authorities.
    #[error("OTEL_EXPORTER_OTLP_CERTIFICATE cannot be read: {0}")]
    Certificate(std::io::Error),
    /// Authorities or headers that cannot be used.
    #[error("OTEL_EXPORTER_OTLP_CERTIFICATE or OTEL_EXPORTER_OTLP_HEADERS: {0}")]
    Connection(String),
    /// The operating system started no thread.
    #[error("no thread for traces: {0}")]
    Thread(std::io::Error),
}

/// The thread that sends. It ends when no tracer is left.
pub struct Exporter {
    tracer: Arc<Tracer>,
    ended: Receiver<()>,
}

impl Exporter {
    /// Starts the thread. Nothing is connected to before there is something to send.
    pub fn start(mut settings: Settings) -> Result<Self, ExportError> {
        let to = Destination::of_operator(&settings.endpoint).ok_or(ExportError::Endpoint)?;
        let read = |file| fs::read_to_string(file).map_err(ExportError::Certificate);
        let authorities = settings.certificate.as_ref().map(read).transpose()?;
        let poster = Poster::new(&to, authorities.as_deref(), &settings.headers)
            .map_err(|error| ExportError::Connection(error.to_string()))?;
        if !settings.resource.iter().any(|(name, _)| name == "service.instance.id") {
            settings.resource.push(("service.instance.id".to_owned(), crate::random::uuid()));
        }
        let (tracer, waiting) = Tracer::new(settings.sampler);
        let (end, ended) = mpsc::channel();
        let sending = Sending { poster, resource: settings.resource, failing: false };
        let thread = std::thread::Builder::new().name("traces".to_owned());
        thread.spawn(move || sending.run(&waiting, &end)).map_err(ExportError::Thread)?;
        Ok(Self { tracer: Arc::new(tracer), ended })
    }

    /// What records requests for it.
    pub fn tracer(&self) -> &Arc<Tracer> {
        &self.tracer
    }

    /// Sends what is left, as far as that goes quickly. No request is under way any more.
    pub fn finish(self) {
        drop(self.tracer);
        // The sender of this is dropped with the thread.
        let _ = self.ended.recv_timeout(LAST_WAIT);
    }
}

struct Sending {
    poster: Poster,
    resource: Vec<(String, String)>,
    /// Whether the last batch was not taken: that is said once.
    failing: bool,
}

impl Sending {
    /// `_end` tells by being dropped that this has returned.
    fn run(mut self, waiting: &Receiver<Finished>, _end: &mpsc::Sender<()>) {
        while let Ok(first) = waiting.recv() {
            let mut batch = vec![first];
            let ended = gather(waiting, &mut batch);
            let taken = self.send(&encode::request(&self.resource, &batch), if ended { &[] } else { &PAUSES });
            metrics::traces(if taken { Traces::Sent } else { Traces::Dropped }, batch.len());
        }
    }

    /// Whether a collector took it. One that refuses it is not asked again, one that is away or has too much to do is.
    fn send(&mut self, body: &[u8], pauses: &[Duration]) -> bool {
        let mut pauses = pauses.iter();
        loop {
            let (again, reason) = match self.poster.ask("application/x-protobuf", body, ANSWER_BYTES_MAX) {
                Ok((200..300, _)) => {
                    if std::mem::take(&mut self.failing) {
                        tracing::info!("traces are sent again");
                    }
                    return true;
                }
                Ok((status, _)) => (matches!(status, 429 | 502..=504), format!("the collector answered {status}")),
                Err(reason) => (true, reason),
            };
            if !std::mem::replace(&mut self.failing, true) {
                tracing::warn!(reason, "traces were not sent; what does not fit into the queue is dropped");
            }
            match pauses.next() {
                Some(pause) if again => std::thread::sleep(*pause),
                _ => return false,
            }
        }
    }
}

/// Waits for a batch to become full, for a time. True when nothing more will come.
fn gather(waiting: &Receiver<Finished>, batch: &mut Vec<Finished>) -> bool {
    let until = Instant::now() + WAIT;
    while batch.len() < BATCH_MAX {
        match waiting.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(next) => batch.push(next),
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => return true,
        }
    }
    false
}
