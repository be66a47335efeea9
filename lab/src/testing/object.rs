//! An object with what is set in it, and a program of it with what its maps hold at first.

use std::path::Path;

use bytemuck::NoUninit;

use super::{Error, Kernel, Lab, Result};
use crate::bpf::{self, Hook, Job, Kind, ReadOptions};
use crate::lab::Entry;
use crate::lab::map::Map;

/// A BPF object, by clang with libbpf or by aya, to be set up.
///
/// ```
/// use treeline_lab::Object;
///
/// let object = Object::read(include_bytes!("../../examples/filter/filter.bpf.o")).global("PORT", 123_u16)?.entries("DROPPED", 16);
/// let mut lab = object.program("filter")?.load()?;
/// # lab.run([0; 60])?;
/// # Ok::<(), treeline_lab::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Object {
    elf: Vec<u8>,
    options: ReadOptions,
}

impl Object {
    /// The object of an ELF file's bytes. What is wrong with them is told when a [program](Self::program) is asked for.
    #[must_use]
    pub fn read(elf: impl AsRef<[u8]>) -> Self {
        Self { elf: elf.as_ref().to_vec(), options: ReadOptions::default() }
    }

    /// The object of a file, such as the one that a build script has made.
    ///
    /// ```no_run
    /// # fn main() -> treeline_lab::Result {
    /// let object = treeline_lab::Object::open("target/bpf/filter.bpf.o")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let elf = std::fs::read(path).map_err(|source| Error::File { path: path.display().to_string(), source })?;
        Ok(Self::read(elf))
    }

    /// Sets a global constant before loading. Its size must be that of the object's variable.
    ///
    /// ```
    /// # use treeline_lab::Object;
    /// let object = || Object::read(include_bytes!("../../examples/filter/filter.bpf.o"));
    /// assert!(object().global("PORT", 53_u16).is_ok());
    /// assert_eq!(object().global("PORT", 53_u32).unwrap_err().to_string(), "variable `PORT` has 2 bytes, the value given 4");
    /// ```
    pub fn global<T: NoUninit>(mut self, name: &str, value: T) -> Result<Self> {
        let (bytes, size) = (bytemuck::bytes_of(&value).to_vec(), bpf::Object::variable_size(&self.elf, name)?);
        if bytes.len() != size {
            return Err(bpf::ObjectError::ValueSize { name: name.to_owned(), expected: size, given: bytes.len() }.into());
        }
        self.options.globals.insert(name.to_owned(), bytes);
        Ok(self)
    }

    /// Gives a map another number of entries: what some objects leave to their loader.
    ///
    /// ```
    /// # fn main() -> treeline_lab::Result {
    /// # use treeline_lab::Object;
    /// let filter = Object::read(include_bytes!("../../examples/filter/filter.bpf.o")).entries("DROPPED", 1).program("filter")?;
    /// let mut lab = filter.vm_alone().load()?;
    /// let mut dropped = lab.map::<[u8; 4], u64>("DROPPED")?;
    /// dropped.put(&[198, 18, 0, 1], &1)?;
    /// assert!(dropped.put(&[198, 18, 0, 2], &1).is_err(), "it is full");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn entries(mut self, map: &str, count: u32) -> Self {
        self.options.map_max_entries.insert(map.to_owned(), count);
        self
    }

    /// What programs are whose section's name does not say it. Those whose name does stay what they are.
    ///
    /// ```
    /// # fn main() -> treeline_lab::Result {
    /// # use treeline_lab::{Object, xdp};
    /// use treeline_lab::bpf::Hook;
    ///
    /// let filter = Object::read(include_bytes!("../../examples/filter/filter.bpf.o")).hook(Hook::Tc).program("filter")?;
    /// filter.load()?.run([0; 60])?.expect(xdp::PASS); // its section is `xdp`
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn hook(mut self, hook: Hook) -> Self {
        self.options.kind = Some(Kind::of(hook));
        self
    }

    /// A program by its function's name.
    ///
    /// ```
    /// # use treeline_lab::Object;
    /// let object = Object::read(include_bytes!("../../examples/filter/filter.bpf.o"));
    /// assert!(object.program("fliter").unwrap_err().to_string().contains("filter"), "the error lists what there is");
    /// ```
    pub fn program(self, name: &str) -> Result<Program> {
        let Self { elf, options } = self;
        let object = bpf::Object::parse(&elf, &options)?;
        let hook = object.program(name)?.hook.ok_or_else(|| Error::Hook { program: name.to_owned() })?;
        let maps = crate::lab::Machine::maps(&object);
        let job = Job { elf, options, program: name.to_owned() };
        Ok(Program { object, job, hook, maps, fills: Vec::new(), is_vm_alone: false, kernels: Vec::new() })
    }
}

/// A program of an object, to be loaded.
///
/// ```
/// # fn main() -> treeline_lab::Result {
/// # use treeline_lab::Object;
/// let filter = Object::read(include_bytes!("../../examples/filter/filter.bpf.o")).program("filter")?;
/// let lab = filter.vm_alone().load()?;
/// assert_eq!(lab.engines(), ["vm"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Program {
    pub(super) object: bpf::Object,
    pub(super) job: Job,
    pub(super) hook: Hook,
    pub(super) maps: Vec<Map>,
    pub(super) fills: Vec<(usize, Vec<Entry>)>,
    pub(super) is_vm_alone: bool,
    pub(super) kernels: Vec<Kernel>,
}

impl Program {
    /// Puts an entry into a map before the first packet.
    ///
    /// ```
    /// # fn main() -> treeline_lab::Result {
    /// # use treeline_lab::Object;
    /// let filter = Object::read(include_bytes!("../../examples/filter/filter.bpf.o")).program("filter")?;
    /// let mut lab = filter.put("DROPPED", [198_u8, 18, 0, 1], 7_u64)?.load()?;
    /// assert_eq!(lab.map::<[u8; 4], u64>("DROPPED")?.get(&[198, 18, 0, 1])?, Some(7));
    /// # Ok(())
    /// # }
    /// ```
    pub fn put<K: NoUninit, V: NoUninit>(mut self, map: &str, key: K, value: V) -> Result<Self> {
        let position = position(&self.maps, map, size_of::<K>(), size_of::<V>())?;
        self.fills.push((position, vec![(bytemuck::bytes_of(&key).to_vec(), bytemuck::bytes_of(&value).to_vec())]));
        Ok(self)
    }

    /// Runs the program in the VM and in no kernel: packets that no kernel takes, or what the kernel does otherwise.
    #[must_use]
    pub fn vm_alone(mut self) -> Self {
        self.is_vm_alone = true;
        self
    }

    /// Runs the program in another kernel too.
    ///
    /// ```no_run
    /// # fn main() -> treeline_lab::Result {
    /// # use treeline_lab::Object;
    /// for kernel in treeline_lab::kernels(&["5.10", "6.12"])? {
    ///     let filter = Object::open("filter.bpf.o")?.program("filter")?;
    ///     filter.beside(&kernel).load()?.replay("scan.pcap")?.agrees();
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn beside(mut self, kernel: &Kernel) -> Self {
        self.kernels.push(kernel.clone());
        self
    }

    /// Loads the program with fresh maps into every engine.
    pub fn load(self) -> Result<Lab> {
        Lab::of(self)
    }
}

/// A map by its name, for keys and values of these sizes.
pub(super) fn position(maps: &[Map], name: &str, key: usize, value: usize) -> Result<usize> {
    let wrong = |reason: String| Error::Map { map: name.to_owned(), reason };
    let found = maps.iter().position(|map| map.name == name);
    let position = found.ok_or_else(|| {
        let known: Vec<&str> = maps.iter().map(|map| map.name.as_str()).collect();
        wrong(format!("the object has no such map; it has {}", known.join(", ")))
    })?;
    let map = &maps[position];
    if (map.key_size, map.value_size) != (key, value) {
        return Err(wrong(format!("keys of {} and values of {} bytes, not {key} and {value}", map.key_size, map.value_size)));
    }
    Ok(position)
}
