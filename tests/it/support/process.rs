//! Starting, watching and ending the processes that a test starts, each by its own id.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to become ready, or to stop.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How long one command of a client may take.
const COMMAND_SECONDS_MAX: &str = "60";

/// A process that runs beside the test, its output in files.
pub(crate) struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts `command`; output is appended to `NAME.stdout` and `NAME.stderr` in `folder`.
    pub(crate) fn start(mut command: Command, folder: &Path, name: &str) -> Self {
        let [stdout, stderr] = ["stdout", "stderr"].map(|end| folder.join(format!("{name}.{end}")));
        let append = |path: &Path| File::options().create(true).append(true).open(path).unwrap();
        command.stdin(Stdio::null()).stdout(append(&stdout)).stderr(append(&stderr));
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        Self { child, stdout, stderr }
    }

    /// Waits until `ready` says so. Fails when the process ends before, or after `PATIENCE`.
    pub(crate) fn wait_until(&mut self, what: &str, ready: impl Fn() -> bool) {
        let start = Instant::now();
        while !ready() {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the process ended ({status}) before {what}\n{}", self.output());
            }
            assert!(start.elapsed() < PATIENCE, "no sign of {what} after {PATIENCE:?}\n{}", self.output());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it wrote so far, standard output first.
    pub(crate) fn output(&self) -> String {
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        format!("--- stdout\n{}\n--- stderr\n{}", read(&self.stdout), read(&self.stderr))
    }

    /// Asks it to stop, and waits for that. Fails when it has to be killed.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        if let Some(status) = self.child.try_wait().unwrap() {
            return status;
        }
        self.ask_to_stop();
        self.wait()
    }

    /// Ends it with SIGABRT, as the runtime does when it cannot go on, and waits for that.
    pub(crate) fn abort(&mut self) -> ExitStatus {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::ABORT).unwrap();
        self.wait()
    }

    fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if start.elapsed() > PATIENCE {
                self.kill();
                panic!("the process did not stop within {PATIENCE:?} of the signal\n{}", self.output());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends SIGTERM to it, which must not have been waited for.
    pub(crate) fn ask_to_stop(&self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a command printed and how it ended.
pub(crate) struct Finished {
    /// The exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

/// Runs `program` to its end with nothing in its environment but `variables`, and `input` on its standard input.
pub(crate) fn run(program: &Path, arguments: &[&str], variables: &[(String, String)], input: Option<&str>) -> Finished {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", COMMAND_SECONDS_MAX]).arg(program).args(arguments);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").envs(variables.iter().cloned());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() }).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
        // Inputs are shorter than a pipe's buffer; a command that does not read its input is no failure.
        let _ = pipe.write_all(text.as_bytes());
    }
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Finished { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// A port that was free a moment ago. It is below those that connections get by themselves, so that a server finds it free
/// again when it is started again. Another process may take it before it is used: callers fail loudly then.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = 10_000 + u16::from_be_bytes(strongroom::random::bytes()) % 22_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Waits until something is true that takes some seconds by itself, and looks often; how long that took.
#[track_caller]
pub(crate) fn until(what: &str, ready: impl Fn() -> bool) -> Duration {
    let since = Instant::now();
    while !ready() {
        assert!(since.elapsed() < 6 * PATIENCE, "{what} did not come in time");
        std::thread::sleep(Duration::from_millis(20));
    }
    since.elapsed()
}
