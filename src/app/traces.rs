//! Where traces of requests go, if anywhere.

use std::sync::Arc;

use crate::spans::export::Exporter;
use crate::spans::{Settings, Tracer};

/// What the environment says about traces.
#[derive(Default)]
pub struct TraceSettings {
    /// Where they go.
    pub to: Option<Settings>,
    /// What was passed over.
    pub warnings: Vec<String>,
}

/// Runs a server with its tracer, and sends what is left when it has stopped. Traces that cannot be sent do not keep it from starting.
pub(super) fn sending<T>(traces: TraceSettings, serve: impl FnOnce(Option<Arc<Tracer>>) -> T) -> T {
    for warning in &traces.warnings {
        tracing::warn!("{warning}");
    }
    let started = traces.to.map(Exporter::start).transpose();
    let exporter = started.map_err(|error| tracing::error!(%error, "no traces are sent")).ok().flatten();
    let served = serve(exporter.as_ref().map(|exporter| Arc::clone(exporter.tracer())));
    if let Some(exporter) = exporter {
        exporter.finish();
    }
    served
}
