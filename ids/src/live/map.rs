//! The maps as they are read from here: counters, flows.

use std::os::fd::AsFd;
use std::path::Path;

use aya::maps::{Map, MapData, MapError, PerCpuArray};
use treeline_ebpf::live::Live;
use treeline_ebpf::{Counters, Flow};
use treeline_lab::cause::explain;
use treeline_sim::object;

use super::survey::{Survey, Table};
use super::table;
use super::tap::Numbers;

/// The maps that all programs of an instance share, and a restart of a pinned one.
pub const SHARED: [&str; 5] = [object::FLOWS, object::COUNTERS, object::LIVE, object::ALERTS, object::ALLOW];

/// The maps that are read.
pub struct Maps {
    /// The flow table.
    pub flows: MapData,
    counters: PerCpuArray<MapData, Counters>,
    live: PerCpuArray<MapData, [u8; size_of::<Live>()]>,
}

/// The maps of an instance whose process is gone, to be read.
pub struct Pins {
    maps: Maps,
    flows_max: u32,
}

impl Pins {
    /// Opens what is pinned in `folder`.
    pub fn open(folder: &Path) -> Result<Self, String> {
        let failed = |name: &str, error: &MapError| format!("{}/{name}: {}", folder.display(), explain(error));
        let maps = Maps::take(|name| {
            let data = MapData::from_pin(folder.join(name)).map_err(|error| failed(name, &error))?;
            Map::from_map_data(data).map_err(|error| failed(name, &error))
        })?;
        let flows_max = maps.flows.info().map_err(|error| failed(object::FLOWS, &error))?.max_entries();
        Ok(Self { maps, flows_max })
    }

    /// The numbers, with what was found in the flow table.
    pub fn numbers(&self, survey: &Survey) -> Result<Numbers, String> {
        self.maps.numbers(self.flows_max, survey)
    }

    /// The flow table.
    pub fn table(&self) -> &dyn Table {
        &self.maps
    }
}

impl Maps {
    /// Those that `take` gives by name.
    pub fn take(mut take: impl FnMut(&str) -> Result<Map, String>) -> Result<Self, String> {
        let text = |error: MapError| explain(&error);
        let (Map::LruHashMap(flows) | Map::HashMap(flows)) = take(object::FLOWS)? else {
            return Err(format!("{} is no hash table", object::FLOWS));
        };
        Ok(Self { flows, counters: take(object::COUNTERS)?.try_into().map_err(text)?, live: take(object::LIVE)?.try_into().map_err(text)? })
    }

    /// The numbers, with what was found in the flow table.
    pub fn numbers(&self, flows_max: u32, survey: &Survey) -> Result<Numbers, String> {
        let (counters, live) = (self.counters()?, self.live()?);
        let Survey { census, evictions, .. } = *survey;
        Ok(Numbers { counters, live, census, flows_max, evictions, uninspected: 0, cost: None })
    }

    fn counters(&self) -> Result<Counters, String> {
        let values = self.counters.get(&0, 0).map_err(|error| explain(&error))?;
        Ok(std::array::from_fn(|index| values.iter().map(|counters| counters[index]).sum()))
    }

    fn live(&self) -> Result<Live, String> {
        let values = self.live.get(&0, 0).map_err(|error| explain(&error))?;
        let mut total = Live::ZERO;
        for bytes in values.iter() {
            total.add(&bytemuck::pod_read_unaligned(bytes));
        }
        Ok(total)
    }
}

impl Table for Maps {
    fn inserted(&self) -> Result<u64, String> {
        let live = self.live()?;
        Ok(live.flows_inserted.saturating_sub(live.flows_removed))
    }

    fn visit(&self, each: &mut dyn FnMut(&Flow)) -> Result<(), String> {
        table::visit(self.flows.fd().as_fd(), each).map_err(|error| format!("the flow table cannot be read: {error}"))
    }
}
