//! An HTTP server that batches of events are sent to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::parsed;

/// An HTTP server that takes batches, or only connections.
pub(super) struct Receiver {
    /// Where it listens.
    pub(super) address: String,
    answers: Arc<AtomicBool>,
    lines: Arc<Mutex<Vec<Value>>>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Receiver {
    /// Answers nothing yet.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let receiver = Self { address, answers: Arc::default(), lines: Arc::default(), connections: Arc::default() };
        let (answers, lines, connections) =
            (Arc::clone(&receiver.answers), Arc::clone(&receiver.lines), Arc::clone(&receiver.connections));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                connections.lock().unwrap().push(stream.try_clone().unwrap());
                let (answers, lines) = (Arc::clone(&answers), Arc::clone(&lines));
                std::thread::spawn(move || serve(&stream, &answers, &lines));
            }
        });
        receiver
    }

    /// What it has taken.
    pub(super) fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    /// Whether somebody has connected.
    pub(super) fn is_reached(&self) -> bool {
        !self.connections.lock().unwrap().is_empty()
    }

    /// Answers from now on; who waited is cut off.
    pub(super) fn recover(&self) {
        self.answers.store(true, Ordering::Release);
        for stream in self.connections.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn serve(mut stream: &TcpStream, answers: &AtomicBool, lines: &Mutex<Vec<Value>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let (mut length, mut authorized) = (0, false);
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).unwrap_or(0) == 0 {
                return;
            }
            let header = header.trim().to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            authorized |= header == "authorization: bearer of-the-siem";
            if header.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        if !answers.load(Ordering::Acquire) {
            continue;
        }
        let status = if authorized { "204 No Content" } else { "401 Unauthorized" };
        if authorized {
            lines.lock().unwrap().extend(parsed(&String::from_utf8(body).unwrap()));
        }
        if stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).is_err() {
            return;
        }
    }
}
