//! What processes have cost: CPU time and memory by `/proc`; of whoever listens on a port, its children too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A tick of `/proc/<pid>/stat` in microseconds: 100 in a second on every Linux that we know.
const TICK_MICROS: u64 = 10_000;

/// CPU time that each of these has used so far, in microseconds.
pub fn cpu_micros(roots: &[(&'static str, u32)]) -> BTreeMap<&'static str, u64> {
    let all = processes();
    roots.iter().map(|(name, root)| (*name, of_tree(&all, *root))).collect()
}

/// The most memory that a process ever had resident, in KiB; 0 when it has ended.
pub fn rss_kib_max(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The process that listens on a TCP port of this machine; none when it is not ours to see.
pub fn listener(port: u16) -> Option<u32> {
    let inodes = listening_inodes(port);
    let holds = |pid: &u32| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.into_iter().any(|target| inodes.iter().any(|inode| target == Path::new(inode)))
    };
    let mut pids: Vec<u32> = processes().into_keys().filter(holds).collect();
    pids.sort_unstable();
    pids.first().copied()
}

fn listening_inodes(port: u16) -> Vec<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let mut inodes = Vec::new();
    for line in tables.iter().flat_map(|table| table.lines()) {
        let columns: Vec<&str> = line.split_whitespace().collect();
        if let [_, local, _, "0A", _, _, _, _, _, inode, ..] = columns[..]
            && local.ends_with(&format!(":{port:04X}"))
        {
            inodes.push(format!("socket:[{inode}]"));
        }
    }
    inodes
}

/// Parent and own CPU time in ticks of every process.
fn processes() -> BTreeMap<u32, (u32, u64)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, stat(pid)?))).collect()
}

fn stat(pid: u32) -> Option<(u32, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything.
    let columns: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| columns.get(at)?.parse::<u64>().ok();
    Some((number(1)? as u32, number(11)? + number(12)?))
}

fn of_tree(all: &BTreeMap<u32, (u32, u64)>, root: u32) -> u64 {
    let own = all.get(&root).map_or(0, |(_, ticks)| ticks * TICK_MICROS);
    let children = all.iter().filter(|(_, (parent, _))| *parent == root);
    own + children.map(|(pid, _)| of_tree(all, *pid)).sum::<u64>()
}
