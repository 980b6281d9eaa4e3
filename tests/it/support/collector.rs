//! A collector of traces, as far as a server meets one: it takes OTLP over HTTP, refuses it, or hangs. What it took is read by the code that
//! the `.proto` files of OpenTelemetry give in Python.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::process::{PATIENCE, run};
use super::tools;

/// What it does with an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    /// Takes it.
    Take,
    /// Reads it, and answers nothing.
    Hang,
    /// Answers with this status.
    Answer(u16),
}

/// A collector, which listens once it is told to.
pub(crate) struct Collector {
    port: u16,
    state: Arc<Mutex<State>>,
}

struct State {
    does: Does,
    /// Heads and bodies of what it was sent, whatever it did with them.
    exports: Vec<(String, Vec<u8>)>,
}

/// A span, as the collector read it. Ids are hexadecimal, times nanoseconds.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) begin: u64,
    pub(crate) end: u64,
    pub(crate) attributes: Map<String, Value>,
    pub(crate) status: String,
    pub(crate) resource: Map<String, Value>,
    pub(crate) scope: String,
}

impl Collector {
    /// One that takes everything.
    pub(crate) fn start() -> Self {
        let collector = Self::closed();
        collector.open();
        collector
    }

    /// Nobody listens yet.
    pub(crate) fn closed() -> Self {
        let state = State { does: Does::Take, exports: Vec::new() };
        Self { port: super::process::free_port(), state: Arc::new(Mutex::new(state)) }
    }

    /// Listens from now on.
    pub(crate) fn open(&self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        let state = Arc::clone(&self.state);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (Ok(connection), state) = (connection, Arc::clone(&state)) else { return };
                std::thread::spawn(move || serve(connection, &state));
            }
        });
    }

    /// From now on it does this.
    pub(crate) fn does(&self, does: Does) {
        self.state.lock().unwrap().does = does;
    }

    /// Where it is.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Heads and bodies of all exports so far.
    pub(crate) fn exports(&self) -> Vec<(String, Vec<u8>)> {
        self.state.lock().unwrap().exports.clone()
    }

    /// The spans of all exports so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let folder = tempfile::tempdir().unwrap();
        let mut arguments = vec![concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/python/otlp.py").to_owned()];
        for (number, (_, body)) in self.exports().iter().enumerate() {
            let file = folder.path().join(number.to_string());
            fs::write(&file, body).unwrap();
            arguments.push(file.display().to_string());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let read = run(&tools::python(), &arguments, &[], None);
        assert_eq!(read.code, 0, "what was exported is not OTLP: {}", read.stderr);
        serde_json::from_str(&read.stdout).unwrap()
    }

    /// The spans of this request, once they are there.
    pub(crate) fn spans_of(&self, request_id: &str) -> Vec<Span> {
        let since = Instant::now();
        let mut exports = 0;
        loop {
            assert!(since.elapsed() < PATIENCE, "no spans of request {request_id} in {exports} exports");
            let now = self.exports().len();
            if now > exports {
                exports = now;
                let all = self.spans();
                let root =
                    all.iter().find(|span| span.attributes.get("strongroom.request_id").is_some_and(|id| id == request_id));
                if let Some(trace) = root.map(|root| root.trace.clone()) {
                    return all.into_iter().filter(|span| span.trace == trace).collect();
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Has the server that is started in `folder` send its traces here; `more` are further variables.
    pub(crate) fn name_it(&self, folder: &Path, more: &[(&str, &str)]) {
        let endpoint = self.endpoint();
        let all = [&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())], more].concat();
        super::server::set_environment(folder, &all);
    }
}

/// Takes the exports of one connection.
fn serve(mut connection: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let from = head.len();
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
            let line = head[from..].trim().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let does = {
            let mut state = state.lock().unwrap();
            state.exports.push((head, body));
            state.does
        };
        let status = match does {
            Does::Take => 200,
            Does::Hang => continue,
            Does::Answer(status) => status,
        };
        let answer = format!("HTTP/1.1 {status} Status\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n");
        if connection.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
