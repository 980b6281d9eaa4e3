//! A proxy in front of a real OpenBao (without TLS) that can be told to fail.

use std::io::{BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::Value;

use super::kms::{pass_on, read_call};
use super::process::free_port;

/// What the proxy does with a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Does {
    /// Passes it on.
    Pass,
    /// Ends the connection without an answer.
    Reset,
    /// Reads it, and answers nothing.
    Hang,
    /// Answers so itself.
    Answer(u16, &'static str),
    /// Passes it on, and answers with another plaintext.
    OtherPlaintext,
    /// Passes it on, and answers with a ciphertext that was cut.
    CutWrap,
    /// Passes it on without what the ciphertext is bound to, as a server that is too old reads it.
    Unbound,
}

/// The proxy; it listens as long as the test runs.
pub(crate) struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
}

struct State {
    does: Does,
    calls: Vec<(String, Value)>,
}

impl Proxy {
    /// In front of `behind` (`127.0.0.1:PORT`), passing everything on.
    pub(crate) fn start(behind: &str) -> Self {
        let proxy = Self { port: free_port(), state: Arc::new(Mutex::new(State { does: Does::Pass, calls: Vec::new() })) };
        let listener = TcpListener::bind(("127.0.0.1", proxy.port)).unwrap();
        let (behind, state) = (behind.to_owned(), Arc::clone(&proxy.state));
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (Ok(connection), behind, state) = (connection, behind.clone(), Arc::clone(&state)) else { return };
                std::thread::spawn(move || serve(&connection, &behind, &state));
            }
        });
        proxy
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on all calls go so.
    pub(crate) fn all(&self, does: Does) {
        self.state.lock().unwrap().does = does;
    }

    /// Request lines and bodies of all calls so far.
    pub(crate) fn calls(&self) -> Vec<(String, Value)> {
        self.state.lock().unwrap().calls.clone()
    }
}

fn serve(connection: &TcpStream, behind: &str, state: &Mutex<State>) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    while let Some((head, _, body)) = read_call(&mut reader) {
        let does = {
            let mut state = state.lock().unwrap();
            let line = head.lines().next().unwrap_or_default().to_owned();
            state.calls.push((line, serde_json::from_slice(&body).unwrap_or_default()));
            state.does.clone()
        };
        if !answer(connection, behind, &does, &head, &body) {
            let _ = connection.shutdown(Shutdown::Both);
            return;
        }
    }
}

/// False when the connection is to be ended.
fn answer(connection: &TcpStream, behind: &str, does: &Does, head: &str, body: &[u8]) -> bool {
    let changed = |change: &dyn Fn(&mut Value)| {
        let (status, body) = pass_on(behind, head, body);
        let mut value: Value = serde_json::from_slice(&body).unwrap();
        change(&mut value["data"]);
        (status, value.to_string().into_bytes())
    };
    let (status, body) = match does {
        Does::Pass => pass_on(behind, head, body),
        Does::Reset => return false,
        Does::Hang => {
            // Longer than anybody waits; the client ends the connection.
            let _ = connection.set_read_timeout(Some(Duration::from_secs(20)));
            let _ = connection.peek(&mut [0]);
            return false;
        }
        Does::Answer(status, body) => (*status, body.as_bytes().to_vec()),
        Does::OtherPlaintext => changed(&|data| {
            if data.get("plaintext").is_some() {
                data["plaintext"] = BASE64.encode(&[9; 32]).into();
            }
        }),
        Does::CutWrap => changed(&|data| {
            if let Some(text) = data["ciphertext"].as_str() {
                data["ciphertext"] = text[..text.len() - 8].into();
            }
        }),
        Does::Unbound => {
            let mut asked: Value = serde_json::from_slice(body).unwrap_or_default();
            if let Some(asked) = asked.as_object_mut() {
                asked.remove("associated_data");
            }
            pass_on(behind, head, asked.to_string().as_bytes())
        }
    };
    let head = format!("HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    (&mut &*connection).write_all(&[head.as_bytes(), &body].concat()).is_ok()
}
