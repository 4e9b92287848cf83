//! Requests with long agents: the process stays small, whatever its clouds answer.

use std::fs;
use std::process::Child;

use super::audit::{Asked, DAY, HOUR, Line, MINUTE};
use super::ocsf::WATCH;
use super::world::{Cloud, World};

const TICK: i64 = DAY + HOUR;
/// Largest resident memory of the process, in kB.
const RESIDENT_KB_MAX: u64 = 256 << 10;

/// Returns the largest resident memory of a process until it ends, in kB, and its exit code.
fn largest(mut child: Child) -> (u64, Option<i32>) {
    let path = format!("/proc/{}/status", child.id());
    let mut largest = 0;
    loop {
        let status = fs::read_to_string(&path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        largest = line.and_then(|kb| kb.parse().ok()).unwrap_or(0).max(largest);
        if let Some(exit) = child.try_wait().expect("it can be waited for") {
            return (largest, exit.code());
        }
        std::thread::yield_now();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn long_agents_do_not_fill_the_memory() {
    let world = World::of(&Cloud::THREE);
    let long = |n: i64, chars: usize| Asked {
        agent: format!("{n}{}", "x".repeat(chars)),
        ..Asked::new(DAY + 20 * MINUTE + n, "8.8.8.8", 403, n)
    };
    for (cloud, entries, chars) in
        [(Cloud::Eks, 100, 250_000), (Cloud::Gke, 1_000, 250_000), (Cloud::Aks, 1_000, 60_000)]
    {
        let lines: Vec<Line> = (0..entries).map(|n| long(n, chars).line()).collect();
        world.ingest_into(cloud, &lines);
    }
    let (resident_kb, code) = largest(world.begin_once(TICK));
    eprintln!("{resident_kb} kB with all three clouds");
    assert_eq!(code, Some(0));
    assert!(resident_kb > 0 && resident_kb < RESIDENT_KB_MAX, "{resident_kb} kB");
    let reported = world.reported();
    assert!(reported.iter().any(|reported| reported.episode.source == "8.8.8.8"), "{reported:?}");
    assert!(reported.iter().all(|reported| reported.episode.rule != WATCH), "{reported:?}");
}
