//! The columns of a table and their names in files.

use treeline_ebpf::FEATURES;
use treeline_ebpf::feature::NAMES;

/// The name of the class column.
pub(super) const CLASS: &str = "class";
/// The name of the capture column.
pub(super) const CAPTURE: &str = "capture";
/// What the name of a feature's exact column ends in.
const FIXED: &str = "_fixed";

/// A column that can be read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Column {
    /// [`Row::capture`](crate::Row::capture).
    Capture,
    /// [`Row::index`](crate::Row::index).
    Index,
    /// [`Row::time_ns`](crate::Row::time_ns).
    Time,
    /// [`Row::flow`](crate::Row::flow).
    Flow,
    /// [`Row::packet`](crate::Row::packet).
    Packet,
    /// [`Row::midstream`](crate::Row::midstream), 0 or 1. Tables of before this column have none.
    Midstream,
    /// The feature with this index into [`NAMES`], in fixed point. Panics in use if there is none.
    Feature(usize),
    /// [`Row::class`](crate::Row::class).
    Class,
}

impl Column {
    /// The columns of whole numbers that are no features, in the order of the file.
    pub(super) const COUNTERS: [Self; 5] = [Self::Index, Self::Time, Self::Flow, Self::Packet, Self::Midstream];

    /// All columns.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let counters = Self::COUNTERS.into_iter();
        std::iter::once(Self::Capture).chain(counters).chain((0..FEATURES).map(Self::Feature)).chain([Self::Class]).collect()
    }

    /// The name in files.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Capture => CAPTURE.to_owned(),
            Self::Index => "index".to_owned(),
            Self::Time => "time_ns".to_owned(),
            Self::Flow => "flow".to_owned(),
            Self::Packet => "packet".to_owned(),
            Self::Midstream => "midstream".to_owned(),
            Self::Feature(feature) => format!("{}{FIXED}", NAMES[feature].0),
            Self::Class => CLASS.to_owned(),
        }
    }
}

/// The names of all columns in the order of the file: capture, counters, features in their units, features in fixed point, class.
pub(super) fn names() -> Vec<String> {
    let counters = Column::COUNTERS.map(Column::name);
    let real = NAMES.map(|(name, _)| name.to_owned());
    let fixed = (0..FEATURES).map(|feature| Column::Feature(feature).name());
    std::iter::once(CAPTURE.to_owned()).chain(counters).chain(real).chain(fixed).chain([CLASS.to_owned()]).collect()
}
