//! The machine, as Linux tells of it in `/proc`: sizes and load, nothing about other processes. What cannot be read is left
//! out.

use std::fs;
use std::time::Duration;

use crate::json::Json;
use crate::metrics::Usage;
use crate::time::Timestamp;

/// The name of the machine; empty when it is not known.
pub(super) fn name() -> String {
    line("/proc/sys/kernel/hostname").unwrap_or_default()
}

/// `sys/host-info`.
pub(super) fn info(now: Timestamp) -> Json {
    Json::object(|data| {
        data.field("timestamp", &now.rfc3339());
        data.object("host", |host| {
            host.field("hostname", &name()).field("os", std::env::consts::OS).field("kernelArch", std::env::consts::ARCH);
            if let Some(version) = line("/proc/sys/kernel/osrelease") {
                host.field("kernelVersion", &version);
            }
            let uptime = line("/proc/uptime").and_then(|text| number(text.split(' ').next()?.split('.').next()?));
            if let Some(seconds) = uptime {
                host.field("uptime", &seconds);
            }
        });
        data.object("cpu", |cpu| {
            cpu.field("count", &std::thread::available_parallelism().map_or(0, usize::from));
            let load = line("/proc/loadavg").unwrap_or_default();
            let parts = load.split(' ').filter_map(|part| part.parse::<f64>().ok());
            for (name, value) in ["load1", "load5", "load15"].into_iter().zip(parts) {
                cpu.field(name, &value);
            }
        });
        data.object("memory", |memory| {
            let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
            for (name, shown) in [
                ("MemTotal", "total"),
                ("MemAvailable", "available"),
                ("MemFree", "free"),
                ("Buffers", "buffers"),
                ("Cached", "cached"),
                ("SwapTotal", "swapTotal"),
                ("SwapFree", "swapFree"),
            ] {
                if let Some(kib) = in_kib(&text, name) {
                    memory.field(shown, &kib.saturating_mul(1024));
                }
            }
        });
    })
}

/// What this process takes of the machine.
pub(super) fn usage() -> Usage {
    let pages = line("/proc/self/statm").and_then(|text| number(text.split(' ').nth(1)?));
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Usage {
        resident_bytes: pages.map(|pages| pages.saturating_mul(rustix::param::page_size() as u64)),
        files: fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as u64),
        processor: Duration::try_from(used).ok(),
    }
}

fn line(file: &str) -> Option<String> {
    Some(fs::read_to_string(file).ok()?.trim().to_owned())
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// The value of a line such as `MemTotal:  16384 kB`.
fn in_kib(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    number(value.trim().strip_suffix("kB")?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_by_their_whole_name() {
        let text = "MemTotal:       16384 kB\nSwapCached:          7 kB\nCached:             12 kB\nHugePages_Total:   0\n";
        assert_eq!(in_kib(text, "MemTotal"), Some(16_384));
        assert_eq!(in_kib(text, "Cached"), Some(12));
        assert_eq!((in_kib(text, "Mem"), in_kib(text, "HugePages_Total"), in_kib("", "MemTotal")), (None, None, None));
    }
}
