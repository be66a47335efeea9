//! The capabilities that a live run needs, each with its reason, and which of them the process lacks.

use std::fs;

use treeline_sim::engine::Hook;

use super::engine::Engine;

/// A capability as the kernel numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// Its bit in `CapEff`.
    bit: u32,
    /// Its name in capabilities(7).
    name: &'static str,
    /// What it is needed for.
    reason: &'static str,
}

/// Stands in for [`BPF`] and [`PERFMON`].
const SYS_ADMIN: u32 = 21;
const BPF: Capability = Capability { bit: 39, name: "CAP_BPF", reason: "to load programs and maps" };
const PERFMON: Capability =
    Capability { bit: 38, name: "CAP_PERFMON", reason: "so that the verifier lets the programs compute with pointers into maps" };
const NET_ADMIN: Capability = Capability { bit: 12, name: "CAP_NET_ADMIN", reason: "to attach them to interfaces" };
const NET_RAW: Capability = Capability { bit: 13, name: "CAP_NET_RAW", reason: "to open raw sockets" };

/// What `engine` needs at `hook`.
fn needed(engine: Engine, hook: Hook) -> &'static [Capability] {
    match (engine, hook) {
        (Engine::Kernel, Hook::Xdp | Hook::Tc) => &[BPF, PERFMON, NET_ADMIN],
        (Engine::Kernel, Hook::Socket) => &[BPF, PERFMON, NET_RAW],
        (Engine::UserRecv | Engine::UserRing, _) => &[NET_RAW],
    }
}

/// An error that names what is missing, if this process cannot run `engine` on `hook`.
pub fn check(engine: Engine, hook: Hook) -> Result<(), String> {
    let path = "/proc/self/status";
    let status = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    // A kernel that does not say is asked by trying.
    let Some(effective) = effective(&status) else { return Ok(()) };
    let missing = missing(effective, needed(engine, hook));
    if missing.is_empty() {
        return Ok(());
    }
    let listed: Vec<_> = missing.iter().map(|capability| format!("{} ({})", capability.name, capability.reason)).collect();
    let names: Vec<_> = needed(engine, hook).iter().map(|capability| capability.name.to_ascii_lowercase()).collect();
    Err(format!("missing {}: run as root, or give the program its rights: setcap {}+ep treeline", listed.join(", "), names.join(",")))
}

fn missing(effective: u64, needed: &[Capability]) -> Vec<Capability> {
    let has = |bit: u32| effective >> bit & 1 == 1;
    let covered = |capability: &Capability| has(capability.bit) || has(SYS_ADMIN) && matches!(*capability, BPF | PERFMON);
    needed.iter().copied().filter(|capability| !covered(capability)).collect()
}

/// The effective set in a status file.
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(effective: u64, hook: Hook) -> Vec<&'static str> {
        missing(effective, needed(Engine::Kernel, hook)).iter().map(|capability| capability.name).collect()
    }

    #[test]
    fn the_missing_capabilities_of_each_hook_are_named() {
        let all = effective("Name:\ttreeline\nCapEff:\t000001ffffffffff\n").expect("a set");
        for hook in Hook::ALL {
            assert!(names(all, hook).is_empty());
        }
        assert_eq!(names(0, Hook::Tc), ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"]);
        assert_eq!(names(0, Hook::Socket), ["CAP_BPF", "CAP_PERFMON", "CAP_NET_RAW"]);
        assert_eq!(names(all & !(1 << 39), Hook::Xdp), [""; 0], "CAP_SYS_ADMIN stands in");
        assert_eq!(names(1 << 38 | 1 << 39, Hook::Xdp), ["CAP_NET_ADMIN"]);
        assert_eq!(effective("Name: x\n"), None);
        let raw: Vec<_> = missing(0, needed(Engine::UserRing, Hook::Socket)).iter().map(|capability| capability.name).collect();
        assert_eq!(raw, ["CAP_NET_RAW"]);
    }
}
