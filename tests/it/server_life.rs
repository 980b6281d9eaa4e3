//! Starting, stopping, sealing and crashing.

use std::fs;
use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::Client;
use crate::support::fixture::{namespace, policy, put, ready, token};
use crate::support::process::{Finished, PATIENCE, Process, run};
use crate::support::server::Server;
use crate::support::{full, on_stores, tools};

on_stores! {
    a_request_in_flight_is_answered_before_the_server_stops,
    what_was_acknowledged_survives_a_crash,
}

/// Runs the binary to its end, with these arguments.
fn strongroom(arguments: &[&str]) -> Finished {
    run(&tools::strongroom(), arguments, &[], None)
}

/// Runs the server with a configuration that it has to refuse, in one line; the line.
#[track_caller]
fn refused(folder: &Path, config: &str) -> String {
    let file = folder.join("refused.hcl");
    fs::write(&file, config).unwrap();
    let done = strongroom(&["server", "--config", file.to_str().unwrap()]);
    assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{}", done.stderr);
    complaint(&done)
}

/// The last line of standard error: what was logged before does not count.
fn complaint(done: &Finished) -> String {
    let complaints: Vec<&str> = done.stderr.lines().filter(|line| !line.contains(" INFO ") && !line.contains(" WARN ")).collect();
    assert_eq!(complaints.len(), 1, "{}", done.stderr);
    complaints[0].to_owned()
}

const LISTENER: &str = "listener \"tcp\" {\n  address = \"127.0.0.1:0\"\n  tls_disable = true\n}\n";

fn sqlite(file: &Path) -> String {
    format!("storage \"sqlite\" {{\n  path = \"{}\"\n}}\n", file.display())
}

fn a_request_in_flight_is_answered_before_the_server_stops(server: &mut Server) {
    let root = ready(server);
    let target = server.target();
    let body = json!({"data": {"k": "v".repeat(1000)}}).to_string();
    let (first, second) = body.as_bytes().split_at(300);
    let mut session = root.session().unwrap();
    let head = session.head("POST", "/v1/secret/data/in-flight", &[], body.len());
    session.write(&[head.as_bytes(), first].concat()).unwrap();
    let mut idle = root.session().unwrap();
    idle.send("GET", "/v1/sys/health", &[], b"").unwrap().expect(200);
    std::thread::sleep(Duration::from_millis(300));

    server.ask_to_stop();
    let gone = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        TcpStream::connect(target.authority()).is_err()
    });
    assert!(gone, "a server that stops takes no new connections");
    assert!(idle.send("GET", "/v1/sys/health", &[], b"").is_err(), "a connection without a request is closed");
    session.write(second).unwrap();
    session.reply("POST").unwrap().expect(200);
    assert!(server.stop().success(), "{}", server.output());

    server.come_back();
    let read = root.call("GET", "secret/data/in-flight", None).expect(200).json();
    assert_eq!(read["data"]["data"]["k"], "v".repeat(1000));
}

fn what_was_acknowledged_survives_a_crash(server: &mut Server) {
    let root = ready(server);
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..if full() { 10 } else { 2 } {
        let (killed, count) = (AtomicBool::new(false), AtomicUsize::new(0));
        let new = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8)
                .map(|writer| {
                    let (root, killed, count) = (&root, &killed, &count);
                    scope.spawn(move || write_until_it_dies(root, &format!("storm/{round}/{writer}"), killed, count))
                })
                .collect();
            // In the middle of it, however slow the machine is.
            let begun = Instant::now();
            while count.load(Ordering::SeqCst) < 60 && begun.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(1));
            }
            server.kill();
            killed.store(true, Ordering::SeqCst);
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(new.len() >= 60, "there was no storm: {} writes", new.len());
        acknowledged.extend(new);
        server.come_back();
        let mut session = root.session().unwrap();
        for path in &acknowledged {
            let read = session.send("GET", &format!("/v1/secret/data/{path}"), &[], b"").unwrap();
            assert_eq!(read.expect(200).json()["data"]["data"]["path"], *path);
        }
    }
    put(&root, "after", &json!({"k": "v"}));
}

/// Returns the paths that were acknowledged.
fn write_until_it_dies(client: &Client, directory: &str, killed: &AtomicBool, count: &AtomicUsize) -> Vec<String> {
    let mut done = Vec::new();
    let mut session = client.session().unwrap();
    loop {
        let path = format!("{directory}/{}", done.len());
        let body = json!({"data": {"path": path}}).to_string();
        let Ok(reply) = session.send("POST", &format!("/v1/secret/data/{path}"), &[], body.as_bytes()) else {
            // The process is ended before this thread is told so.
            while !killed.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            return done;
        };
        reply.expect(200);
        count.fetch_add(1, Ordering::SeqCst);
        done.push(path);
    }
}

#[test]
fn a_second_server_on_the_same_file_is_refused() {
    let server = Server::initialised_on_sqlite();
    let root = ready(&server);
    let output = server.same_command().output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let last = text.lines().last().unwrap_or_default();
    assert!(last.contains("another strongroom server (pid ") && last.contains("store.db"), "{text}");
    put(&root, "a", &json!({"k": "v"}));
}

#[test]
fn development_and_production_stores_are_told_apart() {
    let mut server = Server::dev();
    assert!(server.stop().success());
    let store = sqlite(&server.sqlite_file());
    let key = server.folder().join("dev/dev.key");
    for seal in [format!("seal \"static\" {{\n  key_file = \"{}\"\n}}\n", key.display()), String::new()] {
        let line = refused(server.folder(), &[LISTENER, &store, &seal].concat());
        assert!(line.contains("was made by `server --dev`"), "{line}");
    }

    let mut production = Server::initialised_on_sqlite();
    assert!(production.stop().success());
    let folder = production.folder().join("dev");
    fs::create_dir(&folder).unwrap();
    fs::copy(production.folder().join("store.db"), folder.join("strongroom.db")).unwrap();
    let arguments = ["server", "--dev", "--dev-listen-address", "127.0.0.1:0", "--dev-dir", folder.to_str().unwrap()];
    let done = strongroom(&arguments);
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert!(complaint(&done).contains("made by a production server"), "{}", done.stderr);
}

#[test]
fn a_development_server_keeps_its_data_and_its_token() {
    let mut server = Server::dev();
    let root = Client::new(&server.target());
    put(&root, "a", &json!({"k": "v"}));
    let accessor =
        |root: &Client| root.call("GET", "auth/token/lookup-self", None).expect(200).json()["data"]["accessor"].clone();
    let before = accessor(&root);
    for is_forgotten in [false, true] {
        assert!(server.stop().success());
        if is_forgotten {
            // The token is in there; it is on the command line, too.
            fs::remove_file(server.folder().join("dev/env")).unwrap();
        }
        server.come_back();
        assert_eq!(root.call("GET", "secret/data/a", None).expect(200).json()["data"]["data"]["k"], "v");
        assert_eq!(accessor(&root), before);
    }
}

#[test]
fn a_wrong_configuration_is_one_line_that_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(&folder.path().join("store.db"));
    for (config, expected) in [
        (format!("{LISTENER}{store}no_such_key = 1\n"), "refused.hcl:8: no_such_key"),
        (format!("{LISTENER}{store}log_level = \"loud\"\n"), "refused.hcl:8: log_level"),
        (format!("{LISTENER}{store}max_lease_ttl = \"soon\"\n"), "refused.hcl:8: max_lease_ttl"),
        (format!("{LISTENER}storage \"sqlite\" {{\n  file = \"x\"\n}}\n"), "refused.hcl:5: storage \"sqlite\" path"),
        (format!("{LISTENER}storage \"raft\" {{\n}}\n"), "refused.hcl:5: storage"),
        (
            format!("{store}listener \"tcp\" {{\n  address = \"0.0.0.0:1\"\n  tls_disable = true\n}}\n"),
            "refused.hcl:6: listener \"tcp\" tls_disable",
        ),
        (
            format!("{store}listener \"tcp\" {{\n  tls_cert_file = \"/nowhere.pem\"\n  tls_key_file = \"/nowhere.key\"\n}}\n"),
            "refused.hcl:5: listener \"tcp\" tls_cert_file",
        ),
        (format!("{LISTENER}{store}seal \"static\" {{\n}}\n"), "refused.hcl:8: seal \"static\" key_file"),
        ("listener {{{\n".to_owned(), "refused.hcl:1"),
        (store.clone(), "no listener"),
        (LISTENER.to_owned(), "no storage"),
    ] {
        let line = refused(folder.path(), &config);
        assert!(line.contains(expected), "{line}\n--- is not about {expected}, for\n{config}");
    }
}

#[test]
fn a_key_file_that_others_may_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("root.key");
    fs::write(&key, [7; 32]).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let seal = format!("seal \"static\" {{\n  key_file = \"{}\"\n}}\n", key.display());
    let line = refused(folder.path(), &[LISTENER, &sqlite(&folder.path().join("store.db")), &seal].concat());
    assert!(line.contains("root.key") && line.contains("0644") && line.contains("chmod 600"), "{line}");
}

#[test]
fn shares_open_and_the_api_seals() {
    let mut server = Server::uninitialised_on_sqlite();
    let stranger = Client::new(&server.target());
    let sealed = |client: &Client| client.call("GET", "secret/data/a", None).expect(503).errors() == ["Vault is sealed"];
    assert!(sealed(&stranger));
    let refused = stranger.call("PUT", "sys/unseal", Some(&json!({"key": "00".repeat(33)}))).expect(400).errors();
    assert_eq!(refused, ["Vault is not initialized"]);
    let init = stranger.call("PUT", "sys/init", Some(&json!({"secret_shares": 3, "secret_threshold": 2}))).expect(200).json();
    let again = stranger.call("PUT", "sys/init", Some(&json!({"secret_shares": 1, "secret_threshold": 1}))).expect(400).errors();
    assert_eq!(again, ["Vault is already initialized"]);
    assert!(sealed(&stranger));
    stranger.call("GET", "sys/health", None).expect(503);

    let root = stranger.with_token(init["root_token"].as_str().unwrap());
    let unseal = |key: &serde_json::Value| stranger.call("PUT", "sys/unseal", Some(&json!({"key": key})));
    let open = |shares: [usize; 2]| {
        let first = unseal(&init["keys"][shares[0]]).expect(200).json();
        assert_eq!(
            (&first["sealed"], &first["progress"], &first["t"], &first["n"]),
            (&json!(true), &json!(1), &json!(2), &json!(3))
        );
        // A share twice is still one; one of another deployment is told at once and costs nothing.
        assert_eq!(unseal(&init["keys"][shares[0]]).expect(200).json()["progress"], 1);
        let wrong = unseal(&json!("ab".repeat(33))).expect(400).errors();
        assert!(wrong[0].contains("does not belong to this deployment"), "{wrong:?}");
        unseal(&json!("not a share")).expect(400);
        assert_eq!(stranger.call("GET", "sys/seal-status", None).expect(200).json()["progress"], 1);
        assert!(sealed(&root));
        assert_eq!(unseal(&init["keys_base64"][shares[1]]).expect(200).json()["sealed"], false);
        stranger.call("GET", "sys/health", None).expect(200);
    };
    open([0, 1]);
    crate::support::fixture::mount(&root, "secret");
    put(&root, "a", &json!({"k": "v"}));

    stranger.call("PUT", "sys/seal", None).expect(403);
    assert_eq!(stranger.call("GET", "sys/seal-status", None).expect(200).json()["sealed"], false);
    root.call("PUT", "sys/seal", None).expect(204);
    assert!(sealed(&root));
    open([1, 2]);
    assert_eq!(root.call("GET", "secret/data/a", None).expect(200).json()["data"]["data"]["k"], "v");

    assert!(server.stop().success());
    server.start_again(503);
    assert!(sealed(&root));
    assert_eq!(stranger.call("GET", "sys/seal-status", None).expect(200).json()["progress"], 0);
    open([2, 0]);
    assert_eq!(root.call("GET", "secret/data/a", None).expect(200).json()["data"]["data"]["k"], "v");
}

#[test]
fn a_server_has_no_core_dumps_and_locks_its_memory_where_it_may() {
    let proc = |server: &Server, file: &str| fs::read_to_string(format!("/proc/{}/{file}", server.process_id())).unwrap();
    let locked_kilobytes = |server: &Server| -> u64 {
        let status = proc(server, "status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap().to_owned();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let server = Server::initialised_on_sqlite();
    let limits = proc(&server, "limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    let warned = server.output().contains("memory is not locked");
    assert_eq!(
        locked_kilobytes(&server) == 0,
        warned,
        "either it is locked, or the log says that it is not\n{}",
        server.output()
    );

    let store = |folder: &Path| format!("disable_mlock = true\n{}", sqlite(&folder.join("store.db")));
    let server = Server::uninitialised(store).initialise();
    assert_eq!(locked_kilobytes(&server), 0);
    assert!(!server.output().contains("memory is not locked"), "{}", server.output());
}

#[test]
fn a_service_manager_is_told_when_the_server_is_ready_and_when_it_stops() {
    let mut server = Server::initialised_on_sqlite();
    assert!(server.stop().success());
    let abstract_name = format!("strongroom-test-{}", strongroom::random::uuid());
    let path = server.folder().join("notify");
    let by_path = UnixDatagram::bind(&path).unwrap();
    let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap()).unwrap();
    for (socket, name) in [(by_path, path.display().to_string()), (by_name, format!("@{abstract_name}"))] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let told = || {
            let mut state = [0; 64];
            let length = socket.recv(&mut state).unwrap();
            String::from_utf8_lossy(&state[..length]).into_owned()
        };
        let mut command = server.same_command();
        command.env("NOTIFY_SOCKET", &name);
        let mut process = Process::start(command, server.folder(), "notifying");
        assert_eq!(told(), "READY=1");
        // Ready means that it can be asked.
        Client::new(&server.target()).call("GET", "sys/health", None).expect(503);
        process.ask_to_stop();
        assert_eq!(told(), "STOPPING=1");
        assert!(process.stop().success(), "{}", process.output());
    }
}

/// Who has every right in a namespace has none over the server, which others share.
#[test]
fn a_namespace_cannot_seal_the_server() {
    let server = Server::initialised_on_sqlite();
    let root = Client::new(&server.target());
    let team = namespace(&root, "team");
    policy(&team, "all", r#"path "*" { capabilities = ["read", "update", "sudo"] }"#);
    let admin = team.with_token(&token(&team, &json!({"policies": ["all"]})).text);
    for client in [&team, &admin] {
        for path in ["sys/seal", "sys/step-down"] {
            assert_eq!(client.call("PUT", path, None).expect(400).errors(), ["operation unavailable in namespaces"]);
        }
    }
    assert_eq!(root.call("GET", "sys/seal-status", None).expect(200).json()["sealed"], false);
}
