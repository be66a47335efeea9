//! What the host sees of a VM between runs: the packet, the context, what was sent, and the maps.

use super::map::Map;
use super::memory::Arena;
use super::record::{Record, Redirect};
use super::run::Vm;
use super::{VmError, context};
use crate::bpf::Shape;

impl Vm {
    /// The packet as the last run left it, in its new length; under XDP with the metadata before it.
    #[must_use]
    pub fn packet(&self) -> &[u8] {
        self.session.reach.bytes()
    }

    /// The context as the last run left it, in the form of `BPF_PROG_TEST_RUN`'s `ctx_out`.
    #[must_use]
    pub fn context(&self) -> Vec<u8> {
        context::given_back(self.session.hook, &self.session.context, self.given.as_deref())
    }

    /// What the last run sent through ring buffers and perf event arrays, in order.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.session.records
    }

    /// What the last run printed (`bpf_trace_printk`), one line per call.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.session.lines
    }

    /// Where the last run last asked to send the packet; it goes there if the verdict says so.
    #[must_use]
    pub fn redirect(&self) -> Option<&Redirect> {
        self.session.redirect.as_ref()
    }

    /// The copies of the packet that the last run sent away (`bpf_clone_redirect`): where to, and the bytes.
    #[must_use]
    pub fn clones(&self) -> &[(Redirect, Vec<u8>)] {
        &self.session.clones
    }

    /// Another map, for an entry of a map of maps; the answer is its position, which such an entry takes as its value (32 bits, little-endian).
    pub fn add_map(&mut self, shape: &Shape) -> Result<u32, VmError> {
        let mut arena = Arena::anywhere(Map::room(shape, &self.options))?;
        let map = Map::new(shape, &mut arena, &self.options)?;
        for program in &mut self.programs {
            for range in map.ranges() {
                program.machine.register_allowed_memory(range);
            }
        }
        self.arenas.push(arena);
        self.session.maps.push(map);
        Ok(u32::try_from(self.session.maps.len() - 1).expect("maps are few"))
    }

    /// A map by its position, those of the object first, by name, then those added.
    #[must_use]
    pub fn map_at(&self, position: usize) -> Option<&Map> {
        self.session.maps.get(position)
    }

    /// A map by its position, to change.
    pub fn map_at_mut(&mut self, position: usize) -> Option<&mut Map> {
        self.session.maps.get_mut(position)
    }

    /// The position of a program by name, which an entry of a prog array takes as its value (32 bits, little-endian).
    #[must_use]
    pub fn program_position(&self, name: &str) -> Option<usize> {
        self.programs.iter().position(|program| program.name == name)
    }

    /// A map by name; global data under its section's name.
    #[must_use]
    pub fn map(&self, name: &str) -> Option<&Map> {
        self.session.maps.iter().find(|map| map.shape().name == name)
    }

    /// A map by name, to change.
    pub fn map_mut(&mut self, name: &str) -> Option<&mut Map> {
        self.session.maps.iter_mut().find(|map| map.shape().name == name)
    }

    /// All maps, by name.
    pub fn maps(&self) -> impl Iterator<Item = &Map> {
        self.session.maps.iter()
    }

    /// How many instructions the (first) program has as relocated, and as lowered for rbpf.
    #[must_use]
    pub fn instructions_count(&self) -> (usize, usize) {
        (self.programs[0].instructions.len(), self.programs[0].origin.len())
    }
}
