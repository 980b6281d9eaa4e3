//! Sinks of the audit log, with real receivers: every event arrives, also after what breaks, and no request waits for it.

mod receiver;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use receiver::Receiver;

use crate::support::client::Client;
use crate::support::fixture::{namespace, put, ready, token};
use crate::support::on_stores;
use crate::support::postgres::Database;
use crate::support::process::PATIENCE;
use crate::support::server::Server;

on_stores! {
    a_file_has_every_event_in_the_form_of_vault_and_no_value,
    a_file_goes_on_after_restarts_and_crashes_and_when_it_was_moved,
    a_receiver_that_hangs_delays_nobody_and_gets_every_event_later,
    system_logs_get_every_event,
    a_full_disk_delays_nobody_and_no_event_is_lost_or_torn,
}

/// Starts the server again with these stanzas.
fn declare(server: &mut Server, stanzas: &str) {
    assert!(server.stop().success());
    let file = server.folder().join("strongroom.hcl");
    let config = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{config}\n{stanzas}\n")).unwrap();
    server.come_back();
}

fn file_sink(path: &Path, more: &str) -> String {
    format!(
        "audit \"file\" \"to-file\" {{\n  description = \"all\"\n  options {{\n    file_path = \"{}\"\n{more}  }}\n}}",
        path.display()
    )
}

/// Waits until something is true, and looks often.
#[track_caller]
fn until(what: &str, ready: impl Fn() -> bool) {
    let since = Instant::now();
    while !ready() {
        assert!(since.elapsed() < PATIENCE, "{what} did not come in time");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How often each event is among some lines: by tenant and index.
fn counted(lines: &[Value]) -> BTreeMap<(String, u64), usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        let own = &line["strongroom"];
        *counts.entry((own["tenant"].as_str().unwrap().to_owned(), own["index"].as_u64().unwrap())).or_default() += 1;
    }
    counts
}

/// Whether the events of each tenant are there from the first on without a gap.
fn whole(counts: &BTreeMap<(String, u64), usize>) -> bool {
    let tenants: BTreeSet<&String> = counts.keys().map(|(tenant, _)| tenant).collect();
    tenants.into_iter().all(|tenant| {
        let of = |(known, _): &&(String, u64)| known == tenant;
        let indexes: Vec<u64> = counts.keys().filter(of).map(|(_, index)| *index).collect();
        indexes == (0..indexes.len() as u64).collect::<Vec<u64>>()
    })
}

fn has_request(lines: &[Value], id: &str) -> bool {
    lines.iter().any(|line| line["request"]["id"] == json!(id))
}

/// A request whose id is known.
fn marked(client: &Client, path: &str) -> String {
    client.call("GET", path, None).json()["request_id"].as_str().unwrap().to_owned()
}

fn parsed(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn read(path: &Path) -> Vec<Value> {
    parsed(&fs::read_to_string(path).unwrap_or_default())
}

fn a_file_has_every_event_in_the_form_of_vault_and_no_value(server: &mut Server) {
    let path = server.folder().join("audit.log");
    let before = ready(server);
    put(&before, "early", &json!({"k": "canary-early"}));
    declare(server, &file_sink(&path, ""));
    let root = Client::new(&server.target());
    let acme = namespace(&namespace(&root, "acme"), "team").in_namespace("acme/team");
    acme.call("POST", "sys/config/auditing/request-headers/x-correlation-id", None).expect(204);
    let made = token(&acme, &json!({"policies": ["default"], "display_name": "app"}));
    let app = acme.with_token(&made.text).with_header("X-Correlation-Id", "c-1");
    app.call("POST", "cubbyhole/a", Some(&json!({"k": "canary-value"}))).expect(204);
    app.call("POST", "sys/mounts/x", Some(&json!({"type": "kv", "description": "canary-input"}))).expect(403);
    app.with_token("canary-token").call("GET", "cubbyhole/a", None).expect(403);
    let last = marked(&root, "sys/mounts");
    until("the last event", || has_request(&read(&path), &last));

    let text = fs::read_to_string(&path).unwrap();
    let lines = parsed(&text);
    let counts = counted(&lines);
    assert!(whole(&counts) && counts.values().all(|count| *count == 1), "{counts:?}");
    for secret in ["canary", made.text.as_str(), made.accessor.as_str(), server.target().token.as_str()] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
    let of = |path: &str| lines.iter().find(|line| line["request"]["path"] == json!(path)).unwrap_or_else(|| panic!("{path}"));
    let written = of("cubbyhole/a");
    assert_eq!((&written["type"], &written["request"]["operation"]), (&json!("response"), &json!("update")));
    assert_eq!(written["request"]["namespace"]["path"], json!("acme/team/"));
    assert_eq!(written["request"]["headers"], json!({"x-correlation-id": ["c-1"]}));
    assert_eq!(written["request"]["remote_address"], json!("127.0.0.1"));
    assert_eq!((&written["auth"]["display_name"], &written["auth"]["token_type"]), (&json!("token-app"), &json!("service")));
    assert_eq!(written["strongroom"]["status"], json!(204));
    let hash = acme.call("POST", "sys/audit-hash/to-file", Some(&json!({"input": made.accessor}))).expect(200).json();
    assert_eq!(hash["data"]["hash"], written["auth"]["accessor"]);
    let refused = of("sys/mounts/x");
    assert_eq!((&refused["error"], &refused["strongroom"]["status"]), (&json!("denied"), &json!(403)));

    let listed = root.call("GET", "sys/audit", None).expect(200).json();
    assert_eq!(listed["data"]["to-file/"]["type"], json!("file"));
    assert_eq!(listed["data"]["to-file/"]["options"]["file_path"], json!(path.to_str().unwrap()));
    assert_eq!(listed["to-file/"], listed["data"]["to-file/"]);
    acme.call("GET", "sys/audit", None).expect(400);
    let device = json!({"type": "file", "options": {"file_path": "/tmp/x"}});
    for (method, name) in [("POST", "other"), ("POST", "to-file"), ("DELETE", "to-file")] {
        let body = Some(&device).filter(|_| method == "POST");
        let refused = root.call(method, &format!("sys/audit/{name}"), body).expect(400);
        assert!(refused.errors()[0].starts_with("cannot enable audit device via API"), "{:?}", refused.errors());
    }
    let unknown = root.call("POST", "sys/audit-hash/other", Some(&json!({"input": "x"}))).expect(400);
    assert_eq!(unknown.errors(), ["unknown audit backend \"other/\""]);
    let empty = root.call("POST", "sys/audit-hash/to-file", Some(&json!({}))).expect(400);
    assert_eq!(empty.errors(), ["the \"input\" parameter is empty"]);
}

fn a_file_goes_on_after_restarts_and_crashes_and_when_it_was_moved(server: &mut Server) {
    let path = server.folder().join("audit.log");
    let root = ready(server);
    declare(server, &file_sink(&path, "    rotate_bytes = 20000\n"));
    let all = |folder: &Path| -> Vec<Value> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let ours = |file: &std::path::PathBuf| {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("audit.log") && !name.contains("position")
        };
        names.filter(ours).flat_map(|file| read(&file)).collect()
    };
    for round in 0..3 {
        let acme = namespace(&root, &format!("acme-{round}"));
        for at in 0..20 {
            put(&root, &format!("a/{at}"), &json!({"k": "v"}));
            acme.call("GET", "cubbyhole/a", None).expect(404);
        }
        // Whatever the sink has or does not have at this moment.
        if round % 2 == 0 {
            server.kill();
        } else {
            assert!(server.stop().success());
        }
        server.come_back();
    }
    let moved = server.folder().join("audit.log.moved");
    fs::rename(&path, &moved).unwrap();
    kill_process(Pid::from_raw(i32::try_from(server.process_id()).unwrap()).unwrap(), Signal::HUP).unwrap();
    until("a new file", || path.exists());
    let last = marked(&root, "sys/mounts");
    until("the last event", || has_request(&read(&path), &last));
    assert!(!has_request(&read(&moved), &last));
    // A sealed namespace waits, a deleted one is forgotten, and neither holds up the others.
    assert!(root.call("POST", "sys/namespaces/acme-0/seal", None).status < 300);
    assert!(root.call("DELETE", "sys/namespaces/acme-1", None).status < 300);
    let last = marked(&root, "sys/mounts");
    until("the last event", || has_request(&all(server.folder()), &last));

    let lines = all(server.folder());
    let counts = counted(&lines);
    assert!(whole(&counts), "{counts:?}");
    // Two crashes: no more than what was on its way then is there twice.
    let again = counts.values().filter(|count| **count > 1).count();
    assert!(again <= 2 * 1_000 && counts.values().all(|count| *count <= 3), "{again} events came again");
    let aside = fs::read_dir(server.folder()).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name().to_string_lossy().into_owned();
        name.starts_with("audit.log.2") && name.ends_with('Z')
    });
    assert!(aside.count() >= 2, "the file was not rotated");
}

#[test]
fn events_that_another_server_wrote_come_too() {
    let mut server = Server::initialised_on_postgresql(Database::new());
    let path = server.folder().join("audit.log");
    declare(&mut server, &file_sink(&path, ""));
    let other = server.another();
    let acme = namespace(&Client::new(&other.target()), "acme");
    let last = marked(&namespace(&acme, "team").in_namespace("acme/team"), "sys/mounts");
    until("an event of a namespace that this server has never opened", || has_request(&read(&path), &last));
    let counts = counted(&read(&path));
    assert!(whole(&counts) && counts.values().all(|count| *count == 1), "{counts:?}");
}

/// The lag of a sink, as it is measured.
fn lag(root: &Client, sink: &str) -> f64 {
    let text = String::from_utf8(root.call("GET", "sys/metrics?format=prometheus", None).expect(200).body).unwrap();
    let name = format!("strongroom_audit_sink_lag_events{{sink=\"{sink}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(name.as_str())).map_or(0.0, |value| value.parse().unwrap())
}

fn a_receiver_that_hangs_delays_nobody_and_gets_every_event_later(server: &mut Server) {
    let (receiver, beside) = (Receiver::start(), server.folder().join("beside.log"));
    let root = ready(server);
    let stanza = format!(
        "audit \"http\" \"siem\" {{\n  options {{\n    uri = \"http://{}/batch\"\n    authorization = \"Bearer of-the-siem\"\n    \
         position_file = \"{}\"\n  }}\n}}\n{}",
        receiver.address,
        server.folder().join("siem.position").display(),
        file_sink(&beside, "")
    );
    declare(server, &stanza);
    until("a connection", || receiver.is_reached());
    let acme = namespace(&root, "acme");
    for at in 0..100 {
        put(&root, &format!("a/{at}"), &json!({"k": "v"}));
        acme.call("GET", "cubbyhole/a", None).expect(404);
    }
    // All were answered, and another sink has them; this one has nothing.
    let last = marked(&root, "sys/mounts");
    until("the last event in the other sink", || has_request(&read(&beside), &last));
    assert!(receiver.lines().is_empty());
    until("a lag", || lag(&root, "siem") >= 200.0);
    receiver.recover();
    until("the last event", || has_request(&receiver.lines(), &last));
    assert!(whole(&counted(&receiver.lines())), "{:?}", counted(&receiver.lines()));
    // Asking is an event itself.
    until("no lag", || lag(&root, "siem") < 10.0);
    assert!(!server.output().contains("of-the-siem"));
}

fn system_logs_get_every_event(server: &mut Server) {
    let socket = server.folder().join("log.sock");
    let (unix, udp) = (UnixDatagram::bind(&socket).unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let lines: [Arc<Mutex<Vec<Value>>>; 3] = Default::default();
    let take = |lines: &Arc<Mutex<Vec<Value>>>, message: &[u8]| {
        let message = std::str::from_utf8(message).unwrap();
        let parts: Vec<&str> = message.splitn(8, ' ').collect();
        assert!(parts[0] == "<134>1" && parts[3] == "vault" && parts[5] == "audit", "{message}");
        lines.lock().unwrap().push(serde_json::from_str(parts[7]).unwrap());
    };
    let [first, second, third] = [0, 1, 2].map(|at| Arc::clone(&lines[at]));
    let (address, stream_address) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length) = unix.recv(&mut buffer) {
            take(&first, &buffer[..length]);
        }
    });
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length) = udp.recv(&mut buffer) {
            take(&second, &buffer[..length]);
        }
    });
    std::thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            loop {
                // RFC 6587: the length, a space, the message.
                let mut length = Vec::new();
                if reader.read_until(b' ', &mut length).unwrap_or(0) == 0 {
                    break;
                }
                let mut message = vec![0; std::str::from_utf8(&length).unwrap().trim().parse().unwrap()];
                reader.read_exact(&mut message).unwrap();
                take(&third, &message);
            }
        }
    });
    let root = ready(server);
    let stanza = |name: &str, address: &str| {
        let position = server.folder().join(format!("{name}.position"));
        format!(
            "audit \"syslog\" \"{name}\" {{\n  options {{\n    address = \"{address}\"\n    facility = \"LOCAL0\"\n    tag = \"vault\"\n    \
             position_file = \"{}\"\n  }}\n}}\n",
            position.display()
        )
    };
    let addresses = [
        ("unix", format!("unix://{}", socket.display())),
        ("udp", format!("udp://{address}")),
        ("tcp", format!("tcp://{stream_address}")),
    ];
    let stanzas: String = addresses.iter().map(|(name, address)| stanza(name, address)).collect();
    declare(server, &stanzas);
    put(&root, "a", &json!({"k": "v"}));
    let last = marked(&root, "sys/mounts");
    for lines in &lines {
        until("the last event", || has_request(&lines.lock().unwrap(), &last));
        let counts = counted(&lines.lock().unwrap());
        assert!(whole(&counts) && counts.values().all(|count| *count == 1), "{counts:?}");
    }
}

fn a_full_disk_delays_nobody_and_no_event_is_lost_or_torn(server: &mut Server) {
    let path = server.folder().join("full.log");
    // The kernel's device of a full disk, until there is room.
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let root = ready(server);
    declare(server, &file_sink(&path, ""));
    for at in 0..50 {
        put(&root, &format!("a/{at}"), &json!({"k": "v"}));
    }
    let last = marked(&root, "sys/mounts");
    until("a lag", || lag(&root, "to-file") >= 50.0);
    let failures = String::from_utf8(root.call("GET", "sys/metrics?format=prometheus", None).expect(200).body).unwrap();
    assert!(failures.contains("strongroom_audit_sink_failures_total{sink=\"to-file\"}"));
    fs::remove_file(&path).unwrap();
    until("the last event", || has_request(&read(&path), &last));
    let counts = counted(&read(&path));
    assert!(whole(&counts) && counts.values().all(|count| *count == 1), "{counts:?}");
}
