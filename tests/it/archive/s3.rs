//! The archive in S3, as moto speaks it, behind a proxy that can be told to fail.

use std::time::{Duration, Instant};

use super::{declare, log_key, newest, number, page, work};
use crate::support::fixture::ready;
use crate::support::process::until;
use crate::support::s3::{Fault, S3};
use crate::support::server::Server;

#[test]
fn a_storage_that_hangs_or_fails_delays_nobody_and_has_every_event_later() {
    let mut server = Server::initialised_on_sqlite();
    let folder = tempfile::tempdir().unwrap();
    let storage = S3::start(folder.path(), "audit");
    let root = ready(&server);
    declare(
        &mut server,
        &format!(
            "\"s3\" {{\n{}  prefix = \"log\"\n  interval = \"1s\"\n  timeout = \"2s\"\n  keep_in_database = \"1s\"\n}}",
            storage.settings()
        ),
    );
    until("events in the archive", || number(&root, "archived") > 0);
    let failures = || {
        let text = String::from_utf8(root.call("GET", "sys/metrics?format=prometheus", None).expect(200).body).unwrap();
        let line = text.lines().find(|line| line.starts_with("strongroom_audit_archive_failures_total ")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    for fault in [Fault::Hang, Fault::Reset, Fault::Cut] {
        storage.set(fault);
        let before = failures();
        work(&root, 80);
        until("a failure that is counted", || {
            let asked = Instant::now();
            root.call("GET", "secret/data/none", None);
            assert!(asked.elapsed() < Duration::from_secs(30), "a request waited for the archive");
            failures() > before
        });
        storage.set(Fault::None);
    }
    let last = newest(&root);
    until("every event in the archive", || {
        root.call("GET", "secret/data/none", None);
        number(&root, "in_database_from") > last
    });
    let first = page(&root, "order=asc&limit=1&archive=true");
    assert_eq!(first["events"][0]["index"], serde_json::json!(0));
    storage.set(Fault::Hang);
    root.call("GET", "sys/audit-log/event/0?archive=true", None).expect(503);
    root.call("GET", "sys/audit-log?limit=1", None).expect(200);
    storage.set(Fault::None);
    root.call("GET", "sys/audit-log/event/0?archive=true", None).expect(200);
    assert!(log_key(&root).name().starts_with("strongroom/"));
    assert!(!server.output().contains("canary-of-a-credential"));
}
