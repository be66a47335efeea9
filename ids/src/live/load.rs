//! Object and model -> maps and programs in the kernel, over maps that are there already where a folder has them.

use std::borrow::Cow;
use std::collections::HashSet;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, MapData, MapError};
use aya::programs::{SchedClassifier, SocketFilter, Xdp};
use aya::{Ebpf, EbpfLoader};
use treeline_ebpf::Link;
use treeline_ebpf::tree::NODES_MAX;
use treeline_lab::cause::explain;
use treeline_sim::allow::{List, to_bytes};
use treeline_sim::engine::{Decider, Hook, Settings};
use treeline_sim::object;

use super::attachment::Loaded;
use super::folder::Folder;
use super::map::SHARED;

/// What loads objects. Making one reads the kernel's types, whether or not they are wanted, which takes longer than all the rest: so it is kept.
pub struct Loader {
    loader: EbpfLoader<'static>,
}

impl Loader {
    /// One whose maps are those in `folder`, where that has them, and are put there where it has not.
    pub fn new(folder: &Folder) -> Self {
        let mut loader = EbpfLoader::new();
        // Nothing in the object depends on the kernel's types.
        loader.btf(None);
        for name in SHARED {
            if let Ok(path) = folder.path(name) {
                loader.map_pin_path(name, path);
            }
        }
        Self { loader }
    }

    /// Loads the object's maps with the settings; its programs are still to be loaded. The settings' few bytes are never freed.
    pub fn load(&mut self, settings: &Settings, ring_bytes: u32) -> Result<Ebpf, String> {
        let config: &'static [u8] = Vec::from(settings.loaded().to_bytes()).leak();
        self.loader
            .override_global(object::CONFIG, config, true)
            .map_max_entries(object::FLOWS, settings.flows_max)
            .map_max_entries(object::ALERTS, ring_bytes);
        let object = settings.linked.as_deref().unwrap_or(object::OBJECT);
        let object = if settings.config.fragments == 0 { Ok(Cow::from(object)) } else { object::fragmented(object).map(Cow::from) };
        let object = object.map_err(|error| format!("the object for packets in several buffers: {error}"))?;
        let mut ebpf = self.loader.load(&object).map_err(|error| format!("the kernel takes no maps: {}", explain(&error)))?;
        fill(&mut ebpf, settings)?;
        Ok(ebpf)
    }
}

/// Puts the tree where the programs walk it.
fn fill(ebpf: &mut Ebpf, settings: &Settings) -> Result<(), String> {
    if let (None, Decider::Tree(tree)) = (&settings.linked, &settings.decider) {
        let map = ebpf.map_mut(object::MODEL).ok_or("the object has no map MODEL")?;
        let mut model: Array<&mut MapData, [[i64; 2]; NODES_MAX]> = map.try_into().map_err(|error: MapError| explain(&error))?;
        model.set(0, bytemuck::cast_ref(&tree.nodes), 0).map_err(|error| explain(&error))?;
    }
    Ok(())
}

/// Makes the allow-list's map hold `list`, whatever it held: first what is on it, then nothing else.
pub fn allow(ebpf: &mut Ebpf, list: &List) -> Result<(), String> {
    let failed = |error: MapError| format!("the allow-list: {}", explain(&error));
    let map = ebpf.map_mut(object::ALLOW).ok_or("the object has no map ALLOW")?;
    let mut map: LpmTrie<&mut MapData, [u8; 16], [u8; 36]> = map.try_into().map_err(failed)?;
    let mut listed = HashSet::new();
    for entry in list.entries() {
        let (_, value) = to_bytes(entry);
        map.insert(&Key::new(entry.0.prefix_bits, entry.0.address), value, 0).map_err(failed)?;
        listed.insert((entry.0.prefix_bits, entry.0.address));
    }
    let held: Vec<_> = map.keys().collect::<Result<_, _>>().map_err(failed)?;
    for key in held.iter().filter(|key| !listed.contains(&(key.prefix_len(), key.data()))) {
        map.remove(key).map_err(failed)?;
    }
    Ok(())
}

/// Loads the hook's programs for these kinds of links into the kernel.
pub fn load_programs(ebpf: &mut Ebpf, hook: Hook, links: &[Link]) -> Result<(), String> {
    for link in links {
        match loaded(ebpf, hook, *link)? {
            Loaded::Xdp(program) => program.load(),
            Loaded::Tc(program) => program.load(),
            Loaded::Socket(program) => program.load(),
        }
        .map_err(|error| format!("the kernel refuses the program: {}", explain(&error)))?;
    }
    Ok(())
}

/// The object's program for the hook and the kind of link.
pub fn loaded(ebpf: &mut Ebpf, hook: Hook, link: Link) -> Result<Loaded<'_>, String> {
    let name = hook.program(link);
    match hook {
        Hook::Xdp => program::<Xdp>(ebpf, name).map(Loaded::Xdp),
        Hook::Tc => program::<SchedClassifier>(ebpf, name).map(Loaded::Tc),
        Hook::Socket => program::<SocketFilter>(ebpf, name).map(Loaded::Socket),
    }
}

/// The object's program `name`.
fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, String>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = aya::programs::ProgramError>,
{
    let program = ebpf.program_mut(name).ok_or_else(|| format!("the object has no {name}"))?;
    program.try_into().map_err(|error| explain(&error))
}
