//! The object's own bytecode in the VM: what the kernel would run, without a kernel and without privileges.

use treeline_ebpf::replay::Cell;
use treeline_ebpf::{Config, Counters, Link};

use super::{Engine, EngineError, GIVEN_BYTES_MAX, Hook, Observation, Settings, given, observation};
use crate::{allow, object};
use treeline_lab::bpf::{Object, ReadOptions};
use treeline_lab::{Frame, vm};

/// The engine's name.
pub const NAME: &str = "vm";

/// The vm engine.
pub struct Vm {
    machine: vm::Vm,
    hook: Hook,
    link: Link,
    packets: u64,
    counters: Counters,
}

impl Vm {
    /// Loads the object: [`EngineError::Unavailable`] with the VM's own words if it refuses.
    pub fn new(settings: &Settings) -> Result<Self, EngineError> {
        let mut machine = load(settings)?;
        let list = machine.map_mut(object::ALLOW).ok_or_else(|| missing(object::ALLOW))?;
        for entry in settings.allow.entries() {
            let (key, value) = allow::to_bytes(entry);
            list.update(&key, &value, vm::ANY).map_err(unavailable)?;
        }
        Ok(Self { machine, hook: settings.hook, link: settings.link, packets: 0, counters: Counters::default() })
    }

    fn cell(&mut self) -> &mut [u8] {
        self.machine.map_mut(object::REPLAY).and_then(|map| map.entry_mut(0)).expect("checked when loaded")
    }
}

/// The object with its settings and its tree.
fn load(settings: &Settings) -> Result<vm::Vm, EngineError> {
    let config = Config { replay: 1, ..settings.loaded() };
    let read = ReadOptions {
        globals: [(object::CONFIG.to_owned(), config.to_bytes().to_vec())].into(),
        map_max_entries: [(object::FLOWS.to_owned(), settings.flows_max)].into(),
        ..ReadOptions::default()
    };
    let options = vm::Options {
        packet_length_max: GIVEN_BYTES_MAX,
        windows_more: 0,
        // Exact, as the native engine's table.
        eviction: vm::Eviction::LeastRecentlyUsed,
        records: false,
        ..vm::Options::default()
    };
    let object = Object::parse(settings.object(), &read).map_err(|error| unavailable(error.into()))?;
    let mut machine = vm::Vm::load_with(&object, &[settings.program()], &options).map_err(unavailable)?;
    if let Some(tree) = settings.walked(NAME)? {
        let model = machine.map_mut(object::MODEL).and_then(|map| map.entry_mut(0)).ok_or_else(|| missing(object::MODEL))?;
        model.copy_from_slice(bytemuck::cast_slice(&tree.nodes));
    }
    if machine.map(object::REPLAY).and_then(|map| map.entry(0)).is_none_or(|cell| cell.len() != size_of::<Cell>()) {
        return Err(missing(object::REPLAY));
    }
    Ok(machine)
}

impl Engine for Vm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn judge(&mut self, frame: &Frame) -> Result<Observation, EngineError> {
        let failed = |reason| EngineError::Failed { engine: NAME, frame: frame.index, reason };
        self.cell()[..8].copy_from_slice(&frame.time_ns.to_ne_bytes());
        let returned = self.machine.run(&given(frame, self.hook, self.link), frame.time_ns).map_err(|error| failed(error.to_string()))?;
        let cell: Cell = bytemuck::pod_read_unaligned(self.cell());
        self.packets += 1;
        if cell.record.packets != self.packets {
            return Err(failed(format!("the program left {} records for {} packets", cell.record.packets, self.packets)));
        }
        #[expect(clippy::cast_possible_truncation, reason = "a return code is 32 bits")]
        let observation =
            observation(&cell, &self.counters, returned as u32).ok_or_else(|| failed(format!("outcome {:#x}", cell.record.outcome)))?;
        self.counters = cell.counters;
        Ok(observation)
    }

    fn swap(&mut self, settings: &Settings) -> Result<(), EngineError> {
        let mut machine = load(&Settings { hook: self.hook, link: self.link, ..settings.clone() })?;
        for name in [object::FLOWS, object::COUNTERS, object::LIVE, object::ALLOW, object::REPLAY] {
            let old = self.machine.map_mut(name).ok_or_else(|| missing(name))?;
            machine.map_mut(name).ok_or_else(|| missing(name))?.exchange(old).map_err(unavailable)?;
        }
        self.machine = machine;
        Ok(())
    }
}

fn missing(name: &str) -> EngineError {
    EngineError::Unavailable { engine: NAME, reason: format!("the object has no {name} of the expected size") }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unavailable(error: vm::VmError) -> EngineError {
    EngineError::Unavailable { engine: NAME, reason: error.to_string() }
}
