//! The tap in the kernel: the object's program on interfaces, its maps read from here.
//!
//! A swap loads the object once more, with the other model, over the same maps, and puts its program into each attachment in one step.
//! Not here: how a program is attached ([`super::attachment`]), where maps are shared ([`super::folder`]).

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use aya::Ebpf;
use aya::maps::{MapData, MapInfo, RingBuf};
use aya::programs::links::{FdLink, PinnedLink};
use treeline_ebpf::alert::Alert;
use treeline_ebpf::{Flow, Link};
use treeline_lab::cause::explain;
use treeline_sim::allow::List;
use treeline_sim::engine::{Decider, Hook, Settings};
use treeline_sim::object;

use super::attachment::{self, AttachOptions, Attached, Hold};
use super::folder::{self, Folder};
use super::instance::Card;
use super::load::{self, Loader, load_programs, loaded};
use super::map::Maps;
use super::model::Named;
use super::probe;
use super::setup::Setup;
use super::survey::{Survey, Table};
use super::tap::{Cost, Numbers, Place, Tap};
use super::{interface, link};

/// The tap.
pub struct Kernel {
    settings: Settings,
    compiled: bool,
    ring_bytes: u32,
    /// What frames begin with on each interface; of each kind a program is loaded.
    links: Vec<(String, Link)>,
    folder: Folder,
    /// Nothing was pinned there before.
    fresh: bool,
    /// Loads over the folder's maps.
    shared: Loader,
    /// Loads with maps of its own, for the self-test.
    unshared: Loader,
    ebpf: Ebpf,
    placed: Vec<Placed>,
    maps: Arc<Maps>,
    alerts: RingBuf<MapData>,
    /// Of programs that were replaced.
    cost_before: Cost,
}

/// An interface with what holds the program there.
struct Placed {
    place: Place,
    link: Link,
    holds: Vec<(String, Hold)>,
}

impl Kernel {
    /// Loads the object with `model` for interfaces, over what is pinned in `folder` if there is something, and tests it.
    pub fn load(
        setup: &Setup,
        allow: Option<&Path>,
        hook: Hook,
        model: &Named,
        folder: Folder,
        interfaces: &[String],
    ) -> Result<Self, String> {
        let links: Vec<_> =
            interfaces.iter().map(|name| link::of(name, hook).map(|link| (name.clone(), link))).collect::<Result<_, _>>()?;
        let compiled = setup.compiled;
        let list = allow.map(List::read).transpose().map_err(|error| format!("--allow {}", explain(&error)))?;
        let settings = setup.settings(hook, list.map(Arc::new).unwrap_or_default(), model);
        let settings = with_model(&settings, model, compiled)?;
        let mut unshared = Loader::new(&Folder::None(String::new()));
        probe::check(&mut unshared, &settings, &kinds(&links))?;
        let mut fresh = false;
        if let Folder::Pinned(path) = &folder {
            fresh = !path.join(object::FLOWS).exists();
            check_size(path, &settings)?;
        }
        let mut shared = Loader::new(&folder);
        let mut ebpf = shared.load(&settings, setup.ring_bytes)?;
        if allow.is_some() {
            load::allow(&mut ebpf, &settings.allow)?;
        }
        let maps = Maps::take(|name| ebpf.take_map(name).ok_or_else(|| format!("the object has no map {name}")))?;
        let alerts = ebpf.take_map(object::ALERTS).ok_or("the object has no map ALERTS")?;
        let alerts = RingBuf::try_from(alerts).map_err(|error| explain(&error))?;
        load_programs(&mut ebpf, settings.hook, &kinds(&links))?;
        let (placed, cost_before, ring_bytes) = (vec![], Cost::default(), setup.ring_bytes);
        Ok(Self {
            settings,
            compiled,
            ring_bytes,
            links,
            folder,
            fresh,
            shared,
            unshared,
            ebpf,
            placed,
            maps: Arc::new(maps),
            alerts,
            cost_before,
        })
    }

    /// Gives the pinned programs of an instance whose process is gone another model.
    pub fn swap_pinned(card: &Card, pins: &Path, model: &Named) -> Result<(), String> {
        let names: Vec<_> = card.interfaces.iter().map(|interface| interface.name.clone()).collect();
        let mut kernel = Self::load(&card.setup, None, card.hook()?, model, Folder::Pinned(pins.to_owned()), &names)?;
        for interface in &card.interfaces {
            kernel.attach(&interface.name, card.setup.attach_options(false))?;
        }
        Ok(())
    }

    /// Removes what this process pinned, after it could not attach everywhere.
    pub fn give_up(self) {
        let Self { folder, fresh, placed, .. } = self;
        if let (Folder::Pinned(path), true) = (&folder, fresh) {
            let _ = folder::remove(path);
        }
        drop(placed);
    }

    /// Attaches to `interface`; a notice comes back where something is worth telling.
    pub fn attach(&mut self, interface: &str, options: AttachOptions) -> Result<Option<String>, String> {
        let index = interface::index(interface)?;
        let Self { folder, ebpf, settings, links, .. } = self;
        let link = links.iter().find_map(|(name, link)| (name == interface).then_some(*link));
        let link = link.ok_or_else(|| format!("{interface}: it came after the program was loaded"))?;
        let adopt = |name: &str| -> Option<FdLink> {
            let path = folder.is_pinned().then(|| folder.path(&format!("{}{name}", folder::LINK)).ok())??;
            PinnedLink::from_pin(path).ok().map(FdLink::from)
        };
        let Attached { holds, how, notice } = attachment::attach(&mut loaded(ebpf, settings.hook, link)?, interface, options, adopt)?;
        let mut kept = vec![];
        for (name, hold, adopted) in holds {
            let hold = if folder.is_pinned() && !adopted { hold.pin(&folder.path(&format!("{}{name}", folder::LINK))?)? } else { hold };
            kept.push((name, hold));
        }
        let how = link::told(link, how);
        self.placed.push(Placed { place: Place { index, name: interface.to_owned(), how }, link, holds: kept });
        Ok(notice)
    }

    /// Loads the programs over the shared maps, and beside that, on another core, tests them over maps of their own: the known packets are not
    /// in the live numbers.
    fn load_tested(&mut self, settings: &Settings) -> Result<Ebpf, String> {
        let Self { shared, unshared, ring_bytes, links, .. } = self;
        let kinds = kinds(links);
        thread::scope(|scope| {
            let test = scope.spawn(|| probe::check(unshared, settings, &kinds));
            let loaded =
                shared.load(settings, *ring_bytes).and_then(|mut ebpf| load_programs(&mut ebpf, settings.hook, &kinds).map(|()| ebpf));
            test.join().map_err(|_| "the self-test broke, which is a fault of treeline".to_owned())??;
            loaded
        })
    }

    fn cost(&self) -> Option<Cost> {
        let mut cost = self.cost_before;
        for link in kinds(&self.links) {
            let fd = self.ebpf.program(self.settings.hook.program(link))?.fd().ok()?.as_fd().as_raw_fd();
            let text = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
            let field = |name: &str| -> Option<u64> { text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()) };
            cost.run_ns += field("run_time_ns:")?;
            cost.runs += field("run_cnt:")?;
        }
        Some(cost)
    }
}

/// The settings with the model's tree.
fn with_model(settings: &Settings, model: &Named, compiled: bool) -> Result<Settings, String> {
    let mut settings = Settings { decider: Decider::of(&model.model), linked: None, ..settings.clone() };
    settings.config.model = model.id;
    if compiled { settings.compiled(&model.model).map_err(|error| explain(&error)) } else { Ok(settings) }
}

/// A pinned flow table has the size it was made with.
fn check_size(path: &Path, settings: &Settings) -> Result<(), String> {
    let path = path.join(object::FLOWS);
    if !path.exists() {
        return Ok(());
    }
    let failed = |error: &dyn std::error::Error| format!("{}: {}", path.display(), explain(error));
    let info = MapInfo::from_pin(&path).map_err(|error| failed(&error))?;
    let (found, value) = (info.max_entries(), info.value_size());
    if value as usize != size_of::<Flow>() {
        return Err(format!("{}: pinned by another version of treeline; treeline detach removes it", path.display()));
    }
    if found != settings.flows_max {
        let folder = path.parent().unwrap_or(&path).display();
        return Err(format!("{folder}: the pinned flow table has room for {found} flows; give --flows {found}, or treeline detach first"));
    }
    Ok(())
}

/// The kinds of links there are, each once.
fn kinds(links: &[(String, Link)]) -> Vec<Link> {
    Link::ALL.into_iter().filter(|kind| links.iter().any(|(_, link)| link == kind)).collect()
}

impl Tap for Kernel {
    fn fd(&self) -> BorrowedFd<'_> {
        self.alerts.as_fd()
    }

    fn alerts(&mut self, count_max: usize, each: &mut dyn FnMut(&Alert)) -> usize {
        for count in 0..count_max {
            let Some(item) = self.alerts.next() else { return count };
            if item.len() == size_of::<Alert>() {
                each(&bytemuck::pod_read_unaligned(&item));
            }
        }
        count_max
    }

    fn numbers(&mut self, survey: &Survey) -> Result<Numbers, String> {
        let numbers = self.maps.numbers(self.settings.flows_max, survey)?;
        Ok(Numbers { cost: self.cost(), ..numbers })
    }

    fn table(&self) -> Arc<dyn Table> {
        self.maps.clone()
    }

    fn swap(&mut self, model: &Named) -> Result<(), String> {
        if let Folder::None(reason) = &self.folder {
            return Err(reason.clone());
        }
        let settings = with_model(&self.settings, model, self.compiled)?;
        let mut ebpf = self.load_tested(&settings)?;
        let cost = self.cost();
        let mut failures = vec![];
        for placed in &mut self.placed {
            for (name, hold) in std::mem::take(&mut placed.holds) {
                match hold.replace(&mut loaded(&mut ebpf, settings.hook, placed.link)?) {
                    Ok(hold) => placed.holds.push((name, hold)),
                    Err(error) => failures.push(format!("{}: {error}", placed.place.name)),
                }
            }
        }
        self.ebpf = ebpf;
        self.settings = settings;
        self.cost_before = cost.unwrap_or(self.cost_before);
        if failures.is_empty() { Ok(()) } else { Err(format!("the new model is in place, but not on {}", failures.join(", "))) }
    }

    fn gone(&mut self) -> Vec<u32> {
        let is_there = |placed: &Placed| interface::name(placed.place.index).is_some();
        let (there, gone) = std::mem::take(&mut self.placed).into_iter().partition(is_there);
        self.placed = there;
        let remove = |placed: Placed| {
            for (name, _) in &placed.holds {
                if let (true, Ok(path)) = (self.folder.is_pinned(), self.folder.path(&format!("{}{name}", folder::LINK))) {
                    let _ = fs::remove_file(path);
                }
            }
            placed.place.index
        };
        let gone: Vec<Placed> = gone;
        gone.into_iter().map(remove).collect()
    }

    fn places(&self) -> Vec<Place> {
        self.placed.iter().map(|placed| placed.place.now()).collect()
    }

    fn detach(&mut self, unpin: bool) -> Result<(), String> {
        let removed = match &self.folder {
            Folder::Pinned(path) if unpin => folder::remove(path),
            _ => Ok(()),
        };
        self.placed.clear();
        removed
    }
}
