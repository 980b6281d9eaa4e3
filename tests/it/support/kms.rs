//! A real key service for the tests: `moto_server` speaks AWS KMS, behind a proxy of ours that can be told to fail.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{Process, free_port};
use super::tools;

/// What the proxy does with a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Does {
    /// Passes it on.
    Pass,
    /// Ends the connection before it has read the call.
    Reset,
    /// Reads it, and answers nothing.
    Hang,
    /// Answers with this error of the service.
    Refuse(&'static str),
    /// Answers that there were too many calls.
    Throttle,
    /// Answers with something that no service says.
    Garbage,
    /// Passes it on after a moment.
    Slowly,
    /// Passes it on, and answers with another plaintext.
    OtherPlaintext,
    /// Passes it on, and says that it was another key.
    OtherKey,
    /// Passes it on, and answers with a wrap that was cut.
    CutWrap,
}

/// A key service and the proxy in front of it; ends with this value.
pub(crate) struct Kms {
    _process: Process,
    _folder: TempDir,
    behind: String,
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    does: Option<Does>,
    /// The same for calls of one key.
    of_keys: BTreeMap<String, Does>,
    /// Targets and bodies of all calls.
    calls: Vec<(String, Value)>,
    /// Calls of each tenant that are under way, and the most there were.
    under_way: BTreeMap<String, (usize, usize)>,
    /// When the last call of each tenant came that was passed on as it was, since that is what the proxy does.
    passed: BTreeMap<String, Instant>,
}

impl Kms {
    /// A service that the proxy passes everything on to.
    pub(crate) fn start() -> Self {
        let kms = Self::start_closed();
        kms.open();
        kms
    }

    /// The same; nobody listens at the proxy's port yet.
    pub(crate) fn start_closed() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let behind = free_port();
        let mut command = Command::new(tools::moto_server());
        command.args(["-H", "127.0.0.1", "-p", &behind.to_string()]);
        let mut process = Process::start(command, folder.path(), "moto");
        let behind = format!("127.0.0.1:{behind}");
        process.wait_until("an open port", || TcpStream::connect(&behind).is_ok());
        Self { _process: process, _folder: folder, behind, port: free_port(), state: Arc::default() }
    }

    /// Lets the proxy listen.
    pub(crate) fn open(&self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        let (behind, state) = (self.behind.clone(), Arc::clone(&self.state));
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (Ok(connection), behind, state) = (connection, behind.clone(), Arc::clone(&state)) else { return };
                std::thread::spawn(move || serve(&connection, &behind, &state));
            }
        });
    }

    /// Where the proxy is.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on all calls go so.
    pub(crate) fn all(&self, does: Does) {
        let mut state = self.state.lock().unwrap();
        if does == Does::Pass {
            state.passed.clear();
        }
        state.does = Some(does);
    }

    /// From now on calls of this key go so.
    pub(crate) fn key(&self, key: &str, does: Does) {
        let mut state = self.state.lock().unwrap();
        if does == Does::Pass {
            state.passed.clear();
        }
        state.of_keys.insert(key.to_owned(), does);
    }

    /// Makes a key; its id.
    pub(crate) fn create_key(&self, region: &str) -> String {
        let made = self.ask(region, "CreateKey", &json!({}));
        made["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned()
    }

    /// Asks the service itself.
    pub(crate) fn ask(&self, region: &str, target: &str, body: &Value) -> Value {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: kms.{region}.amazonaws.com\r\nX-Amz-Target: TrentService.{target}\r\nContent-Type: application/x-amz-json-1.1\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=a/20260101/{region}/kms/aws4_request, SignedHeaders=host, Signature=x\r\n"
        );
        let (_, body) = pass_on(&self.behind, &head, body.to_string().as_bytes());
        serde_json::from_slice(&body).unwrap()
    }

    /// All calls so far: their targets, like `Encrypt`, and their bodies.
    pub(crate) fn calls(&self) -> Vec<(String, Value)> {
        self.state.lock().unwrap().calls.clone()
    }

    /// The most calls of one tenant that were under way at a time.
    pub(crate) fn most_at_a_time(&self) -> usize {
        self.state.lock().unwrap().under_way.values().map(|(_, most)| *most).max().unwrap_or(0)
    }

    /// How long ago the last call came that was passed on as it was, for each tenant that had one since `all` or `key` said so last.
    pub(crate) fn ages(&self) -> Vec<Duration> {
        self.state.lock().unwrap().passed.values().map(Instant::elapsed).collect()
    }

    /// Seals and further lines of a configuration; the credentials are put into `folder`, which is the server's home. A call may take
    /// long, because a busy machine is slow: who makes calls hang gives a line with another `timeout`.
    pub(crate) fn seal(&self, folder: &Path, name: &str, region: &str, key: &str, lines: &str) -> String {
        std::fs::create_dir_all(folder.join(".aws")).unwrap();
        let credentials = "[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = canary-of-a-credential\n";
        std::fs::write(folder.join(".aws/credentials"), credentials).unwrap();
        let timeout = if lines.contains("timeout") { "" } else { "  timeout = \"30s\"\n" };
        format!(
            "seal \"awskms\" \"{name}\" {{\n  region = \"{region}\"\n  kms_key_id = \"{key}\"\n  endpoint = \"{}\"\n{timeout}{lines}}}\n",
            self.endpoint()
        )
    }
}

/// Takes the calls of one connection.
fn serve(connection: &TcpStream, behind: &str, state: &Mutex<State>) {
    let all = || state.lock().unwrap().does.clone().unwrap_or(Does::Pass);
    if all() == Does::Reset {
        // What was not read when a connection ends makes it a reset.
        let _ = connection.peek(&mut [0]);
        return;
    }
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    while let Some((head, target, body)) = read_call(&mut reader) {
        let call: Value = serde_json::from_slice(&body).unwrap_or_default();
        let tenant = call["EncryptionContext"]["tenant"].as_str().unwrap_or_default().to_owned();
        let (does, counts) = {
            let mut state = state.lock().unwrap();
            state.calls.push((target, call.clone()));
            let of_key = call["KeyId"].as_str().and_then(|key| state.of_keys.get(key));
            let does = of_key.or(state.does.as_ref()).cloned().unwrap_or(Does::Pass);
            if does == Does::Pass {
                state.passed.insert(tenant.clone(), Instant::now());
            }
            // Nobody can tell when the caller of one that hangs went away.
            let counts = usize::from(does != Does::Hang);
            let (now, most) = state.under_way.entry(tenant.clone()).or_default();
            *now += counts;
            *most = (*most).max(*now);
            (does, counts)
        };
        let answered = answer(connection, behind, &does, &head, &body);
        state.lock().unwrap().under_way.get_mut(&tenant).unwrap().0 -= counts;
        if !answered {
            let _ = connection.shutdown(Shutdown::Both);
            return;
        }
    }
}

/// False when the connection is to be ended.
fn answer(connection: &TcpStream, behind: &str, does: &Does, head: &str, body: &[u8]) -> bool {
    let refusal = |kind: &str| json!({"__type": kind, "message": "as it was\r\ntold"}).to_string().into_bytes();
    let passed = |change: &dyn Fn(&mut Value)| {
        let (status, body) = pass_on(behind, head, body);
        let mut value: Value = serde_json::from_slice(&body).unwrap();
        change(&mut value);
        (status, value.to_string().into_bytes())
    };
    let put = |value: &mut Value, name: &str, new: String| {
        if value.get(name).is_some() {
            value[name] = new.into();
        }
    };
    let (status, body) = match does {
        Does::Pass => pass_on(behind, head, body),
        Does::Slowly => {
            std::thread::sleep(Duration::from_millis(100));
            pass_on(behind, head, body)
        }
        Does::Reset => return false,
        Does::Hang => {
            // Longer than anybody waits; the client ends the connection.
            let _ = connection.set_read_timeout(Some(Duration::from_secs(20)));
            let _ = connection.peek(&mut [0]);
            return false;
        }
        Does::Refuse(kind) => (400, refusal(kind)),
        Does::Throttle => (400, refusal("ThrottlingException")),
        Does::Garbage => (200, b"\x00{<html>".to_vec()),
        Does::OtherPlaintext => passed(&|value| put(value, "Plaintext", BASE64.encode(&[9; 32]))),
        Does::OtherKey => passed(&|value| put(value, "KeyId", format!("arn:aws:kms:eu:1:key/{}", "0".repeat(36)))),
        Does::CutWrap => passed(&|value| {
            if let Some(wrap) = value["CiphertextBlob"].as_str() {
                let wrap = BASE64.decode(wrap.as_bytes()).unwrap();
                put(value, "CiphertextBlob", BASE64.encode(&wrap[..wrap.len() - 3]));
            }
        }),
    };
    let head =
        format!("HTTP/1.1 {status} Answer\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\n\r\n", body.len());
    (&mut &*connection).write_all(&[head.as_bytes(), &body].concat()).is_ok()
}

/// The head without its length and end, the operation, and the body.
pub(crate) fn read_call(reader: &mut BufReader<TcpStream>) -> Option<(String, String, Vec<u8>)> {
    let (mut head, mut target, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        let (name, value) = line.split_once(": ").unwrap_or((&line, ""));
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "connection" => {}
            "x-amz-target" => {
                value.trim().rsplit('.').next()?.clone_into(&mut target);
                head.push_str(&line);
            }
            _ => head.push_str(&line),
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, target, body))
}

/// What `behind` answers: status and body.
pub(crate) fn pass_on(behind: &str, head: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let mut connection = TcpStream::connect(behind).unwrap();
    let end = format!("Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    connection.write_all(&[head.as_bytes(), end.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let status = String::from_utf8_lossy(&answer[9..12]).parse().unwrap();
    (status, answer[end + 4..].to_vec())
}
