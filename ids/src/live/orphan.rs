//! Filters of clsact that an instance left: they have no link, so the kernel keeps them when their process is killed, and they go on
//! deciding, under enforce dropping, with nobody to report it.
//!
//! Not here: pins, which outlive their process because they were asked to ([`super::instance`]).

use std::fmt::{self, Display, Formatter};
use std::io;

use treeline_ebpf::Link;
use treeline_sim::engine::Hook;

use super::instance::Found;
use super::netlink::{self, Filter};

/// A filter of ours whose instance is not known.
#[derive(Debug)]
pub struct Orphan {
    /// The interface that it is on.
    pub interface: String,
    filter: Filter,
}

impl Orphan {
    /// Detaches it.
    pub fn remove(&self) -> io::Result<()> {
        netlink::remove(&self.filter)
    }
}

impl Display for Orphan {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Filter { side, name, program, tag, .. } = &self.filter;
        write!(formatter, "{name} on {} (clsact {side}, program {program}, tag {tag:016x})", self.interface)
    }
}

/// The orphans in this network namespace, given the instances that are registered: what a living one attached is none.
pub fn list(instances: &[Found]) -> io::Result<Vec<Orphan>> {
    let owned = |index: u32| {
        let mut tc = instances.iter().filter(|found| found.alive && found.card.hook == Hook::Tc.name());
        tc.any(|found| found.card.interfaces.iter().any(|interface| interface.index == index))
    };
    let programs = Link::ALL.map(|link| Hook::Tc.program(link));
    let mut orphans = vec![];
    for (index, interface) in netlink::interfaces()? {
        if !owned(index) {
            let filters = netlink::filters(index)?.into_iter().filter(|filter| programs.contains(&filter.name.as_str()));
            orphans.extend(filters.map(|filter| Orphan { interface: interface.clone(), filter }));
        }
    }
    Ok(orphans)
}

/// Orphans side by side, for a message.
pub fn listed(orphans: &[Orphan]) -> String {
    orphans.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
