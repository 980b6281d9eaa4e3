//! Load by wrk, a generator that others have written and many use. It shows no client certificate and makes no connections anew, so
//! it drives the workloads on kept connections; it is a Debian package (`apt-get install wrk`).

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::sample::{Meter, Sample};
use crate::server::Server;
use crate::workload::Workload;

/// Sends the requests in turn, to each address on a thread of its own, and prints what came of it. `ports` and `requests` go before it.
const SCRIPT: &str = r#"
local threads, at = 0, 0
function setup(thread)
  threads = threads + 1
  for _, address in ipairs(wrk.lookup("127.0.0.1", ports[threads])) do thread.addr = address end
end
function init() end
function request()
  at = at % #requests + 1
  return requests[at]
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"answers":%d,"failures":%d,"lost":%d,"p50_us":%d,"p99_us":%d}\n', summary.requests, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout, latency:percentile(50), latency:percentile(99)))
end
"#;

/// Whether it is installed.
pub(crate) fn is_there() -> bool {
    // It knows no argument that makes it say its version and succeed.
    Command::new("wrk").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Warms up, and measures. It runs where this thread runs, and takes whole seconds only.
pub(crate) fn run(server: &Server, workload: &Workload, connections: usize, (warm_up, measured): (Duration, Duration)) -> Sample {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("requests.lua");
    let mut ports: Vec<u16> = (0..connections.min(2)).map(|number| server.address(number).port()).collect();
    ports.dedup();
    std::fs::write(&script, scripted(&ports, &workload.requests)).unwrap();
    let load = |time| drive(&script, &ports, connections, time);
    load(warm_up);
    let meter = Meter::start(server);
    let told = load(measured);
    let used = meter.stop();
    let number = |name: &str| told.get(name).and_then(Value::as_u64).unwrap();
    let milliseconds = |name: &str| f64::from(u32::try_from(number(name)).unwrap()) / 1e3;
    let [answers, failures, lost] = ["answers", "failures", "lost"].map(|name| usize::try_from(number(name)).unwrap());
    Sample { answers, failures: failures + lost, p50: milliseconds("p50_us"), p99: milliseconds("p99_us"), used }
}

fn drive(script: &Path, ports: &[u16], connections: usize, time: Duration) -> Value {
    let seconds = time.as_secs().max(1);
    let mut command = Command::new("wrk");
    command.args(["--latency", "--timeout", "30s", "-d"]).arg(format!("{seconds}s"));
    command.args(["-t", &ports.len().to_string(), "-c", &connections.to_string(), "-s"]).arg(script);
    let output = command.arg(format!("https://127.0.0.1:{}/", ports.first().unwrap())).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let told = printed.lines().find_map(|line| serde_json::from_str(line).ok().filter(Value::is_object));
    told.unwrap_or_else(|| panic!("wrk: {printed}{}", String::from_utf8_lossy(&output.stderr)))
}

/// The script with what it sends, and where to.
fn scripted(ports: &[u16], requests: &[Vec<u8>]) -> String {
    let mut text = String::from("ports = {");
    for port in ports {
        write!(text, "{port},").unwrap();
    }
    text.push_str("}\nrequests = {\n");
    for request in requests {
        text.push('"');
        for byte in request {
            match byte {
                b' '..=b'~' if !matches!(byte, b'"' | b'\\') => text.push(char::from(*byte)),
                byte => write!(text, "\\{byte:03}").unwrap(),
            }
        }
        text.push_str("\",\n");
    }
    text.push_str("}\n");
    text.push_str(SCRIPT);
    text
}
