//! What processes use, from proc(5).

use std::fs;

/// Clock ticks of user and system time so far, those of children that have ended included; none if it has ended itself.
pub(crate) fn ticks(process: u32) -> u64 {
    let fields = stat(process);
    // Fields 14 to 17: utime, stime, cutime, cstime.
    fields.iter().skip(11).take(4).map(|field| field.parse::<u64>().unwrap()).sum()
}

/// Resident memory, `VmRSS`, KiB.
pub(crate) fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// Direct children.
pub(crate) fn children(process: u32) -> Vec<u32> {
    let parent = process.to_string();
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    all.filter(|other| stat(*other).get(1) == Some(&parent)).collect()
}

/// The fields of `stat` from the third on: state, parent, ..; empty if there is no such process any more.
fn stat(process: u32) -> Vec<String> {
    let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else { return Vec::new() };
    // The second field, the program's name, is in brackets and may hold anything.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').map(str::to_owned).collect()
}
