//! What a map is: its kind, its name, its sizes.

/// What kind of map, with Linux's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapKind {
    /// `BPF_MAP_TYPE_HASH`
    Hash = 1,
    /// `BPF_MAP_TYPE_ARRAY`
    Array = 2,
    /// `BPF_MAP_TYPE_PROG_ARRAY`: values are programs by their position in the VM
    ProgArray = 3,
    /// `BPF_MAP_TYPE_PERF_EVENT_ARRAY`: an entry that is set takes records
    PerfEventArray = 4,
    /// `BPF_MAP_TYPE_PERCPU_HASH`, with one CPU
    PerCpuHash = 5,
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`, with one CPU
    PerCpuArray = 6,
    /// `BPF_MAP_TYPE_LRU_HASH`
    LruHash = 9,
    /// `BPF_MAP_TYPE_LRU_PERCPU_HASH`, with one CPU
    LruPerCpuHash = 10,
    /// `BPF_MAP_TYPE_LPM_TRIE`
    LpmTrie = 11,
    /// `BPF_MAP_TYPE_ARRAY_OF_MAPS`: values are maps by their position in the VM
    ArrayOfMaps = 12,
    /// `BPF_MAP_TYPE_HASH_OF_MAPS`: values are maps by their position in the VM
    HashOfMaps = 13,
    /// `BPF_MAP_TYPE_DEVMAP`
    DevMap = 14,
    /// `BPF_MAP_TYPE_CPUMAP`
    CpuMap = 16,
    /// `BPF_MAP_TYPE_XSKMAP`
    XskMap = 17,
    /// `BPF_MAP_TYPE_QUEUE`
    Queue = 22,
    /// `BPF_MAP_TYPE_STACK`
    Stack = 23,
    /// `BPF_MAP_TYPE_DEVMAP_HASH`
    DevMapHash = 25,
    /// `BPF_MAP_TYPE_RINGBUF`
    RingBuf = 27,
    /// `BPF_MAP_TYPE_BLOOM_FILTER`, which never errs here
    Bloom = 30,
}

use MapKind as Kind;

const KINDS: [Kind; 19] = [
    Kind::Hash,
    Kind::Array,
    Kind::ProgArray,
    Kind::PerfEventArray,
    Kind::PerCpuHash,
    Kind::PerCpuArray,
    Kind::LruHash,
    Kind::LruPerCpuHash,
    Kind::LpmTrie,
    Kind::ArrayOfMaps,
    Kind::HashOfMaps,
    Kind::DevMap,
    Kind::CpuMap,
    Kind::XskMap,
    Kind::Queue,
    Kind::Stack,
    Kind::DevMapHash,
    Kind::RingBuf,
    Kind::Bloom,
];

impl MapKind {
    /// The kind of a number of Linux's, if the VM has it.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.number() == number)
    }

    /// Linux's number.
    #[must_use]
    pub fn number(self) -> u32 {
        self as u32
    }

    /// Whether its entries are all there from the start.
    #[must_use]
    pub fn is_array(self) -> bool {
        matches!(self, Kind::Array | Kind::PerCpuArray)
    }

    /// Whether each CPU has a value of its own, of which the VM has that of CPU 0.
    #[must_use]
    pub fn is_per_cpu(self) -> bool {
        matches!(self, Kind::PerCpuArray | Kind::PerCpuHash | Kind::LruPerCpuHash)
    }

    /// Whether its values are other maps.
    #[must_use]
    pub fn holds_maps(self) -> bool {
        matches!(self, Kind::ArrayOfMaps | Kind::HashOfMaps)
    }
}

/// `BPF_F_NO_PREALLOC`: elements are allocated when they are needed.
pub const NO_PREALLOC: u32 = 1;
/// `BPF_F_NO_COMMON_LRU`: each CPU has a share of an LRU map's elements, and evicts of those.
pub const NO_COMMON_LRU: u32 = 2;

/// A map's name, kind and sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Name of the map, or of the section for global data.
    pub name: String,
    /// Its kind.
    pub kind: MapKind,
    /// Bytes of a key.
    pub key_size: usize,
    /// Bytes of a value.
    pub value_size: usize,
    /// Entries at most (arrays: always); of a ring buffer its bytes.
    pub max_entries: u32,
    /// `BPF_F_*` that it is created with. [`NO_PREALLOC`] and [`NO_COMMON_LRU`] change what
    /// programs see.
    pub flags: u32,
}
