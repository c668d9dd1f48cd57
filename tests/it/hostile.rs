//! Who means harm, in front of the real service: names that would break out of keys and queries, bodies that
//! would fill memory, clients that never come to an end, and more names than anybody has.

mod many;
mod names;
mod slow;

use crate::support::Service;

/// Memory that the service has now, and the most that it ever had, in MiB.
fn memory_mib(service: &Service) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
    };
    (line("VmRSS:"), line("VmHWM:"))
}
