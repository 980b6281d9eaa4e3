//! What is done to a `PostgreSQL` server of a test's own, and the standby that it may have.

use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::{Database, Server, as_ordinary, binaries, ordinary_account, own_folder};

/// How long a new standby may take until it has all that its primary has.
const FOLLOWS_WITHIN: Duration = Duration::from_mins(1);

impl Database {
    /// The same, on a disk that can be full.
    pub(crate) fn on_a_small_disk() -> Self {
        let server: &'static Server = Box::leak(Box::new(Server { layer: true, ..Server::new() }));
        let (source, made) = (server.folder.join("full_disk.c"), server.folder.join("full_disk.so"));
        fs::write(&source, include_str!("full_disk.c")).unwrap();
        let control = format!("-DCONTROL=\"{}\"", server.folder.join("full").display());
        let built =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", &control, "-o"]).arg(&made).arg(&source).arg("-ldl").output();
        let built = built.unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        server.start("");
        server.prepare();
        Self::on(server)
    }

    /// Whether the disk is full.
    pub(crate) fn fill_disk(&self, is_full: bool) {
        let control = self.server.folder.join("full");
        if is_full { fs::write(control, "").unwrap() } else { fs::remove_file(control).unwrap() }
    }

    /// The same database on a standby of this one, which may be stopped too. From now on no commit here is acknowledged before it is there.
    pub(crate) fn standby(&self) -> Self {
        let server: &'static Server = Box::leak(Box::new(Server::copied_from(self.server)));
        server.start("");
        // Not before the copy was made: promoted, it must not wait for a standby of its own.
        self.configure("synchronous_standby_names", "*");
        let waiting = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        let since = Instant::now();
        while self.sql("postgres", waiting).trim() != "1" {
            assert!(since.elapsed() < FOLLOWS_WITHIN, "the standby does not follow");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { server, name: self.name.clone() }
    }

    /// Makes a standby the primary.
    pub(crate) fn promote(&self) {
        let control = as_ordinary(ordinary_account(), &binaries().join("pg_ctl"))
            .args(["promote", "-w", "-s", "-D"])
            .arg(self.server.folder.join("data"))
            .status();
        assert!(control.unwrap().success());
    }

    /// Changes a setting of the running server.
    pub(crate) fn configure(&self, setting: &str, value: &str) {
        self.sql("postgres", &format!("ALTER SYSTEM SET {setting} = '{value}'"));
        self.sql("postgres", "SELECT pg_reload_conf()");
    }

    /// The server's processes, the first of them the one that the others are children of.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let file = fs::read_to_string(self.server.folder.join("data/postmaster.pid")).unwrap();
        let first: u32 = file.lines().next().unwrap().parse().unwrap();
        let parent = |process: u32| -> Option<u32> {
            let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
            status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
        };
        let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let children = all.filter(|process| parent(*process) == Some(first));
        std::iter::once(first).chain(children).collect()
    }
}

impl Server {
    /// A standby of another server, not started yet.
    fn copied_from(primary: &Self) -> Self {
        let (folder, account) = own_folder();
        let made = as_ordinary(account, &binaries().join("pg_basebackup"))
            .args(["-U", "postgres", "-R", "-X", "stream", "-c", "fast", "--no-sync", "-h"])
            .arg(&primary.folder)
            .arg("-D")
            .arg(folder.join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { folder, watch: Mutex::new(None), layer: false }
    }
}
