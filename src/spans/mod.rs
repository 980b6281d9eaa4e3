//! Spans: what a request spent its time on, for a collector of traces (OpenTelemetry).
//!
//! Owns which requests are traced, what is recorded of one, and the bytes that are sent (OTLP, protobuf). Off unless the environment names a
//! collector; a request that is not traced costs one look at that, and no memory.
//!
//! Must never hold what a client sent or somebody chose. What a span can hold is a closed set of types: times, numbers, ids of the
//! server's own making, and words of the program. There is no room for a path, a name, a token, a value or the text of an error. Only the
//! two ids of `traceparent` are the caller's. Must not know requests, tenants or stores.
//!
//! Times are nanoseconds since 1970-01-01 UTC. Within a request they come from a clock that does not step.

mod context;
mod encode;
pub mod export;
mod recording;
mod settings;

pub use context::{Parent, Sampler};
pub use recording::{Facts, Recording, Step, Traced, Tracer, Underway};
pub use settings::{Settings, settings};

/// Finished requests that wait to be sent; one more is dropped and counted.
const QUEUE_MAX: usize = 2_048;
/// Requests that are sent together.
const BATCH_MAX: usize = 128;
/// Steps of one request that are recorded.
const STEPS_MAX: usize = 64;
